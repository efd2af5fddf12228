"""Elo ratings from pairwise choices.

How Elo is computed decides the steering coupling that replications report (.32 to .96), so the recipe is one and
stated: a Bradley-Terry fit to order-averaged choice probabilities, which has no order of games and no step size.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emotion_concepts.errors import UserError

SCALE = 400 / np.log(10)  # Elo points a nat of log odds
CENTRE = 1500.0
RIDGE = 1e-4  # keeps ratings finite when an item always wins; a ten-thousandth of a game against the centre


@dataclass(frozen=True)
class Games:
    """Choices among ``n`` items: ``logits[k]`` in nats for ``pairs[k][0]``, shown first, over ``pairs[k][1]``."""

    n: int
    pairs: list[tuple[int, int]]
    logits: np.ndarray

    @cached_property
    def table(self) -> np.ndarray:
        """Logit for i, shown first, over j, (n, n); NaN where that was not asked."""
        m = np.full((self.n, self.n), np.nan)
        i, j = np.array(self.pairs).T
        m[i, j] = self.logits
        return m

    @property
    def played(self) -> np.ndarray:
        """Which pairs were asked in both orders, (n, n) bool."""
        return np.isfinite(self.table) & np.isfinite(self.table.T)

    @property
    def wins(self) -> np.ndarray:
        """Order-averaged probability that i beats j, (n, n); NaN where not played."""
        return order_averaged(1 / (1 + np.exp(-self.table)))

    @property
    def first_chosen(self) -> float:
        """Mean probability that what is shown first is chosen."""
        return float((1 / (1 + np.exp(-self.logits))).mean())


def order_averaged(p_first: np.ndarray) -> np.ndarray:
    """Probability that i beats j, (n, n), from ``p_first[i, j]``: i shown first and chosen; removes position bias."""
    return (p_first + (1 - p_first.T)) / 2


def _played(wins: np.ndarray, played: np.ndarray | None) -> np.ndarray:
    """``played`` without the diagonal; None: all pairs."""
    off = ~np.eye(len(wins), dtype=bool)
    return off if played is None else played & off


def ratings(wins: np.ndarray, played: np.ndarray | None = None, steps: int = 50) -> np.ndarray:
    """Elo of n items from ``wins[i, j]``, the probability that i beats j; ``played`` (n, n) bool: which pairs count.

    Newton's method on the Bradley-Terry likelihood with soft outcomes; mean 1500. :class:`UserError` on NaN.
    """
    n, played = len(wins), _played(wins, played)
    if not np.isfinite(wins[played]).all():
        raise UserError("choice probabilities hold NaN or Inf; load the model in float32")
    w = np.where(played, wins, 0.0)
    theta = np.zeros(n)
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(theta[:, None] - theta[None])))
        gradient = (w - np.where(played, p, 0)).sum(1) - RIDGE * theta
        curvature = np.where(played, p * (1 - p), 0)
        hessian = np.diag(curvature.sum(1) + RIDGE) - curvature
        step = np.linalg.solve(hessian, gradient)
        theta += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return CENTRE + SCALE * (theta - theta.mean())


def rating_intervals(
    wins: np.ndarray, played: np.ndarray | None = None, n_boot: int = 300, level: float = 0.95, seed: int = 0
) -> np.ndarray:
    """Bootstrap interval of each rating over the opponents that were met, (n, 2): which rivals is what varies."""
    wins, played = np.asarray(wins), _played(wins, played)
    rng, n = np.random.default_rng(seed), len(wins)
    base = ratings(wins, played)
    logit = np.log(np.clip(wins, 1e-6, 1 - 1e-6) / np.clip(1 - wins, 1e-6, 1))
    out = np.empty((n, 2))
    for i in range(n):
        rivals = np.flatnonzero(played[i])
        # rating implied by each rival alone, shrunk to the fit's own scale by centring
        implied = base[rivals] + SCALE * np.clip(logit[i, rivals], -8, 8)
        draws = implied[rng.integers(0, len(rivals), (n_boot, len(rivals)))].mean(1)
        out[i] = base[i] + np.quantile(draws - implied.mean(), [(1 - level) / 2, (1 + level) / 2])
    return out


def beaten(wins: np.ndarray, groups: list[str], played: np.ndarray | None = None) -> np.ndarray:
    """Hard wins: the share of the opponents from other groups that each item beats, ties half, (n,); NaN for none."""
    groups = np.asarray(groups)
    counts = _played(wins, played) & (groups[:, None] != groups[None])
    won = np.where(counts, (wins > 0.5) + 0.5 * (wins == 0.5), 0.0)
    with np.errstate(invalid="ignore"):
        return won.sum(1) / counts.sum(1)
