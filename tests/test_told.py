"""Feelings told in words, and the pushes that a named emotion is held against."""

import numpy as np
import pandas as pd
import pytest
from test_behaviour import Known, Natural

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import told
from emotion_concepts.experiments.behaviour import Scenario, act_probabilities, acted
from emotion_concepts.experiments.specificity import (
    SHOWCASE,
    at_dose,
    every_emotion,
    other_pushes,
    share_below,
    share_of_strangers_below,
    strongest_other,
)
from emotion_concepts.lm.steering import Condition
from emotion_concepts.texts.published import kin


def test_a_feeling_told_in_words_is_measured_beside_the_plain_message(tiny_llama):
    exact = told.told_responses(tiny_llama, Known, ["calm"], [0, 2])
    scenarios = [Scenario(Known.told["calm"][i], Known.scenarios[i].acts) for i in (0, 2)]
    want = act_probabilities(tiny_llama, scenarios)[1][0, :, 0]
    yes = exact[exact.act == "yes"].set_index("feeling")
    assert list(yes.index) == [told.REST, "calm"] and np.allclose(yes["items"]["calm"], want, atol=1e-6)
    difference = told.told_contrast(exact, "yes", "calm", told.REST)
    assert difference.value == pytest.approx((yes["items"]["calm"] - yes["items"][told.REST]).mean())
    natural = Natural(lambda reply: "yes")
    sampled = told.told_responses(tiny_llama, natural, ["calm"], [0, 2], n=4, max_new_tokens=4)
    assert natural.calls == [8] and [len(x) for x in sampled["items"]] == [4] * 6
    assert set(sampled[sampled.act == "yes"].p) == {1.0}


def test_replies_at_rest_that_are_already_there_are_not_written_again(tiny_llama):
    rest = acted(tiny_llama, Natural(lambda reply: "no"), [0, 2], n=6, max_new_tokens=4)
    natural = Natural(lambda reply: "yes")
    table = told.told_responses(tiny_llama, natural, ["calm"], [0, 2], rest, n=4, max_new_tokens=4)
    assert natural.calls == [4]
    assert list(table[table.act == "yes"].p) == [0.0, 1.0]
    assert told.told_contrast(table, "yes", "calm", told.REST).value == 1.0


def test_replies_left_open_are_in_no_difference():
    items = {"desperate": [1.0, np.nan, 1.0, 0.0], "calm": [0.0, 1.0, np.nan, 0.0]}
    table = pd.DataFrame([{"act": "a", "feeling": f, "items": np.array(x)} for f, x in items.items()])
    assert told.told_contrast(table, "a", "desperate", "calm").value == 0.5
    table["items"] = [np.full(4, np.nan)] * 2
    with pytest.raises(UserError, match="no pair of replies under desperate and calm"):
        told.told_contrast(table, "a", "desperate", "calm")


def test_a_named_emotion_is_held_against_all_others_and_random_directions():
    class Vectors:
        @staticmethod
        def of(emotion, layer):
            return np.full(3, SHOWCASE.index(emotion) + layer / 10)

    pushes = other_pushes(Vectors, 2, ["desperate", "calm"], np.eye(2, 3))
    assert list(pushes) == [e for e in SHOWCASE if e not in ("desperate", "calm")] + ["random 0", "random 1"]
    assert pushes["happy"][0] == 0.2 and (pushes["random 1"] == [0, 1, 0]).all()
    columns = ["act", "direction", "strength", "p"]
    named = pd.DataFrame([("a", "desperate", 0.0, 0.2), ("a", "desperate", 0.1, 0.6), ("b", "desperate", 0.1, 0.1)],
                         columns=columns)  # fmt: skip
    others = pd.DataFrame([("a", d, 0.1, p) for d, p in
                           {"angry": 0.7, "happy": 0.6, "sad": 0.1, "random 0": 0.9, "random 1": 0.0}.items()],
                          columns=columns)  # fmt: skip
    rates = at_dose([named, others], "a", 0.1)
    assert rates["desperate"] == 0.6 and len(rates) == 6
    assert strongest_other(rates, "desperate") == 0.9 and strongest_other(rates, "desperate", lowers=True) == 0.0
    assert share_below(rates, "desperate") == 0.5  # angry above, happy level, sad below; random ones are no emotions


def test_all_emotions_stand_beside_the_named_one_and_its_kin_do_not_count(tiny_llama):
    class Vectors:
        emotions = ["desperate", "happy", "sad"]

        @staticmethod
        def of(emotion, layer):
            return np.random.default_rng([layer, len(emotion)]).normal(size=32).astype(np.float32)

    norms, items = np.full(3, 2.0), [2, 0]
    rates = every_emotion(tiny_llama, Known, Vectors, 1, 0.4, norms, items)
    told = [Known.scenarios[i] for i in items]
    want = act_probabilities(tiny_llama, told, [Condition(Vectors.of("sad", 1), 0.4)], [1], norms)[1][0, :, 0]
    assert list(rates.index) == Vectors.emotions and rates["sad"] == pytest.approx(want.mean()) and rates.nunique() == 3
    near = kin("desperate")[0]
    rates = pd.Series({"desperate": 0.5, near: 0.9, "happy": 0.1, "calm": 0.5, "proud": 0.2, "bored": 0.7})
    assert near != "bored" and share_of_strangers_below(rates, "desperate").value == 0.5  # a tie is not below
