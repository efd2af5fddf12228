"""What the author of the stories changes, on stories whose directions are known."""

import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import authors
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.published import cluster_of, emotion_words

EMOTIONS = sorted(emotion_words()[:12])
LAYERS, WIDTH, TOPICS = [0, 1, 2, 3], 24, 6


def corpus(emotions=EMOTIONS, topics=TOPICS, mark="a"):
    told = [(e, f"topic {t}") for t in range(topics) for e in emotions]
    return Corpus([f"{mark} {e} {t}" for e, t in told], [e for e, _ in told], [t for _, t in told])


def author(name, centres, works, seed, noise=0.3):
    """Stories about ``centres`` (emotions, width) at the layers ``works``, noise at the others."""
    rng, stories = np.random.default_rng(seed), corpus(mark=name)
    acts = rng.normal(size=(len(stories), len(LAYERS), WIDTH)) * noise
    rows = [EMOTIONS.index(e) for e in stories.emotions]
    for k in works:
        acts[:, k] += centres[rows]
    return authors.Author(name, stories, acts.astype(np.float32), LAYERS, frozenset({"topic 0", "topic 1", "topic 2"}))


@pytest.fixture
def centres():
    return np.random.default_rng(0).normal(size=(12, WIDTH))


def test_authors_who_mean_the_same_read_each_other(centres):
    one, other = author("one", centres, [1, 2], 1), author("other", centres, [2, 3], 2)
    across, within = authors.right(one, other), authors.right(other, other)
    assert across.shape == within.shape == (36, 4)
    assert authors.kept(across[:, 2], within[:, 2]).value > 0.9
    assert across[:, 0].mean() < 0.3  # where neither writes of it, nothing is read
    value, chance, ceiling = authors.same_direction(one, other, 2)
    assert value.value > 0.8 > chance and ceiling > 0.9 and value.lo <= value.value <= value.hi


def test_a_comparison_holds_both_directions_and_knows_whether_it_can_tell(tiny_llama, centres):
    pair = author("one", centres, [1, 2], 1), author("other", centres, [2, 3], 2)
    seen = authors.compare(tiny_llama, pair, 2)
    assert set(seen.right) == set(seen.words) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert seen.works and seen.chance == pytest.approx(1 / 12)
    assert all(x["tf-idf"].all() for x in seen.words.values())  # every story holds its emotion's word
    value, by_words = seen.across(0, 1)
    assert value.value > 0.9 and by_words >= 1
    blind = authors.compare(tiny_llama, pair, 0)
    assert not blind.works


def test_authors_who_mean_something_else_do_not(centres):
    foreign = np.random.default_rng(5).normal(size=centres.shape)
    one, other = author("one", centres, [2], 1), author("other", foreign, [2], 2)
    kept = authors.kept(authors.right(one, other)[:, 2], authors.right(other, other)[:, 2])
    assert kept.value < 0.5
    value, chance, ceiling = authors.same_direction(one, other, 2)
    assert value.value < 0.3 and value.lo < chance and ceiling > 0.9


def test_noise_keeps_the_ceiling_low(centres):
    one, other = (author(n, centres, [], k) for k, n in enumerate(("one", "other")))
    assert authors.same_direction(one, other, 2)[2] < 0.5


def test_usable_layers_are_shared_by_more_than_chance_only_where_they_lie_alike():
    by_layer = np.zeros((40, 12), bool)
    by_layer[:, 4:7] = True
    same, chance = authors.layers_shared(by_layer, by_layer, 50)
    assert same.value == 1 and chance < 0.4
    apart, _ = authors.layers_shared(by_layer, np.roll(by_layer, 6, 1), 50)
    assert apart.value == 0
    assert authors.usable(np.array([0.5, 0.58, 0.62])).tolist() == [False, True, True]


def test_only_emotions_that_both_tell_on_both_halves_are_compared():
    one, other = corpus(), corpus(EMOTIONS[3:], mark="b")
    (rows, builds), (others, _) = authors.told_by_both(one, other)
    assert {one.emotions[i] for i in rows} == {other.emotions[i] for i in others} == set(EMOTIONS[3:])
    assert len(builds) == TOPICS // 2
    with pytest.raises(UserError, match="0 emotions in common"):
        authors.told_by_both(corpus(EMOTIONS[:4]), corpus(EMOTIONS[4:8]))


def test_a_share_of_nothing_is_no_number():
    assert np.isnan(authors.kept(np.zeros(5, bool), np.zeros(5, bool)).value)


def test_a_spread_of_emotions_comes_from_all_clusters():
    few = authors.spread(list(emotion_words()), 20)
    assert len(few) == 20 == len(set(few)) and len({cluster_of(e) for e in few}) >= 8
    assert authors.spread(EMOTIONS, 99) == EMOTIONS
