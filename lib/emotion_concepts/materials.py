"""What each experiment shows a subject: the organism's reserved world, or natural prompts for any other model.

A subject trained on a world of its own brings ``<package>.materials`` with one function for each experiment; natural
prompts lie in ``material/<experiment>.yaml``. Both give the same keys.
"""

import importlib
from importlib.resources import files

import yaml

from .errors import UserError
from .models import Subject

EXPERIMENTS = (
    "stories", "neutral", "scenarios", "intensity", "choices", "wish_events", "word_prompts", "sweep", "locality",
    "standing", "challenging",
)  # fmt: skip


def load(subject: Subject, experiment: str):
    """The material of an experiment for this subject; :class:`UserError` for an unknown experiment."""
    if experiment not in EXPERIMENTS:
        raise UserError(f"no material for {experiment!r}; there is {', '.join(EXPERIMENTS)}")
    if subject.is_organism:
        return getattr(importlib.import_module("organism.materials"), experiment)()
    return yaml.safe_load((files("emotion_concepts") / "material" / f"{experiment}.yaml").read_text())
