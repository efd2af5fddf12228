"""Whose emotion a vector holds: that of the one who speaks or of the other, shown or hidden (paper, section 4)."""

from dataclasses import dataclass

import numpy as np

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import SpanSets, spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors, cosine, emotion_vectors
from emotion_concepts.texts.materials import load
from emotion_concepts.texts.published import ratings

SIDES = (0, 1)


@dataclass(frozen=True)
class Dialogue:
    """Alternating turns of two speakers, the first of whom feels ``felt[0]``, the second ``felt[1]``.

    Talks of the same ``part``, or of parts that follow each other, may share a turn; others only by chance.
    """

    turns: tuple[str, ...]
    felt: tuple[str, str]
    part: int = 0


def dialogues(subject: Subject, n: int) -> list[Dialogue]:
    """Talks of two people with independent emotions: those of its world, or statements of six emotions, alternating."""
    if subject.world:
        told = subject.world.dialogues(n)
        return [Dialogue(tuple(turns), felt, k * n // len(told)) for k, (turns, felt) in enumerate(told)]
    statements, out = load(subject, "standing")["statements"], []
    for one in statements:
        for other in statements:
            for i in range(min(n, len(statements[one]) - 1)):
                turns = (statements[one][i], statements[other][i], statements[one][i + 1], statements[other][i + 1])
                out.append(Dialogue(turns, (one, other), i))
    return out


def hidden_feelings(subject: Subject, n: int) -> list[tuple[str, str, str]]:
    """Texts that hide a feeling: (text, the part that shows another or none, the real emotion)."""
    if subject.world:
        return [(text, aloud, real) for text, aloud, real, _ in subject.world.hidden(n)]
    material = load(subject, "standing")
    out = []
    for real, statements in material["statements"].items():
        for s in statements[:n]:
            for frame in material["frames"]["hidden"]:
                out.append((frame.replace("{statement}", s), frame.replace("{statement} ", ""), real))
    return out


def render(subject: Subject, dialogue: Dialogue, names: tuple[str, str] | None = None) -> str:
    """A dialogue as a chat of user and assistant, or as plain text under two names."""
    if names is None:
        roles = ("user", "assistant")
        return subject.prompt.turns([(roles[k % 2], words) for k, words in enumerate(dialogue.turns)])
    return "\n\n".join(f"{names[k % 2]}: {words}" for k, words in enumerate(dialogue.turns))


def turn_spans(subject: Subject, text: str, dialogue: Dialogue) -> tuple[tuple, tuple]:
    """Token spans of the first speaker's turns and of the second's, in the rendered ``text``."""
    spans = spans_in_turn(subject, text, dialogue.turns)
    return tuple(spans[::2]), tuple(spans[1::2])


def speaker_acts(
    subject: Subject, dialogues: list[Dialogue], layers: list[int], names: tuple[str, str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean activation over the first and over the second speaker's words, (dialogues, layers, width) each."""
    texts = [render(subject, d, names) for d in dialogues]
    spans = [turn_spans(subject, t, d) for t, d in zip(texts, dialogues)]
    return tuple(
        pooled(subject, texts, SpanSets(tuple(s[side] for s in spans)), layers, progress=False) for side in SIDES
    )


def speaker_sets(
    acts: tuple[np.ndarray, np.ndarray], dialogues: list[Dialogue], layers: list[int], covariance=None, rows=None
) -> dict[tuple[int, int], EmotionVectors]:
    """Four vector sets: (whose tokens, whose emotion) -> vectors; sides 0 and 1 are the first and second speaker.

    (0, 0) and (1, 1) are a present speaker's, (0, 1) and (1, 0) the other's emotion. ``acts`` as
    :func:`speaker_acts` gives them; ``rows`` takes some of the dialogues.
    """
    rows = range(len(dialogues)) if rows is None else list(rows)
    return {
        (tokens, whose): emotion_vectors(
            acts[tokens], [dialogues[i].felt[whose] for i in rows], layers, covariance, rows=rows
        )
        for tokens in SIDES
        for whose in SIDES
    }


def same_emotion(
    a: EmotionVectors, b: EmotionVectors, layer: int, n: int = 999, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine of each emotion's vectors in two sets, (emotions,), and its mean under ``n`` shuffled pairings, (n,)."""
    shared = [e for e in a.emotions if e in b.emotions]
    rows = cosine(np.stack([a.of(e, layer) for e in shared]), np.stack([b.of(e, layer) for e in shared]))
    rng, k = np.random.default_rng(seed), np.arange(len(rows))
    return np.diag(rows), np.array([rows[k, rng.permutation(k)].mean() for _ in range(n)])


def reliability(
    acts: tuple[np.ndarray, np.ndarray], dialogues: list[Dialogue], layer: int, covariance=None
) -> dict[tuple[int, int], float]:
    """For each set, the mean cosine of the same emotion in vectors from two halves of the dialogues.

    The halves share no turn but by chance; the cosine is stepped up to the full number of dialogues (Spearman and
    Brown's formula): what noise leaves of a cosine of 1. NaN for fewer than three parts, which have no such halves.
    """
    middle = len({d.part for d in dialogues}) // 2
    rows = [[i for i, d in enumerate(dialogues) if side * (d.part - middle) > 0] for side in (-1, 1)]
    if not all(rows):
        return {(tokens, whose): float("nan") for tokens in SIDES for whose in SIDES}
    halves = [speaker_sets(acts, dialogues, [layer], covariance, half) for half in rows]
    out = {}
    for key in halves[0]:
        r = same_emotion(halves[0][key], halves[1][key], layer, 1)[0].mean()
        out[key] = float(2 * r / (1 + r))
    return out


def arousal_regulation(present: EmotionVectors, other: EmotionVectors, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Arousal of each emotion, and the similarity-weighted arousal of the present emotions near its *other* vector.

    A negative correlation means that a stirred other goes with a still speaker, and the reverse (paper: r -.47).
    """
    arousal = ratings().arousal[present.emotions].to_numpy()
    near = cosine(other.at(layer), present.at(layer))
    np.fill_diagonal(near, 0)
    weights = np.exp(near / near.std())
    np.fill_diagonal(weights, 0)
    return arousal, (weights * arousal).sum(1) / weights.sum(1)


def outside(vectors: np.ndarray, space: np.ndarray, variance: float = 0.99) -> np.ndarray:
    """Share of each vector's norm outside the leading directions of ``space`` that hold ``variance`` of it."""
    _, s, rows = np.linalg.svd(space - space.mean(0), full_matrices=False)
    k = int(np.searchsorted(np.cumsum(s**2) / (s**2).sum(), variance)) + 1
    inside = vectors @ rows[:k].T
    return np.sqrt(np.clip(1 - (inside**2).sum(1) / (vectors**2).sum(1), 0, 1))
