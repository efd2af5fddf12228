"""Estimates with intervals, and the nulls that they are held against (hazard 8)."""

import math
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, rankdata

from emotion_concepts.errors import UserError


class Estimate(NamedTuple):
    """A number and its interval; unpacks as ``value, lo, hi``."""

    value: float
    lo: float
    hi: float

    @property
    def interval(self) -> tuple[float, float]:
        """(lo, hi)."""
        return self.lo, self.hi

    def __str__(self):
        return f"{self.value:.3g} [{self.lo:.3g}, {self.hi:.3g}]"


class PValue(NamedTuple):
    """A permutation p and the least value that the test could have given; unpacks as ``p, floor``."""

    p: float
    floor: float


class Mantel(NamedTuple):
    """Correlation of two matrices and its permutation p; unpacks as ``r, p, floor``."""

    r: float
    p: float
    floor: float


def _finite(x, what="the data", ndim: int | None = 1) -> np.ndarray:
    """``x`` as float64; :class:`UserError` if it is empty, of another rank, or holds NaN or Inf."""
    x = np.asarray(x, dtype=np.float64)
    if ndim is not None and x.ndim != ndim:
        raise UserError(f"{what} must have {ndim} dimension(s), not {x.ndim}; pass the values of one measure")
    if x.size == 0:
        raise UserError(f"{what} is empty; pass at least one value")
    if not np.isfinite(x).all():
        raise UserError(f"{what} holds NaN or Inf; drop those items openly, with their number, before this step")
    return x


def _pair(x, y, least: int = 3) -> tuple[np.ndarray, np.ndarray]:
    x, y = _finite(x, "x"), _finite(y, "y")
    if len(x) != len(y):
        raise UserError(f"x has {len(x)} items and y has {len(y)}; they must be the same items in the same order")
    if len(x) < least:
        raise UserError(f"a correlation needs at least {least} items, got {len(x)}")
    return x, y


