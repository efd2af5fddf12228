"""The suite's colours and type: safe for colour-blind readers, readable on a slide."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap, Normalize

# Okabe & Ito (2008), distinguishable with every common colour blindness; blue is pleasant, vermilion unpleasant.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#000000"]
TEN = PALETTE[:6] + ["#8C6D31", "#4D4D4D", "#7B5EA7", "#A6B84A"]  # for the ten clusters
POSITIVE, NEGATIVE, NULL = PALETTE[0], PALETTE[1], "#777777"
DIVERGING = LinearSegmentedColormap.from_list("valence", [NEGATIVE, "#F4A582", "#F7F7F7", "#92C5DE", POSITIVE])


def style() -> None:
    """Set the suite's theme; every helper calls it, so figures look the same in a notebook and in a test."""
    sns.set_theme(context="notebook", style="ticks", palette=PALETTE)
    plt.rcParams.update({
        "figure.dpi": 80, "savefig.dpi": 110, "figure.constrained_layout.use": True, "axes.spines.top": False,
        "axes.spines.right": False, "font.size": 13, "axes.labelsize": 14, "axes.titlesize": 15, "axes.titleweight":
        "bold", "xtick.labelsize": 12, "ytick.labelsize": 12, "legend.fontsize": 12, "legend.frameon": True,
        "legend.framealpha": 0.85, "legend.edgecolor": "none", "svg.fonttype": "path", "axes.titlelocation": "left",
    })  # fmt: skip


def valence_colours(values, limit: float | None = None) -> np.ndarray:
    """RGBA colours (n, 4) of signed values: blue above zero, vermilion below, pale at zero; ``limit``: full colour."""
    values = np.asarray(values, dtype=float)
    limit = limit or float(np.nanmax(np.abs(values), initial=0)) or 1.0
    return DIVERGING(Normalize(-limit, limit)(values))
