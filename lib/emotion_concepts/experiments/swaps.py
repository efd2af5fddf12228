"""Pairs of messages that differ in one part: where the difference is read, and from which depth on."""

import numpy as np
import pandas as pd

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_spans
from emotion_concepts.reading.pooling import span_at, spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import Estimate, bootstrap_ci

FLIPS = 4096  # signs that are counted in full up to a dozen pairs, and drawn beyond


def _part(subject: Subject, text: str, message: str, part: str) -> tuple[int, int]:
    """Token span of the last appearance of ``part`` in the message, wherever the template put the message."""
    message = message.strip()
    at = text.rfind(message) + message.rfind(part)
    return span_at(subject, text, at, at + len(part))


def differences(subject: Subject, vectors: EmotionVectors, swap: dict) -> dict[str, np.ndarray]:
    """Probe difference (cosine) between the two messages of each pair, by place: (pairs, layers) each.

    ``swap``: ``pairs`` of messages; ``emotion``, the probe, one for all pairs or a list with one for each; ``parts``,
    name -> (part of the first, part of the second message), for all pairs or for each, whose tokens are averaged.
    Places: the parts, the message's end, the reply's start.
    """
    pairs = [tuple(p) for p in swap["pairs"]]
    emotions = [swap["emotion"]] * len(pairs) if isinstance(swap["emotion"], str) else swap["emotion"]
    parts = {name: [p] * len(pairs) if isinstance(p[0], str) else p for name, p in swap["parts"].items()}
    texts, spans = [], []
    for i, pair in enumerate(pairs):
        for side, message in enumerate(pair):
            text = subject.prompt.chat(message)
            end, n = spans_in_turn(subject, text, [message])[0][1], len(subject.encode(text))
            told = [_part(subject, text, message, part[i][side]) for part in parts.values()]
            texts.append(text)
            spans.append((*told, (end - 1, end), (n - 1, n)))
    acts = at_spans(subject, texts, spans, vectors.layers)
    columns = np.array([vectors.emotions.index(e) for e in emotions]).repeat(2)
    out = {}
    for k, place in enumerate((*parts, "message end", "reply start")):
        by_layer = [
            vectors.scores(acts[:, k, j], layer)[np.arange(len(texts)), columns]
            for j, layer in enumerate(vectors.layers)
        ]
        read = np.stack(by_layer, 1)
        out[place] = read[::2] - read[1::2]
    return out


def flipped(values, n: int = FLIPS, seed: int = 0) -> np.ndarray:
    """Mean of ``values`` (pairs,) under every choice of signs, or under ``n`` random ones where there are more.

    The null of a mean difference: which message of a pair is the first is arbitrary. The unflipped mean is among them.
    """
    values = np.asarray(values, dtype=float)
    k = len(values)
    if 2**k <= n:
        signs = 1 - 2 * ((np.arange(2**k)[:, None] >> np.arange(k)) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], (n, k))
        signs[0] = 1
    return (signs * values).mean(1)


def against_flips(values) -> tuple[Estimate, float, float]:
    """Mean over pairs with its interval, the 95 % quantile of :func:`flipped`, and the share of flips as high (p)."""
    values = np.asarray(values, dtype=float)
    null, value = flipped(values), float(values.mean())
    floor = float(np.quantile(null, 0.95, method="higher"))
    return bootstrap_ci(values), floor, float((null >= value - 1e-12).mean())


def by_layer(d: np.ndarray, n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Mean of differences (pairs, layers) over the pairs at each layer, with its bootstrap interval: mean, lo, hi."""
    rows = np.random.default_rng(seed).integers(0, len(d), (n, len(d)))
    lo, hi = np.quantile(np.stack([d[r].mean(0) for r in rows]), [0.025, 0.975], axis=0)
    return pd.DataFrame({"mean": d.mean(0), "lo": lo, "hi": hi})


def depths(found: dict[str, np.ndarray], early: list[int], late: list[int]) -> pd.DataFrame:
    """Each place's mean difference over early and over late layers, (places): early, late, lo, hi and p of late, n."""
    rows = {}
    for place, d in found.items():
        estimate, _, p = against_flips(d[:, late].mean(1))
        rows[place] = {
            "early": d[:, early].mean(), "late": estimate.value, "lo": estimate.lo, "hi": estimate.hi, "p": p,
            "n": len(d),
        }  # fmt: skip
    return pd.DataFrame(rows).T
