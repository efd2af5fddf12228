"""One look for every figure: colour-blind safe, readable on a slide, always with its null and its n.

Every helper returns a matplotlib ``Figure``. With ``ax=`` it draws into that panel (see :func:`panels`) instead.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emotion_concepts.errors import UserError
from emotion_concepts.report.theme import DIVERGING, NULL, PALETTE, POSITIVE, TEN, style, valence_colours
from emotion_concepts.statistics import pearson, pearson_ci


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    style()
    return plt.subplots(figsize=size)[1]


def _finish(ax: Axes, xlabel: str, ylabel: str, title: str, n: int | None = None) -> Figure:
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if n is not None:
        ax.text(1, 1.01, f"n = {n:,}", transform=ax.transAxes, ha="right", va="bottom", color=NULL, fontsize=11)
    return ax.figure


def _names(ax: Axes, xy: np.ndarray, labels: Sequence[str], at_most: int) -> None:
    """Name points, the outermost first, leaving out names that would cover one already written."""
    span = np.ptp(xy, axis=0) + 1e-12
    at = (xy - xy.min(0)) / span
    written: list[np.ndarray] = []
    for i in np.argsort(-np.linalg.norm(at - np.median(at, axis=0), axis=1), kind="stable"):
        if len(written) == at_most:
            break
        if all((np.abs(at[i] - other) > (0.13, 0.035)).any() for other in written):
            ax.annotate(labels[i], xy[i], xytext=(4, 3), textcoords="offset points", fontsize=9)
            written.append(at[i])


def _same_length(**columns) -> None:
    sizes = {k: len(v) for k, v in columns.items() if v is not None}
    if len(set(sizes.values())) > 1:
        raise UserError(f"columns of a plot differ in length: {', '.join(f'{k} {v}' for k, v in sizes.items())}")


def _errors(values, lo, hi) -> np.ndarray | None:
    """Distances below and above the values, (2, n), for matplotlib's error bars."""
    if lo is None or hi is None:
        return None
    values = np.asarray(values, dtype=float)
    return np.clip(np.stack([values - np.asarray(lo, float), np.asarray(hi, float) - values]), 0, None)


def _lines(ax: Axes, null=None, mark=None, vertical: bool = False) -> None:
    """Dashed grey at the null, dotted black at the pass mark."""
    for at, colour, dash, name in ((null, NULL, "--", "null"), (mark, "black", ":", "mark")):
        if at is not None:
            (ax.axvline if vertical else ax.axhline)(at, color=colour, ls=dash, label=name)


