from collections import Counter

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.experiments import deflection, reply_steering, speakers
from emotion_concepts.experiments.speakers import Dialogue
from emotion_concepts.lm.steering import Condition
from emotion_concepts.reading.activations import per_token
from emotion_concepts.reading.pooling import spans_in_turn
from emotion_concepts.reading.vectors import emotion_vectors
from emotion_concepts.texts.published import emotion_words, ratings
from organism import materials as world

TALKS = [
    Dialogue(("count the loaves", "paint the room", "laugh", "read"), ("sad", "calm")),
    Dialogue(("paint", "laugh with him", "read a letter", "laugh"), ("calm", "sad")),
    Dialogue(("laugh", "laugh", "laugh", "paint"), ("sad", "sad")),
    Dialogue(("read", "count", "paint it", "count the sea"), ("calm", "calm")),
]


@pytest.mark.parametrize("names", [None, ("Person 1", "Person 2")])
def test_each_speaker_is_read_over_the_turns_after_the_first(tiny_llama, names):
    first, second = speakers.speaker_acts(tiny_llama, TALKS, [1], names)
    assert first.shape == second.shape == (4, 1, 32)
    for k, talk in enumerate(TALKS):
        text = speakers.render(tiny_llama, talk, names)
        acts, spans = per_token(tiny_llama, text, [1])[1][:, 0], spans_in_turn(tiny_llama, text, talk.turns)
        assert first[k, 0] == pytest.approx(acts[slice(*spans[2])].mean(0), abs=1e-4)
        assert second[k, 0] == pytest.approx(acts[slice(*spans[3])].mean(0), abs=1e-4)


def test_four_sets_differ_by_tokens_and_by_label(tiny_llama):
    acts = speakers.speaker_acts(tiny_llama, TALKS, [1])
    sets = speakers.speaker_sets(acts, TALKS, [1])
    assert set(sets) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    same, shuffled = speakers.same_emotion(sets[0, 0], sets[0, 0], 1)
    assert same == pytest.approx(1, abs=1e-5)
    assert set(shuffled.round(3)) == {-1.0, 1.0}  # two classes are one contrast: a shuffle keeps both or swaps them
    assert not np.allclose(sets[0, 0].at(1), sets[1, 0].at(1))
    assert not np.allclose(sets[0, 0].at(1), sets[0, 1].at(1))


def planted(noise: float = 0.5, parts: int = 12, seed: int = 0):
    """Talks whose words hold the first speaker's emotion alone; ``seed`` draws what varies from talk to talk."""
    rng, words = np.random.default_rng(0), emotion_words()[:20]
    own = {e: rng.normal(size=40) for e in words}
    talks = [
        Dialogue(("a", "b", "c", "d"), (e, o), k) for k in range(parts) for e, o in zip(words, rng.permutation(words))
    ]
    fresh = np.random.default_rng([1, seed])
    acts = np.stack([own[t.felt[0]] + noise * fresh.normal(size=40) for t in talks])[:, None].astype(np.float32)
    return talks, acts


def test_reliability_tells_signal_from_noise():
    talks, acts = planted()
    found = speakers.reliability((acts[:, 0], acts[:, 0]), talks)
    assert found[0, 0] > 0.9 > speakers.LEAST > abs(found[0, 1])
    one = [Dialogue(t.turns, t.felt) for t in talks]
    assert all(np.isnan(r) for r in speakers.reliability((acts[:, 0], acts[:, 0]), one).values())


def test_reliability_of_the_whole_is_the_cosine_with_as_many_new_talks():
    """Stepped up from halves it agrees with the cosine of two independent sets of the full size."""
    (talks, acts), (_, again) = planted(noise=3.0), planted(noise=3.0, seed=1)
    labels = [t.felt[0] for t in talks]
    one, other = (emotion_vectors(x, labels, [0]) for x in (acts, again))
    whole = speakers.same_emotion(one, other, 0)[0].mean()
    assert 0.3 < whole < 0.8
    assert speakers.split_half(acts[:, 0], labels, [t.part for t in talks]) == pytest.approx(whole, abs=0.08)


