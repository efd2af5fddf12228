"""What is measured of a checkpoint, on a tiny model: on which stories, of which vectors, and what is pushed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.experiments import emergence, geometry, preferences
from emotion_concepts.reading.activations import mean_norm, per_token
from emotion_concepts.statistics import rsa
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.shared import shared_stories, shared_topics

EMOTIONS = ["angry", "blissful", "happy", "hostile", "sad"]
SKIP, LAYER = 5, 1
TOP1 = "emotion of a story (top-1)"
ACTIVITIES = [
    f"look at the {x} and the {y}" for x, y in zip(["sea", "rain", "dogs", "bread"], ["boat", "roof", "hill", "lamps"])
]


@pytest.fixture
def pushed(monkeypatch):
    """The arguments of every call of ``preferences.steering_shift``, which here moves one emotion by 30, one by 12."""
    calls = []

    def shift(*args, **options):
        calls.append((args, options))
        return pd.Series({"blissful": 30.0, "hostile": 12.0})

    monkeypatch.setattr(preferences, "steering_shift", shift)
    return calls


@pytest.fixture(scope="module")
def plan():
    """The beginnings of shared stories: two topics build the vectors, another judges them."""
    told = shared_stories(EMOTIONS, shared_topics()[:3])
    stories = Corpus([t[:160] for t in told.texts], told.emotions, told.topics)
    held = np.array(stories.topics) == shared_topics()[0]
    choices = preferences.ChoiceSet(ACTIVITIES, ["one", "one", "two", "two"])
    return emergence.Plan(
        stories, np.flatnonzero(~held), np.flatnonzero(held), SKIP, LAYER, 2, [0, 1], ["angry", "happy"], choices, "all"
    )


@pytest.fixture(scope="module")
def states(tiny_llama, plan):
    """Mean state of each story at every layer, one story at a time, (stories, layers, width)."""
    return np.stack([per_token(tiny_llama, t)[1][SKIP:].mean(0) for t in plan.stories.texts])


def directions(states, plan, layer):
    """Unit vectors of the sorted emotions, made of the stories that build, and the origin."""
    labels = np.array(plan.stories.emotions)[plan.train]
    means = np.stack([states[plan.train, layer][labels == e].mean(0) for e in EMOTIONS])
    away = means - means.mean(0)
    return away / np.linalg.norm(away, axis=1, keepdims=True), means.mean(0)


def share_told(states, plan):
    """Share of the stories that judge whose nearest direction by cosine is that of their emotion."""
    v, origin = directions(states, plan, LAYER)
    x = states[plan.report, LAYER] - origin
    guess = (x @ v.T).argmax(1)  # lengths of x do not change the order
    return np.mean([EMOTIONS[g] == plan.stories.emotions[i] for g, i in zip(guess, plan.report)])


def test_stories_that_build_the_vectors_do_not_judge_them(tiny_llama, plan, states, pushed):
    found = {}
    for report in (plan.report, plan.report[:3], plan.train):
        asked = replace(plan, report=report)
        found[len(report)] = emergence.measure(tiny_llama, asked)[TOP1]
        assert found[len(report)] == pytest.approx(share_told(states, asked))
    assert len(plan.report) == 5 and found[10] > found[5]  # what built them flatters them
    texts = [t if i in plan.train else "Nobody slept. " * 9 for i, t in enumerate(plan.stories.texts)]
    other = replace(plan, stories=Corpus(texts, plan.stories.emotions, plan.stories.topics))
    was, now = (emergence.measure(tiny_llama, p) for p in (plan, other))
    assert now[TOP1] == pytest.approx(1 / 5)  # one text for all: one guess for all
    for key in (*(n for n in was if "|r|" in n), emergence.LINK):  # what the vectors alone say
        assert now[key] == pytest.approx(was[key]), key


def test_the_two_emotions_own_vectors_are_pushed_at_every_layer_of_the_band(tiny_llama, plan, states, pushed):
    found = emergence.measure(tiny_llama, plan, seed=7)
    assert found[emergence.STEERING] == 30 - 12
    ((subject, choices, push, strength, band, norms), options) = pushed.pop()
    assert subject is tiny_llama and choices is plan.choices and options == {"seed": 7, "rivals": "all"}
    assert band == [0, 1] and strength == emergence.STRENGTH and list(push) == ["blissful", "hostile"]
    for emotion, layers in push.items():
        assert list(layers) == band
        for layer, vector in layers.items():
            want = directions(states, plan, layer)[0][EMOTIONS.index(emotion)]
            assert np.abs(vector - want).max() < 1e-3
    assert norms == pytest.approx(mean_norm(tiny_llama, plan.stories.texts), rel=1e-6)


def test_what_was_planted_is_compared_where_it_is_known(tiny_llama, plan, states, pushed):
    unknown = emergence.measure(tiny_llama, plan)
    assert np.isnan(unknown[emergence.LENS])  # this tokenizer has none of the words as a token
    assert np.isnan(unknown[emergence.GEOMETRY]) and "valence on PC1 or PC2 (|r|)" in unknown
    v, _ = directions(states, plan, LAYER)
    mixed = np.random.default_rng(0).permutation(5)
    truth = (v @ v.T)[np.ix_(mixed, mixed)]
    known = emergence.measure(tiny_llama, replace(plan, truth=truth))
    assert known[emergence.GEOMETRY] == pytest.approx(rsa(v @ v.T, truth), abs=1e-3)
    assert abs(rsa(v @ v.T, truth)) < 0.9  # by no means all agreement
    table = geometry.norm_correlations(geometry.components(v, EMOTIONS))
    assert known["valence on PC1 (|r|)"] == pytest.approx(abs(table.pleasure.iloc[0]), abs=1e-3)
    assert known["arousal on PC2 or PC3 (|r|)"] == pytest.approx(table.arousal.iloc[1:3].abs().max(), abs=1e-3)
    assert known.keys() - unknown.keys() == {"valence on PC1 (|r|)", "arousal on PC2 or PC3 (|r|)"}


def test_an_untrained_partner_has_the_shape_and_other_weights(tiny_llama):
    fresh, again, other = (emergence.untrained(tiny_llama, s) for s in (0, 0, 1))
    assert fresh.n_layers == tiny_llama.n_layers and fresh.tokenizer is tiny_llama.tokenizer
    first = [s.model.model.layers[0].mlp.up_proj.weight for s in (fresh, again, other, tiny_llama)]
    assert (first[0] == first[1]).all() and not (first[0] == first[2]).any() and first[0].shape == first[3].shape
    assert not (first[0] == first[3]).any()