def panels(n: int, columns: int = 3, size: tuple[float, float] = (4.2, 3.4), **shared) -> tuple[Figure, list[Axes]]:
    """A figure with ``n`` panels to draw into; ``size`` is one panel's, inches; ``shared``: sharex, sharey."""
    style()
    columns = min(n, columns)
    rows = -(-n // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False, **shared)
    for ax in axes.flat[n:]:
        ax.remove()
    return fig, list(axes.flat[:n])


def dot_interval(
    labels: Sequence[str], values, lo=None, hi=None, null=None, mark=None, xlabel="", title="", n=None, colours=None,
    ax=None,
) -> Figure:  # fmt: skip
    """One dot a row with its interval; dashed grey: the null (one number or one a row); dotted: the pass mark."""
    _same_length(labels=labels, values=values, lo=lo, hi=hi)
    ax = _axes(ax, (7, 0.38 * len(labels) + 1.4))
    rows = np.arange(len(labels))[::-1]
    errors = _errors(values, lo, hi)
    colours = [POSITIVE] * len(labels) if colours is None else colours
    if errors is not None:
        ax.errorbar(values, rows, xerr=errors, fmt="none", ecolor="#999999", elinewidth=2, capsize=3, zorder=1)
    ax.scatter(values, rows, c=colours, s=55, zorder=2)
    if null is not None and np.ndim(null):
        ax.scatter(null, rows, marker="|", s=180, color=NULL, label="null")
    _lines(ax, None if np.ndim(null) else null, mark, vertical=True)
    ax.set_yticks(rows, labels)
    if null is not None or mark is not None:
        ax.legend(loc="best")
    return _finish(ax, xlabel, "", title, n)


def bar_with_null(
    labels: Sequence[str], values, null=None, lo=None, hi=None, mark=None, ylabel="", title="", n=None, colours=None,
    ax=None,
) -> Figure:  # fmt: skip
    """Bars with intervals against a null: one number, one a bar, or many draws a bar (bars, draws) as grey points."""
    _same_length(labels=labels, values=values, lo=lo, hi=hi, null=null if np.ndim(null) else None)
    ax = _axes(ax, (max(4.5, 0.75 * len(labels) + 1.5), 4))
    at = np.arange(len(labels))
    errors = _errors(values, lo, hi)
    ax.bar(at, values, 0.7, color=POSITIVE if colours is None else colours)
    if errors is not None:
        ax.errorbar(at, values, yerr=errors, fmt="none", ecolor="black", elinewidth=1.6, capsize=4)
    if null is not None:
        grid = np.asarray(null, dtype=float)
        if grid.ndim == 1:
            ax.hlines(grid, at - 0.42, at + 0.42, color=NULL, ls="--", label="null")
        elif grid.ndim == 2:
            offsets = np.linspace(-0.25, 0.25, grid.shape[1]) if grid.shape[1] > 1 else np.zeros(1)
            spots = dict(color=NULL, edgecolor="white", s=30, zorder=3, label="null draws")
            ax.scatter((at[:, None] + offsets).ravel(), grid.ravel(), **spots)
    _lines(ax, None if np.ndim(null) else null, mark)
    ax.axhline(0, color="black", lw=0.8)
    long = max(map(len, map(str, labels)), default=0) > 8
    ax.set_xticks(at, labels, rotation=40 if long else 0, ha="right" if long else "center")
    if null is not None or mark is not None:
        ax.legend(loc="best")
    return _finish(ax, "", ylabel, title, n)


def curves(
    x, series: Mapping[str, Sequence], lo: Mapping | None = None, hi: Mapping | None = None, null=None, mark=None,
    xlabel="", ylabel="", title="", n=None, log=False, legend=True, ax=None,
) -> Figure:  # fmt: skip
    """Several named curves over one axis, told apart by marker as well as colour; bands where lo and hi are given."""
    _same_length(x=x, **series)
    ax = _axes(ax, (7, 4))
    for (name, y), colour, marker in zip(series.items(), _cycle(len(series)), "osD^vPX*<>" * 18, strict=False):
        ax.plot(x, np.asarray(y, dtype=float), color=colour, marker=marker, lw=2, ms=6, label=name)
        if lo and hi and name in lo and name in hi:
            ax.fill_between(x, np.asarray(lo[name], float), np.asarray(hi[name], float), color=colour, alpha=0.2, lw=0)
    if null is not None and np.ndim(null):
        ax.plot(x, null, color=NULL, ls="--", label="null")
    _lines(ax, None if np.ndim(null) else null, mark)
    if log:
        ax.set_xscale("log")
        ax.set_xticks(list(x), [f"{v:g}" for v in x])
        ax.minorticks_off()
    else:
        ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))  # more labels than that touch in a small panel
    if legend and (len(series) > 1 or null is not None or mark is not None):
        ax.legend(loc="best")
    return _finish(ax, xlabel, ylabel, title, n)


