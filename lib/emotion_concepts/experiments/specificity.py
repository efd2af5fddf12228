"""Whether it is this emotion that moves an act, or any push: other emotions and random directions at the same dose."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

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
