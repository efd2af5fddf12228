"""Refreshes what the repository keeps of the default run: figures, executed notebooks, claims.

What agrees with the committed numbers within their tolerance is left as it is, so that a run on another machine leaves
a clean checkout.
"""

import shutil
from pathlib import Path

import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.report import claims
from emotion_concepts.report.results import same_numbers
from emotion_suite import archive
from emotion_suite.reruns import source_hash
from emotion_suite.strip import commit_copy

README_MARKS = "<!-- claims -->", "<!-- end of claims -->"
PICTURES = (".png", ".svg", ".json")


def publish(out: Path, root: Path, chosen: list[Path], about: dict) -> None:
    """Bring figures, notebooks, the README's claims and ``results/`` up to the default run in ``out``."""
    kept = root / "results" / about["model"] / about["profile"]
    before = archive.load_claims(kept)
    table = archive.merged(before, out)
    changed = publish_figures(out, root / "figures", [p.stem[:2] for p in chosen])
    changed |= {nb for nb in claims.notebooks() if not archive.agree(_of(before, nb), _of(table, nb))}
    publish_notebooks(out, chosen, root, changed)
    if not archive.agree(before, table):
        publish_claims(table, root / "README.md")
        (root / "figures" / "claims.md").write_text(claims.markdown(table) + "\n")
    archive.keep(out, kept, about)


def _of(table: pd.DataFrame | None, notebook: str) -> pd.DataFrame | None:
    """The rows of one notebook's claims."""
    return None if table is None else table[table.id.str.startswith(f"{notebook}.")].reset_index(drop=True)


def publish_notebooks(out: Path, notebooks: list[Path], root: Path, changed: set[str]) -> None:
    """Refresh the committed notebooks whose numbers are ``changed`` or which hold no outputs of their present source.

    All are tried before the first problem is raised.
    """
    problems = []
    for path in notebooks:
        if path.stem[:2] not in changed and _is_current(path, out / path.name):
            continue
        try:
            commit_copy(out / path.name, path, root)
        except UserError as e:
            problems.append(str(e))
    if problems:
        raise UserError("; ".join(problems))


def _is_current(committed: Path, executed: Path) -> bool:
    """Whether a committed notebook holds outputs, made by the source that was just executed."""
    import nbformat

    nb = nbformat.read(committed, as_version=4)
    ran = any(c.cell_type == "code" and c.outputs for c in nb.cells)
    return ran and source_hash(committed) == source_hash(executed)


def publish_claims(table: pd.DataFrame, readme: Path) -> None:
    """Put the outcomes in short between the README's two marks; :class:`UserError` if it has none."""
    begin, end = README_MARKS
    before, mark, rest = (readme.read_text() if readme.exists() else "").partition(begin)
    _, closing, after = rest.partition(end)
    if not (mark and closing):
        raise UserError(f"{readme.name} needs the lines {begin} and {end}, between which the claims go")
    counts = table.verdict.value_counts()
    told = ", ".join(f"{counts[v]} {v}" for v in ("met", "missed", "no power", "not judged") if v in counts)
    short = claims.markdown(table[["id", "claim", "mark", "value", "null", "paper", "verdict"]])
    folded = f"<details><summary>{len(table)} claims: {told}</summary>\n\n{short}\n\n</details>"
    readme.write_text(f"{before}{begin}\n{folded}\n{end}{after}")


def publish_figures(out: Path, target: Path, numbers: list[str]) -> set[str]:
    """Bring ``target`` up to the figures that notebooks ``numbers`` saved in ``out``; the notebooks that changed."""
    target.mkdir(exist_ok=True)
    source, changed = out / "figures", set()
    made = {p.stem for p in source.glob("*.json")}
    for old in target.glob("[0-9][0-9]-*"):
        if old.name[:2] in numbers and old.stem not in made:
            old.unlink()
            changed.add(old.name[:2])
    for name in sorted(n for n in made if n[:2] in numbers):
        whole = all((target / f"{name}{s}").exists() for s in PICTURES)
        if whole and same_numbers(target / f"{name}.json", source / f"{name}.json"):
            continue
        changed.add(name[:2])
        for suffix in PICTURES:
            shutil.copyfile(source / f"{name}{suffix}", target / f"{name}{suffix}")
    return changed
