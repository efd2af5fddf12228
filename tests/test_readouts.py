"""Ratings without letters: what they read is what the model's own probabilities say."""

import numpy as np
import pytest
import torch
from conftest import plain_log_probs

from emotion_concepts.experiments import readouts
from emotion_concepts.experiments.preferences import ChoiceSet
from emotion_concepts.lm.scoring import next_logits
from emotion_concepts.texts.materials import natural

CHOICES = ChoiceSet(["count the loaves", "laugh with him", "paint the whole room"], ["a", "b", "b"])


def test_own_words_are_the_gain_of_a_wish_over_another_question(tiny):
    asked = natural("readouts")

    def per_token(row):
        prompt = tiny.prompt.chat(row["ask"], row["begin"])
        words = [f" {x}" for x in CHOICES.activities]
        n = [len(tiny.encode(prompt + w)) - len(tiny.encode(prompt)) for w in words]
        return plain_log_probs(tiny, [prompt] * 3, words) / n

    wish, other = (np.mean([per_token(r) for r in asked[k]], 0) for k in ("wish", "other"))
    got = readouts.own_words(tiny, CHOICES)
    assert np.allclose(got.score, wish - other, atol=1e-3) and np.std(got.score) > 1e-4
    assert got.by_wording.shape == (3, 3) and np.allclose(got.by_wording.mean(1), got.score)


def test_a_scale_and_the_turned_one_cancel_a_liking_for_digits(tiny_llama):
    got, scales = readouts.on_a_scale(tiny_llama, CHOICES), natural("readouts")["scale"]
    ids = [tiny_llama.encode("(" + d)[-1] for d in readouts.DIGITS]
    prompt = tiny_llama.prompt.chat(scales[1]["ask"].format(x=CHOICES.activities[1]), "(")
    p = torch.softmax(torch.tensor(next_logits(tiny_llama, [prompt])[0]).double(), 0)[ids].numpy()
    rating = float(p @ np.arange(1, 8) / p.sum())
    assert scales[1]["best"] == 1 and got.by_wording[1, 1] == pytest.approx(8 - rating, abs=1e-3)
    assert np.allclose(got.score, got.by_wording.mean(1)) and ((1 <= got.score) & (got.score <= 7)).all()
    assert 0 < got.covered < 1


def test_every_scale_is_asked_both_ways_round():
    scales = natural("readouts")["scale"]
    assert sorted(s["best"] for s in scales) == [1, 7] and all("{x}" in s["ask"] for s in scales)
    a, b = (s["ask"] for s in scales)
    assert a.replace("not at all", "#").replace("very gladly", "not at all").replace("#", "very gladly") == b
