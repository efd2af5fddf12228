"""Whose emotion a vector holds: that of the one who speaks, or of the other (paper, section 4)."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_spans
from emotion_concepts.reading.pooling import spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors, cosine, emotion_vectors, principal_components
from emotion_concepts.texts.materials import load
from emotion_concepts.texts.published import ratings

SIDES = (0, 1)
LEAST = 0.5  # reliability of the less reliable of two sets below which their cosine has no power


@dataclass(frozen=True)
class Dialogue:
    """Alternating turns of two speakers, the first of whom feels ``felt[0]``, the second ``felt[1]``.

    Talks of different halves of the parts share no turn, but by chance.
    """

    turns: tuple[str, ...]
    felt: tuple[str, str]
    part: int = 0


def dialogues(subject: Subject, n: int, feelings: int = 15) -> list[Dialogue]:
    """Talks of two people with independent emotions, in ``n`` parts: those of its world, or statements in turn.

    Of statements every two of the first ``feelings`` emotions meet once a part, so that what is told of one speaker is
    told equally often of every feeling of the other. The first speaker's are the first half of an emotion's statements
    and the second's the other half: the same words from both would make their vectors alike by themselves. There are
    at least four parts, and at most as many as each has statements.
    """
    if subject.world:
        told = subject.world.dialogues(n)
        return [Dialogue(tuple(turns), felt, k * n // len(told)) for k, (turns, felt) in enumerate(told)]
    statements = load(subject, "standing")["statements"]
    own = min(map(len, statements.values())) // 2
    parts, out = max(4, min(n, own)), []
    for i in range(parts):
        j = _opening(i, parts)
        for one, other in product(list(statements)[:feelings], repeat=2):
            mine, theirs = statements[one][:own], statements[other][own:]
            out.append(Dialogue((mine[j], theirs[j], mine[i], theirs[i]), (one, other), i))
    return out


def _opening(i: int, parts: int) -> int:
    """Which statement opens part ``i``: the next one of its half of the parts, so that halves share none."""
    lo, hi = (0, parts // 2) if i < parts // 2 else (parts // 2, parts)
    return lo + (i + 1 - lo) % (hi - lo)


def render(subject: Subject, dialogue: Dialogue, names: tuple[str, str] | None = None) -> str:
    """A dialogue as a chat of user and assistant, or as plain text under two names."""
    if names is None:
        roles = ("user", "assistant")
        return subject.prompt.turns([(roles[k % 2], words) for k, words in enumerate(dialogue.turns)])
    return "\n\n".join(f"{names[k % 2]}: {words}" for k, words in enumerate(dialogue.turns))


def speaker_acts(
    subject: Subject, dialogues: list[Dialogue], layers: list[int], names: tuple[str, str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean activation over the first and over the second speaker's turns, (dialogues, layers, width) each.

    The first turn of each is left out: who opens a talk has not heard the other and cannot hold the other's emotion,
    and the two are to be read at like places.
    """
    texts = [render(subject, d, names) for d in dialogues]
    spans = [spans_in_turn(subject, t, d.turns)[2:] for t, d in zip(texts, dialogues)]
    acts = at_spans(subject, texts, spans, layers)
    return acts[:, ::2].mean(1), acts[:, 1::2].mean(1)


def without_neutral(acts: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Activations (texts, layers, width) without the neutral texts' main directions at each layer.

    ``covariance`` (layers, width, width). Vectors of such activations are those that ``emotion_vectors`` denoises, and
    the directions are found once, however many sets are made.
    """
    out = acts.copy()
    for k, c in enumerate(covariance):
        pcs = principal_components(c).astype(acts.dtype)
        out[:, k] -= acts[:, k] @ pcs.T @ pcs
    return out


def speaker_sets(
    acts: tuple[np.ndarray, np.ndarray], dialogues: list[Dialogue], layers: list[int]
) -> dict[tuple[int, int], EmotionVectors]:
    """Four vector sets: (whose tokens, whose emotion) -> vectors; sides 0 and 1 are the first and second speaker.

    (0, 0) and (1, 1) are a present speaker's, (0, 1) and (1, 0) the other's emotion. ``acts`` as
    :func:`speaker_acts` gives them.
    """
    return {
        (tokens, whose): emotion_vectors(acts[tokens], [d.felt[whose] for d in dialogues], layers)
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


def split_half(acts: np.ndarray, labels: list[str], parts) -> float:
    """Mean cosine of the same emotion in vectors from two halves of the texts, stepped up to all (Spearman-Brown).

    What noise leaves of a cosine of 1. ``acts`` (texts, width); the halves share no part. NaN for a single part.
    """
    kinds = sorted(set(parts))
    first = set(kinds[: len(kinds) // 2])
    rows = [[i for i, p in enumerate(parts) if (p in first) is side] for side in (True, False)]
    if not rows[0]:
        return float("nan")
    one, other = (emotion_vectors(acts[:, None], [labels[i] for i in r], [0], rows=r) for r in rows)
    r = float(same_emotion(one, other, 0, 1)[0].mean())
    return 2 * r / (1 + abs(r))


def reliability(acts: tuple[np.ndarray, np.ndarray], dialogues: list[Dialogue]) -> dict[tuple[int, int], float]:
    """:func:`split_half` over talks of each of the four sets of :func:`speaker_sets`; ``acts``: (dialogues, width)."""
    parts = [d.part for d in dialogues]
    return {
        (tokens, whose): split_half(acts[tokens], [d.felt[whose] for d in dialogues], parts)
        for tokens in SIDES
        for whose in SIDES
    }


def disattenuated(value: float, one: float, other: float) -> float:
    """What a cosine of two sets would be without noise, given their reliabilities; NaN where one has none."""
    return float(value / np.sqrt(one * other)) if min(one, other) > 0 else float("nan")


def arousal_regulation(
    present: EmotionVectors, other: EmotionVectors, layer: int, beyond_likeness: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Arousal of each emotion, and the similarity-weighted arousal of the present emotions near its *other* vector.

    A negative correlation means that a stirred other goes with a still speaker, and the reverse (paper: r -.47). Where
    the other's vector is in part the speaker's own, it lies near its kin, and arousal finds itself;
    ``beyond_likeness`` takes out what a straight line on the likeness of the present vectors tells of that nearness.
    """
    arousal = ratings().arousal[present.emotions].to_numpy()
    near, off = cosine(other.at(layer), present.at(layer)), ~np.eye(len(arousal), dtype=bool)
    if beyond_likeness:
        like = cosine(present.at(layer), present.at(layer))
        near = near - np.polyval(np.polyfit(like[off], near[off], 1), like)
    weights = np.where(off, np.exp(near / near[off].std()), 0)
    return arousal, (weights * arousal).sum(1) / weights.sum(1)
