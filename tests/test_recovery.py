import numpy as np
import pandas as pd
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import emergence, recovery

EMOTIONS = [f"e{i}" for i in range(12)]


@pytest.fixture
def truth():
    rng = np.random.default_rng(0)
    places = rng.normal(size=(12, 3)) * [3, 2, 1]
    unit = places / np.linalg.norm(places, axis=1, keepdims=True)
    planted = {"emotions": EMOTIONS, "similarity": (unit @ unit.T).tolist()}
    planted["valence"] = dict(zip(EMOTIONS, places[:, 0]))
    planted["arousal"] = dict(zip(EMOTIONS, places[:, 1]))
    return planted, unit


def test_the_truth_recovers_itself_and_noise_does_not(truth):
    planted, unit = truth
    assert recovery.recovered(unit, EMOTIONS, planted)["similarity"] == pytest.approx(1)
    order = np.random.default_rng(3).permutation(12)
    shuffled = recovery.recovered(unit[order], EMOTIONS, planted)
    assert abs(shuffled["similarity"]) < 0.5
    moved = recovery.recovered(unit[order], [EMOTIONS[i] for i in order], planted)
    assert moved["similarity"] == pytest.approx(1)  # order of the emotions does not matter


def test_resampling_is_paired_and_counts_no_emotion_against_itself(truth):
    planted, unit = truth
    noisy = unit + np.random.default_rng(1).normal(scale=0.4, size=unit.shape)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    draws = recovery.resampled({"exact": unit, "again": unit, "noisy": noisy}, EMOTIONS, planted, 50)
    assert np.allclose(draws["exact"].similarity, 1) and draws["exact"].equals(draws["again"])
    whole = recovery.recovered(noisy, EMOTIONS, planted)["similarity"]
    low, high = draws["noisy"].similarity.quantile([0.025, 0.975])
    assert low < whole < high and high < 0.999  # pairs of one emotion with itself would push it up


def test_more_stories_recover_more_and_impossible_sizes_are_left_out(monkeypatch):
    from emotion_concepts.texts.published import emotion_words

    names = sorted(emotion_words()[:12])
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(12, 16))
    unit = centres - centres.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    planted = {"emotions": names, "similarity": (unit @ unit.T).tolist()}
    planted |= {k: dict(zip(names, rng.normal(size=12))) for k in ("valence", "arousal")}
    labels = [e for e in names for _ in range(8)]
    topics = [str(k) for _ in names for k in range(8)]
    acts = (np.repeat(centres, 8, 0) + 2 * rng.normal(size=(96, 16))).astype(np.float32)
    curve = recovery.learning_curve(acts, labels, topics, planted, (1, 8, 9), "stories", 3)
    mean = curve.groupby("size").similarity.mean()
    assert list(mean.index) == [1, 8] and mean[8] > mean[1] + 0.1
    assert list(recovery.learning_curve(acts, labels, topics, planted, (2, 30), "topics", 2)["size"].unique()) == [2]


def test_power_agrees_with_simulation():
    r, n, rng = recovery.smallest_correlation(45), 45, np.random.default_rng(0)
    x = rng.normal(size=(4000, n))
    y = r * x + np.sqrt(1 - r * r) * rng.normal(size=(4000, n))
    found = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y)])
    critical = np.tanh(1.96 / np.sqrt(n - 3))
    assert np.mean(found > critical) == pytest.approx(0.8, abs=0.03)
    d = recovery.smallest_difference(200, 0.2)
    a, b = rng.binomial(200, 0.2, 20000) / 200, rng.binomial(200, 0.2 + d, 20000) / 200
    z = (b - a) / np.sqrt((a * (1 - a) + b * (1 - b)) / 200)
    assert np.mean(z > 1.96) == pytest.approx(0.8, abs=0.04)


def test_half_way_points_and_missing_checkpoints(tmp_path):
    table = pd.DataFrame({"up": [0.0, 0.2, 0.9, 1.0], "down": [1.0, 0.4, 0.1, 0.0]}, index=[1, 10, 100, 1000])
    assert emergence.risen(table).to_dict() == {"up": 100, "down": 10}
    assert emergence.risen(table, 0.95).to_dict() == {"up": 1000, "down": 1000}
    tied = pd.DataFrame({"share": [1 / 6, 1 / 3, 0.5]}, index=[1, 10, 100])
    assert emergence.risen(tied)["share"] == 10  # exactly half of the way, whatever the rounding
    with pytest.raises(UserError, match="no checkpoints"):
        emergence.checkpoints(tmp_path)
