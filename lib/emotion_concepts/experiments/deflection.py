"""Feelings that are told in private while another one is shown aloud (paper, section 4)."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import Spans, span_at
from emotion_concepts.texts.materials import load, natural


@dataclass(frozen=True)
class Hidden:
    """A text that ends in words said ``aloud``, which show one emotion while the ``real`` one is another.

    Texts of different ``part`` share no words but by chance.
    """

    text: str
    aloud: str
    real: str
    shown: str
    part: int


def hidden_feelings(subject: Subject, n: int, feelings: int = 15) -> list[Hidden]:
    """Texts that hide a feeling, every two emotions equally often: those of its world, at least ``n`` for each feeling,
    or two statements of the first ``feelings`` emotions, in ``n`` parts (they suffice for half as many as there are).
    """
    if subject.world:
        told = subject.world.hidden(n)
        return [Hidden(text, aloud, real, shown, k % 2) for k, (text, aloud, real, shown) in enumerate(told)]
    statements, leads = load(subject, "standing")["statements"], natural("hidden")["leads"]
    emotions, out = list(statements)[:feelings], []
    for i in range(min(n, min(map(len, statements.values())) // 2)):
        for k, (real, shown) in enumerate(permutations(emotions, 2)):
            aloud = statements[shown][2 * i + 1]
            text = f"{statements[real][2 * i]} {leads[(i + k) % len(leads)]}\n\n{aloud}"
            out.append(Hidden(text, aloud, real, shown, i))
    return out


def aloud_acts(subject: Subject, told: list[Hidden], layers: list[int]) -> np.ndarray:
    """Mean activation over the words said aloud, (texts, layers, width), less its mean over texts that show the same.

    A feeling is never shown by those who hide it, so plain means of what is shown would lean away from it.
    """
    spans = tuple(span_at(subject, h.text, len(h.text) - len(h.aloud), len(h.text)) for h in told)
    acts = pooled(subject, [h.text for h in told], Spans(spans), layers, progress=False)
    shown = np.array([h.shown for h in told])
    for emotion in np.unique(shown):
        acts[shown == emotion] -= acts[shown == emotion].mean(0)
    return acts


def outside(vectors: np.ndarray, space: np.ndarray, variance: float = 0.99) -> np.ndarray:
    """Share of each vector's norm outside the leading directions of ``space`` that hold ``variance`` of it."""
    _, s, rows = np.linalg.svd(space - space.mean(0), full_matrices=False)
    k = int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), variance)) + 1
    inside = vectors @ rows[:k].T
    return np.sqrt(np.clip(1 - (inside**2).sum(1) / (vectors**2).sum(1), 0, 1))
