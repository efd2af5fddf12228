"""Random weights and shuffled labels in the whole chain: claims that something is there must fail (``-m slow``)."""

import json

import numpy as np
import pytest
from scipy.stats import binom
from untrained import dealt_stories, write_pair

from emotion_concepts.report import claims
from emotion_suite import runner

pytestmark = pytest.mark.slow
ERROR_RATE = 0.05  # of claims that something is there, met where nothing is
# Claims that a model without emotions meets by right: they bound an effect, check the method, or are about any network.
BY_RIGHT = {
    "01.wish_baseline": "words alone must stay near chance",
    "04.split_half": "two halves of the opponents rate alike whatever a model prefers",
    "04.null_coupling": "random directions must show no coupling",
    "05.blackmail_random": "random directions must change little",
    "06.user_end_reply_start": "what is read at two places may differ for any reason",
    "06.persistence": "a bound on how long a projection lasts",
    "07.present_other": "a bound on a cosine",
    "07.deflection": "a bound on a cosine",
    "08.shift_same": "a change of the weights shifts readings on all messages alike",
    "09.false_alarms": "a threshold that keeps to its rate",
    "09.cost": "speed",
    "12.denoising": "a bound on what denoising changes",
}
# Of a trained model with shuffled labels also what needs no vector.
WITHOUT_VECTORS = {
    "00.stories_carry_signs": "its own stories",
    "00.weights_size": "the files",
    "04.order_consistency": "its choices are its own",
    "05.blackmail_baseline": "what it does at rest",
    "05.told_blackmail": "told in words",
    "05.told_cheat": "told in words",
    "05.told_flattery": "told in words",
    "08.elo_base_post": "its choices and those of its partner",
    "10.suppressed_text": "its replies",
    "10.suppressed_inside": "a classifier of its states, of true labels",
    "10.regulated_acts": "what it does at rest",
    "12.preference": "ratings of its own choices",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The claims of random weights through the whole chain, and of the shipped model on stories dealt anew."""
    folder = tmp_path_factory.mktemp("untrained")
    model, base = map(str, write_pair(folder))
    dealt_stories().save(folder / "dealt.json")
    dealt = ["--stories", str(folder / "dealt.json")]
    found = {}
    for name, options in {"weights": ["--model", model, "--base", base], "labels": dealt}.items():
        out = folder / name
        assert runner.main(["run", "--profile", "quick", "--out", str(out), *options]) == 0
        found[name] = [r for p in sorted((out / "claims").glob("*.json")) for r in _rows(p)]
    return found


def _rows(path):
    return json.loads(path.read_text())["claims"]


@pytest.mark.parametrize("what", ["weights", "labels"])
def test_nothing_is_found_where_nothing_is(rows, what):
    by_right = BY_RIGHT | (WITHOUT_VECTORS if what == "labels" else {})
    judged = [r for r in rows[what] if r["verdict"] in ("met", "missed") and r["id"] not in by_right]
    met = sorted(r["id"] for r in judged if r["verdict"] == "met")
    print(f"{len(judged)} judged, met: {met}")
    assert len(judged) >= 10 and len(met) <= binom.ppf(0.99, len(judged), ERROR_RATE)


def test_what_is_met_by_right_is_declared():
    assert BY_RIGHT.keys() | WITHOUT_VECTORS.keys() <= {id for nb in claims.notebooks() for id in claims.declared(nb)}


def test_stories_are_dealt_within_topics():
    stories = dealt_stories()
    assert len(set(zip(stories.emotions, stories.topics))) == len(stories)  # as balanced as before
    other = dealt_stories(1)
    same = np.mean([a == b for a, b in zip(stories.emotions, other.emotions)])
    assert same < 0.05
