"""Every figure and table of the paper, what of it the suite reproduces, and where (data: ``registry.yaml``)."""

import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
import yaml

from emotion_concepts.errors import UserError
from emotion_concepts.texts.published import paper_figures

FIGURES, TABLES = 86, 17  # in the paper
STATUSES = ("done", "other form", "planned", "out")


@dataclass(frozen=True)
class Entry:
    """One figure, table or unnumbered result of the paper."""

    kind: str  # figure, table or result
    number: int | None  # None for results that the paper gives in its text only
    content: str
    status: str
    notebook: str | None = None
    function: str | None = None  # dotted name of what computes it
    numbers: str | None = None  # its key in data/paper_figures.json, where the paper's numbers are held
    why: str = ""  # for another form or what is out; what is done may tell a small difference

    @property
    def name(self) -> str:
        """Such as "figure 4"."""
        return f"{self.kind} {self.number}" if self.number else self.content


def parse(text: str) -> tuple[Entry, ...]:
    """Entries of a registry in YAML, in order; :class:`UserError` for a gap, a double or a faulty entry."""
    raw = yaml.safe_load(text)
    try:
        found = [Entry("result", None, **row) for row in raw["results"]]
        for kind in ("figures", "tables"):
            found += [Entry(kind[:-1], number, **row) for number, row in raw[kind].items()]
            for group in raw["out"]:  # out for one reason: number -> content
                alike = group.get(kind, {}).items()
                found += [Entry(kind[:-1], n, content, "out", why=group["why"]) for n, content in alike]
    except (TypeError, KeyError, AttributeError) as e:
        raise UserError(f"registry.yaml is faulty: {e}") from e
    for kind, total in (("figure", FIGURES), ("table", TABLES)):
        count = Counter(e.number for e in found if e.kind == kind)
        wrong = [n for n in set(range(1, total + 1)) | set(count) if count[n] != 1 or not 1 <= n <= total]
        if wrong:
            raise UserError(f"registry.yaml must list each {kind} 1 to {total} once; look at {sorted(wrong)}")
    for e in found:
        if e.status not in STATUSES:
            raise UserError(f"registry.yaml: {e.name} has status {e.status!r}; use one of {', '.join(STATUSES)}")
        if e.status == "done" and not (e.notebook and e.function):
            raise UserError(f"registry.yaml: {e.name} is done, so it needs a notebook and a function")
        if e.status == "planned" and not e.notebook:
            raise UserError(f"registry.yaml: {e.name} is planned, so it needs its notebook")
        if e.status in ("other form", "out") and not e.why:
            raise UserError(f"registry.yaml: {e.name} is {e.status!r}, so it needs a why")
        if e.numbers and e.numbers not in paper_figures():
            raise UserError(f"registry.yaml: {e.name} names {e.numbers!r}, which data/paper_figures.json does not hold")
    order = {"figure": 0, "table": 1, "result": 2}
    return tuple(sorted(found, key=lambda e: (order[e.kind], e.number or 0)))


@cache
def entries() -> tuple[Entry, ...]:
    """The shipped registry: figures, tables, then results without a number."""
    return parse((files("emotion_suite") / "registry.yaml").read_text())


def figure(number: int | str) -> Entry:
    """A figure's entry; panels count as their figure (``"4b"``); :class:`UserError` for one the paper lacks."""
    found = re.match(r"^(\d+)[a-z]?$", str(number))
    match = [e for e in entries() if e.kind == "figure" and found and e.number == int(found.group(1))]
    if not match:
        raise UserError(f"the paper has no figure {number!r}; it has figures 1 to {FIGURES}")
    return match[0]


def resolve(entry: Entry) -> Callable:
    """The function that computes an entry; :class:`UserError` if the registry names one that does not exist."""
    module, _, name = (entry.function or "").rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as e:
        raise UserError(f"registry.yaml: {entry.name} names {entry.function!r}, which does not exist") from e


def table() -> pd.DataFrame:
    """The registry as a table: what, content, status, notebook, function, why."""
    rows = [
        {"what": e.name if e.number else "result", "content": e.content, "status": e.status,
         "notebook": e.notebook or "", "function": e.function or "", "why": e.why}
        for e in entries()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def summary() -> pd.DataFrame:
    """How many figures, tables and results stand at each status."""
    counts = Counter((e.kind, e.status) for e in entries())
    kinds = ("figure", "table", "result")
    return pd.DataFrame([[counts[k, s] for s in STATUSES] for k in kinds], index=kinds, columns=STATUSES)


def saved(out) -> dict[str, list[int]]:
    """The paper's figures that each saved figure of a run folder names in its JSON, by the figure's name.

    See :func:`emotion_concepts.report.results.save_figure`; naming one that the paper lacks is a :class:`UserError`.
    """
    held = {}
    for path in sorted((Path(out) / "figures").glob("*.json")):
        named = json.loads(path.read_text()).get("paper_figure")
        named = named if isinstance(named, list) else [named]
        held[path.stem] = [figure(n).number for n in named if n is not None]
    return held


def missing(out, notebooks) -> list[str]:
    """Done figures of the given notebooks that no saved figure of a run folder names, one line each (empty: none)."""
    held = {n for numbers in saved(out).values() for n in numbers}
    due = [e for e in entries() if e.kind == "figure" and e.status == "done" and e.notebook in set(notebooks)]
    return [f"figure {e.number} ({e.content}): notebook {e.notebook} saved none" for e in due if e.number not in held]


def misnamed(out) -> list[str]:
    """Saved figures of a run folder that name one which is out, or which belongs to another notebook, one line each."""
    wrong = []
    for name, numbers in saved(out).items():
        for e in map(figure, numbers):
            if e.status == "out" or e.notebook != name[:2]:
                at = f" of notebook {e.notebook}" if e.notebook else ""
                wrong.append(f"{name} names figure {e.number}, which is {e.status!r}{at}")
    return wrong


def main() -> int:
    """``python -m emotion_suite.registry``: print the counts and the registry as Markdown."""
    from emotion_concepts.report.claims import markdown

    print(markdown(summary().reset_index(names="")), markdown(table()), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
