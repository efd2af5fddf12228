"""Results appended to a checksummed array on disk, so that a killed run resumes with the same numbers."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np

from emotion_concepts.errors import UserError


class Shards:
    """A float32 array in ``values.npy``, filled some rows at a time, which ``index.jsonl`` lists with their SHA-256.

    ``key`` says what the numbers are (model, texts, rule, layers); each key has a sub-folder of its own. Rows not yet
    listed (the run was killed while writing) are written again; the file is mapped, so that memory stays flat.
    """

    def __init__(self, folder, key: dict, shape: tuple[int, ...]):
        self.key = json.loads(json.dumps(key))
        name = hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = Path(folder) / name
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open(tuple(shape))
        except OSError as e:
            raise UserError(f"cannot write to {self.folder}: {e.strerror or e}; choose another --out") from e

    def _open(self, shape: tuple[int, ...]) -> None:
        self._values, self._index = self.folder / "values.npy", self.folder / "index.jsonl"
        if not self._index.exists():
            self._check_room(4 * math.prod(shape))
            (self.folder / "key.json").write_text(json.dumps(self.key))
            self.values = np.lib.format.open_memmap(self._values, "w+", np.float32, shape)
            self._index.touch()  # last: without it the array was not made to its end
        try:
            self.entries = [json.loads(line) for line in self._index.read_text().splitlines()]
            self.values = np.lib.format.open_memmap(self._values, "r+")
            whole = json.loads((self.folder / "key.json").read_text()) == self.key and self.values.shape == shape
        except (ValueError, FileNotFoundError) as e:
            raise self._damaged() from e
        if not whole:
            raise self._damaged()

    def _check_room(self, size: int) -> None:
        """:class:`UserError` unless ``size`` bytes are free: a mapped file that finds no room kills the process."""
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise UserError(
                f"the activations need {size / 1e9:.1f} GB on the disk of {self.folder}, which has {free / 1e9:.1f} GB "
                "free; choose another --out or a smaller --profile"
            )

    def _damaged(self) -> UserError:
        return UserError(f"{self.folder} is damaged; delete it or use --fresh")

    def append(self, rows: list[int], values: np.ndarray) -> None:
        """Add results for the given row numbers: ``values`` (len(rows), ...)."""
        self.values[rows] = values
        entry = {"rows": list(map(int, rows)), "sha256": _digest(self.values[rows])}
        with self._index.open("a") as f:
            f.write(json.dumps(entry) + "\n")
        self.entries.append(entry)

    def done(self) -> set[int]:
        """The rows that are there, all checked; :class:`UserError` for a damaged one."""
        found: set[int] = set()
        for entry in self.entries:
            try:
                intact = _digest(self.values[entry["rows"]]) == entry["sha256"]
            except (KeyError, TypeError, IndexError) as e:
                raise self._damaged() from e
            if not intact:
                raise self._damaged()
            found.update(entry["rows"])
        return found

    def array(self) -> np.ndarray:
        """The whole array, mapped for reading only: a change by its user must not reach the file."""
        return np.load(self._values, mmap_mode="r")


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values)).hexdigest()
