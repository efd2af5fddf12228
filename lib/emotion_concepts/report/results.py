"""Figures kept as PNG, SVG and the numbers that they show; runs are compared by the numbers, never by pixels."""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch

from emotion_concepts.errors import UserError

DIGITS = 5  # significant digits kept of a plotted number
DPI = 110
RTOL, ATOL = 1e-2, 1e-3  # between runs on one kind of CPU; a figure may carry its own
# Another kind of CPU rounds otherwise, sampled texts then part at some token, and all that is read from them shifts.
FAR_RTOL, FAR_ATOL, FAR_SHARE = 0.3, 0.1, 0.2


def plain(data):
    """``data`` (dict, list, array, table, number, text) as JSON values: 5 significant digits, NaN and Inf as null."""
    if isinstance(data, pd.DataFrame):
        named = not isinstance(data.index, pd.RangeIndex)  # a default index says nothing
        return plain((data.reset_index() if named else data).to_dict("list"))
    if isinstance(data, pd.Series):
        return plain({str(k): v for k, v in data.items()})
    if isinstance(data, dict):
        return {str(k): plain(v) for k, v in data.items()}
    if isinstance(data, np.ndarray):
        return plain(data.tolist())
    if isinstance(data, (list, tuple, set, range)) or (hasattr(data, "__iter__") and not isinstance(data, str)):
        return [plain(v) for v in (sorted(data) if isinstance(data, set) else data)]
    if data is None or data is pd.NA or isinstance(data, (str, bool)):
        return None if data is pd.NA else data
    if isinstance(data, np.bool_):
        return bool(data)
    if isinstance(data, (int, np.integer)):
        return int(data)
    if isinstance(data, (float, np.floating)):
        value = float(data)
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    raise UserError(f"a figure's numbers cannot hold {type(data).__name__}; pass numbers, text, lists or tables")


def cpu_kind() -> str:
    """What decides how this machine rounds: the instructions in use and the processor's maker, family and model."""
    keys, told = ("vendor_id", "cpu family", "model"), {}
    if Path("/proc/cpuinfo").exists():
        rows = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
        told = {k.strip(): v.strip() for k, _, v in rows if k.strip() in keys}
    where = [told[k] for k in keys if k in told] or [platform.machine(), platform.processor()]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *where])


