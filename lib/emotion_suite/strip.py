"""Makes executed notebooks fit to be committed: same run, same file; small outputs; no timings or machine paths."""

import re
from pathlib import Path

import nbformat

from emotion_concepts.errors import UserError

LIMIT = 240_000  # bytes
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
STYLER = re.compile(r"\bT_[0-9a-f]{5}(?=[_\" {])")  # pandas names each styled table at random


def _quiet(text: str, root: str | None) -> str:
    """A text output without memory addresses and without this machine's path to the repository."""
    text = ADDRESS.sub("", text)
    return text.replace(root + "/", "").replace(root, ".") if root else text


def _outputs(cell, names: dict[str, str], root: str | None) -> list:
    """A cell's outputs without progress bars, warnings, widgets and random names; split streams joined."""
    kept: list = []
    for o in cell.outputs:
        if o.output_type == "stream":
            if o.name == "stderr":
                continue
            text = _quiet(o.text, root)
            if kept and kept[-1].output_type == "stream":  # the kernel splits a print wherever it likes
                kept[-1]["text"] += text
            else:
                kept.append(nbformat.v4.new_output("stream", name=o.name, text=text))
            continue
        if o.output_type == "error":
            raise UserError(f"a cell ended in {o.ename}; a failed notebook is not committed")
        data = {k: v for k, v in o.data.items() if "jupyter.widget" not in k}
        if not data or (data != dict(o.data) and set(data) == {"text/plain"}):  # nothing but a widget
            continue
        for kind, value in data.items():
            if not isinstance(value, str) or kind.startswith("image/"):
                continue
            value = _quiet(value, root)
            for name in STYLER.findall(value) if kind == "text/html" else ():
                names.setdefault(name, f"T_{len(names):05d}")
            data[kind] = STYLER.sub(lambda m: names.get(m.group(), m.group()), value)
        kept.append(nbformat.from_dict({"output_type": o.output_type, "data": data, "metadata": {}}))
    return kept


def strip(nb: nbformat.NotebookNode, root: str | None = None) -> nbformat.NotebookNode:
    """Drop what changes from run to run (timings, versions, papermill's traces, stderr, random names), in place.

    Cells are numbered anew, papermill's own cell is taken out; ``root``: a path that outputs must not show.
    """
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    nb.cells = [c for c in nb.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    names: dict[str, str] = {}
    count = 0
    for i, cell in enumerate(nb.cells):
        cell["id"] = f"cell-{i:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
        if cell.cell_type != "code":
            continue
        cell.outputs = _outputs(cell, names, root)
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        for o in cell.outputs:
            if o.output_type == "execute_result":
                o["execution_count"] = cell.execution_count
    nb.nbformat, nb.nbformat_minor = 4, max(nb.nbformat_minor, 5)
    return nb


def commit_copy(executed: Path, target: Path, root: Path | None = None) -> None:
    """Write a stripped copy of an executed notebook; :class:`UserError` if it is larger than 240 KB."""
    nb = strip(nbformat.read(executed, as_version=4), str(root) if root else None)
    text = nbformat.writes(nb) + "\n"
    size = len(text.encode())
    if size > LIMIT:
        raise UserError(f"{target.name} would hold {size // 1000} KB; show less in it (limit {LIMIT // 1000} KB)")
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
