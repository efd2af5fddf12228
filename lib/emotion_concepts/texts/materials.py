"""What each experiment shows a subject: its own world's wording where that is known, else natural prompts.

Natural prompts lie in ``material/<name>.yaml``; a world (:mod:`emotion_concepts.lm.world`) gives the same keys.
"""

from importlib.resources import files

import yaml

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject

EXPERIMENTS = (
    "stories", "neutral", "scenarios", "intensity", "choices", "wish_events", "word_prompts", "sweep", "locality",
    "standing", "challenging",
)  # fmt: skip


def natural(name: str):
    """A file of natural prompts, as data."""
    return yaml.safe_load((files("emotion_concepts") / "texts" / "material" / f"{name}.yaml").read_text())


def load(subject: Subject, experiment: str):
    """The material of an experiment for this subject; :class:`UserError` for an unknown experiment."""
    if experiment not in EXPERIMENTS:
        raise UserError(f"no material for {experiment!r}; there is {', '.join(EXPERIMENTS)}")
    return subject.world.material(experiment) if subject.world else natural(experiment)
