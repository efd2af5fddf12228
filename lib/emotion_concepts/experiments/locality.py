"""What the vectors stand for: what is said now and next, or a stored state (paper, section 4)."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply, per_token, pooled
from emotion_concepts.reading.pooling import Last, Spans, span_of, spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import shuffled_labels, wilson

PLACES = ("user end", "reply start", "reply mean")


def places(
    subject: Subject, vectors: EmotionVectors, layer: int, messages: list[str], emotions, max_new_tokens: int = 60,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Probe cosines at the user's last token, the reply's start and over the reply: prompt, emotion, a column each.

    Centred by probe over the prompts, so that what correlates is how prompts differ. Replies without text are left out.
    """
    prompts = [subject.prompt.chat(m) for m in messages]
    replies = generate(subject, prompts, max_new_tokens, seed=seed, progress=False)
    kept = [i for i, r in enumerate(replies) if r.strip()]
    ends = [span_of(subject, prompts[i], messages[i])[1] for i in kept]
    full = [subject.prompt.turns([("user", messages[i]), ("assistant", replies[i])]) for i in kept]
    spans = [span_of(subject, text, replies[i]) for i, text in zip(kept, full)]
    acts = {
        "user end": pooled(
            subject, [prompts[i] for i in kept], Spans(tuple((e - 1, e) for e in ends)), [layer], progress=False
        ),
        "reply start": at_reply(subject, [messages[i] for i in kept], [layer], progress=False),
        "reply mean": pooled(subject, full, Spans(tuple(spans)), [layer], progress=False),
    }
    columns = [vectors.emotions.index(e) for e in emotions]
    rows = {p: vectors.scores(a[:, 0], layer)[:, columns] for p, a in acts.items()}
    table = pd.DataFrame({p: (s - s.mean(0)).ravel() for p, s in rows.items()})
    table.insert(0, "emotion", list(emotions) * len(kept))
    table.insert(0, "prompt", np.repeat(kept, len(columns)))
    return table


