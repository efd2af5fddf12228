"""Results appended to checksummed files, so that a killed run resumes with the same numbers."""

import hashlib
import json
from pathlib import Path

import numpy as np

from .errors import UserError


class Shards:
    """A folder of numbered ``.npz`` files listed with their SHA-256 in ``index.jsonl``.

    ``key`` says what the numbers are (model, texts, rule, layers); a folder with another key is refused, a damaged
    file too. A file not yet listed (the run was killed while writing) is ignored and overwritten.
    """

    def __init__(self, folder, key: dict):
        self.folder, self.key = Path(folder), json.loads(json.dumps(key))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as e:
            raise UserError(f"cannot write to {self.folder}: {e.strerror}; choose another --out") from e

    def _open(self):
        keyfile = self.folder / "key.json"
        if not keyfile.exists():
            keyfile.write_text(json.dumps(self.key))
        elif self._json(keyfile.read_text()) != self.key:
            raise UserError(f"{self.folder} holds results of another run (model, texts or rule differ); use --fresh")
        self._index = self.folder / "index.jsonl"
        lines = self._index.read_text().splitlines() if self._index.exists() else []
        self.entries = [self._json(line) for line in lines]

    def _json(self, text: str):
        try:
            return json.loads(text)
        except ValueError as e:
            raise UserError(f"{self.folder} is damaged (unreadable index); delete it or use --fresh") from e

    def append(self, rows: list[int], values: np.ndarray) -> None:
        """Add results for the given row numbers: ``values`` (len(rows), ...)."""
        path = self.folder / f"{len(self.entries):06d}.npz"
        np.savez(path, rows=np.asarray(rows), values=values)
        entry = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        with self._index.open("a") as f:
            f.write(json.dumps(entry) + "\n")
        self.entries.append(entry)

    def __iter__(self):
        """Yield ``(rows, values)`` of every shard, checked; :class:`UserError` for a damaged one."""
        for entry in self.entries:
            path = self.folder / entry["file"]
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
                raise UserError(f"{path} is damaged or missing; delete {self.folder} or use --fresh")
            with np.load(path) as z:
                yield z["rows"], z["values"]
