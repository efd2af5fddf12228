"""Reliability of ratings, held against choices whose make-up is known."""

import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import reliability
from emotion_concepts.experiments.elo import Games
from emotion_concepts.experiments.preferences import balanced_pairs, ordered_pairs
from emotion_concepts.statistics import pearson

N = 32


def games(liked=0.0, pull=0.0, noise=0.1, first=0.0, n=N, opponents=12, seed=0):
    """Choices with a preference for items, a pull of letters by what stands beside them, noise and a position bias."""
    rng = np.random.default_rng(seed)
    u, s = np.sort(rng.normal(size=n))[::-1] * liked, rng.normal(size=n) * pull  # sorted: i < j has a side, too
    pairs = balanced_pairs(n, opponents, seed)
    return Games(n, pairs, np.array([u[i] - u[j] + s[i] + s[j] + first + noise * rng.normal() for i, j in pairs]))


def test_orders_agree_where_items_are_preferred_and_not_where_letters_are():
    liked, pulled = games(liked=1), games(pull=1)
    for g, sign in ((liked, 1), (pulled, -1)):
        r = reliability.order_consistency(g)
        assert sign * r.estimate.value > 0.9 and r.estimate.lo <= r.estimate.value <= r.estimate.hi
        assert 0 < r.null < 0.2  # chance knows of no side, though the items are sorted
    assert reliability.order_consistency(liked).test.p == 0.001 and reliability.order_consistency(pulled).test.p == 1


def test_order_consistency_is_the_share_of_variance_by_items_less_that_by_letters():
    g = games(liked=1, pull=0.5, noise=0.0, first=5.0)  # a bias shared by all pairs counts on neither side
    i, j = np.nonzero(np.triu(g.played, 1))
    items, letters = (g.table[i, j] - g.table[j, i]) / 2, (g.table[i, j] + g.table[j, i]) / 2
    a, b = (items**2).mean(), letters.var()  # which item is called the first is arbitrary: items have mean 0
    assert reliability.order_consistency(g).estimate.value == pytest.approx((a - b) / (a + b))
    turned = Games(N, [(N - 1 - i, N - 1 - j) for i, j in g.pairs], g.logits)  # the other item of each pair first
    assert reliability.order_consistency(turned).estimate.value == pytest.approx((a - b) / (a + b))


def test_noise_alone_has_neither():
    order = [reliability.order_consistency(games(noise=1, seed=s), 199) for s in range(20)]
    halves = [reliability.split_half(games(noise=1, seed=s), 4, 99) for s in range(20)]
    for found in (order, halves):
        assert abs(np.mean([r.estimate.value for r in found])) < 0.12
        assert sum(r.test.p <= 0.05 for r in found) <= 4
    assert np.mean([r.estimate.lo < 0 < r.estimate.hi for r in order]) >= 0.8


def test_halves_share_no_pair_and_their_agreement_grows_with_preference():
    one, other = reliability.halves(games(liked=1, noise=0.0), np.random.default_rng(0))
    assert pearson(one, other) > 0.99
    values = [reliability.split_half(games(liked=x, noise=1.0), draws=49).estimate.value for x in (0.2, 0.5, 2.0)]
    assert values == sorted(values) and values[-1] > 0.9 and values[0] < 0.8
    # known answer: with one winner a pair and no structure, a pair in both halves would make them agree
    g = games(noise=1, opponents=4)
    r = [pearson(*reliability.halves(g, np.random.default_rng(k))) for k in range(60)]
    assert abs(np.mean(r)) < 0.25


def test_spearman_brown_predicts_the_reliability_of_twice_as_many_opponents():
    def mean_r(opponents):
        draws = [games(liked=0.4, noise=1.5, n=48, opponents=opponents, seed=s) for s in range(12)]
        return np.mean([pearson(*reliability.halves(g, np.random.default_rng(1))) for g in draws])

    r = mean_r(12)
    assert 2 * r / (1 + r) == pytest.approx(mean_r(24), abs=0.12)


def test_share_between_groups():
    groups = [k // 4 for k in range(32)]
    apart = np.array(groups, float) + np.random.default_rng(0).normal(size=32) * 0.1
    share, null, p = reliability.share_between(apart, groups)
    assert share > 0.95 and 0.2 < null < 0.6 and p.p == p.floor == 0.001
    share, _, p = reliability.share_between(np.random.default_rng(1).normal(size=32), groups)
    assert share < 0.6 and p.p > 0.02


def test_why_there_is_no_power():
    def reason(g):
        return reliability.why_no_power(reliability.order_consistency(g, 199), reliability.split_half(g, 4, 49))

    assert reason(games(liked=1)) == ""
    assert "two orders do not agree" in reason(games(liked=0.1, pull=1))
    assert "two orders do not agree" in reason(games(noise=1))
    # both orders alike, but every pair decided by itself: no rating holds for other opponents
    rng, pairs = np.random.default_rng(0), ordered_pairs(N)
    own = rng.normal(size=(N, N))
    alone = Games(N, pairs, np.array([own[i, j] - own[j, i] for i, j in pairs]))
    assert "half of the opponents" in reason(alone)
    with pytest.raises(UserError, match="at least three pairs"):
        reliability.order_consistency(Games(4, [(0, 1), (1, 0), (2, 3)], np.ones(3)))
