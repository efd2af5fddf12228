"""What is read where the user ends, where the reply starts and over the reply: a state, or what comes next?"""

import numpy as np
import pandas as pd

from emotion_concepts.experiments.situations import TEMPERATURE
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply, at_spans
from emotion_concepts.reading.pooling import spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors

PLACES = ("user end", "reply start", "reply mean")
HALVES = ("one half of the replies", "the other half")
LEAST = 0.5  # reliability of the reading over the reply below which it has no power to go with anything
PAIRS = {
    "user_end_reply_start": ("user end", "reply start"),
    "reply_start_reply": ("reply start", "reply mean"),
    "user_end_reply": ("user end", "reply mean"),
}


def places(
    subject: Subject, vectors: EmotionVectors, layer: int, messages: list[str], emotions, replies: int = 2,
    max_new_tokens: int = 60, seed: int = 0,
) -> tuple[pd.DataFrame, list[list[str]]]:  # fmt: skip
    """Probe cosines at the user's last token, at the reply's start and over the replies, and the replies themselves.

    The table has a row for each message and emotion: prompt, emotion, :data:`PLACES` and, for reliability,
    :data:`HALVES`: the mean over every other of a message's ``replies`` (at least two, sampled). Centred by probe over
    the messages, so that what correlates is how messages differ. A message is left out where a half has no text;
    with fewer than three left the table is empty.
    """
    prompts = [subject.prompt.chat(m) for m in messages for _ in range(replies)]
    temperature = 1.0 if subject.world else TEMPERATURE
    said = generate(subject, prompts, max_new_tokens, temperature, seed, progress=False)
    told = [said[i * replies : (i + 1) * replies] for i in range(len(messages))]
    kept = [i for i, r in enumerate(told) if all(any(x.strip() for x in r[half::2]) for half in (0, 1))]
    if len(kept) < 3:  # too few to correlate over
        return pd.DataFrame(columns=["prompt", "emotion", *PLACES, *HALVES], dtype=float), told
    rows = [(i, half % 2, r) for i in kept for half, r in enumerate(told[i]) if r.strip()]
    columns = [vectors.emotions.index(e) for e in emotions]

    def scores(acts):
        return vectors.scores(acts[..., 0, :].reshape(-1, subject.width), layer)[:, columns]

    chats = [subject.prompt.turns([("user", messages[i]), ("assistant", r)]) for i, _, r in rows]
    spans = [spans_in_turn(subject, text, [messages[i], r]) for text, (i, _, r) in zip(chats, rows)]
    spans = [((end - 1, end), reply) for (_, end), reply in spans]
    acts = at_spans(subject, chats, spans, [layer])
    end, over = scores(acts[:, 0]), scores(acts[:, 1])
    of, half = np.array([i for i, _, _ in rows]), np.array([h for _, h, _ in rows])
    start = scores(at_reply(subject, [messages[i] for i in kept], [layer], progress=False))
    halves = np.stack([[over[(of == i) & (half == h)].mean(0) for i in kept] for h in (0, 1)])
    found = dict(zip(PLACES, (np.stack([end[of == i].mean(0) for i in kept]), start, halves.mean(0))))
    found |= dict(zip(HALVES, halves))
    table = pd.DataFrame({p: (x - x.mean(0)).ravel() for p, x in found.items()})
    table.insert(0, "emotion", list(emotions) * len(kept))
    table.insert(0, "prompt", np.repeat(kept, len(columns)))
    return table, told


def by_message(table: pd.DataFrame, place: str) -> np.ndarray:
    """Readings of a place as (messages, probes)."""
    return table.pivot(index="prompt", columns="emotion", values=place).to_numpy()


def _r(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r over the last two axes, (messages, probes); NaN where a place does not vary."""
    a, b = (x - x.mean((-2, -1), keepdims=True) for x in (a, b))
    norms = np.sqrt((a**2).sum((-2, -1)) * (b**2).sum((-2, -1)))
    return np.divide((a * b).sum((-2, -1)), norms, out=np.full(norms.shape, np.nan), where=norms > 1e-12)


def place_correlations(table: pd.DataFrame, n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Pearson r of the three pairs of places and what the reply's start gains: r, lo, hi, null.

    Intervals resample whole messages; ``null`` is the 95 % quantile of |r| when one place's readings are dealt to other
    messages, probes kept together (0 for the gain).
    """
    if table.empty:
        return pd.DataFrame(np.nan, index=[*PAIRS, "gain"], columns=["r", "lo", "hi", "null"])
    at = {p: by_message(table, p) for p in PLACES}
    rng, m = np.random.default_rng(seed), len(at["user end"])
    rows = rng.integers(0, m, (n, m))
    dealt = rng.permuted(np.tile(np.arange(m), (n, 1)), axis=1)
    found, drawn = {}, {}
    for name, (a, b) in PAIRS.items():
        found[name], drawn[name] = float(_r(at[a], at[b])), _r(at[a][rows], at[b][rows])
    out = {
        name: {
            "r": r, "lo": np.nanquantile(drawn[name], 0.025), "hi": np.nanquantile(drawn[name], 0.975),
            "null": np.nanquantile(np.abs(_r(at[PAIRS[name][0]], at[PAIRS[name][1]][dealt])), 0.95),
        }
        for name, r in found.items()
    }  # fmt: skip
    gain = drawn["reply_start_reply"] - drawn["user_end_reply"]
    lo, hi = np.nanquantile(gain, [0.025, 0.975])
    r = found["reply_start_reply"] - found["user_end_reply"]
    out["gain"] = {"r": r, "lo": lo, "hi": hi, "null": 0.0}
    return pd.DataFrame(out).T


def reply_reliability(table: pd.DataFrame) -> float:
    """Reliability of the reading over the replies: r of its halves, stepped up (Spearman-Brown); NaN if constant.

    Nothing goes with the reading over the replies by more than the root of it.
    """
    if table.empty:
        return float("nan")
    r = float(_r(*(by_message(table, h) for h in HALVES)))
    return 2 * r / (1 + abs(r))
