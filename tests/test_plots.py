"""Every helper draws what it was given, with its null, its n and names that can be told apart."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

from emotion_concepts.errors import UserError  # noqa: E402
from emotion_concepts.report import plots  # noqa: E402
from emotion_concepts.report.theme import PALETTE, TEN, valence_colours  # noqa: E402

NAMES = [f"emotion{i}" for i in range(12)]
X = np.linspace(-1, 1, 12)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def legend(ax) -> list[str]:
    return [t.get_text() for t in ax.get_legend().get_texts()]


def texts(ax) -> list[str]:
    return [t.get_text() for t in ax.texts]


def test_dots_hold_values_intervals_null_and_n():
    ax = plots.dot_interval(NAMES, X, X - 0.1, X + 0.2, null=0, mark=0.8, xlabel="share", title="T", n=1200).axes[0]
    assert np.allclose(ax.collections[-1].get_offsets()[:, 0], X)
    assert [t.get_text() for t in ax.get_yticklabels()] == NAMES and ax.get_yticks()[0] == 11  # the first on top
    assert legend(ax) == ["null", "mark"] and ax.get_title(loc="left") == "T" and texts(ax) == ["n = 1,200"]
    segments = ax.collections[0].get_segments()
    assert np.allclose(segments[3][:, 0], [X[3] - 0.1, X[3] + 0.2])


def test_bars_take_one_null_one_a_bar_or_many_draws():
    draws = np.random.default_rng(0).random((12, 5))
    for null, label in ((0.2, "null"), (X * 0.1, "null"), (draws, "null draws")):
        ax = plots.bar_with_null(NAMES, X, null=null, lo=X - 0.1, hi=X + 0.1).axes[0]
        assert np.allclose([p.get_height() for p in ax.patches], X) and legend(ax) == [label]
    assert len(ax.collections[-1].get_offsets()) == 60


def test_curves_and_layer_curve():
    fig = plots.layer_curve(range(8), X[:8], X[:8] - 0.1, X[:8] + 0.1, null=0.1, chosen=5, ylabel="accuracy", n=9)
    assert legend(fig.axes[0]) == ["accuracy", "null", "chosen: 5"] and fig.axes[0].get_xlabel() == "layer"
    ax = plots.curves([500, 1000, 2000], {"afraid": [1, 2, 3], "calm": [3, 2, 1]}, log=True).axes[0]
    assert len({line.get_marker() for line in ax.lines}) == 2  # not by colour alone
    assert [t.get_text() for t in ax.get_xticklabels()] == ["500", "1000", "2000"]
    with pytest.raises(UserError, match="afraid 2"):
        plots.curves([1, 2, 3], {"afraid": [1, 2]})


def test_heatmaps():
    m = np.corrcoef(np.random.default_rng(0).normal(size=(12, 20)))
    fig = plots.heatmap(m, NAMES, NAMES, label="cosine")
    assert len(fig.axes[0].texts) == 144
    image = fig.axes[0].images[0]
    assert image.norm.vmin == -image.norm.vmax  # zero is white
    fig = plots.clustered_heatmap(m, NAMES, ["a"] * 6 + ["b"] * 6, title="map")
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["a", "b"]
    with pytest.raises(UserError, match="12 labels|11 labels"):
        plots.clustered_heatmap(m, NAMES[:11])
    with pytest.raises(UserError, match="rows"):
        plots.heatmap(m, NAMES[:11], NAMES)


def test_scatter_states_r_interval_and_n():
    y = X + np.random.default_rng(0).normal(0, 0.1, 12)
    ax = plots.scatter_r(X, y, NAMES, "probe r", "shift", "Coupling", null=np.zeros((5, 2))).axes[0]
    r = np.corrcoef(X, y)[0, 1]
    assert f"r = {r:.2f} [" in ax.get_title(loc="left") and "n = 12" in texts(ax)
    named = [t for t in texts(ax) if t.startswith("emotion")]
    assert {"emotion0", "emotion11"} <= set(named)  # the outermost are always named
    crowded = plots.scatter_r(np.r_[X, np.zeros(50)], np.r_[y, np.zeros(50)], [str(i) for i in range(62)])
    assert len(crowded.axes[0].texts) < 30  # names that would cover each other are left out


def test_groups_and_ranks():
    fig = plots.scatter_groups(np.stack([X, X**2], 1), ["joy"] * 6 + ["woe"] * 6, NAMES)
    assert legend(fig.axes[0]) == ["joy", "woe"]
    ax = plots.ranked_bars(dict(zip(NAMES, X[::-1], strict=True)), null=(-0.2, 0.2)).axes[0]
    heights = [p.get_height() for p in ax.patches[:12]]
    assert heights == sorted(heights) and ax.get_xticklabels()[0].get_text() == "emotion11"


def test_panels_are_drawn_into():
    fig, axes = plots.panels(5)
    for ax in axes:
        assert plots.curves([1, 2], {"a": [1, 2]}, ax=ax) is fig
    assert len(fig.axes) == 5 and all(len(ax.lines) == 1 for ax in fig.axes)


def test_colours_are_distinct_and_signed():
    for colours in (PALETTE, TEN):
        assert len(set(colours)) == len(colours)
    low, zero, high = valence_colours([-1, 0, 1])
    assert low[0] > low[2] and high[2] > high[0] and np.allclose(zero[:3], to_rgb("#F7F7F7"), atol=0.02)
    assert np.allclose(valence_colours([0.5], limit=0.5), valence_colours([3.0]))
    assert valence_colours([0.0, 0.0]).shape == (2, 4)
