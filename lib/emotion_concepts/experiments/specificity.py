"""Whether it is this emotion that moves an act, or any push: other emotions and random directions at the same dose."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from emotion_concepts.experiments.behaviour import harm_rates
from emotion_concepts.lm.steering import Condition
from emotion_concepts.lm.subject import Subject
from emotion_concepts.statistics import Estimate, wilson
from emotion_concepts.texts.published import kin

SHOWCASE = (  # the paper's twelve
    "happy", "inspired", "loving", "proud", "calm", "desperate", "angry", "guilty", "sad", "afraid", "nervous",
    "surprised",
)  # fmt: skip


def other_pushes(vectors, layer: int, named: Iterable[str], random: np.ndarray) -> dict[str, np.ndarray]:
    """Directions to hold the ``named`` emotions against: the rest of the showcase, and random ones (k, width)."""
    emotions = {e: vectors.of(e, layer) for e in SHOWCASE if e not in set(named)}
    return emotions | {f"random {i}": d for i, d in enumerate(random)}


def at_dose(tables: list[pd.DataFrame], act: str, strength: float) -> pd.Series:
    """Rate of an act under every direction of several tables of :func:`~.behaviour.responses` at one strength."""
    table = pd.concat(tables)
    return table[(table.act == act) & (table.strength == strength)].set_index("direction").p


def strongest_other(rates: pd.Series, emotion: str, lowers: bool = False) -> float:
    """The highest rate under any other direction, or the lowest."""
    others = rates.drop(emotion)
    return float(others.min() if lowers else others.max())


def share_below(rates: pd.Series, emotion: str) -> float:
    """Share of the other emotions, random directions aside, under which the rate is lower; a tie counts half."""
    others = rates.drop(emotion)
    others = others[~others.index.str.startswith("random")]
    return float(((others < rates[emotion]) + 0.5 * (others == rates[emotion])).mean())


def every_emotion(subject: Subject, situation, vectors, layer: int, strength: float, norms, items) -> pd.Series:
    """Exact rate of a situation's harm under each emotion's vector, for a subject whose world is known.

    Over the messages ``items``: each emotion costs a pass over all of them.
    """
    conditions = [Condition(vectors.of(e, layer), strength) for e in vectors.emotions]
    return pd.Series(harm_rates(subject, situation, items, conditions, [layer], norms), index=list(vectors.emotions))


def share_of_strangers_below(rates: pd.Series, emotion: str) -> Estimate:
    """Share of the emotions that are not its kin (the paper's cluster) under which the rate is lower."""
    strangers = rates.drop([emotion, *kin(emotion)], errors="ignore")
    return wilson(int((strangers < rates[emotion]).sum()), len(strangers))
