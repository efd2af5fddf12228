"""Which notebooks need not run again: a record beside the results says of what they were made.

A notebook's key covers its source, the library, its parameters, the model and what earlier notebooks wrote for it.
"""

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from emotion_concepts.lm.models import configuration
from emotion_concepts.lm.zoo import locate
from emotion_suite.notebook import DISCOVERY
from emotion_suite.parameters import read

# What numbers depend on; of the suite only what notebooks open with and the sizes of a run.
SOURCES = ("emotion_concepts/**/*", "organism/**/*", "emotion_suite/notebook.py", "emotion_suite/profiles.*")


@cache
def _content(path: Path, size: int, mtime_ns: int) -> bytes:
    """SHA-256 of a whole file; size and time are there so that this process reads an unchanged one only once."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").digest()


def _digest(paths, root: Path) -> str:
    h = hashlib.sha256()
    for path in sorted(paths):
        h.update(path.relative_to(root).as_posix().encode() + b"\0")
        stat = path.stat()
        h.update(_content(path.absolute(), stat.st_size, stat.st_mtime_ns))
    return h.hexdigest()


def folder_digest(folder: Path) -> str:
    """Digest of all files below a folder; of a missing folder that of none."""
    return _digest((p for p in folder.rglob("*") if p.is_file()), folder)


def model_fingerprint(name: str) -> str:
    """Digest of a model without loading its weights; :class:`UserError` if it cannot be had or is no causal model."""
    source = locate(name)
    folder, config = Path(source.path), configuration(source, name)
    if folder.is_dir():
        return _digest((p for p in folder.glob("*") if p.is_file() and p.suffix != ".md"), folder)
    return f"{source.path}@{getattr(config, '_commit_hash', None)}"


def library_hash(lib: Path) -> str:
    """Digest of the sources and data of both packages (their weights count through the model), and of key libraries."""
    files = [
        p
        for pattern in SOURCES
        for p in lib.glob(pattern)
        if p.is_file() and p.suffix in {".py", ".yaml", ".json", ".csv", ".txt"}
    ]
    return _digest(files, lib) + ",".join(f"{p} {version(p)}" for p in ("torch", "transformers", "numpy"))


def source_hash(notebook: Path) -> str:
    """Digest of a notebook's cells, outputs and papermill's own cell left out."""
    cells = [[c.cell_type, c.source, sorted(c.metadata.get("tags", []))] for c in read(notebook).cells]
    cells = [c for c in cells if "injected-parameters" not in c[2]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def files_of(out: Path) -> dict[str, tuple[int, int]]:
    """The files of a run folder with time and size, but for records and stores of activations."""
    found = {}
    for folder, subfolders, names in os.walk(out):
        if Path(folder) == out:
            subfolders[:] = [s for s in subfolders if s not in (".records", "stores")]
        for name in names:
            path = Path(folder) / name
            try:
                stat = path.stat()
            except FileNotFoundError:  # another notebook at work has just renamed or deleted it
                continue
            found[path.relative_to(out).as_posix()] = (stat.st_mtime_ns, stat.st_size)
    return found


def _owner(name: str) -> str:
    """The number of the notebook that writes files of this name."""
    number = Path(name).name[:2]
    return number if number.isdigit() else DISCOVERY


def weights(name: str) -> float:
    """Bytes of a model's weights on this disk; infinite for one that is still to be fetched from the hub."""
    folder = Path(locate(name).path)
    if not folder.is_dir():
        return float("inf")
    return sum(p.stat().st_size for pattern in ("*.safetensors", "*.bin") for p in folder.glob(pattern))


@dataclass
class Record:
    """What became of one notebook in a run folder; kept in ``.records/NN-name.json``."""

    notebook: str
    key: str = ""
    model: str = ""  # fingerprint of the subject that it ran on
    done: bool = False
    minutes: float = 0.0
    outputs: dict[str, str] = field(default_factory=dict)  # file -> digest

    @classmethod
    def load(cls, out: Path, notebook: str) -> "Record":
        """The notebook's record; an empty one if there is none or it cannot be read."""
        try:
            return cls(**json.loads((out / ".records" / f"{notebook}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return cls(notebook)  # the notebook is simply run again

    def save(self, out: Path) -> None:
        """Write the record, all or nothing."""
        path = out / ".records" / f"{self.notebook}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=1) + "\n")
        os.replace(part, path)

    def note_outputs(self, out: Path, before: dict) -> None:
        """Take as outputs every file that is new or changed since ``before``, beside earlier ones that still stand.

        Others may be at work in the same folder: a file belongs to the notebook whose number its name begins with, one
        without a number to the notebook of discovery.
        """
        now = files_of(out)
        changed = {n for n, stamp in now.items() if before.get(n) != stamp and _owner(n) == self.notebook[:2]}
        self.outputs = {n: _digest([out / n], out) for n in sorted(changed | (set(self.outputs) & set(now)))}

    def is_current(self, out: Path, key: str) -> bool:
        """Whether the notebook ran to its end under this key and all that it wrote is still there, unchanged."""
        return (
            self.done
            and self.key == key
            and all((out / n).is_file() and _digest([out / n], out) == digest for n, digest in self.outputs.items())
        )

    def artefacts(self) -> dict[str, str]:
        """What it wrote for later notebooks: neither figures, nor claims, nor itself."""
        own = ("figures/", "claims/")
        return {n: d for n, d in self.outputs.items() if not n.startswith(own) and not n.endswith(".ipynb")}

    def forget(self, out: Path) -> None:
        """Delete what this notebook wrote, its stores of activations and the record; nothing else."""
        for name in self.outputs:
            (out / name).unlink(missing_ok=True)
        stores = out / "stores" / self.notebook[:2]
        if stores.is_dir():
            shutil.rmtree(stores)
        (out / ".records" / f"{self.notebook}.json").unlink(missing_ok=True)
        self.key, self.done, self.outputs = "", False, {}


def written(out: Path, records: list[Record]) -> dict[str, str]:
    """Digests of what these notebooks left for one that reads them: artefacts and claims."""
    found = {}
    for record in records:
        claims = out / "claims" / f"{record.notebook[:2]}.json"
        found |= record.artefacts() | ({f"claims/{claims.name}": _digest([claims], out)} if claims.exists() else {})
    return found


def key_of(notebook: Path, parameters: dict, library: str, model: str, upstream: dict[str, str]) -> str:
    """The key under which a notebook's results stand."""
    parts = [source_hash(notebook), library, parameters, model, upstream]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
