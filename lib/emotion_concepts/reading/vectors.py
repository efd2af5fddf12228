"""Emotion vectors: what the activations of an emotion's stories have that those of other emotions lack."""

from dataclasses import dataclass

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.artefacts import check_stamp, load_arrays, save_arrays
from emotion_concepts.reading.class_sums import ClassSums
from emotion_concepts.texts.published import check_emotions


@dataclass
class EmotionVectors:
    """Unit directions for emotions at several layers.

    ``vectors`` (layers, emotions, width), unit norm; ``raw_norms`` (layers, emotions) before that; ``mean`` (layers,
    width), the mean of emotion means, the origin from which activations are measured; ``layers``: which they are.
    """

    emotions: list[str]
    vectors: np.ndarray
    raw_norms: np.ndarray
    mean: np.ndarray
    layers: list[int]
    meta: dict

    def index(self, layer: int) -> int:
        """Position of a layer; :class:`UserError` if it was not extracted."""
        if layer not in self.layers:
            raise UserError(f"layer {layer} was not extracted; these vectors hold layers {self.layers}")
        return self.layers.index(layer)

    def at(self, layer: int) -> np.ndarray:
        """All directions at a layer, (emotions, width)."""
        return self.vectors[self.index(layer)]

    def of(self, emotion: str, layer: int) -> np.ndarray:
        """One emotion's direction at a layer, (width,)."""
        check_emotions([emotion])
        if emotion not in self.emotions:
            raise UserError(f"no vector for {emotion!r} in this set; extract it in notebook 01")
        return self.at(layer)[self.emotions.index(emotion)]

    def band(self, emotions, layers: list[int]) -> dict[str, dict[int, np.ndarray]]:
        """What steering a band of layers adds: for each of some emotions its direction (width,) at each layer."""
        return {e: {k: self.of(e, k) for k in layers} for e in emotions}

    def scores(self, acts: np.ndarray, layer: int) -> np.ndarray:
        """Cosine of activations (n, width) at a layer with every emotion, (n, emotions), measured from the mean."""
        return cosine(acts - self.mean[self.index(layer)], self.at(layer))

    def save(self, path) -> None:
        """Write a stamped safetensors file."""
        meta = self.meta | {"emotions": self.emotions, "layers": self.layers}
        save_arrays(path, {"vectors": self.vectors, "raw_norms": self.raw_norms, "mean": self.mean}, meta)

    @classmethod
    def load(cls, path, subject: Subject) -> "EmotionVectors":
        """Read vectors; :class:`UserError` if they come from another model (hazard 15) or the file is damaged."""
        arrays, meta = load_arrays(path)
        if set(arrays) != {"vectors", "raw_norms", "mean"}:
            raise UserError(f"{path} does not hold emotion vectors; run notebook 01 to make them")
        check_stamp(meta, subject, path)
        return cls(meta["emotions"], layers=meta["layers"], meta=meta, **arrays)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of ``a`` (n, width) with each of ``b`` (m, width), (n, m)."""
    a = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)
    b = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), 1e-12)
    return a @ b.T


def principal_components(covariance: np.ndarray, variance: float = 0.5) -> np.ndarray:
    """The fewest leading eigenvectors of a covariance (width, width) that hold ``variance`` of it, (k, width)."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    share = np.cumsum(values) / values.sum()
    return vectors[:, : int(np.searchsorted(share, variance - 1e-12)) + 1].T


def emotion_vectors(
    acts: np.ndarray, labels: list[str], layers: list[int], neutral_covariance=None, variance: float = 0.5, meta=None,
    rows=None, components=None, others: ClassSums | None = None,
) -> EmotionVectors:  # fmt: skip
    """Directions from story activations (stories, layers, width) and the emotions of all, or of ``rows``.

    ``others``: the sums over more stories, whose activations were not kept.

    The mean of the emotion means is removed (not the mean of stories: hazard 6), then the neutral texts' principal
    components that hold ``variance`` of ``neutral_covariance`` (layers, width, width), where given, or those in
    ``components``, one array (k, width) a layer, found before; each direction is scaled to unit norm (paper,
    section 1). ``meta["components"]`` says how many were removed at each layer.
    """
    total = ClassSums.of(acts, labels, rows)
    total = total if others is None else total + others
    names, means = total.names, total.means()
    if len(names) < 2:
        raise UserError("emotion vectors need stories of at least two emotions")
    check_emotions(names)
    if components is None and neutral_covariance is not None:
        components = [principal_components(c, variance) for c in neutral_covariance]
    grand = means.mean(0)
    directions = (means - grand).transpose(1, 0, 2)
    if components is not None and len(components) != len(layers):
        raise UserError(f"neutral components of {len(components)} layers for {len(layers)}; give one array a layer")
    for k, pcs in enumerate(components or ()):
        directions[k] -= directions[k] @ pcs.T @ pcs
    norms = np.linalg.norm(directions, axis=-1)
    if (norms < 1e-9).any():
        k, e = np.argwhere(norms < 1e-9)[0]
        raise UserError(
            f"the vector of {names[e]!r} at layer {layers[k]} is zero; are its stories all the same as the rest?"
        )
    unit = (directions / norms[..., None]).astype(np.float32)
    removed = [len(pcs) for pcs in components or ()]
    rule = {"denoised": components is not None, "variance": variance, "components": removed}
    return EmotionVectors(
        names, unit, norms.astype(np.float32), grand.astype(np.float32), list(map(int, layers)), (meta or {}) | rule
    )
