"""What post-training does to the vectors' readings (paper, section 6).

States are unit vectors from the probes' own origin, so that a reading, the cosine with a probe, is their product, and
a mean reading over messages is the product with the mean state.
"""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import Estimate, pearson, pearson_ci, r_by_chance
from emotion_concepts.texts import materials


def prompts(subject: Subject, n: int) -> tuple[dict[str, list[str]], list[str]]:
    """Messages that challenge an assistant, by theme, and neutral ones: at most about ``n`` of either kind.

    Of every theme the same number is kept. Natural neutral messages are none of those whose answers the vectors'
    neutral directions come from.
    """
    themes = dict(materials.load(subject, "challenging"))
    neutral = themes.pop("neutral", None) or materials.load(subject, "neutral")["questions"]
    each = max(1, round(n / len(themes)))
    return {theme: messages[:each] for theme, messages in themes.items()}, neutral[:n]


def reading_alike(base: Subject, post: Subject) -> Subject:
    """The base model with the post-trained one's prompt format, so that both read the same tokens."""
    return replace(base, prompt=post.prompt)


def in_plain_format(subject: Subject) -> Subject:
    """The subject with chats as "Human: ... Assistant:", which needs no template."""
    plain = copy.copy(subject.prompt)
    plain.has_template = False
    return replace(subject, prompt=plain)


def reply_states(subject: Subject, vectors: EmotionVectors, messages: list[str]) -> np.ndarray:
    """Unit states at the reply's start, measured from the vectors' origin, (messages, layers, width).

    ``vectors`` may be those of the partner model, as in the paper, which reads base and post-trained model with the
    same probes.
    """
    x = at_reply(subject, messages, vectors.layers, progress=False) - vectors.mean
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def mean_readings(states: np.ndarray, vectors: EmotionVectors) -> np.ndarray:
    """Mean probe cosine over the messages (first axis of ``states``), (layers, emotions)."""
    return np.einsum("lw,lew->le", states.mean(0), vectors.vectors)


def shift(base: np.ndarray, post: np.ndarray, emotions: list[str]) -> pd.DataFrame:
    """Mean readings (emotions,) before and after at one layer as a table by emotion: base, post, shift."""
    table = pd.DataFrame({"base": base, "post": post}, index=pd.Index(emotions, name="emotion"))
    table["shift"] = table.post - table.base
    return table


def rotated(states: np.ndarray, n: int = 500, seed: int = 0) -> np.ndarray:
    """``states`` (k, width) under ``n`` random rotations of space, (n, k, width): the null for readings of them.

    Lengths and mutual angles stay, and the probes keep theirs; only how the states lie to the probes is drawn anew.
    """
    gram = states @ states.T
    values, axes = np.linalg.eigh(gram)
    root = axes * np.sqrt(np.clip(values, 0, None))  # root @ root.T is the gram matrix
    rng = np.random.default_rng(seed)
    frames = np.linalg.qr(rng.standard_normal((n, states.shape[1], len(states))))[0]
    return np.einsum("ij,nwj->niw", root, frames).astype(np.float32)


def held_against_chance(x: np.ndarray, y: np.ndarray, probes: np.ndarray, seed: int = 0) -> tuple[Estimate, float]:
    """r over emotions of the readings of two mean states (width,), and the larger of its two nulls (95 % quantiles).

    Null: emotions permuted; or all probes (emotions, width) rotated at random, which keeps what the two states have in
    common. :class:`UserError` where a reading does not vary.
    """
    a, b = probes @ x, probes @ y
    draws = rotated(np.stack([x, y]), seed=seed) @ probes.T
    by_rotation = float(np.quantile([pearson(*pair) for pair in draws], 0.95))
    return pearson_ci(a, b), max(r_by_chance(a, b, seed=seed), by_rotation)


def reliability(base: np.ndarray, post: np.ndarray, probes: np.ndarray) -> float:
    """Split-half reliability over messages of the shift of readings, from states (messages, width) at one layer.

    Correlation of the shift on every second message with that on the rest, stepped up to all (Spearman-Brown).
    """
    odd, even = (probes @ (post[k::2].mean(0) - base[k::2].mean(0)) for k in (0, 1))
    r = pearson(odd, even)
    return 2 * r / (1 + abs(r))


def shift_by_layer(base: np.ndarray, post: np.ndarray, vectors: EmotionVectors) -> np.ndarray:
    """Mean absolute shift of the readings at each layer, from states (messages, layers, width): (layers,)."""
    moved = post.mean(0) - base.mean(0)
    return np.abs(np.einsum("lw,lew->le", moved, vectors.vectors)).mean(1)


def growth(base: np.ndarray, post: np.ndarray, vectors: EmotionVectors, n: int = 200, seed: int = 0):
    """Mean absolute shift in the last third of the layers over that in the first: (estimate, by chance).

    Interval: bootstrap over messages, pairs of states (messages, layers, width). Chance: the 95 % quantile where at
    every layer all probes are rotated at random.
    """
    third, rng = max(1, len(vectors.layers) // 3), np.random.default_rng(seed)

    def ratio(by_layer):
        return by_layer[..., -third:].mean(-1) / by_layer[..., :third].mean(-1)

    draws = [rng.integers(0, len(base), len(base)) for _ in range(n)]
    boot = [float(ratio(shift_by_layer(base[rows], post[rows], vectors))) for rows in draws]
    moved = post.mean(0) - base.mean(0)
    null = [
        np.abs(rotated(row[None], n, seed + k)[:, 0] @ probes.T).mean(1)
        for k, (row, probes) in enumerate(zip(moved, vectors.vectors))
    ]
    value = Estimate(float(ratio(shift_by_layer(base, post, vectors))), *map(float, np.quantile(boot, [0.025, 0.975])))
    return value, float(np.quantile(ratio(np.stack(null, 1)), 0.95))
