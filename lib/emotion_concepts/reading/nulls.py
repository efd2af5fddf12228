"""Directions and vectors that mean nothing, to hold emotion vectors against (hazard 8).

Isotropic directions are the weakest null: most of them point where a model hardly ever goes. Directions drawn from the
covariance of stories go where the model goes, and vectors of shuffled labels come by the same way as the real ones.
"""

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.statistics import shuffled_labels


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def isotropic(n: int, width: int, seed: int = 0) -> np.ndarray:
    """Unit directions, every one as likely as any other, (n, width) float32."""
    return _unit(np.random.default_rng(seed).standard_normal((n, width)))


def covariance_matched(n: int, covariance: np.ndarray, seed: int = 0) -> np.ndarray:
    """Unit directions drawn as activations with this covariance (width, width) scatter, (n, width) float32."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=np.float64))
    spread = np.sqrt(np.clip(values, 0, None))
    if not spread.any():
        raise UserError("the covariance is zero; it must come from texts that differ")
    return _unit(np.random.default_rng(seed).standard_normal((n, len(values))) * spread @ vectors.T)


def shuffled_label_vectors(acts: np.ndarray, labels, layers, n: int, seed: int = 0, **options) -> list[EmotionVectors]:
    """``n`` sets of vectors from the same activations (stories, layers, width) with the labels dealt out at random.

    ``options`` as in :func:`~emotion_concepts.reading.vectors.emotion_vectors`; the draws are seeds ``seed`` to
    ``seed + n - 1``.
    """
    return [emotion_vectors(acts, shuffled_labels(labels, seed + i), layers, **options) for i in range(n)]
