"""Texts of a known emotion and topic, whoever wrote them."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.texts.published import check_emotions


def corpus_hash(texts) -> str:
    """Sixteen hex digits over the texts in their order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@dataclass
class Corpus:
    """Stories with what they tell of: an emotion and a topic each; ``report`` says how they came about.

    :class:`UserError` without stories, or where one lacks its emotion or topic.
    """

    texts: list[str]
    emotions: list[str]
    topics: list[str]
    report: dict = field(default_factory=dict)

    def __post_init__(self):
        if not self.texts:
            raise UserError("the corpus is empty; write stories first (notebook 01)")
        if not len(self.texts) == len(self.emotions) == len(self.topics):
            raise UserError(
                f"a corpus needs an emotion and a topic for each text, not {len(self.texts)} texts, "
                f"{len(self.emotions)} emotions and {len(self.topics)} topics"
            )

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def hash(self) -> str:
        """Sixteen hex digits over texts and emotions."""
        return corpus_hash(self.texts + self.emotions)

    def subset(self, keep) -> "Corpus":
        """The stories at the given positions."""
        pick = lambda xs: [xs[i] for i in keep]  # noqa: E731
        return Corpus(pick(self.texts), pick(self.emotions), pick(self.topics), self.report)

    def save(self, path) -> None:
        """Write as JSON, one object."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path) -> "Corpus":
        """Read what :meth:`save` wrote; :class:`UserError` if it is missing or damaged."""
        try:
            return cls(**json.loads(Path(path).read_text()))
        except FileNotFoundError as e:
            raise UserError(f"{path} does not exist; run notebook 01 first") from e
        except (ValueError, TypeError) as e:
            raise UserError(f"{path} is damaged; delete it and run notebook 01 again") from e

    @classmethod
    def read(cls, path) -> "Corpus":
        """Read a corpus by any author: rows with ``text``, ``emotion`` (one of the 171) and ``topic``.

        The file is JSONL, CSV with a head, or JSON (a list of rows, or what :meth:`save` wrote); a file of
        :mod:`~emotion_concepts.texts.writing` gives what was not refused. :class:`UserError` names the line.
        """
        rows = []
        for where, row in _rows(Path(path)):
            if not isinstance(row, dict):
                raise UserError(f"{path}, {where}, is no row with text, emotion and topic")
            if "settings" in row or row.get("refused"):
                continue
            for key in ("text", "emotion", "topic"):
                if not isinstance(row.get(key), str) or not row[key].strip():
                    raise UserError(f"{path}, {where}, has no {key}; each row needs text, emotion and topic")
            try:
                check_emotions([row["emotion"]])
            except UserError as e:
                raise UserError(f"{path}, {where}: {e}") from e
            rows.append((row["text"], row["emotion"], row["topic"]))
        if not rows:
            raise UserError(f"{path} holds no stories; give one a row, with text, emotion and topic")
        return cls(*map(list, zip(*rows)), {"stories": len(rows), "author": Path(path).name})


def _rows(path: Path) -> Iterator[tuple[str, object]]:
    """The rows of a corpus file, each with where it stands."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"{path} cannot be read as UTF-8 text; give a JSONL, CSV or JSON file") from e
    if path.suffix == ".csv":
        reader = csv.DictReader(text.splitlines(keepends=True))
        try:
            yield from ((f"line {reader.line_num}", row) for row in reader)
        except csv.Error as e:
            raise UserError(f"{path}, line {reader.line_num}, is no CSV: {e}") from e
    elif path.suffix == ".jsonl":
        lines = ((k, line) for k, line in enumerate(text.split("\n"), 1) if line.strip())
        yield from ((f"line {k}", _parsed(path, line, k)) for k, line in lines)
    elif path.suffix == ".json":
        data = _parsed(path, text)
        if isinstance(data, dict):
            columns = [data.get(key) or [] for key in ("texts", "emotions", "topics")]
            data = [dict(zip(("text", "emotion", "topic"), row)) for row in zip(*columns)]
        yield from ((f"entry {k}", row) for k, row in enumerate(data, 1))
    else:
        raise UserError(f"{path} does not say what it is; give a file that ends in .jsonl, .csv or .json")


def _parsed(path: Path, text: str, first_line: int = 1):
    try:
        return json.loads(text)
    except json.JSONDecodeError as e:
        raise UserError(f"{path}, line {first_line + e.lineno - 1}, is no JSON: {e.msg}") from e


def split_by_topic(corpus: Corpus, share: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions of two parts that share no topic: one to choose on, one to report on (hazard 9).

    :class:`UserError` for a single topic, of which one part would be empty.
    """
    topics = sorted(set(corpus.topics))
    if len(topics) < 2:
        raise UserError(f"all stories have the topic {topics[0]!r}; two parts without a common topic need two or more")
    order = np.random.default_rng(seed).permutation(len(topics))
    first = {topics[i] for i in order[: min(max(1, round(share * len(topics))), len(topics) - 1)]}
    mask = np.array([t in first for t in corpus.topics])
    return np.flatnonzero(mask), np.flatnonzero(~mask)
