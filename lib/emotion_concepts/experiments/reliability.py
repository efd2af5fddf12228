"""How far ratings from choices can be trusted: before anything is said of what goes with them."""

from typing import NamedTuple

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.elo import Games, ratings
from emotion_concepts.statistics import Estimate, PValue

# Claims on ratings have no power unless both hold. The interval of the orders' agreement lies above ALIKE: else the
# letters' pull, which the wording of a pair decides, is larger than any preference between its two items. And the
# split-half reliability is at least LEAST: nothing correlates with a rating by more than the root of its reliability
# (Spearman 1904), here .71, and the paper's correlations lie at .71 and beyond.
ALIKE, LEAST = 0.0, 0.5


class Reliability(NamedTuple):
    """A measure with its interval, the upper 5 % of its null, and the p of a permutation test."""

    estimate: Estimate
    null: float
    test: PValue

    def __str__(self):
        return f"{self.estimate}, by chance up to {self.null:.2f}, p = {self.test.p:.2g}"


def _p(value: float, null: np.ndarray) -> PValue:
    """One-sided p of a value among what its null gave, and the least p that so many draws can give."""
    return PValue(float((1 + (null >= value - 1e-12).sum()) / (len(null) + 1)), 1 / (len(null) + 1))


def _held(value: float, interval, null: np.ndarray) -> Reliability:
    """A value with its interval and what its null gave."""
    return Reliability(Estimate(value, *map(float, interval)), float(np.quantile(null, 0.95)), _p(value, null))


def _both_orders(games: Games) -> tuple[np.ndarray, np.ndarray]:
    """First and second items of the pairs that were asked in both orders, each pair once."""
    i, j = np.nonzero(np.triu(games.played, 1))
    if len(i) < 3:
        raise UserError("reliability needs at least three pairs in both orders")
    return i, j


def _agreement(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Minus the intraclass correlation of ``u`` and ``v`` (..., pairs) under weights ``w`` that sum to 1."""
    middle = (w * (u + v)).sum(-1, keepdims=True) / 2
    u, v = u - middle, v - middle
    return -(w * u * v).sum(-1) / np.maximum((w * (u**2 + v**2)).sum(-1) / 2, 1e-300)


def order_consistency(games: Games, draws: int = 999, seed: int = 0) -> Reliability:
    """Whether both orders of a pair prefer the same item: r over pairs of the logit for one item over the other.

    Of the variance of logits, whatever all pairs share removed: the share that follows the items minus the share that
    follows the letters, so +1 where only the items count and -1 where only the letter does (intraclass, as which item
    of a pair is called the first is arbitrary). Interval: bootstrap over items; null: second orders dealt to other
    pairs, and either called the first by a coin.
    """
    i, j = _both_orders(games)
    u, v = games.table[i, j], games.table[j, i]  # both for what is shown first: they agree where they are opposite
    rng, even = np.random.default_rng(seed), np.full(len(i), 1 / len(i))
    counts = np.stack([np.bincount(rng.integers(0, games.n, games.n), minlength=games.n) for _ in range(draws)])
    weights = (counts[:, i] * counts[:, j]).astype(float)
    weights = weights[weights.sum(1) > 0]
    boot = _agreement(u, v, weights / weights.sum(1, keepdims=True))

    def by_chance():
        first, second = (np.where(rng.random(len(u)) < 0.5, x, y) for x, y in ((u, v), (v, u)))
        return _agreement(first, rng.permutation(second), even)

    null = np.array([by_chance() for _ in range(draws)])
    return _held(float(_agreement(u, v, even)), np.quantile(boot, [0.025, 0.975]), null)


def _spearman_brown(r):
    """Reliability of the whole from the correlation of its halves; odd in r, so that a negative one stays finite."""
    return 2 * r / (1 + np.abs(r))


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r along the last axis; 0 where one does not vary."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def halves(games: Games, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ratings (n,) from a random half of the pairs, and from the other half: no opponent of an item is in both."""
    return _halves(games.wins, _both_orders(games), rng)


def _halves(wins: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], rng) -> tuple[np.ndarray, np.ndarray]:
    in_first = rng.permutation(len(pairs[0])) < len(pairs[0]) // 2
    masks = []
    for chosen in (in_first, ~in_first):
        mask = np.zeros(wins.shape, dtype=bool)
        mask[pairs[0][chosen], pairs[1][chosen]] = True
        masks.append(mask | mask.T)
    return ratings(wins, masks[0]), ratings(wins, masks[1])


def split_half(games: Games, splits: int = 20, draws: int = 199, seed: int = 0) -> Reliability:
    """Split-half reliability of the ratings over opponents (Spearman-Brown of the mean r over random halvings).

    Interval: bootstrap over items; null: each pair's order-averaged winner drawn by a coin, one halving a draw.
    """
    (i, j), wins, rng = _both_orders(games), games.wins, np.random.default_rng(seed)
    one, other = np.array([_halves(wins, (i, j), rng) for _ in range(splits)]).transpose(1, 0, 2)
    value = float(_spearman_brown(_correlation(one, other).mean()))
    rows = rng.integers(0, games.n, (999, games.n))
    boot = _spearman_brown(_correlation(one[:, rows], other[:, rows]).mean(0))

    def by_coin():
        coin, flipped = rng.random(len(i)) < 0.5, wins.copy()
        flipped[i[coin], j[coin]], flipped[j[coin], i[coin]] = wins[j[coin], i[coin]], wins[i[coin], j[coin]]
        return _spearman_brown(_correlation(*_halves(flipped, (i, j), rng)))

    return _held(value, np.quantile(boot, [0.025, 0.975]), np.array([by_coin() for _ in range(draws)]))


def share_between(values, groups: list[str], draws: int = 999, seed: int = 0) -> tuple[float, float, PValue]:
    """Share of the variance of ``values`` (n,) that lies between groups, the upper 5 % of it by chance, and its p.

    Chance: values dealt to other groups of the same sizes.
    """
    values, groups = np.asarray(values, dtype=float), np.unique(groups, return_inverse=True)[1]
    sizes, rng, total = np.bincount(groups), np.random.default_rng(seed), ((values - values.mean()) ** 2).sum()

    def share(x):
        return float((sizes * (np.bincount(groups, x) / sizes - x.mean()) ** 2).sum() / max(total, 1e-300))

    value, null = share(values), np.array([share(rng.permutation(values)) for _ in range(draws)])
    return value, float(np.quantile(null, 0.95)), _p(value, null)


def why_no_power(order: Reliability, halves: Reliability) -> str:
    """Why claims on ratings of this order consistency and split-half reliability have no power; empty if they have."""
    if order.estimate.lo <= ALIKE:
        return f"a pair's two orders do not agree: r = {order.estimate}, whose interval must lie above {ALIKE:g}"
    if halves.estimate.value < LEAST:
        return f"ratings over half of the opponents hardly agree: {halves.estimate.value:.2f}, below {LEAST:g}"
    return ""
