"""What the vectors stand for: what is said now and next, or a stored state (paper, section 4)."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ..activations import at_reply, per_token, pooled
from ..generation import generate
from ..models import Subject
from ..pooling import Last, Spans, span_of
from ..statistics import shuffled_labels
from ..vectors import EmotionVectors

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


def swap_by_layer(
    subject: Subject, vectors: EmotionVectors, emotion: str, pairs: list[tuple[str, str]], parts: dict[str, tuple]
) -> pd.DataFrame:
    """Mean probe difference between the two messages of each pair, by layer (index) and place (columns).

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
        return np.array([vectors.scores(acts[:, k], x)[:, column].mean() for k, x in enumerate(vectors.layers)])

    places = [*parts, "message end", "reply start"]
    return pd.DataFrame({p: read(0, p) - read(1, p) for p in places}, index=pd.Index(vectors.layers, name="layer"))


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


def trace(subject: Subject, vectors: EmotionVectors, emotions, layer: int, segments: list[str], joiner: str = " "):
    """Probe cosines token by token over joined segments: (tokens, scores (tokens, emotions), segment of each token)."""
    text = joiner.join(segments)
    tokens, acts = per_token(subject, text, [layer])
    scores = vectors.scores(acts[:, 0], layer)[:, [vectors.emotions.index(e) for e in emotions]]
    where, start = np.zeros(len(tokens), dtype=int), 0
    for k in range(len(segments)):
        end = len(subject.encode(joiner.join(segments[: k + 1])))
        where[start:end] = k
        start = end
    return tokens, scores, where


def standing_state(subject: Subject, material: dict, layer: int, seed: int = 0, c: float = 0.01) -> pd.Series:
    """Accuracy of a linear classifier of the speaker's standing emotion, by kind of text.

    ``material``: ``statements`` (emotion -> texts) and ``frames`` (kind -> texts with {statement}; the first kind
    trains); every text is read at its last token. Half of the statements train, the other half is told in every kind.
    ``shuffled`` is the accuracy on its own training texts of the same classifier on shuffled labels, a measure of what
    it can memorise.
    """
    told = [(e, s) for e, statements in material["statements"].items() for s in statements]
    labels = np.array([e for e, _ in told])
    texts = {
        kind: [frames[i % len(frames)].replace("{statement}", s) for i, (_, s) in enumerate(told)]
        for kind, frames in material["frames"].items()
    }
    acts = {k: pooled(subject, x, Last(), [layer], progress=False)[:, 0] for k, x in texts.items()}
    first, *others = acts
    train = np.random.default_rng(seed).permutation(len(labels)) < len(labels) // 2
    scale = StandardScaler().fit(acts[first][train])

    def fit(y):
        return LogisticRegression(C=c, max_iter=2000).fit(scale.transform(acts[first][train]), y)

    model = fit(labels[train])
    out = {first: model.score(scale.transform(acts[first][~train]), labels[~train])}
    out |= {k: model.score(scale.transform(acts[k][~train]), labels[~train]) for k in others}
    shuffled = np.array(shuffled_labels(list(labels[train]), seed))
    out["shuffled"] = fit(shuffled).score(scale.transform(acts[first][train]), shuffled)
    return pd.Series(out)