def place_correlations(table: pd.DataFrame, n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Pearson r of the three pairs of places, and what the reply's start gains; intervals resample whole prompts."""
    groups = [g[list(PLACES)].to_numpy() for _, g in table.groupby("prompt")]

    def correlations(parts):
        r = np.corrcoef(np.concatenate(parts).T)
        return np.array([r[0, 1], r[1, 2], r[0, 2], r[1, 2] - r[0, 2]])

    rng = np.random.default_rng(seed)
    draws = np.stack([correlations([groups[i] for i in rng.integers(0, len(groups), len(groups))]) for _ in range(n)])
    lo, hi = np.nanquantile(draws, [0.025, 0.975], axis=0)
    names = ["user end, reply start", "reply start, reply mean", "user end, reply mean", "gain of the reply start"]
    return pd.DataFrame({"r": correlations(groups), "lo": lo, "hi": hi}, index=names)


def swap_differences(
    subject: Subject, vectors: EmotionVectors, emotion: str, pairs: list[tuple[str, str]], parts: dict[str, tuple]
) -> dict[str, np.ndarray]:
    """Probe difference between the two messages of each pair, by place: (pairs, layers) each.

    Places: each of ``parts``, name -> (part of the first message, part of the second), whose tokens are averaged (the
    last occurrence counts); the message's end; the reply's start.
    """
    column = vectors.emotions.index(emotion)

    def read(side: int, place: str) -> np.ndarray:
        texts, spans = [subject.prompt.chat(pair[side]) for pair in pairs], []
        for pair, text in zip(pairs, texts):
            message, n = pair[side], len(subject.encode(text))
            if place == "reply start":
                spans.append((n - 1, n))
            elif place == "message end":
                end = span_of(subject, text, message)[1]
                spans.append((end - 1, end))
            else:
                part = parts[place][side]
                spans.append(span_of(subject, text, part, text.count(part) - 1))
        acts = pooled(subject, texts, Spans(tuple(spans)), vectors.layers, progress=False)
        return np.stack([vectors.scores(acts[:, k], x)[:, column] for k, x in enumerate(vectors.layers)], 1)

    return {p: read(0, p) - read(1, p) for p in (*parts, "message end", "reply start")}


def swap_by_layer(subject: Subject, vectors: EmotionVectors, emotion: str, pairs, parts) -> pd.DataFrame:
    """Mean of :func:`swap_differences` over the pairs, by layer (index) and place (columns)."""
    found = swap_differences(subject, vectors, emotion, pairs, parts)
    return pd.DataFrame({p: d.mean(0) for p, d in found.items()}, index=pd.Index(vectors.layers, name="layer"))


def autocorrelation(subject: Subject, texts: list[str], directions: np.ndarray, layer: int, lags) -> np.ndarray:
    """Correlation of a direction's projection with itself ``lag`` tokens later, within texts, (directions, lags).

    Each text's own mean is taken out first: what is left is how long a rise lasts, not how texts differ.
    """
    lags = list(lags)
    products, squares = np.zeros((len(directions), len(lags))), np.zeros((len(directions), len(lags)))
    for text in texts:
        x = per_token(subject, text, [layer])[1][1:, 0] @ np.asarray(directions).T
        x = x - x.mean(0)
        for k, lag in enumerate(lags):
            if len(x) > lag + 1:
                a, b = x[:-lag], x[lag:]
                products[:, k] += (a * b).sum(0)
                squares[:, k] += np.sqrt((a * a).sum(0) * (b * b).sum(0))
    return np.divide(products, squares, out=np.full_like(products, np.nan), where=squares > 0)


def _chat(subject: Subject, turns: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """A chat of user and assistant in turn, and the token span of each turn's words."""
    text = subject.prompt.turns([(("user", "assistant")[k % 2], words) for k, words in enumerate(turns)])
    return text, spans_in_turn(subject, text, turns)


def trace(subject: Subject, vectors: EmotionVectors, emotions, layer: int, turns: list[str]):
    """Probe cosines token by token over a chat: (tokens, scores (tokens, emotions), turn of each token, else -1)."""
    text, spans = _chat(subject, turns)
    tokens, acts = per_token(subject, text, [layer])
    scores = vectors.scores(acts[:, 0], layer)[:, [vectors.emotions.index(e) for e in emotions]]
    where = np.full(len(tokens), -1)
    for k, (start, end) in enumerate(spans):
        where[start:end] = k
    return tokens, scores, where


def carried_over(subject: Subject, vectors: EmotionVectors, layer: int, chats: list[tuple[list[str], list[str]]]):
    """What a story inside a chat does to *happy* minus *sad*, against the same chat with another story.

    ``chats``: pairs of chats with the same last turn. Two arrays (chats,): the difference of the readings over the
    story, the last turn that differs, and over the last turn of all, where nothing but a memory can differ.
    """
    columns = [vectors.emotions.index(e) for e in ("happy", "sad")]
    places = [max(k for k, (x, y) in enumerate(zip(*pair)) if x != y) for pair in chats]

    def mood(side: int, turns: list[int]) -> np.ndarray:
        texts, spans = zip(*(_chat(subject, pair[side]) for pair in chats))
        chosen = Spans(tuple(s[k] for s, k in zip(spans, turns)))
        scores = vectors.scores(pooled(subject, list(texts), chosen, [layer], progress=False)[:, 0], layer)[:, columns]
        return scores[:, 0] - scores[:, 1]

    last = [len(pair[0]) - 1 for pair in chats]
    return mood(0, places) - mood(1, places), mood(0, last) - mood(1, last)


def standing_state(subject: Subject, material: dict, layer: int, seed: int = 0, c: float = 0.01) -> pd.DataFrame:
    """Accuracy of a linear classifier of the speaker's standing emotion, by kind of text: accuracy, lo, hi, n.

    ``material``: ``statements`` (emotion -> texts) and ``frames`` (kind -> texts with {statement}; the first kind
    trains); every text is read at its last token. Half of the statements train, the other half is told in every kind.
    Two checks on the first kind: ``shuffled labels`` is the accuracy on the same held-out texts of a classifier of
    labels without meaning, ``own texts`` that of the true classifier on what it was trained on; far above the
    held-out one, it is overfit.
    """
    told = [(e, s) for e, statements in material["statements"].items() for s in statements]
    labels = np.array([e for e, _ in told])
    texts = {
        kind: [frames[i % len(frames)].replace("{statement}", s) for i, (_, s) in enumerate(told)]
        for kind, frames in material["frames"].items()
    }
    acts = {k: pooled(subject, x, Last(), [layer], progress=False)[:, 0] for k, x in texts.items()}
    first = next(iter(acts))
    train = np.random.default_rng(seed).permutation(len(labels)) < len(labels) // 2
    scale = StandardScaler().fit(acts[first][train])

    def right(y, kind, rows):
        model = LogisticRegression(C=c, max_iter=2000).fit(scale.transform(acts[first][train]), y)
        return model.predict(scale.transform(acts[kind][rows])) == labels[rows]

    hits = {kind: right(labels[train], kind, ~train) for kind in acts}
    hits["shuffled labels"] = right(np.array(shuffled_labels(list(labels[train]), seed)), first, ~train)
    hits["own texts"] = right(labels[train], first, train)
    return pd.DataFrame(
        {k: dict(zip(("accuracy", "lo", "hi"), wilson(int(h.sum()), len(h)))) | {"n": len(h)} for k, h in hits.items()}
    ).T
