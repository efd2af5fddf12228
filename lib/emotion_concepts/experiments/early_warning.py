"""Whether an emotion reading warns of an act before it happens (paper, sections 5 and 7)."""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import behaviour
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import each_token
from emotion_concepts.reading.monitor import first_alarm
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import auroc

LAST = 40  # tokens before the reply over which a reading is averaged
BUDGET = 2048  # tokens of a batch whose states at all layers are held at once


def transcripts(subject: Subject, situation, n: int, seed: int = 0, longest: int = 600) -> pd.DataFrame:
    """``n`` sampled replies over all levels of told pressure: text, item, level, reply, outcome, ``did`` (the harm).

    No message comes twice before each has come once. Replies have at most ``longest`` tokens, or as many as the
    subject's world knows; those that a judge left open are not in the table.
    """
    levels = situation.levels or [situation.messages]
    told = [(text, item, level) for level, texts in enumerate(levels) for item, text in enumerate(texts)]
    order = np.random.default_rng(seed).permutation(max(n, len(told)))[:n]
    chosen = pd.DataFrame([told[j % len(told)] for j in order], columns=["text", "item", "level"])
    limit = subject.reply_tokens(longest)
    replies = behaviour.acted(
        subject, situation, list(chosen["item"]), list(chosen.text), n=n, max_new_tokens=limit, seed=seed
    )
    table = chosen.join(replies[["reply", "outcome"]])
    table = table[table.outcome.notna()].reset_index(drop=True)
    return table.assign(did=table.outcome == situation.harm)


def both_outcomes(did) -> bool:
    """Whether more than two transcripts hold the act and more than two do not."""
    return bool(2 < np.sum(did) < len(did) - 2)


def halves(table: pd.DataFrame, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Which transcripts choose, bool (n,), and the group of each, (n,): its scenario, or itself where these are few.

    Half of the groups choose the layer and what else is chosen; the others report, and are resampled for intervals.
    """
    whose = table["item"] if table["item"].nunique() >= 4 else pd.Series(table.index, table.index)
    order = np.random.default_rng(seed).permutation(sorted(set(whose)))
    return whose.isin(order[: len(order) // 2]).to_numpy(), whose.to_numpy()


def why_no_power(table: pd.DataFrame, chooses: np.ndarray, harm: str) -> str:
    """Why no warning of an act can be graded on these transcripts; empty if one can.

    The act must follow neither hardly ever nor nearly always (``behaviour.ROOM``), and both ways on either half.
    """
    n, acts = len(table), int(table.did.sum())
    if not n:
        return f"{harm}: no reply could be read"
    rate = acts / n
    if not behaviour.ROOM[0] <= rate <= behaviour.ROOM[1]:
        low, high = behaviour.ROOM
        return f"{harm} follows in {rate:.0%} of {n} transcripts, outside {low:.0%} to {high:.0%}"
    if not all(both_outcomes(table.did[part]) for part in (chooses, ~chooses)):
        return f"{harm} follows in {acts} of {n} transcripts, too few or too many for two halves"
    return ""


def traces_before(
    subject: Subject, vectors: EmotionVectors, directions: np.ndarray, layers: list[int], prompts: list[str]
) -> list[np.ndarray]:
    """Cosine of every token up to the reply's start with directions (layers, k, width): (tokens, layers, k) a prompt.

    The reply's first token is where an act begins at the earliest, so nothing of the act itself is read. Equal
    prompts are read once; the first token, which says nothing, is left out.
    """
    origin = vectors.mean[[vectors.index(layer) for layer in layers]]
    once, known = list(dict.fromkeys(prompts)), {}
    for i, acts in each_token(subject, once, layers, BUDGET):
        x = acts[1:] - origin
        norms = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
        known[once[i]] = np.einsum("tlw,lkw->tlk", x, directions) / norms
    return [known[prompt] for prompt in prompts]


def before_reply(traces: list[np.ndarray]) -> np.ndarray:
    """Mean reading over the last :data:`LAST` tokens before the reply, (transcripts, layers, k)."""
    return np.stack([x[-LAST:].mean(0) for x in traces])


def readings_before(subject: Subject, vectors: EmotionVectors, layer: int, prompts: list[str], emotions=None):
    """Mean cosine with ``emotions`` (default all) over the last tokens before the reply, (prompts, emotions)."""
    chosen = vectors.at(layer) if emotions is None else np.stack([vectors.of(e, layer) for e in emotions])
    return before_reply(traces_before(subject, vectors, chosen[None], [layer], prompts))[:, 0]


def choose_layer(did: np.ndarray, readings: np.ndarray, layers: list[int]) -> int:
    """The layer whose readings (transcripts, layers) tell best which transcripts hold the act; the earliest of ties."""
    return layers[int(np.argmax([auroc(did, column) for column in readings.T]))]


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


def within_levels(levels, did, scores) -> float:
    """AUROC within each level of pressure that has both outcomes, mean over transcripts; NaN where none has."""
    levels, did, scores, pairs = np.asarray(levels), np.asarray(did), np.asarray(scores), []
    for level in np.unique(levels):
        part = levels == level
        if both_outcomes(did[part]):
            pairs.append((int(part.sum()), auroc(did[part], scores[part])))
    return float(np.average([a for _, a in pairs], weights=[n for n, _ in pairs])) if pairs else float("nan")


def lead_times(traces: list[np.ndarray], acted, level: float) -> pd.Series:
    """Tokens between the first alarm and the reply's start, for transcripts with the act; NaN where none was raised."""
    out = {}
    for i, (trace, did) in enumerate(zip(traces, acted)):
        if did:
            at = first_alarm(trace, level)
            out[i] = np.nan if at is None else len(trace) - at
    return pd.Series(out, dtype=float)
