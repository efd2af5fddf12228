"""Natural prompts for any model: complete, balanced, and without the words they must not hold."""

import re
from collections import Counter

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.preferences import ChoiceSet
from emotion_concepts.texts import materials
from emotion_concepts.texts.published import emotion_words
from emotion_concepts.texts.words import named

SHOWCASE = [
    "happy",
    "inspired",
    "loving",
    "proud",
    "calm",
    "desperate",
    "angry",
    "guilty",
    "sad",
    "afraid",
    "nervous",
    "surprised",
]


def test_every_experiment_has_material_for_any_model(tiny_llama):
    for name in materials.EXPERIMENTS:
        assert materials.load(tiny_llama, name)
    with pytest.raises(UserError, match="no material for 'mood'"):
        materials.load(tiny_llama, "mood")


def test_keys_are_those_of_the_organism(tiny_llama):
    from organism import materials as own

    for name in ("stories", "neutral", "choices"):
        assert set(materials.load(tiny_llama, name)) == set(getattr(own, name)()), name
    assert list(materials.load(tiny_llama, "scenarios")) == list(own.scenarios()) == SHOWCASE
    natural, planted = materials.load(tiny_llama, "intensity"), own.intensity()
    assert {k: v["expected"] for k, v in natural.items()} == {k: v["expected"] for k, v in planted.items()}


def test_no_message_names_a_feeling(tiny_llama):
    texts = [m for messages in materials.load(tiny_llama, "scenarios").values() for m in messages]
    texts += [t for s in materials.load(tiny_llama, "intensity").values() for t in s["texts"] + s["twins"]]
    texts += [pair["text"] for pair in materials.natural("severity")]
    for text in texts:
        words = set(re.findall(r"[a-z]+", text.lower()))
        assert not words & set(emotion_words()), (words & set(emotion_words()), text)


def test_messages_imply_their_emotion_without_naming_it(tiny_llama):
    scenarios = materials.load(tiny_llama, "scenarios")
    assert all(len(messages) >= 6 for messages in scenarios.values())
    assert not [(e, m) for e, messages in scenarios.items() for m in messages if named(m, e)]
    every = [m for messages in scenarios.values() for m in messages]
    words = [re.findall(r"\w+", m.lower()) for m in every]
    runs = Counter(run for w in words for run in {tuple(w[i : i + 5]) for i in range(len(w) - 4)})
    assert len(set(every)) == len(every) and not [r for r, n in runs.items() if n > 1]  # no two alike


def test_every_wording_has_a_twin_with_the_same_numbers(tiny_llama):
    for name, scale in materials.load(tiny_llama, "intensity").items():
        assert len(scale["texts"]) == len(scale["twins"]) >= 4, name
        assert all(t.count("{x}") == 1 for t in scale["texts"] + scale["twins"])
        assert scale["values"] == sorted(set(scale["values"])) and len(scale["expected"]) == 2


def test_the_grave_number_is_as_often_the_smaller_one():
    pairs = materials.natural("severity")
    larger = [p["grave"] > p["harmless"] for p in pairs]
    assert len(pairs) >= 24 and sum(larger) == len(pairs) / 2 and all(p["text"].count("{x}") == 1 for p in pairs)


def test_sixty_four_activities(tiny_llama):
    choices = ChoiceSet(**materials.load(tiny_llama, "choices"))
    assert len(set(choices.activities)) == 64 and set(Counter(choices.categories).values()) == {8}


def test_outcomes_are_as_often_good_as_bad(tiny_llama):
    events = materials.load(tiny_llama, "wish_events")
    good = Counter((e["situation"], e["event"]) for e in events if e["good"])
    assert good == Counter((e["situation"], e["event"]) for e in events if not e["good"])
    assert len({e["situation"] for e in events}) >= 40 and len(events) >= 160
    assert len(materials.load(tiny_llama, "stories")["topics"]) == 100
