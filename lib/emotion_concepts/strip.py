"""Makes executed notebooks fit to be committed: same run, same file; small outputs; no timings or machine paths."""

import json
import re
from pathlib import Path

import nbformat

from .errors import UserError

LIMIT = 200_000  # bytes
KEEP = {"kernelspec", "language_info"}


def strip(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop progress bars, warnings on stderr, timings and execution metadata, in place."""
    nb.metadata = nbformat.from_dict({k: v for k, v in nb.metadata.items() if k in KEEP})
    nb.metadata["language_info"] = {"name": "python"}
    for i, cell in enumerate(nb.cells):
        cell["id"] = f"cell-{i:02d}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
        if cell.cell_type != "code":
            continue
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for o in cell.outputs:
            o.pop("execution_count", None) if o.output_type != "execute_result" else None
            o["metadata"] = nbformat.from_dict({}) if "metadata" in o else o.get("metadata")
            if o.get("metadata") is None:
                o.pop("metadata", None)
            data = o.get("data", {})
            data.pop("application/vnd.jupyter.widget-view+json", None)
            if "text/plain" in data:
                data["text/plain"] = re.sub(r" at 0x[0-9a-f]+", "", data["text/plain"])
    nb.cells = [c for c in nb.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    return nb


def commit_copy(executed: Path, target: Path) -> None:
    """Write a stripped copy of an executed notebook; :class:`UserError` if it is larger than 200 KB."""
    nb = strip(nbformat.read(executed, as_version=4))
    text = json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    if len(text.encode()) > LIMIT:
        raise UserError(f"{target.name} would hold {len(text) // 1000} KB of outputs; show less in it (limit 200 KB)")
    target.write_text(text)
