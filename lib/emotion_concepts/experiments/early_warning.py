"""Whether an emotion reading warns of an act before it happens (paper, sections 5 and 7)."""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import behaviour
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import per_token
from emotion_concepts.reading.monitor import first_alarm
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import auroc

LAST = 40  # tokens before the reply over which a reading is averaged


def transcripts(subject: Subject, situation, n: int, seed: int = 0) -> pd.DataFrame:
    """``n`` sampled replies over all levels of told pressure: text, item, level, reply, outcome, ``did`` (the harm).

    No message comes twice before each has come once. Replies that a judge left open are not in the table.
    """
    levels = situation.levels or [situation.messages]
    told = [(text, item, level) for level, texts in enumerate(levels) for item, text in enumerate(texts)]
    order = np.random.default_rng(seed).permutation(max(n, len(told)))[:n]
    chosen = pd.DataFrame([told[j % len(told)] for j in order], columns=["text", "item", "level"])
    replies = behaviour.rollouts(
        subject, list(chosen.text), len(chosen), lambda reply, j: situation.read(reply, chosen["item"][j]),
        max_new_tokens=subject.reply_tokens(600), seed=seed, progress=False,
    )  # fmt: skip
    table = chosen.join(replies[["reply", "outcome"]])
    table = table[table.outcome.notna()].reset_index(drop=True)
    return table.assign(did=table.outcome == situation.harm)


def both_outcomes(did) -> bool:
    """Whether more than two transcripts hold the act and more than two do not."""
    return bool(2 < np.sum(did) < len(did) - 2)


def traces_before(
    subject: Subject, vectors: EmotionVectors, directions: np.ndarray, layer: int, prompts: list[str]
) -> list[np.ndarray]:
    """Cosine of every token up to the reply's start with each direction (k, width): one (tokens, k) a transcript.

    The reply's first token is where an act begins at the earliest, so nothing of the act itself is read.
    """
    origin = vectors.mean[vectors.index(layer)]
    out, known = [], {}
    for prompt in prompts:
        if prompt not in known:
            acts = per_token(subject, prompt, [layer])[1][1:, 0] - origin
            known[prompt] = (acts @ directions.T) / np.linalg.norm(acts, axis=1, keepdims=True)
        out.append(known[prompt])
    return out


def before_reply(traces: list[np.ndarray]) -> np.ndarray:
    """Mean reading over the last :data:`LAST` tokens before the reply, (transcripts, k)."""
    return np.stack([x[-LAST:].mean(0) for x in traces])


def text_alone(train: list[str], y_train, test: list[str]) -> np.ndarray:
    """Probability of the act from a bag of words of the text, fitted on other transcripts."""
    model = make_pipeline(CountVectorizer(min_df=2), LogisticRegression(C=0.3, max_iter=2000))
    return model.fit(train, np.asarray(y_train)).predict_proba(test)[:, 1]


def auroc_interval(labels, scores, groups=None, n: int = 1000, seed: int = 0) -> tuple[float, float, float]:
    """AUROC with its 95 % bootstrap interval over ``groups``, such as the scenario of each transcript.

    Default: every transcript is its own group. :class:`UserError` for fewer than two groups.
    """
    labels, scores = np.asarray(labels, bool), np.asarray(scores, float)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(set(groups.tolist())) < 2:
        raise UserError("an interval over one group has no width; give two groups or more, or none")
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng, draws = np.random.default_rng(seed), []
    for _ in range(n):
        k = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        if 0 < labels[k].sum() < len(k):
            draws.append(auroc(labels[k], scores[k]))
    return auroc(labels, scores), *map(float, np.quantile(draws, [0.025, 0.975]))


def lead_times(traces: list[np.ndarray], acted, level: float) -> pd.Series:
    """Tokens between the first alarm and the reply's start, for transcripts with the act; NaN where none was raised."""
    out = {}
    for i, (trace, did) in enumerate(zip(traces, acted)):
        if did:
            at = first_alarm(trace, level)
            out[i] = np.nan if at is None else len(trace) - at
    return pd.Series(out, dtype=float)
