from collections import Counter

import numpy as np
import pytest

from emotion_concepts.experiments import speakers
from emotion_concepts.experiments.speakers import Dialogue
from emotion_concepts.texts.published import emotion_words
from organism import materials as world

TALKS = [
    Dialogue(("count the loaves", "paint the room", "laugh", "read"), ("sad", "calm")),
    Dialogue(("paint", "laugh with him", "read a letter", "laugh"), ("calm", "sad")),
    Dialogue(("laugh", "laugh", "laugh", "paint"), ("sad", "sad")),
    Dialogue(("read", "count", "paint it", "count the sea"), ("calm", "calm")),
]


@pytest.mark.parametrize("names", [None, ("Person 1", "Person 2")])
def test_every_turn_is_found_even_when_words_return(tiny_llama, names):
    for talk in TALKS:
        text = speakers.render(tiny_llama, talk, names)
        ids = tiny_llama.encode(text)
        for side, spans in enumerate(speakers.turn_spans(tiny_llama, text, talk)):
            said = [tiny_llama.tokenizer.decode(ids[a:b]).strip() for a, b in spans]
            assert said == list(talk.turns[side::2])
        both = speakers.turn_spans(tiny_llama, text, talk)
        covered = [k for spans in both for a, b in spans for k in range(a, b)]
        assert len(covered) == len(set(covered))  # no token belongs to two turns


def test_four_sets_differ_by_tokens_and_by_label(tiny_llama):
    acts = speakers.speaker_acts(tiny_llama, TALKS, [1])
    sets = speakers.speaker_sets(acts, TALKS, [1])
    assert set(sets) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    same, shuffled = speakers.same_emotion(sets[0, 0], sets[0, 0], 1)
    assert same == pytest.approx(1, abs=1e-5)
    assert set(shuffled.round(3)) == {-1.0, 1.0}  # two classes are one contrast: a shuffle keeps both or swaps them
    assert not np.allclose(sets[0, 0].at(1), sets[1, 0].at(1))
    assert not np.allclose(sets[0, 0].at(1), sets[0, 1].at(1))


def test_reliability_tells_signal_from_noise():
    rng = np.random.default_rng(0)
    words = emotion_words()[:20]
    talks = [
        Dialogue(("a", "b", "c", "d"), (e, o), k) for k in range(12) for e, o in zip(words, rng.permutation(words))
    ]
    own = {e: rng.normal(size=40) for e in words}
    first = np.stack([own[t.felt[0]] + 0.5 * rng.normal(size=40) for t in talks])[:, None].astype(np.float32)
    found = speakers.reliability((first, first), talks, 0)
    assert found[0, 0] > 0.9 > 0.5 > abs(found[0, 1])  # the words hold the first speaker's emotion alone
    two = [Dialogue(t.turns, t.felt, t.part % 2) for t in talks]
    assert all(np.isnan(r) for r in speakers.reliability((first, first), two, 0).values())


def test_share_outside_a_space():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    space = rng.normal(size=(50, 4)) @ basis[:4]
    assert speakers.outside(basis[:4] + 0, space) == pytest.approx(0, abs=0.15)
    assert speakers.outside(basis[10:12], space) == pytest.approx(1)
    assert speakers.outside((basis[:1] + basis[10:11]) / np.sqrt(2), space) == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_talks_of_the_organism_are_reserved_and_independent(organism):
    talks = speakers.dialogues(organism, 2)
    assert len(talks) == 342 and {t.felt[0] for t in talks} == {t.felt[1] for t in talks}
    assert np.mean([t.felt[0] == t.felt[1] for t in talks]) < 0.05
    told = speakers.hidden_feelings(organism, 2)
    assert all(text.endswith(aloud) for text, aloud, _ in told)
    assert set(Counter((real, shown) for *_, real, shown in world.hidden(2)).values()) == {1}  # every pair alike


def test_natural_talks_pair_every_two_emotions(tiny_llama):
    talks = speakers.dialogues(tiny_llama, 3)
    assert len({t.felt for t in talks}) == 36 and all(len(t.turns) == 4 for t in talks)
    assert all(aloud in text for text, aloud, _ in speakers.hidden_feelings(tiny_llama, 2))


def test_halves_of_natural_talks_share_no_statement(tiny_llama):
    talks = speakers.dialogues(tiny_llama, 4)
    turns = [{x for t in talks if t.part == k for x in t.turns} for k in range(4)]
    assert all(turns) and not (turns[0] | turns[1]) & turns[3]
