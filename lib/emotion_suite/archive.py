"""Results of runs that are kept in the repository: claims, the numbers behind figures, versions, minutes, hardware.

``results/<model>/<profile>/`` holds ``run.json``, ``claims.json`` and ``figures/*.json``; no weights, no pictures.
Notebook 13 and ``./run_all.sh compare`` read these files alone.
"""

import json
import os
import platform
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.report import claims
from emotion_concepts.report.results import cpu_kind, plain, same_numbers
from emotion_suite.profiles import settings
from emotion_suite.reruns import Record

# what numbers depend on, beside model and profile
OPTIONS = ("base", "dtype", "device", "system", "stories", "writer", "writer_model", "param")
TIMED = ("09.cost",)  # claims on a speed
PACKAGES = ("torch", "transformers", "numpy", "scikit-learn")


def short_name(model: str) -> str:
    """A model's name without folders or file ending, under which its results are kept."""
    return Path(model.removesuffix(".gguf")).name


def hardware() -> dict:
    """What this machine computes with."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "cpu": cpu_kind(), "cores": os.cpu_count(), "memory_gib": memory and round(memory), "gpu": gpu,
        "system": platform.system(),
    }  # fmt: skip


def record(out: Path, model: str, profile: str, options: dict) -> dict:
    """What a finished run folder says of itself: model, sizes, options, versions, hardware, minutes by notebook."""
    rows = [Record.load(out, p.stem) for p in sorted((out / ".records").glob("[0-9][0-9]-*.json"))]
    subject = claims.subject_of(out)
    return {
        "model": model,
        "model_id": claims.model_of(out, claims.notebooks()),
        **subject,
        "profile": profile,
        "sizes": dict(settings(profile, shipped=subject.get("world", True))),
        "options": {k: _told(options[k]) for k in OPTIONS if options.get(k) not in (None, "", [])},
        "versions": {p: version(p) for p in PACKAGES} | {"python": platform.python_version()},
        "hardware": hardware(),
        "minutes": {r.notebook: round(r.minutes, 2) for r in rows if r.done},
    }


def _told(option):
    """An option as others can read it: of a path on this machine the name alone."""
    return short_name(option) if isinstance(option, str) and os.sep in option and Path(option).exists() else option


def keep(out: Path, target: Path, about: dict) -> None:
    """Copy a run's numbers to ``target``; files whose numbers agree with what stands there are left as they are."""
    (target / "figures").mkdir(parents=True, exist_ok=True)
    new, ran = {p.name for p in (out / "figures").glob("*.json")}, {p.stem for p in (out / "claims").glob("*.json")}
    for old in (target / "figures").glob("*.json"):
        if old.name[:2] in ran and old.name not in new:
            old.unlink()
    for name in sorted(new):
        source, kept = out / "figures" / name, target / "figures" / name
        if not (kept.exists() and same_numbers(kept, source)):
            shutil.copyfile(source, kept)
    before = load_claims(target)
    table = merged(before, out)
    if agree(before, table) and (target / "run.json").exists():
        return
    _write(target / "claims.json", plain(table.to_dict("records")))
    _write(target / "run.json", joined(load_run(target), about))


def joined(before: dict, about: dict) -> dict:
    """What a run says of itself, with the minutes of notebooks that it did not run anew as they were ``before``."""
    return before | about | {"minutes": dict(sorted((before.get("minutes", {}) | about["minutes"]).items()))}


def merged(before: pd.DataFrame | None, out: Path) -> pd.DataFrame:
    """The claims of a run folder; those of notebooks that it does not hold as they were ``before``."""
    table, ran = claims.collect(out), {p.stem for p in (out / "claims").glob("*.json")}
    if before is None:
        return table
    kept = before.set_index("id").to_dict("index")
    rows = [
        {"id": id} | kept[id] if (id := r["id"])[:2] not in ran and kept.get(id, {}).get("mark") == r["mark"] else r
        for r in table.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=claims.COLUMNS)


def _write(path: Path, data) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def load_claims(folder: Path) -> pd.DataFrame | None:
    """The claims of kept results, or of a run folder; None where there are none."""
    folder = Path(folder)
    if (folder / "claims.json").exists():
        return pd.DataFrame(_read(folder / "claims.json"), columns=claims.COLUMNS)
    return claims.collect(folder) if (folder / "claims").is_dir() else None


def load_run(folder: Path) -> dict:
    """What kept results say of their run; empty where they say nothing."""
    return _read(Path(folder) / "run.json") if (Path(folder) / "run.json").exists() else {}


def load_numbers(folder: Path, figure: str) -> dict | None:
    """The numbers behind a figure of kept results, None where that run did not draw it."""
    path = Path(folder) / "figures" / f"{figure}.json"
    return _read(path)["data"] if path.exists() else None


def _read(path: Path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as e:
        raise UserError(f"{path} cannot be read; restore it with git or run that model again") from e


def agree(old: pd.DataFrame | None, new: pd.DataFrame) -> bool:
    """Whether two claims tables say the same: the same claims, marks and verdicts, and values within the tolerance.

    Numbers in notes are not compared, and no speed is: it is another one each time (``TIMED``).
    """
    if old is None or len(old) != len(new):
        return False
    one, other = (t[["id", "mark", "verdict"]].assign(note=t.note.map(_words)).fillna("") for t in (old, new))
    if one.ne(other).any(axis=None):
        return False
    steady = ~old.id.isin(TIMED)
    return bool(compare_values(old.value[steady], new.value[steady]))


def _words(note) -> str:
    """A note without its numbers."""
    return re.sub(r"-?\d*\.?\d+(e-?\d+)?", "#", note) if isinstance(note, str) else ""


def compare_values(a: pd.Series, b: pd.Series, rtol: float = 1e-2, atol: float = 1e-3) -> bool:
    """Whether two columns of values agree, missing ones included."""
    a, b = pd.to_numeric(a).to_numpy(float), pd.to_numeric(b).to_numpy(float)
    near = abs(a - b) <= atol + rtol * abs(a)
    return bool((near | ((a != a) & (b != b))).all())


def title(model: str, profile: str) -> str:
    """What a run is called beside others: its model, and its profile where that is not the default one."""
    return short_name(model) if profile == "default" else f"{short_name(model)}/{profile}"


def folders(root: Path) -> dict[str, Path]:
    """Every kept run below ``root``, by its :func:`title`."""
    return {title(*path.parent.parts[-2:]): path.parent for path in sorted(root.glob("*/*/claims.json"))}
