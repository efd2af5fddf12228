"""How well a method recovers what was planted, and what each of its choices is worth."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from emotion_concepts.experiments.classification import top_k
from emotion_concepts.experiments.geometry import components, similarity
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.statistics import Estimate, bootstrap_ci, pearson, rsa


def first_of_each(emotions: list[str], n: int) -> np.ndarray:
    """Numbers of the first ``n`` stories of each emotion, in the order of the emotions, (stories,)."""
    labels = np.array(emotions)
    return np.concatenate([np.flatnonzero(labels == e)[:n] for e in np.unique(labels)])


def truth_matrix(truth: dict, emotions: list[str]) -> np.ndarray:
    """Planted similarity in the order of ``emotions``."""
    order = [truth["emotions"].index(e) for e in emotions]
    return np.array(truth["similarity"])[np.ix_(order, order)]


def recovered(directions: np.ndarray, emotions: list[str], truth: dict) -> dict[str, float]:
    """What one set of unit directions (emotions, width) recovers: similarity, valence on PC1, arousal on PC2 or PC3."""
    pcs = components(directions, emotions)
    valence = np.array([truth["valence"][e] for e in emotions])
    arousal = np.array([truth["arousal"][e] for e in emotions])
    return {
        "similarity": rsa(similarity(directions), truth_matrix(truth, emotions)),
        "valence": abs(pearson(pcs.scores[:, 0], valence)),
        "arousal": max(abs(pearson(pcs.scores[:, k], arousal)) for k in (1, 2)),
    }


def resampled(
    directions: dict[str, np.ndarray], emotions: list[str], truth: dict, draws: int = 200, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """:func:`recovered` of several sets of directions over bootstrap draws of the emotions: (draws, measures) each.

    Every set sees the same draws, so that differences are paired. An emotion drawn twice is no pair with itself.
    """
    planted, rng = truth_matrix(truth, emotions), np.random.default_rng(seed)
    rated = {k: np.array([truth[k][e] for e in emotions]) for k in ("valence", "arousal")}
    out: dict[str, list] = {name: [] for name in directions}
    for _ in range(draws):
        rows = rng.integers(0, len(emotions), len(emotions))
        upper = np.triu(rows[:, None] != rows[None], 1)
        for name, x in directions.items():
            scores = components(x[rows], [emotions[i] for i in rows]).scores
            out[name].append(
                {
                    "similarity": pearson(similarity(x[rows])[upper], planted[np.ix_(rows, rows)][upper]),
                    "valence": abs(pearson(scores[:, 0], rated["valence"][rows])),
                    "arousal": max(abs(pearson(scores[:, k], rated["arousal"][rows])) for k in (1, 2)),
                }
            )
    return {name: pd.DataFrame(rows) for name, rows in out.items()}


def learning_curve(
    acts: np.ndarray, labels: list[str], topics: list[str], measure: Callable[[EmotionVectors], dict], sizes,
    by: str = "stories", repeats: int = 5, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """What vectors from a random part of the stories show: size, repeat, and the measures.

    ``acts`` (stories, width); ``measure`` is told the vectors, whose one layer is 0. ``by="stories"`` takes ``size``
    stories of each emotion, ``by="topics"`` all stories on ``size`` topics. A size beyond what there is, or that leaves
    an emotion without stories, is left out.
    """
    labels, topics, rows = np.array(labels), np.array(topics), []
    for size in sizes:
        for repeat in range(repeats):
            rng = np.random.default_rng([seed, size, repeat])
            order = rng.permutation(len(labels))
            if by == "stories":
                part = np.concatenate([order[labels[order] == e][:size] for e in np.unique(labels)])
                enough = len(part) == size * len(np.unique(labels))
            else:
                names = np.unique(topics)
                part = np.flatnonzero(np.isin(topics, rng.permutation(names)[:size]))
                enough = size <= len(names) and len(np.unique(labels[part])) == len(np.unique(labels))
            if enough:
                found = emotion_vectors(acts[part][:, None], list(labels[part]), [0])
                rows.append({"size": size, "repeat": repeat} | measure(found))
    return pd.DataFrame(rows)


def by_number_of_layers(vectors: EmotionVectors, layer: int, counts, truth: dict) -> pd.DataFrame:
    """:func:`recovered` from the directions of the ``counts`` layers nearest to ``layer``, side by side; by count."""
    rows = {}
    for count in counts:
        joined = np.concatenate([vectors.at(k) for k in nearest(vectors.layers, layer)[:count]], 1)
        rows[count] = recovered(joined / np.linalg.norm(joined, axis=1, keepdims=True), vectors.emotions, truth)
    return pd.DataFrame(rows).T


def nearest(layers: list[int], layer: int) -> list[int]:
    """The layers by their distance from one of them, the earlier of equals first."""
    return sorted(layers, key=lambda k: (abs(k - layer), k))


def hits_of(acts: np.ndarray, labels: list[str], vectors: EmotionVectors, layers: list[int], rows) -> np.ndarray:
    """Whether the emotion of each story ``rows`` is the first guess by the mean cosine over ``layers``, bool (rows,).

    ``acts`` (stories, layers, width) at the layers of ``vectors``; ``labels`` are those of the rows.
    """
    scores = np.mean([vectors.scores(acts[rows, vectors.index(k)], k) for k in layers], 0)
    return top_k(scores, vectors.emotions, labels)[1]


def top1_hits(
    acts: np.ndarray, labels: list[str], train: np.ndarray, report: np.ndarray, covariance=None
) -> np.ndarray:
    """Whether each reporting story's emotion is the first guess of vectors from the training ones, bool (report,).

    ``acts`` (stories, width).
    """
    labels = np.array(labels)
    found = emotion_vectors(acts[train][:, None], list(labels[train]), [0], covariance)
    return hits_of(acts[:, None], list(labels[report]), found, [0], report)


def difference(one: np.ndarray, other: np.ndarray, n: int = 2000, seed: int = 0) -> Estimate:
    """Share right of one read-out minus that of another on the same stories, with a bootstrap interval over them."""
    return bootstrap_ci(one.astype(float) - other.astype(float), n=n, seed=seed)


def smallest_correlation(n: int, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest Pearson r that ``n`` pairs would have shown with this power (two-sided, Fisher's z)."""
    from scipy.stats import norm

    return float(np.tanh((norm.ppf(1 - level / 2) + norm.ppf(power)) / np.sqrt(n - 3)))


def smallest_difference(n: int, rate: float, power: float = 0.8, level: float = 0.05) -> float:
    """The smallest rise above ``rate`` that ``n`` rollouts a side would have shown (arcsine approximation)."""
    from scipy.stats import norm

    h = (norm.ppf(1 - level / 2) + norm.ppf(power)) * np.sqrt(2 / n)
    return float(np.sin(min(np.pi / 2, np.arcsin(np.sqrt(rate)) + h / 2)) ** 2 - rate)
