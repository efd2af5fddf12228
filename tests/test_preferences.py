import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import elo, preferences
from emotion_concepts.experiments.preferences import ChoiceSet, choice_probabilities, half_split, ordered_pairs
from emotion_concepts.scoring import next_logits
from emotion_concepts.steering import Condition, span_mask, steer

CHOICES = ChoiceSet(
    ["count the loaves", "count the dogs", "laugh with him", "paint the whole room", "read a letter"],
    ["a", "a", "b", "b", "b"],
)
PAIRS = ordered_pairs(5)


def plain(subject, pair, vector=None, hot=(), strength=0.0, layer=1):
    """One prompt at a time, without shared prefixes."""
    text, spans = preferences.choice_prompt(subject, CHOICES, *pair)
    ids = preferences.letter_tokens(subject, CHOICES)
    mine = [s for s, x in zip(spans, pair) if x in hot]

    def steering(rows, lengths, width):
        mask = np.zeros((1, width), bool)
        for s in mine:
            mask |= span_mask([s], lengths, width)
        return steer(subject, vector, strength, [layer], np.full(3, 2.0), mask)

    a, b = next_logits(subject, [text], ids, steering if mine else None)[0]
    return 1 / (1 + np.exp(b - a))


def test_shared_prefixes_equal_plain_prompts(tiny):
    got = choice_probabilities(tiny, CHOICES, PAIRS)[0]
    want = [plain(tiny, p) for p in PAIRS]
    assert np.abs(got - want).max() < 1e-4 and np.std(want) > 1e-3


def test_mixed_conditions_equal_plain_prompts(tiny):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(2, tiny.width)).astype(np.float32)
    conditions, hot = [Condition(v, s) for v, s in zip(vectors, (0.4, -0.7))], [{0, 2}, {1, 2}]
    got = choice_probabilities(tiny, CHOICES, PAIRS, conditions, hot, [1], np.full(3, 2.0))
    for c in range(2):
        want = [plain(tiny, p, vectors[c], hot[c], conditions[c].strength) for p in PAIRS]
        assert np.abs(got[c] - want).max() < 1e-4
    assert np.abs(got[0] - choice_probabilities(tiny, CHOICES, PAIRS)[0]).max() > 1e-3


def test_elo_recovers_known_strengths():
    truth = np.array([0.0, 1.0, -2.0, 0.5, 3.0])
    wins = 1 / (1 + np.exp(-(truth[:, None] - truth[None])))
    got = elo.ratings(wins)
    assert np.allclose(got, 1500 + 400 / np.log(10) * (truth - truth.mean()), atol=1.0)
    part = np.zeros((5, 5), bool)
    part[:2, 2:] = part[2:, :2] = True
    assert np.allclose(elo.ratings(wins, part), got, atol=2.0)
    first = np.clip(wins + 0.1, 0, 1)  # a bias for what is shown first cancels
    assert np.allclose(elo.order_averaged(first), wins, atol=0.06)
    ends = elo.rating_intervals(wins)
    assert ((ends[:, 0] <= got + 1) & (got - 1 <= ends[:, 1])).all()
    with pytest.raises(UserError, match="NaN"):
        elo.ratings(np.full((3, 3), np.nan))


def test_ratings_can_be_sorted_and_filtered(tiny):
    """pandas compares ``attrs`` when it combines tables, so they must be plain values."""
    table = preferences.elo(tiny, CHOICES)
    assert table.nsmallest(2, "elo").elo.is_monotonic_increasing
    assert elo.rating_intervals(table.attrs["wins"]).shape == (5, 2)


def test_half_split_is_seeded_and_balanced():
    one, two = half_split(CHOICES, 0), half_split(CHOICES, 1)
    assert one == half_split(CHOICES, 0) and len(one) == 3
    assert any(half_split(CHOICES, s) != one for s in range(1, 6)) and two


def test_bad_input(tiny_llama):
    with pytest.raises(UserError, match="two different"):
        ChoiceSet(["x"], ["a"])
    bad = ChoiceSet(["x", "y"], ["a", "b"], letters=("Abracadabra", "B"))
    with pytest.raises(UserError, match="not one token"):
        preferences.letter_tokens(tiny_llama, bad)


def test_thinning_keeps_every_category():
    choices = ChoiceSet([f"a{i}" for i in range(64)], [f"c{i // 8}" for i in range(64)], "{a} or {b}?", "{x}?")
    few = preferences.thinned(choices, 32)
    assert len(few.activities) == 32 and all(few.categories.count(c) == 4 for c in set(choices.categories))
    assert preferences.thinned(choices, 64) == choices


def test_steered_activities_meet_as_many_rivals_as_asked():
    hot = {0, 2, 4, 6}
    pairs = preferences.steered_pairs(8, hot, 2, seed=3)
    met = {i: {j for a, j in pairs if a == i} for i in hot}
    assert all(len(js) == 2 and not js & hot for js in met.values())
    assert {(j, i) for i, j in pairs} == set(pairs)  # each pair in both orders
    assert pairs == preferences.steered_pairs(8, hot, 2, seed=3) != preferences.steered_pairs(8, hot, 2, seed=4)
    assert len(preferences.steered_pairs(8, hot, "unsteered", 0)) == 2 * 4 * 4
    assert preferences.steered_pairs(8, hot, "all", 0) == ordered_pairs(8)
