"""Class sums: all that vectors need of a corpus of any size, in place of its activations.

205,200 stories at 32 layers of width 4096 are 107 GB of activations; their sums by emotion are a fifth of one.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import TOKEN_BUDGET, check_texts, pooled
from emotion_concepts.reading.artefacts import load_arrays, save_arrays

BLOCK = 1024  # texts whose activations lie on the disk at a time


@dataclass
class ClassSums:
    """Labels ``names``, the sum of the activations of each one's texts, float64 (labels, layers, width), and counts."""

    names: list[str]
    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, acts: np.ndarray, labels: list[str], rows=None) -> "ClassSums":
        """Sums over activations (texts, layers, width) of the labels of all, or of ``rows``.

        Taken label by label, so that a large memory map is never copied as a whole.
        """
        names, labels = sorted(set(labels)), np.asarray(labels)
        rows = np.arange(len(labels)) if rows is None else np.asarray(rows)
        sums = np.stack([acts[rows[labels == n]].sum(0, dtype=np.float64) for n in names])
        return cls(names, sums, np.array([(labels == n).sum() for n in names]))

    def __add__(self, other: "ClassSums") -> "ClassSums":
        """The sums over the texts of both, labels that only one has included."""
        names = sorted({*self.names, *other.names})
        sums, counts = np.zeros((len(names), *self.sums.shape[1:])), np.zeros(len(names), dtype=int)
        for part in (self, other):
            at = [names.index(n) for n in part.names]
            sums[at] += part.sums
            counts[at] += part.counts
        return ClassSums(names, sums, counts)

    def means(self) -> np.ndarray:
        """Mean activation of each label, float64 (labels, layers, width)."""
        return self.sums / self.counts.reshape(-1, *[1] * (self.sums.ndim - 1))


def class_means(features: np.ndarray, labels: list[str]) -> tuple[list[str], np.ndarray]:
    """Labels in order and the mean of each one's features (texts, ...), float64 (labels, ...)."""
    total = ClassSums.of(features, labels)
    return total.names, total.means()


def streamed_sums(
    subject: Subject, texts: list[str], labels: list[str], rule, store, layers=None, token_budget: int = TOKEN_BUDGET,
    block: int = BLOCK,
) -> ClassSums:  # fmt: skip
    """Class sums of texts that are read ``block`` at a time and not kept: disk and memory do not grow with the texts.

    ``rule``: one of :mod:`emotion_concepts.reading.pooling` that is the same for every text. A killed run goes on in
    ``store`` (a folder) with the same numbers. :class:`UserError` for a text too short or long, NaN, Inf, damage.
    """
    layers, store = subject.choose_layers(layers), Path(store)
    check_texts(subject, texts, rule)  # found before hours of work, not after
    labels = np.asarray(labels)
    key = {"model": subject.model_id, "rule": repr(rule), "layers": layers, "budget": token_budget, "block": block}
    key["texts"] = _digest("\0".join([*texts, *labels]).encode())
    path = store / f"{_digest(repr(sorted(key.items())).encode())[:16]}.safetensors"
    total, done = _load(path)
    order = np.argsort([-len(t) for t in texts], kind="stable")  # like lengths share a block
    for start in range(done, len(order), block):
        part = order[start : start + block]
        acts = pooled(subject, [texts[i] for i in part], rule, layers, token_budget, store / "block")
        new = ClassSums.of(acts, labels[part].tolist())
        total = new if total is None else total + new
        _save(path, total, start + len(part), key)
        shutil.rmtree(store / "block")
    shutil.rmtree(store / "block", ignore_errors=True)  # of a run killed between the last two lines of the loop
    return total


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _save(path: Path, total: ClassSums, done: int, key: dict) -> None:
    said = {"names": total.names, "done": done, "sha256": _digest(total.sums.tobytes())}
    save_arrays(path, {"sums": total.sums, "counts": total.counts}, key | said)


def _load(path: Path) -> tuple[ClassSums | None, int]:
    """What a run that was killed had summed, and over how many texts."""
    if not path.exists():
        return None, 0
    arrays, meta = load_arrays(path)
    if _digest(arrays["sums"].tobytes()) != meta["sha256"]:
        raise UserError(f"{path} is damaged; delete it or use --fresh")
    return ClassSums(meta["names"], **arrays), meta["done"]
