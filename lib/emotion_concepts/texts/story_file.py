"""Stories as they are written, one JSON line each, so that a killed run goes on where it was."""

import hashlib
import json
from pathlib import Path

from emotion_concepts.errors import UserError

KEY = ("emotion", "topic", "wording", "attempt")  # what a line answers


class StoryFile:
    """A JSONL file: a line of settings, then a line for each story with :data:`KEY`, ``refused`` and ``text``.

    ``rows`` holds what is there, by :data:`KEY`. A file of other settings is kept beside it, under a name of its own,
    and taken up again when its settings come back. A last line that was cut off is dropped. :class:`UserError` for a
    damaged file, one that is none of stories, and a path that can't be written.
    """

    def __init__(self, path, settings: dict):
        self.path, self.rows = Path(path), {}
        settings = json.loads(json.dumps(settings))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_up(settings)
        except OSError as e:
            raise UserError(f"cannot write {path}: {e.strerror or e}; give another path") from e

    def _take_up(self, settings: dict) -> None:
        lines = self._whole_lines()
        if lines and (old := self._settings(lines[0])) != settings:
            differs = ", ".join(k for k in sorted(old.keys() | settings) if old.get(k) != settings.get(k))
            self.path.replace(kept := self._aside(old))
            print(f"notice: {self.path} was written with another {differs}; it is kept as {kept.name}")
            lines = []
        if not lines and self._aside(settings).exists():
            self._aside(settings).replace(self.path)
            lines = self._whole_lines()
        if not lines:
            self.path.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
        for number, line in enumerate(lines[1:], 2):
            try:
                row = json.loads(line)
                self.rows[tuple(row[k] for k in KEY)] = row
                whole = isinstance(row["text"], str) and isinstance(row["refused"], str)
            except (ValueError, KeyError, TypeError):
                whole = False
            if not whole:
                raise UserError(f"{self.path}, line {number}, is damaged; delete the line, or the file, and run again")

    def _whole_lines(self) -> list[bytes]:
        """The lines that end; what a killed run left after them is cut off the file."""
        data = self.path.read_bytes() if self.path.exists() else b""
        end = data.rfind(b"\n") + 1
        if end < len(data):
            with self.path.open("r+b") as file:
                file.truncate(end)
        return data[:end].splitlines()

    def _settings(self, line: bytes) -> dict:
        try:
            return dict(json.loads(line)["settings"])
        except (ValueError, KeyError, TypeError) as e:
            raise UserError(f"{self.path} is no file of written stories; give another path") from e

    def _aside(self, settings: dict) -> Path:
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
        return self.path.with_name(f"{self.path.stem}.{digest}{self.path.suffix}")

    def append(self, row: dict) -> None:
        """Keep a story, at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self.rows[tuple(row[k] for k in KEY)] = row