def writable(folder: Path) -> Path:
    """A folder, made and tried; :class:`UserError` if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        raise UserError(f"cannot write to {folder}: {e.strerror}; choose another --out") from e
    return folder


def save_figure(
    fig, name: str, data, out, caption: str, paper_figure: int | str | None = None, tolerance: dict | None = None,
    nondeterministic: bool | list[str] = False,
) -> Path:  # fmt: skip
    """Write ``<out>/figures/<name>.png``, ``.svg`` and ``.json`` and return the PNG's path; the figure is closed.

    ``data``: every plotted number (dict of lists, or table); ``tolerance``: {"rtol": .., "atol": ..} where the default
    of :func:`compare_figures` does not fit; ``nondeterministic``: True, or the keys of ``data`` (UMAP coordinates, say)
    of which only names and sizes are compared. Equal input gives equal SVG bytes.
    """
    if not name or any(c in name for c in "/\\. "):
        raise UserError(f"figure name {name!r} must be one word without slash, dot or space, like 03-cosine-map")
    record = {"name": name, "caption": caption, "paper_figure": paper_figure, "cpu": cpu_kind(), "data": plain(data)}
    if tolerance:
        if set(tolerance) - {"rtol", "atol"}:
            raise UserError(f"tolerance of figure {name} may hold rtol and atol only, got {sorted(tolerance)}")
        record["tolerance"] = plain(tolerance)
    if nondeterministic:
        if nondeterministic is not True and (missing := set(nondeterministic) - set(record["data"])):
            raise UserError(f"figure {name} has no data called {sorted(missing)}; it has {sorted(record['data'])}")
        record["nondeterministic"] = True if nondeterministic is True else sorted(nondeterministic)
    folder = Path(out) / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context({"svg.hashsalt": name}):  # without it the SVG's ids are random
            fig.savefig(folder / f"{name}.png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
            fig.savefig(folder / f"{name}.svg", dpi=DPI, bbox_inches="tight", metadata={"Date": None})
        part = folder / f"{name}.json.part"
        part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        os.replace(part, folder / f"{name}.json")
    except OSError as e:
        raise UserError(f"cannot write figure {name} to {folder}: {e.strerror}; choose another --out") from e
    if fig.canvas.manager is not None:  # made by pyplot, which would keep it and show it a second time in a notebook
        import matplotlib.pyplot as plt

        plt.close(fig)
    return folder / f"{name}.png"


def load_figure(path) -> dict:
    """The JSON record of a figure; :class:`UserError` if it is damaged or not one of ours."""
    try:
        record = json.loads(Path(path).read_text())
        record["data"], record["name"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f"{path} is not a readable figure record; run its notebook again") from e
    return record


def _differences(a, b, rtol: float, atol: float, where: str, loose: bool) -> list[str]:
    """Differences of two JSON values; ``loose`` compares names, sizes and kinds alone."""
    number = (int, float)
    if isinstance(a, dict) and isinstance(b, dict):
        found = [f"{where}: only in one of them: {', '.join(sorted(set(a) ^ set(b)))}"] if set(a) != set(b) else []
        shared = [k for k in a if k in b]
        return found + [d for k in shared for d in _differences(a[k], b[k], rtol, atol, f"{where}.{k}", loose)]
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return [f"{where}: {len(a)} values against {len(b)}"]
        pairs = enumerate(zip(a, b, strict=True))
        return [d for i, (x, y) in pairs for d in _differences(x, y, rtol, atol, f"{where}[{i}]", loose)]
    if isinstance(a, number) and isinstance(b, number) and not isinstance(a, bool) and not isinstance(b, bool):
        same = loose or abs(a - b) <= atol + rtol * max(abs(a), abs(b))
        return [] if same else [f"{where}: {a:g} against {b:g}"]
    if loose and type(a) is type(b):
        return []
    return [] if a == b and type(a) is type(b) else [f"{where}: {a!r} against {b!r}"]


def _apart(a, b) -> tuple[int, int]:
    """How many numbers of two JSON values lie far apart, and how many there are; words and sizes are not looked at."""
    if isinstance(a, dict) and isinstance(b, dict):
        pairs = [(a[k], b[k]) for k in a if k in b]
    elif isinstance(a, list) and isinstance(b, list):
        pairs = list(zip(a, b))
    elif isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return int(abs(a - b) > FAR_ATOL + FAR_RTOL * max(abs(a), abs(b))), 1
    else:
        return 0, 0
    counts = [_apart(x, y) for x, y in pairs]
    return sum(far for far, _ in counts), sum(n for _, n in counts)


def _across_cpus(name: str, a: dict, b: dict) -> list[str]:
    """The coarse comparison of one figure made on two kinds of CPU: the same parts, and most numbers near."""
    x, y = a["data"], b["data"]
    if isinstance(x, dict) and isinstance(y, dict):
        if set(x) != set(y):
            return [f"{name}: only in one of them: {', '.join(sorted(set(x) ^ set(y)))}"]
        loose = a.get("nondeterministic", False)
        if loose is True:
            return []
        x, y = ({k: v for k, v in d.items() if k not in (loose or [])} for d in (x, y))
    far, n = _apart(x, y)
    return [f"{name}: {far} of {n} numbers are far from those of another kind of CPU"] if far > FAR_SHARE * n else []


def compare_figures(dir_a, dir_b, rtol: float = RTOL, atol: float = ATOL) -> list[str]:
    """Differences between the figure JSONs of two folders, one line each; empty when they agree.

    Two numbers agree when they differ by at most ``atol + rtol * larger``; the reference's (``dir_a``) own tolerance
    wins. A figure in one folder only is a difference. Where the two were made on different kinds of CPU, sampled texts
    differ: then most numbers (all but :data:`FAR_SHARE`) must be near, and no more is asked.
    """
    folders = [Path(dir_a), Path(dir_b)]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder; pass two folders of figure JSONs")
    names = [{p.stem for p in folder.glob("*.json")} for folder in folders]
    if not names[0] and not names[1]:
        raise UserError(f"neither {folders[0]} nor {folders[1]} holds a figure JSON; nothing was compared")
    found = [f"{n}: only in {folders[0]}" for n in sorted(names[0] - names[1])]
    found += [f"{n}: only in {folders[1]}" for n in sorted(names[1] - names[0])]
    for name in sorted(names[0] & names[1]):
        found += _compare(*(load_figure(folder / f"{name}.json") for folder in folders), rtol, atol)
    return found


def _compare(a: dict, b: dict, rtol: float, atol: float) -> list[str]:
    """Differences between two records of one figure."""
    name, loose = a["name"], a.get("nondeterministic", False)
    if a.get("cpu") != b.get("cpu"):
        return _across_cpus(name, a, b)
    own = {"rtol": rtol, "atol": atol} | a.get("tolerance", {})
    if loose is True or not isinstance(a["data"], dict) or not isinstance(b["data"], dict):
        return _differences(a["data"], b["data"], **own, where=name, loose=loose is True)
    strict = [{k: v for k, v in r["data"].items() if k not in (loose or [])} for r in (a, b)]
    found = _differences(*strict, **own, where=name, loose=False)
    for key in loose or []:
        found += _differences(a["data"].get(key), b["data"].get(key), **own, where=f"{name}.{key}", loose=True)
    return found


def same_numbers(old: Path, new: Path) -> bool:
    """Whether two records of one figure show the same: captions alike, numbers within the tolerance."""
    a, b = load_figure(old), load_figure(new)
    words = ("name", "caption", "paper_figure", "tolerance", "nondeterministic")
    return all(a.get(k) == b.get(k) for k in words) and not _compare(a, b, RTOL, ATOL)


def main(argv=None) -> int:
    """``python -m emotion_concepts.report.results compare A B``: print the differences; 1 if any, 2 on bad input."""
    parser = argparse.ArgumentParser(prog="python -m emotion_concepts.report.results", description=__doc__)
    compare = parser.add_subparsers(dest="command", required=True).add_parser("compare", help="compare two folders")
    compare.add_argument("a", help="reference folder of figure JSONs")
    compare.add_argument("b", help="folder to hold against it")
    compare.add_argument("--rtol", type=float, default=RTOL)
    compare.add_argument("--atol", type=float, default=ATOL)
    args = parser.parse_args(argv)
    try:
        found = compare_figures(args.a, args.b, args.rtol, args.atol)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print("\n".join(found) if found else f"figures in {args.a} and {args.b} agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