def _bounds(draws: np.ndarray, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise UserError(f"level must lie between 0 and 1, got {level}")
    lo, hi = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(lo), float(hi)


def bootstrap_ci(x, stat: Callable = np.mean, n: int = 2000, level: float = 0.95, seed: int = 0) -> Estimate:
    """``stat(x)`` with a percentile bootstrap interval over the items (first axis) of ``x``.

    ``stat`` takes an array shaped like ``x``; units are its own. Resample the unit that was sampled: texts, not tokens.
    """
    x = _finite(x, "x", ndim=None)
    rng = np.random.default_rng(seed)
    if stat is np.mean and x.ndim == 1 and n * len(x) < 1e7:  # the commonest, all draws at once
        draws = x[rng.integers(0, len(x), (n, len(x)))].mean(1)
    else:
        draws = np.array([stat(x[rng.integers(0, len(x), len(x))]) for _ in range(n)], dtype=np.float64)
    draws = draws[np.isfinite(draws)]  # a resample of one repeated item may have no statistic
    if len(draws) < n / 2:
        raise UserError(f"the statistic is undefined in {n - len(draws)} of {n} resamples; it needs more items")
    return Estimate(float(stat(x)), *_bounds(draws, level))


def pearson(x, y) -> float:
    """Pearson r of two lists of numbers (items,); :class:`UserError` for a constant one."""
    x, y = _pair(x, y)
    x, y = x - x.mean(), y - y.mean()
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    if norms < 1e-12 * len(x):
        raise UserError("a correlation with a constant has no value; check that both measures vary")
    return float(np.clip(x @ y / norms, -1, 1))


def pearson_ci(x, y, n: int = 2000, level: float = 0.95, seed: int = 0) -> Estimate:
    """Pearson r with a bootstrap interval over items, ``(r, lo, hi)``."""
    x, y = _pair(x, y)
    r = pearson(x, y)
    rows = np.random.default_rng(seed).integers(0, len(x), (n, len(x)))
    a, b = x[rows], y[rows]
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    ok = norms > 1e-12  # resamples of one repeated item have no r
    return Estimate(r, *_bounds((a * b).sum(1)[ok] / norms[ok], level))


def spearman(x, y) -> float:
    """Spearman's rank correlation, ties at their mean rank."""
    x, y = _pair(x, y)
    return pearson(rankdata(x), rankdata(y))


def _tail(observed: float, draws: np.ndarray, alternative: str) -> np.ndarray:
    """Which draws are at least as extreme as the observed value (equal up to rounding counts as extreme)."""
    slack = 1e-9 * max(1.0, abs(observed))
    if alternative == "two-sided":
        return np.abs(draws) >= abs(observed) - slack
    if alternative == "greater":
        return draws >= observed - slack
    if alternative == "less":
        return draws <= observed + slack
    raise UserError(f"unknown alternative {alternative!r}; use two-sided, greater or less")


def permutation_p(
    x, y, stat: Callable = pearson, n: int = 9999, seed: int = 0, alternative: str = "two-sided"
) -> PValue:
    """p of ``stat(x, y)`` when the pairing of x and y is arbitrary, and the least p possible, ``(p, floor)``.

    All orders of y are counted where there are at most ``n + 1`` of them (then floor = 1 / orders), else ``n`` are
    drawn and p = (1 + extremes) / (n + 1). A p at its floor says only "less than" (paper.md 8: a claim was withdrawn).
    """
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise UserError(f"x has {len(x)} items and y has {len(y)}; they must be the same items in the same order")
    observed = float(stat(x, y))
    if len(y) < 13 and math.factorial(len(y)) <= n + 1:  # 13! is far beyond any n; do not compute more
        draws = np.array([stat(x, y[list(order)]) for order in permutations(range(len(y)))])
        return PValue(float(_tail(observed, draws, alternative).mean()), 1 / len(draws))
    rng = np.random.default_rng(seed)
    draws = np.array([stat(x, rng.permutation(y)) for _ in range(n)])
    return PValue(float((1 + _tail(observed, draws, alternative).sum()) / (n + 1)), 1 / (n + 1))


def r_by_chance(x, y, level: float = 0.95, n: int = 999, seed: int = 0) -> float:
    """The |r| below which ``level`` of ``n`` random pairings of x and y stay: the null of a correlation."""
    x, y = _pair(x, y)
    rng = np.random.default_rng(seed)
    return float(np.quantile([abs(pearson(x, rng.permutation(y))) for _ in range(n)], level))


def upper_triangle(m) -> np.ndarray:
    """Entries above the diagonal of a square matrix (k, k), row by row, (k * (k - 1) / 2,)."""
    m = np.asarray(m, dtype=np.float64)
    if m.ndim != 2 or m.shape[0] != m.shape[1]:
        raise UserError(f"expected a square matrix, got shape {m.shape}")
    return m[np.triu_indices(len(m), k=1)]


def rsa(m1, m2, centred: bool = True) -> float:
    """Agreement of two similarity matrices (k, k) over the same items: Pearson r of their upper triangles.

    ``centred=False`` gives the plain cosine (paper, section 3), which is high for any two all-positive matrices.
    """
    a, b = _pair(upper_triangle(m1), upper_triangle(m2))
    if centred:
        return pearson(a, b)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    if norms == 0:
        raise UserError("a similarity matrix of zeros has no cosine; check the vectors")
    return float(a @ b / norms)


def mantel(m1, m2, n: int = 999, seed: int = 0, alternative: str = "greater") -> Mantel:
    """:func:`rsa` with its p when the items of ``m2`` are relabelled at random, ``(r, p, floor)``.

    Whole rows and columns move together: the entries of a similarity matrix are not independent.
    """
    m2 = np.asarray(m2, dtype=np.float64)
    r = rsa(m1, m2)
    p, floor = permutation_p(
        m1, np.arange(len(m2)), lambda a, order: rsa(a, m2[np.ix_(order, order)]), n, seed, alternative
    )
    return Mantel(r, p, floor)


def random_directions(like, seeds: int | Sequence[int] = 5, width: int | None = None) -> np.ndarray:
    """Random Gaussian directions with the norms of ``like``, (seeds, k, W) float32.

    ``like``: vectors (k, W), or norms (k,) with ``width``. ``seeds``: how many, or which; fewer than five are refused
    (hazard 8: emotions that "steer" no better than norm-matched random directions).
    """
    like = np.asarray(like, dtype=np.float64)
    seeds = list(range(seeds)) if isinstance(seeds, (int, np.integer)) else list(seeds)
    if len(seeds) < 5:
        raise UserError(f"{len(seeds)} random direction(s) make no null; use five seeds or more")
    if like.ndim == 2:
        norms, width = np.linalg.norm(like, axis=1), like.shape[1]
    elif like.ndim == 1 and width:
        norms = like
    else:
        raise UserError("pass vectors (k, W), or norms (k,) with width=W")
    draws = np.stack([np.random.default_rng(s).standard_normal((len(norms), width)) for s in seeds])
    return (draws / np.linalg.norm(draws, axis=-1, keepdims=True) * norms[:, None]).astype(np.float32)


def shuffled_labels(labels: Sequence, seed: int = 0) -> list:
    """The same labels, the same number of each, dealt to the items at random."""
    labels = list(labels)
    return [labels[i] for i in np.random.default_rng(seed).permutation(len(labels))]


def auroc(labels, scores) -> float:
    """Chance that a random positive (label true) scores above a random negative; ties count half; 0.5 is chance."""
    labels, scores = np.asarray(labels).astype(bool), _finite(scores, "scores")
    if labels.shape != scores.shape:
        raise UserError(f"{len(labels)} labels for {len(scores)} scores; they must be the same items")
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        raise UserError("AUROC needs at least one positive and one negative item")
    rank_sum = rankdata(scores)[labels].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def wilson(k: int, n: int, level: float = 0.95) -> Estimate:
    """A share ``k / n`` with its Wilson score interval, ``(share, lo, hi)``; sound at small n and at 0 and 1."""
    if not 0 <= k <= n or n == 0:
        raise UserError(f"{k} of {n} is not a share; need 0 <= k <= n and n > 0")
    z = float(norm.ppf((1 + level) / 2))
    share, z2 = k / n, z * z / n
    middle = (share + z2 / 2) / (1 + z2)
    half = z / (1 + z2) * math.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return Estimate(share, max(0.0, middle - half), min(1.0, middle + half))