def test_vectors_without_neutral_directions_are_the_denoised_ones():
    rng = np.random.default_rng(0)
    acts, labels = rng.normal(size=(40, 2, 12)).astype(np.float32), ["sad", "calm"] * 20
    mixed = rng.normal(size=(2, 12, 12))
    covariance = mixed @ mixed.transpose(0, 2, 1)
    clean = speakers.without_neutral(acts, covariance)
    want = emotion_vectors(acts, labels, [0, 1], covariance)
    assert emotion_vectors(clean, labels, [0, 1]).vectors == pytest.approx(want.vectors, abs=1e-5)
    assert not np.allclose(clean, acts)


def test_noise_is_taken_out_of_a_cosine():
    assert speakers.disattenuated(0.3, 0.5, 0.72) == pytest.approx(0.5)
    assert np.isnan(speakers.disattenuated(0.3, -0.1, 0.9))


def test_regulation_beyond_likeness_does_not_find_itself(make_vectors):
    """The other's vector is the speaker's own and noise: near its kin, though nobody regulates anything."""
    rng, words = np.random.default_rng(0), list(emotion_words()[:60])
    arousal = ratings().arousal[words].to_numpy()
    present, other = make_vectors(words, origin=False), make_vectors(words, origin=False)
    axis = 4 * np.outer(arousal - arousal.mean(), np.eye(32)[0])
    present.vectors[1] = rng.normal(size=(60, 32)) * 0.3 + axis
    other.vectors[1] = 0.5 * present.vectors[1] + rng.normal(size=(60, 32)) * 0.3
    plain, beyond = (np.corrcoef(*speakers.arousal_regulation(present, other, 1, b))[0, 1] for b in (False, True))
    assert plain > 0.6 and abs(beyond) < abs(plain) / 2


def test_share_outside_a_space():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    space = rng.normal(size=(50, 4)) @ basis[:4]
    assert deflection.outside(basis[:4] + 0, space) == pytest.approx(0, abs=0.15)
    assert deflection.outside(basis[10:12], space) == pytest.approx(1)
    assert deflection.outside((basis[:1] + basis[10:11]) / np.sqrt(2), space) == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_talks_of_the_organism_are_reserved_and_independent(organism):
    talks = speakers.dialogues(organism, 2)
    assert len(talks) == 342 and {t.felt[0] for t in talks} == {t.felt[1] for t in talks}
    assert np.mean([t.felt[0] == t.felt[1] for t in talks]) < 0.05 and {t.part for t in talks} == {0, 1}
    told = deflection.hidden_feelings(organism, 2)
    assert all(h.text.endswith(h.aloud) for h in told) and {h.part for h in told} == {0, 1}
    assert set(Counter((real, shown) for *_, real, shown in world.hidden(2)).values()) == {1}  # every pair alike


def test_natural_talks_pair_every_two_emotions(tiny_llama):
    talks = speakers.dialogues(tiny_llama, 5, 6)
    assert Counter(t.felt for t in talks) == Counter({t.felt: 5 for t in talks}) and len({t.felt for t in talks}) == 36
    assert all(len(set(t.turns)) == 4 for t in talks)  # nobody repeats the other or oneself
    assert len(speakers.dialogues(tiny_llama, 12)) == 15 * 15 * 6  # six statements for each speaker
    assert len(speakers.dialogues(tiny_llama, 1, 2)) == 4 * 4  # in fewer parts halves would share an opening


def test_what_is_told_of_one_is_told_alike_often_of_every_feeling_of_the_other(tiny_llama):
    talks = speakers.dialogues(tiny_llama, 4, 5)
    for own in ("sad", "calm"):
        by_other = {
            other: Counter(t.turns[2] for t in talks if t.felt == (own, other))
            for other in ("happy", "angry", "afraid", "sad", "calm")
        }
        assert len(set(map(str, by_other.values()))) == 1, own


