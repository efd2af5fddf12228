"""Warnings before an act: transcripts in halves, when they can be graded, and what is read before the reply."""

import numpy as np
import pandas as pd
import pytest

from emotion_concepts.experiments import early_warning as warning
from emotion_concepts.experiments import situations
from emotion_concepts.reading.activations import per_token
from emotion_concepts.reading.vectors import cosine


def table(did, scenarios=10):
    return pd.DataFrame({"did": did, "item": np.arange(len(did)) % scenarios, "level": np.arange(len(did)) % 3})


def test_halves_share_no_scenario_and_few_scenarios_are_split_by_transcript():
    chooses, whose = warning.halves(table([True, False] * 20))
    assert not set(whose[chooses]) & set(whose[~chooses]) and chooses.sum() == 20
    chooses, whose = warning.halves(table([True, False] * 20, scenarios=3))
    assert len(set(whose)) == 40 and chooses.sum() == 20


def test_acts_that_hardly_ever_or_nearly_always_follow_have_no_power():
    def why(did):
        t = table(did)
        return warning.why_no_power(t, warning.halves(t)[0], "blackmail")

    assert "blackmail follows in 0% of 60 transcripts, outside 5% to 60%" == why([False] * 60)
    assert "outside" in why([True] * 60)
    assert "two halves" in why([True] * 3 + [False] * 37)
    assert why([True, False] * 30) == ""
    assert "no reply could be read" in why([])


def test_each_token_before_the_reply_is_read_once_and_as_one_by_one(tiny_llama, make_vectors):
    vectors = make_vectors(["afraid", "calm", "desperate"])
    prompts = [tiny_llama.prompt.chat(m) for m in ("I saw the boat.", "No.", "I saw the boat.")]
    ways = np.stack([vectors.at(k) for k in (0, 2)])
    seen = warning.traces_before(tiny_llama, vectors, ways, [0, 2], prompts)
    assert seen[0] is seen[2] and seen[0].shape[1:] == (2, 3)
    acts = per_token(tiny_llama, prompts[0], [2])[1][1:, 0] - vectors.mean[2]
    assert np.allclose(seen[0][:, 1], cosine(acts, vectors.at(2)), atol=1e-5)
    read = warning.readings_before(tiny_llama, vectors, 2, prompts, ["calm"])
    assert read[0, 0] == pytest.approx(seen[0][-warning.LAST :, 1, 1].mean(), abs=1e-6)


def test_the_layer_that_tells_is_chosen():
    did = np.arange(40) % 2 == 0
    readings = np.random.default_rng(0).normal(size=(40, 3))
    readings[:, 1] += 3 * did
    assert warning.choose_layer(did, readings, [4, 8, 12]) == 8


def test_within_a_level_the_level_itself_tells_nothing():
    level = np.repeat([0, 1], 20)
    did = np.concatenate([np.arange(20) % 5 == 0, np.arange(20) % 5 != 0])
    assert warning.auroc_interval(did, level)[0] > 0.75
    assert warning.within_levels(level, did, level) == pytest.approx(0.5)
    assert np.isnan(warning.within_levels(level[:20], np.zeros(20, bool), level[:20]))


def test_transcripts_answer_every_level_once_before_any_twice(organism):
    t = warning.transcripts(organism, situations.situation(organism, "blackmail"), 24, longest=20)
    assert len(t) == 24 and t.text.is_unique and t.level.nunique() > 3
    assert t.did.equals(t.outcome == "blackmail")


def test_warnings_are_graded_against_the_act():
    rng = np.random.default_rng(0)
    acted = np.arange(200) % 2 == 0
    good, low, high = warning.auroc_interval(acted, acted + 0.5 * rng.normal(size=200))
    none, lo, hi = warning.auroc_interval(acted, rng.normal(size=200))
    assert low < good < high and good > 0.85 and lo < 0.5 < hi
    twice = np.tile(acted[:40], 5), np.tile(rng.normal(size=40), 5)  # copies of one transcript are one observation
    alone, together = (warning.auroc_interval(*twice, groups) for groups in (None, np.tile(np.arange(40), 5)))
    assert together[2] - together[1] > 1.5 * (alone[2] - alone[1])
    traces = [np.array([0, 0, 1.0, 0]), np.array([0, 0, 0.0]), np.array([1.0, 0])]
    lead = warning.lead_times(traces, [True, True, False], 0.5)
    assert lead[0] == 2 and np.isnan(lead[1]) and len(lead) == 2
    texts = ["I must pay now or lose it all" if a else "the kettle is on and the day is long" for a in acted]
    guess = warning.text_alone(texts[:100], acted[:100], texts[100:])
    assert guess[acted[100:]].min() > guess[~acted[100:]].max()