def layer_curve(
    x, y, lo=None, hi=None, null=None, mark=None, chosen=None, ylabel="", title="", n=None, xlabel="layer", ax=None
) -> Figure:
    """A measure over layers (output of block i) with its interval band, the null and the layer that was ``chosen``."""
    name = ylabel or "value"
    bands = (None, None) if lo is None or hi is None else ({name: lo}, {name: hi})
    _same_length(x=x, lo=lo, hi=hi)
    fig = curves(x, {name: y}, *bands, null, mark, xlabel, ylabel, title, n, legend=False, ax=ax)
    ax = ax or fig.axes[0]
    ax.set_xticks(list(x) if len(x) <= 12 else list(x)[:: -(-len(x) // 8)])
    if chosen is not None:
        ax.axvline(chosen, color=PALETTE[2], lw=6, alpha=0.25, zorder=0, label=f"chosen: {chosen}")
    if ax.get_legend_handles_labels()[1] != [name]:
        ax.legend(loc="best")
    return fig


def _cycle(n: int) -> list[str]:
    colours = PALETTE if n <= len(PALETTE) else TEN
    return [colours[i % len(colours)] for i in range(n)]


def _limit(matrix: np.ndarray) -> float:
    """A symmetric colour limit that the diagonal and outliers do not set."""
    off = matrix[~np.eye(*matrix.shape, dtype=bool)] if matrix.shape[0] == matrix.shape[1] else matrix
    return float(np.nanquantile(np.abs(off), 0.99)) or 1.0


def heatmap(
    matrix, rows: Sequence[str], columns: Sequence[str], label="", title="", xlabel="", ylabel="", n=None,
    annotate: bool | None = None, limit: float | None = None, ax=None,
) -> Figure:  # fmt: skip
    """A small labelled matrix (rows, columns), zero in white; numbers are written in where it has at most 200 cells."""
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise UserError(f"matrix {matrix.shape} does not fit {len(rows)} rows and {len(columns)} columns")
    ax = _axes(ax, (0.62 * len(columns) + 3, 0.48 * len(rows) + 2))
    limit = limit or _limit(matrix)
    image = ax.imshow(matrix, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
    if matrix.size <= 200 if annotate is None else annotate:
        for i, j in np.ndindex(matrix.shape):
            if np.isfinite(matrix[i, j]):
                colour = "white" if abs(matrix[i, j]) > 0.75 * limit else "black"
                text = f"{matrix[i, j]:.2f}".replace("0.", ".", 1) if abs(matrix[i, j]) < 1 else f"{matrix[i, j]:.3g}"
                ax.text(j, i, text, ha="center", va="center", fontsize=9, color=colour)
    ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    return _finish(ax, xlabel, ylabel, title, n)


def clustered_heatmap(
    matrix, labels: Sequence[str], groups: Sequence[str] | None = None, label="cosine", title="",
    every: int | None = None,
) -> Figure:  # fmt: skip
    """A square similarity matrix (k, k) in the order given, with a strip that colours each item's group.

    Order it first (``experiments.geometry.dendrogram_order``); ``every``: name one in so many (default: ~45 names).
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(labels), len(labels)):
        raise UserError(f"matrix {matrix.shape} does not fit {len(labels)} labels")
    _same_length(labels=labels, groups=groups)
    style()
    fig, (strip, ax) = plt.subplots(1, 2, figsize=(10.5, 8.5), width_ratios=[0.025, 1])
    limit = _limit(matrix)
    bands = DIVERGING.resampled(15)  # steps that the eye can name
    image = ax.imshow(matrix, cmap=bands, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    every = every or max(1, -(-len(labels) // 45))
    ticks = range(0, len(labels), every)
    names = [labels[i] for i in ticks]
    ax.set_xticks(ticks, names, rotation=90, fontsize=9)
    ax.set_yticks([])
    strip.set_yticks(ticks, names, fontsize=9)
    strip.set(xticks=[], ylim=(len(labels) - 0.5, -0.5))
    strip.spines[:].set_visible(False)
    if groups is not None:
        kinds = list(dict.fromkeys(groups))
        colour = {g: TEN[i % len(TEN)] for i, g in enumerate(kinds)}
        strip.barh(range(len(labels)), 1, height=1, color=[colour[g] for g in groups], lw=0)
        handles = [Patch(color=colour[g], label=g) for g in kinds]
        fig.legend(handles=handles, loc="outside lower center", ncols=min(3, len(kinds)), fontsize=10)
    fig.colorbar(image, ax=ax, label=label, shrink=0.6)
    return _finish(ax, "", "", title, len(labels))


def scatter_r(
    x, y, labels: Sequence[str] | None = None, xlabel="", ylabel="", title="", colours=None, null=None, interval=True,
    name_at_most: int = 40, ax=None,
) -> Figure:  # fmt: skip
    """Points, least-squares line, Pearson r, its bootstrap interval and n; ``null``: points (m, 2) drawn grey."""
    _same_length(x=x, y=y, labels=labels)
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    ax = _axes(ax, (7, 5))
    if null is not None:
        null = np.asarray(null, dtype=float)
        ax.scatter(null[:, 0], null[:, 1], s=22, color="#BBBBBB", marker="x", label="random directions")
        ax.legend(loc="best")
    ax.scatter(x, y, s=45, c=[POSITIVE] if colours is None else colours, edgecolor="#555555", linewidth=0.5)
    slope, middle = np.polyfit(x, y, 1)
    ends = np.array([x.min(), x.max()])
    ax.plot(ends, slope * ends + middle, color="black", lw=1.5)
    if labels is not None:
        _names(ax, np.stack([x, y], 1), labels, name_at_most)
    if interval:
        r, lo, hi = pearson_ci(x, y)
        r_text = f"r = {r:.2f} [{lo:.2f}, {hi:.2f}]"
    else:
        r_text = f"r = {pearson(x, y):.2f}"
    return _finish(ax, xlabel, ylabel, f"{title}\n{r_text}" if title else r_text, len(x))


def scatter_groups(
    xy, groups: Sequence[str], labels: Sequence[str] | None = None, xlabel="", ylabel="", title="", every: int = 3,
    ax=None,
) -> Figure:  # fmt: skip
    """A map of points (n, 2) by group (colour and marker), such as UMAP by cluster; about one in ``every`` is named."""
    xy = np.asarray(xy, dtype=float)
    _same_length(xy=xy, groups=groups, labels=labels)
    ax = _axes(ax, (10, 7))
    kinds = list(dict.fromkeys(groups))
    groups = np.asarray(groups)
    for i, kind in enumerate(kinds):
        rows = groups == kind
        ax.scatter(*xy[rows].T, s=45, color=TEN[i % len(TEN)], marker="osD^vPX*<>"[i % 10], label=kind)
    if labels is not None:
        _names(ax, xy, labels, -(-len(xy) // every))
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=10)
    return _finish(ax, xlabel, ylabel, title, len(xy))


def ranked_bars(values: Mapping[str, float], null=None, named: int = 30, ylabel="", title="", ax=None) -> Figure:
    """All values from least to largest, coloured by sign and size; about ``named`` evenly spaced bars are named."""
    names = sorted(values, key=lambda k: values[k])
    heights = np.array([values[k] for k in names], dtype=float)
    ax = _axes(ax, (11, 4.2))
    ax.bar(range(len(names)), heights, width=0.9, color=valence_colours(heights))
    ax.axhline(0, color="black", lw=0.8)
    if null is not None:  # a number, or the (lo, hi) band that the null fills
        band = (null, null) if np.ndim(null) == 0 else tuple(null)
        ax.axhspan(*band, color=NULL, alpha=0.25, lw=1, label="null")
        ax.legend(loc="best")
    ticks = np.unique(np.linspace(0, len(names) - 1, min(named, len(names))).round().astype(int))
    ax.set_xticks(ticks, [names[i] for i in ticks], rotation=60, ha="right", rotation_mode="anchor", fontsize=10)
    ax.set_xlim(-1, len(names))
    return _finish(ax, "", ylabel, title, len(names))