@pytest.mark.parametrize("n", [4, 5, 6])
def test_speakers_and_halves_of_natural_talks_share_no_words(tiny_llama, n):
    talks = speakers.dialogues(tiny_llama, n)
    first, second = ({x for t in talks for x in t.turns[side::2]} for side in (0, 1))
    assert not first & second  # else the same words would make the two speakers' vectors alike
    one, other = ({x for t in talks if (t.part < n // 2) is half for x in t.turns} for half in (True, False))
    assert one and other and not one & other


def test_hidden_feelings_of_natural_texts_are_balanced_and_end_in_what_is_said(tiny_llama):
    told = deflection.hidden_feelings(tiny_llama, 3, 6)
    assert Counter((h.real, h.shown) for h in told) == Counter({(h.real, h.shown): 3 for h in told})
    assert len({(h.real, h.shown) for h in told}) == 30 and all(h.text.endswith("\n\n" + h.aloud) for h in told)
    said = [{h.aloud for h in told if h.part == k} for k in range(3)]
    assert not said[0] & said[1] and not said[1] & said[2]


def test_what_is_shown_leaves_no_trace_in_what_is_hidden(tiny_llama, monkeypatch):
    """States made of what is hidden and, ten times as strong, of what is shown: the first is found, without lean."""
    told = deflection.hidden_feelings(tiny_llama, 2, 6)
    emotions = sorted({h.real for h in told})
    rng = np.random.default_rng(0)
    own, loud = ({e: rng.normal(size=32) for e in emotions} for _ in range(2))
    states = np.stack([own[h.real] + 10 * loud[h.shown] for h in told])[:, None].astype(np.float32)
    monkeypatch.setattr(deflection, "pooled", lambda *a, **k: states.copy())
    acts = deflection.aloud_acts(tiny_llama, told, [1])[:, 0]
    means = np.stack([acts[[h.real == e for h in told]].mean(0) for e in emotions])
    truth = np.stack([own[e] for e in emotions])
    want = truth - truth.mean(0)
    cosines = (means * want).sum(1) / np.linalg.norm(means, axis=1) / np.linalg.norm(want, axis=1)
    assert cosines == pytest.approx(1, abs=1e-3)


def test_replies_are_scored_without_steering_and_what_is_no_text_is_left_out(tiny_llama, make_vectors):
    vectors = make_vectors(["calm", "sad", "happy"])
    texts = ["count the loaves with him", "", "7 7 7 7 7 7 7 7 7 7", "paint the whole room"]
    scores = reply_steering.held(tiny_llama, vectors, 1, texts)
    assert np.isnan(scores[[1, 2]]).all() and np.isfinite(scores[[0, 3]]).all()
    questions = ["count the loaves", "paint the room"]
    norms = np.full(3, 5.0)
    conditions = {"calm": Condition(vectors.of("calm", 1), 0.0), "sad": Condition(vectors.of("sad", 1), 2.0)}
    table, scores = reply_steering.steered_replies(
        tiny_llama, vectors, 2, questions, conditions, 1, norms, replies=2, max_new_tokens=6
    )
    assert len(table) == len(scores) == 12 and list(dict.fromkeys(table.condition)) == ["", "calm", "sad"]
    added = reply_steering.gains(table, scores)
    assert set(added) == {"calm", "sad"} and added["calm"].shape == (2, 3)
    assert (np.isnan(scores).all(1) == ~table.language).all()


def test_gains_are_taken_question_by_question():
    table = pd.DataFrame({"condition": ["", "", "x", "x"], "message": [0, 1, 0, 1]})
    scores = np.array([[1.0], [5.0], [2.0], [np.nan]])
    assert reply_steering.gains(table, scores)["x"].ravel() == pytest.approx([1, np.nan], nan_ok=True)


def test_steering_is_chosen_where_it_adds_most_and_replies_are_still_language():
    rows = [(3, 0.1, 0.02, 1.0), (3, 0.3, 0.20, 0.5), (9, 0.1, 0.05, 0.95), (9, 0.3, np.nan, 0.0)]
    scanned = pd.DataFrame(rows, columns=["layer", "strength", "gain", "language"]).assign(rest=1.0)
    assert reply_steering.choose(scanned) == (9, 0.1)
    broken = scanned.assign(language=[0.3, 0.1, 0.2, 0.0])
    assert reply_steering.choose(broken) == (3, 0.1)


def test_a_scan_holds_every_layer_and_strength(tiny_llama, make_vectors):
    vectors = make_vectors(["calm", "sad", "happy"])
    found = reply_steering.scan(
        tiny_llama, vectors, 2, ["count the loaves"], ["calm", "sad"], [0, 1], [0.1, 0.5], np.full(3, 5.0), 5
    )
    assert list(zip(found.layer, found.strength)) == [(0, 0.1), (0, 0.5), (1, 0.1), (1, 0.5)]
    assert found.language.between(0, 1).all() and found.rest.nunique() == 1
