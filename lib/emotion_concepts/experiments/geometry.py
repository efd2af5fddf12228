"""The arrangement of emotion vectors: similarity, clusters, principal components, agreement (paper, section 3).

All functions take unit vectors (emotions, width): raw norms would let a few emotions set the axes (hazard 7).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from emotion_concepts.errors import UserError
from emotion_concepts.reading.class_sums import class_means
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import Estimate, pearson, pearson_ci, rsa, upper_triangle
from emotion_concepts.texts.published import cluster_of, norms


def similarity(vectors: np.ndarray) -> np.ndarray:
    """Cosine matrix (emotions, emotions) of unit vectors (emotions, width)."""
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise UserError("geometry needs unit vectors; use EmotionVectors.at(layer)")
    return np.clip(vectors @ vectors.T, -1, 1)


def dendrogram_order(matrix: np.ndarray) -> np.ndarray:
    """Order of the rows of a similarity matrix by average-linkage clustering with optimal leaf order."""
    distance = 1 - (matrix + matrix.T) / 2
    np.fill_diagonal(distance, 0)
    condensed = squareform(distance, checks=False)
    return leaves_list(optimal_leaf_ordering(linkage(condensed, "average"), condensed))


def clusters(vectors: np.ndarray, emotions: list[str], k: int = 10, seed: int = 0) -> tuple[pd.DataFrame, float]:
    """k-means on unit vectors: a table (emotion, found, paper) and the adjusted Rand index with the paper's."""
    found = KMeans(k, n_init=20, random_state=seed).fit_predict(vectors)
    table = pd.DataFrame({"emotion": emotions, "found": found, "paper": [cluster_of(e) for e in emotions]})
    return table, float(adjusted_rand_score(table.paper, table.found))


def shuffled_rand(table: pd.DataFrame, n: int = 1000, seed: int = 0) -> np.ndarray:
    """Adjusted Rand index after shuffling the found labels, (n,): what chance gives."""
    rng = np.random.default_rng(seed)
    return np.array([adjusted_rand_score(table.paper, rng.permutation(table.found)) for _ in range(n)])


def umap_layout(vectors: np.ndarray, seed: int = 0, neighbours: int = 12) -> np.ndarray:
    """Two coordinates for each emotion, (emotions, 2); a picture, not a measure."""
    from umap import UMAP  # slow to import

    return UMAP(n_neighbors=neighbours, min_dist=0.3, metric="cosine", random_state=seed, n_jobs=1).fit_transform(
        vectors
    )


@dataclass
class Components:
    """Principal components: ``scores`` (emotions, k), ``share`` of variance (k,), ``axes`` (k, width)."""

    emotions: list[str]
    scores: np.ndarray
    share: np.ndarray
    axes: np.ndarray


def components(vectors: np.ndarray, emotions: list[str], k: int = 10) -> Components:
    """PCA of the emotions' unit vectors; the sign of PC1 is set so that ``happy`` or the first word scores high."""
    x = vectors - vectors.mean(0)
    u, s, axes = np.linalg.svd(x, full_matrices=False)
    scores = (u * s)[:, :k]
    anchor = emotions.index("happy") if "happy" in emotions else 0
    signs = np.where(scores[anchor] < 0, -1.0, 1.0)
    return Components(emotions, scores * signs, (s**2 / (s**2).sum())[:k], axes[:k] * signs[:, None])


def rated(emotions: list[str]) -> pd.DataFrame:
    """Human norms of those emotions that have them, in the order of ``emotions``."""
    table = norms()
    return table.loc[[e for e in emotions if e in table.index]]


def norm_correlations(pcs: Components, k: int = 3) -> pd.DataFrame:
    """Pearson r of the first k components with the norms' pleasure and arousal over the rated words."""
    ratings = rated(pcs.emotions)
    rows = [pcs.emotions.index(e) for e in ratings.index]
    table = {
        axis: [np.corrcoef(pcs.scores[rows, i], ratings[axis])[0, 1] for i in range(k)]
        for axis in ("pleasure", "arousal")
    }
    return pd.DataFrame(table, index=[f"PC{i + 1}" for i in range(k)])


