"""``./run_all.sh compare A B ...``: the same claims on several subjects, side by side with the paper.

The main claims of notebook 13 come first, then all.
"""

from pathlib import Path

import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.report import across, claims
from emotion_suite import archive


def resolve(name: str, root: Path) -> Path:
    """The folder of a kept result (``smollm2-135m``, ``smollm2-135m/quick``), or a run folder by its path."""
    kept = archive.folders(root)
    if name in kept:
        return kept[name]
    if archive.load_claims(Path(name).expanduser()) is not None:
        return Path(name).expanduser()
    raise UserError(f"no results called {name!r}; there is {', '.join(kept) or 'none'}, or give the folder of a run")


def table(runs: dict[str, Path]) -> pd.DataFrame:
    """One row a claim, one column a run: value and verdict, or why there is none; with mark and the paper's number."""
    tables = {name: archive.load_claims(folder).set_index("id") for name, folder in runs.items()}
    every = dict.fromkeys(id for t in tables.values() for id in t.index)
    rows = []
    for id in sorted(every):
        about = next(t.loc[id] for t in tables.values() if id in t.index)
        marks = dict.fromkeys(t.loc[id].mark for t in tables.values() if id in t.index)
        cells = {name: _cell(t.loc[id]) if id in t.index else "" for name, t in tables.items()}
        rows.append({"id": id, "claim": about.claim, "mark": " / ".join(marks), "paper": about.paper} | cells)
    return pd.DataFrame(rows)


def main_table(runs: dict[str, Path]) -> pd.DataFrame:
    """The main claims: mark, the paper's number, and each run's value with its verdict."""
    values, verdicts = across.side_by_side({name: archive.load_claims(folder) for name, folder in runs.items()})
    told = {
        name: [f"{v:.2f} {what}" if v == v else what for v, what in zip(values[name], verdicts[name])] for name in runs
    }
    about = across.main_claims()
    return pd.DataFrame({"main claim": about.title, "mark": across.marks().to_numpy(), "paper": about.paper} | told)


def _cell(row: pd.Series) -> str:
    value = "" if pd.isna(row.value) else f"{row.value:.3g} "
    return value + (row.verdict if row.verdict != "not judged" else f"– {row.note}" if row.note else "not judged")


def main(names: list[str], root: Path) -> int:
    """Print the table of the named results; without names, of all that are kept."""
    names = names or list(archive.folders(root))
    if not names:
        raise UserError("no results are kept yet; run a model with --keep, or name run folders")
    runs = {name: resolve(name, root) for name in names}
    print(claims.markdown(main_table(runs)), claims.markdown(table(runs)), sep="\n\n")
    return 0
