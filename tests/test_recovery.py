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

    def measure(found):
        return recovery.recovered(found.at(0), found.emotions, planted)

    curve = recovery.learning_curve(acts, labels, topics, measure, (1, 8, 9), "stories", 3)
    mean = curve.groupby("size").similarity.mean()
    assert list(mean.index) == [1, 8] and mean[8] > mean[1] + 0.1
    assert list(recovery.learning_curve(acts, labels, topics, measure, (2, 30), "topics", 2)["size"].unique()) == [2]


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


def test_first_guesses_by_several_layers_and_what_denoising_changes():
    from emotion_concepts.reading.vectors import emotion_vectors
    from emotion_concepts.texts.published import emotion_words

    names, rng = sorted(emotion_words()[:6]), np.random.default_rng(0)
    labels = [e for _ in range(20) for e in names]
    centres = rng.normal(size=(6, 2, 16))
    acts = (np.tile(centres, (20, 1, 1)) + 2.5 * rng.normal(size=(120, 2, 16))).astype(np.float32)
    train, report = np.arange(60), np.arange(60, 120)
    vectors = emotion_vectors(acts, labels[:60], [0, 1], rows=train)
    one, both = (recovery.hits_of(acts, labels[60:], vectors, k, report) for k in ([0], [0, 1]))
    assert both.mean() > one.mean() > 1 / 6
    assert np.array_equal(recovery.top1_hits(acts[:, 0], labels, train, report), one)
    gain = recovery.difference(both, one)
    assert gain.value == pytest.approx(both.mean() - one.mean()) and gain.lo < gain.value < gain.hi
    assert recovery.nearest([0, 1, 2, 3], 2) == [2, 1, 3, 0]
    assert recovery.first_of_each(["b", "a", "b", "a", "b"], 2).tolist() == [1, 3, 0, 2]


def test_checkpoints_come_in_the_order_of_pretraining(tmp_path):
    for name, tokens in (("b", 5e6), ("a", 2e7), ("c", 1e6)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "training.json").write_text(f'{{"tokens": {tokens}}}')
    found = emergence.checkpoints(str(tmp_path))
    assert [c.at for c in found] == [1e6, 5e6, 2e7] and {c.unit for c in found} == {"tokens"}
    assert [c.at for c in emergence.checkpoints(str(tmp_path), 2)] == [1e6, 2e7]
    hub = emergence.checkpoints("x/p@step1000, x/p@step0,x/p@step143000")
    assert [(c.name, c.at) for c in hub] == [("x/p@step0", 0), ("x/p@step1000", 1000), ("x/p@step143000", 143000)]
    assert hub[0].unit == "steps"
    olmo = emergence.checkpoints(["o@stage1-step10000-tokens21B", "o@stage1-step0-tokens0B"])
    assert [c.at for c in olmo] == [0, 2.1e10] and olmo[0].unit == "tokens"
    assert [c.at for c in emergence.checkpoints(["early", "x/p@step5"])] == [1, 2]  # one says nothing: their order


def test_the_preference_link_is_no_lottery(tiny_llama, make_vectors):
    """With the emotion chosen on other activities, random vectors are linked with nothing."""
    from emotion_concepts.experiments.preferences import ChoiceSet

    kinds = ["sea", "rain", "boat", "bread", "dogs", "lamps"]
    activities = [f"look at the {a} and the {b}" for a in kinds for b in kinds if a < b]
    choices = ChoiceSet(activities, ["one"] * 7 + ["two"] * 8)
    vectors = make_vectors(sorted(["afraid", "calm", "happy", "sad", "angry", "proud", "bored", "jealous"]))
    found = [emergence.preference_link(tiny_llama, choices, vectors, 1, seed) for seed in range(4)]
    assert abs(np.mean(found)) < 0.6