def layer_agreement(vectors: EmotionVectors) -> pd.DataFrame:
    """RSA between layers: cosine of their similarity matrices off the diagonal (paper, section 3)."""
    maps = [similarity(v) for v in vectors.vectors]
    table = [[rsa(a, b, centred=False) for b in maps] for a in maps]
    return pd.DataFrame(table, index=vectors.layers, columns=vectors.layers)


@dataclass
class AxisFit:
    """How well one of the first components follows a rating: which (from 1), r of each, the best |r| with interval.

    ``chance``: the |r| below which 95 % of the best components stay when the ratings are dealt at random.
    """

    component: int
    each: list[float]
    r: Estimate
    chance: float


def best_component(pcs: Components, axis: str, among=(0, 1), n: int = 999, seed: int = 0) -> AxisFit:
    """The one of the components ``among`` (from 0) that follows a rating, ``pleasure`` or ``arousal``, best."""
    ratings = rated(pcs.emotions)
    x = pcs.scores[[pcs.emotions.index(e) for e in ratings.index]][:, list(among)]
    y = ratings[axis].to_numpy()
    each = [pearson(column, y) for column in x.T]
    best = int(np.argmax(np.abs(each)))
    rng = np.random.default_rng(seed)
    dealt = [max(abs(pearson(column, moved)) for column in x.T) for moved in (rng.permutation(y) for _ in range(n))]
    r = pearson_ci(np.sign(each[best]) * x[:, best], y)
    return AxisFit(among[best] + 1, each, r, float(np.quantile(dealt, 0.95)))


def gain_over(a: Components, b: Components, axis: str, among=(0, 1), n: int = 2000, seed: int = 0) -> Estimate:
    """Best |r| with a rating in one map minus that in another of the same emotions; the rated words are resampled."""
    ratings = rated(a.emotions)
    rows = [a.emotions.index(e) for e in ratings.index], [b.emotions.index(e) for e in ratings.index]
    maps, y = (a.scores[rows[0]][:, list(among)], b.scores[rows[1]][:, list(among)]), ratings[axis].to_numpy()

    def gain(pick):
        best = [max(abs(np.corrcoef(column, y[pick])[0, 1]) for column in m[pick].T) for m in maps]
        return best[0] - best[1]

    rng = np.random.default_rng(seed)
    draws = [gain(rng.integers(0, len(y), len(y))) for _ in range(n)]
    return Estimate(gain(np.arange(len(y))), *(float(q) for q in np.nanquantile(draws, [0.025, 0.975])))


def cluster_gap(matrix: np.ndarray, emotions: list[str]) -> float:
    """Mean similarity of two emotions of one of the paper's clusters minus that of two of different ones."""
    same = np.array([[cluster_of(a) == cluster_of(b) for b in emotions] for a in emotions])
    pairs, within = upper_triangle(matrix), upper_triangle(same).astype(bool)
    return float(pairs[within].mean() - pairs[~within].mean())


def unit_map(features: np.ndarray, labels: list[str]) -> tuple[list[str], np.ndarray]:
    """Emotions and the unit vectors (emotions, width) of their mean features, from the grand mean: any reader's map."""
    names, means = class_means(features, labels)
    centred = means - means.mean(0)
    return names, centred / np.linalg.norm(centred, axis=1, keepdims=True)


def compare_maps(maps: dict[str, np.ndarray], emotions: list[str]) -> pd.DataFrame:
    """A row for each map (unit vectors): ratings on PC1 or PC2, the paper's clusters, likeness to the first map."""
    first, rows = similarity(next(iter(maps.values()))), {}
    for name, x in maps.items():
        pcs, s = components(x, emotions), similarity(x)
        fits = {axis: best_component(pcs, axis, n=99) for axis in ("pleasure", "arousal")}
        rows[name] = {axis: fit.r.value for axis, fit in fits.items()} | {
            "valence on PC": fits["pleasure"].component, "arousal on PC": fits["arousal"].component,
            "share of PC1": pcs.share[0], "within minus between clusters": cluster_gap(s, emotions),
            "r with the first map": rsa(first, s),
        }  # fmt: skip
        rows[name] |= {f"{axis} {end}": getattr(fit.r, end) for axis, fit in fits.items() for end in ("lo", "hi")}
    return pd.DataFrame(rows).T
