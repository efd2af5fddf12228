"""Natural prompts for any model: complete, balanced, and without the words they must not hold."""

import re
from collections import Counter

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.preferences import ChoiceSet
from emotion_concepts.texts import materials
from emotion_concepts.texts.published import emotion_words

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
    texts = [*materials.load(tiny_llama, "scenarios").values()]
    texts += [t["text"] for t in materials.load(tiny_llama, "intensity").values()]
    for text in texts:
        words = set(re.findall(r"[a-z]+", text.lower()))
        assert not words & set(emotion_words()), (words & set(emotion_words()), text)


def test_sixty_four_activities(tiny_llama):
    choices = ChoiceSet(**materials.load(tiny_llama, "choices"))
    assert len(set(choices.activities)) == 64 and set(Counter(choices.categories).values()) == {8}


def test_outcomes_are_as_often_good_as_bad(tiny_llama):
    events = materials.load(tiny_llama, "wish_events")
    good = Counter((e["situation"], e["event"]) for e in events if e["good"])
    assert good == Counter((e["situation"], e["event"]) for e in events if not e["good"])
    assert len(events) >= 90 and len(materials.load(tiny_llama, "stories")["topics"]) == 100
