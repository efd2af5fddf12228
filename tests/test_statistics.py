"""Estimates have the right coverage, nulls have the right size, and misuse is refused."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from emotion_concepts.errors import UserError
from emotion_concepts.statistics import (
    Estimate,
    auroc,
    bootstrap_ci,
    mantel,
    pearson,
    pearson_ci,
    permutation_p,
    r_by_chance,
    random_directions,
    rsa,
    shuffled_labels,
    spearman,
    upper_triangle,
    wilson,
)


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(200):
        value, lo, hi = bootstrap_ci(rng.normal(3, 1, 40), np.mean, n=300, seed=i)
        assert lo <= value <= hi
        hits += lo <= 3 <= hi
    assert 0.88 <= hits / 200 <= 0.985


def test_bootstrap_is_seeded_and_takes_rows():
    x = np.random.default_rng(0).normal(size=(30, 2))
    r = lambda a: np.corrcoef(a.T)[0, 1]  # noqa: E731
    assert bootstrap_ci(x, r, n=100, seed=4) == bootstrap_ci(x, r, n=100, seed=4)
    assert bootstrap_ci(x, r, n=100, seed=4).interval != bootstrap_ci(x, r, n=100, seed=5).interval
    assert np.allclose(bootstrap_ci(x, r, n=500, seed=1), pearson_ci(*x.T, n=500, seed=1))


def test_correlations_agree_with_scipy():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 6, 50).astype(float)
    y = x + rng.normal(0, 2, 50)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    r, lo, hi = pearson_ci(x, y)
    fisher = stats.pearsonr(x, y).confidence_interval(0.95)
    assert (lo, hi) == pytest.approx(tuple(fisher), abs=0.08) and lo < r < hi


def test_chance_correlations_are_those_of_independent_data():
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    critical = stats.t.ppf(0.975, 38) / np.sqrt(38 + stats.t.ppf(0.975, 38) ** 2)  # two-sided, 5 %
    assert r_by_chance(x, y) == pytest.approx(critical, abs=0.04)
    assert r_by_chance(x, y) == r_by_chance(x, y) < r_by_chance(x, y, 0.99)
    assert r_by_chance(x, x) == pytest.approx(critical, abs=0.04)  # how strongly the two are tied does not matter


@pytest.mark.parametrize(
    "x, y, word",
    [
        ([1, 2, 3], [1, 2], "same items"),
        ([1, 2], [2, 1], "at least 3"),
        ([1, 1, 1], [1, 2, 3], "constant"),
        ([1, np.nan, 3], [1, 2, 3], "NaN"),
        ([], [], "empty"),
    ],
)
def test_correlations_refuse_what_has_no_answer(x, y, word):
    with pytest.raises(UserError, match=word):
        pearson(x, y)


def test_small_permutation_tests_are_exact():
    p, floor = permutation_p([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], n=9999)
    assert floor == pytest.approx(1 / 120) and p == pytest.approx(2 / 120)  # the order and its reverse
    assert permutation_p([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], alternative="greater").p == pytest.approx(1 / 120)
    assert permutation_p([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], alternative="less").p == 1


def test_sampled_permutation_p_never_falls_below_its_floor_and_is_uniform_under_the_null():
    x = np.arange(40.0)
    p, floor = permutation_p(x, x, n=199)
    assert p == floor == 1 / 200
    rng = np.random.default_rng(0)
    ps = [permutation_p(x, rng.normal(size=40), n=99, seed=i).p for i in range(150)]
    assert 0.4 < np.mean(ps) < 0.6 and np.mean(np.array(ps) <= 0.1) < 0.2
    with pytest.raises(UserError, match="alternative"):
        permutation_p(x, x, n=9, alternative="bigger")


def test_rsa_and_mantel():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 5))
    m = np.corrcoef(a)
    order = rng.permutation(12)
    assert upper_triangle(np.arange(9).reshape(3, 3)).tolist() == [1, 2, 5]
    assert rsa(m, m) == pytest.approx(1)
    assert rsa(m, 2 * m + 3) == pytest.approx(1)
    strong = mantel(m, np.corrcoef(a + 0.3 * rng.normal(size=a.shape)), n=199)
    assert strong.r > 0.7 and strong.p == strong.floor == 1 / 200
    assert mantel(m, m[np.ix_(order, order)], n=199).p > 0.02  # the same numbers on other items
    positive = [np.abs(np.corrcoef(rng.normal(size=(12, 5)))) + 1 for _ in range(2)]
    assert rsa(*positive, centred=False) > 0.9 > abs(rsa(*positive))  # why the cosine alone is no evidence
    with pytest.raises(UserError, match="square"):
        rsa(m[:3], m)


def test_random_directions_match_norms_and_are_not_the_vectors():
    vectors = np.random.default_rng(3).normal(size=(4, 256)) * np.array([[0.1], [1], [5], [20]])
    draws = random_directions(vectors, seeds=6)
    assert draws.shape == (6, 4, 256) and draws.dtype == np.float32
    assert np.allclose(np.linalg.norm(draws, axis=-1), np.linalg.norm(vectors, axis=-1), rtol=1e-5)
    unit = draws / np.linalg.norm(draws, axis=-1, keepdims=True)
    flat = unit.reshape(-1, 256)
    assert np.abs(flat @ flat.T - np.eye(24)).max() < 0.35
    assert np.array_equal(random_directions([1, 2.0], range(5), width=8), random_directions([1, 2.0], 5, width=8))
    with pytest.raises(UserError, match="five"):
        random_directions(vectors, seeds=3)
    with pytest.raises(UserError, match="width"):
        random_directions([1.0, 2.0])


def test_shuffled_labels_keep_counts():
    labels = ["sad"] * 10 + ["calm"] * 5
    shuffled = shuffled_labels(labels, 1)
    assert sorted(shuffled) == sorted(labels) and shuffled != labels and shuffled == shuffled_labels(labels, 1)


def test_auroc_agrees_with_sklearn_and_counts_ties_half():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(80) < 0.3, rng.integers(0, 5, 80)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert auroc([0, 1], [2, 2]) == 0.5
    with pytest.raises(UserError, match="positive"):
        auroc([1, 1], [1, 2])


def test_wilson_agrees_with_scipy():
    for k, n in [(0, 20), (3, 7), (20, 20), (60, 100)]:
        expected = stats.binomtest(k, n).proportion_ci(method="wilson")
        assert wilson(k, n).interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert isinstance(wilson(3, 7), Estimate) and str(wilson(0, 20)).startswith("0 [0, 0.16")
    with pytest.raises(UserError):
        wilson(3, 2)


@pytest.mark.parametrize("size", [1, 7, 40])
def test_all_draws_of_a_mean_at_once_are_those_one_by_one(size):
    x = np.random.default_rng(1).normal(size=size)
    one_by_one = bootstrap_ci(x, lambda part: part.mean())
    assert bootstrap_ci(x) == pytest.approx(one_by_one, abs=1e-12)
