"""The same claims on several subjects, side by side with the paper."""

from functools import cache
from importlib.resources import files

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from emotion_concepts.report.claims import as_by_null, declared, for_subject, number
from emotion_concepts.report.plots import panels
from emotion_concepts.report.theme import NULL, PALETTE, style

NOT_ABOVE = "met, not above null"
VERDICTS = {
    "met": PALETTE[2], NOT_ABOVE: PALETTE[4], "missed": PALETTE[1], "no power": NULL, "not judged": "white",
}  # fmt: skip


@cache
def main_claims() -> pd.DataFrame:
    """The claims that are held beside the paper: title, id, real (the id for real models), paper (number or NaN)."""
    table = pd.DataFrame(yaml.safe_load((files("emotion_concepts") / "report" / "main_claims.yaml").read_text()))
    return table.assign(real=table.real.fillna(table.id))


def marks() -> pd.Series:
    """What each main claim asks for, by its title; "A / B" where models whose texts others wrote have a mark B."""
    found = {}
    for claim in main_claims().itertuples():
        own, real = (declared(number(id))[id] for id in (claim.id, claim.real))
        both = dict.fromkeys([own.mark, for_subject(real, known_world=False).mark])
        found[claim.title] = " / ".join(both).replace(">=", "≥").replace("<=", "≤").replace("abs ", "|x| ")
    return pd.Series(found)


def side_by_side(tables: dict[str, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Values (claims, subjects) and verdicts of the main claims; ``tables``: claims tables by subject.

    Where a claim has one id for the shipped model and another for real ones, the one that was judged counts.
    """
    rows, verdicts = [], []
    for claim in main_claims().itertuples():
        found = {name: _judged(t.set_index("id"), claim) for name, t in tables.items()}
        rows.append({name: np.nan if r is None else r.value for name, r in found.items()})
        verdicts.append({name: "not judged" if r is None else _verdict(r) for name, r in found.items()})
    titles = main_claims().title
    return pd.DataFrame(rows, index=titles, dtype=float), pd.DataFrame(verdicts, index=titles)


def _verdict(row: pd.Series) -> str:
    """The verdict, and of a mark that is met whether its null reaches as high."""
    within = row.verdict == "met" and as_by_null(row.mark, row.value, row.interval, row.null)
    return NOT_ABOVE if within else row.verdict


def _judged(table: pd.DataFrame, claim) -> pd.Series | None:
    rows = [table.loc[i] for i in dict.fromkeys([claim.real, claim.id]) if i in table.index]
    return next((r for r in rows if r.verdict != "not judged"), None)


def verdict_table(values: pd.DataFrame, verdicts: pd.DataFrame) -> Figure:
    """The main claims as a table: mark, the paper's number, then each subject's value on the colour of its verdict."""
    style()
    columns, asked, paper = ["mark", "paper", *values.columns], marks(), main_claims().set_index("title").paper
    fig, (ax,) = panels(1, 1, (2.9 + 1.15 * len(columns), 0.6 + 0.3 * len(values)))
    for i, title in enumerate(values.index):
        cells = [(asked[title], "white"), (_short(paper[title]), "white")]
        for subject in values.columns:
            cells.append((_short(values.loc[title, subject]) or "–", VERDICTS[verdicts.loc[title, subject]]))
        for j, (text, colour) in enumerate(cells):
            ax.add_patch(_cell(j, i, colour))
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8)
    ax.set(xlim=(0, len(columns)), ylim=(len(values), 0))
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns, rotation=30, ha="left", fontsize=8)
    ax.xaxis.tick_top()
    ax.set_yticks(np.arange(len(values)) + 0.5, values.index, fontsize=8)
    ax.tick_params(length=0)
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    handles = [_cell(0, 0, VERDICTS[v]) for v in VERDICTS]
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01), "ncols": 5, "frameon": False, "fontsize": 8}
    ax.legend(handles, list(VERDICTS), **below)
    return fig


def _short(value: float) -> str:
    return "" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _cell(x: float, y: float, colour: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x + 0.03, y + 0.06), 0.94, 0.88, facecolor=colour, alpha=0.45, edgecolor="0.7", linewidth=0.5)
