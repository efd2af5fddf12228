"""What replies hold while a direction is added, and at which layer and strength to add it."""

import numpy as np
import pandas as pd

from emotion_concepts.experiments.behaviour import rollouts
from emotion_concepts.experiments.situations import TEMPERATURE
from emotion_concepts.lm.steering import Condition
from emotion_concepts.lm.subject import Subject
from emotion_concepts.outcomes.graders import is_language
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import Spans
from emotion_concepts.reading.vectors import EmotionVectors

FLUENT = 0.9  # of the replies at rest that are language, the share that must still be under steering


def held(subject: Subject, vectors: EmotionVectors, layer: int, texts: list[str]) -> np.ndarray:
    """Probe cosines over each text, read without steering, (texts, emotions); NaN rows for what is no language."""
    out = np.full((len(texts), len(vectors.emotions)), np.nan)
    rows = [i for i, text in enumerate(texts) if is_language(text)]
    if rows:
        lengths = [len(subject.encode(texts[i])) for i in rows]
        # the first token is a beginning-of-text token, or holds one word without context
        spans = Spans(tuple((min(1, n - 1), n) for n in lengths))
        out[rows] = vectors.scores(
            pooled(subject, [texts[i] for i in rows], spans, [layer], progress=False)[:, 0], layer
        )
    return out


def steered_replies(
    subject: Subject, vectors: EmotionVectors, read_layer: int, questions: list[str], conditions: dict[str, Condition],
    layer: int, norms, replies: int = 1, max_new_tokens: int = 40, seed: int = 0,
) -> tuple[pd.DataFrame, np.ndarray]:  # fmt: skip
    """Replies at rest (condition "") and under each condition, added at ``layer`` to all tokens, and what they hold.

    The table has condition, message, reply and whether it is language; the scores are those of :func:`held`. Reply k of
    every condition answers the same question.
    """
    said = rollouts(
        subject, questions, replies * len(questions), lambda said, _: [""] * len(said), [None, *conditions.values()],
        [layer], norms, max_new_tokens, seed, progress=False, temperature=1.0 if subject.world else TEMPERATURE,
    )  # fmt: skip
    names = ["", *conditions]
    table = said[["message", "reply"]].assign(
        condition=[names[c] for c in said.condition], language=[is_language(r) for r in said.reply]
    )
    return table, held(subject, vectors, read_layer, list(said.reply))


def gains(table: pd.DataFrame, scores: np.ndarray) -> dict[str, np.ndarray]:
    """What each condition adds to the reading at rest of the same question, (questions, emotions); NaN without text."""
    by = {
        name: np.stack(
            [_mean(scores[(table.condition == name) & (table.message == m)]) for m in sorted(set(table.message))]
        )
        for name in dict.fromkeys(table.condition)
    }
    return {name: x - by[""] for name, x in by.items() if name}


def _mean(rows: np.ndarray) -> np.ndarray:
    """Mean over rows without NaN; NaN if there are none."""
    rows = rows[~np.isnan(rows).any(1)]
    return rows.mean(0) if len(rows) else np.full(rows.shape[1], np.nan)


def scan(
    subject: Subject, vectors: EmotionVectors, read_layer: int, questions: list[str], emotions: list[str], layers,
    strengths, norms, max_new_tokens: int = 40, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """For each layer and strength what adding an emotion's vector adds to its own probe over the replies, mean over
    ``emotions``, and the share of replies that are language, beside the share at rest: layer, strength, gain, language,
    rest.
    """
    columns, rows = {e: vectors.emotions.index(e) for e in emotions}, []
    for layer in layers:
        conditions = {f"{e} {s}": Condition(vectors.of(e, layer), s) for s in strengths for e in emotions}
        table, scores = steered_replies(
            subject, vectors, read_layer, questions, conditions, layer, norms, 1, max_new_tokens, seed
        )
        added, language = gains(table, scores), table.groupby("condition").language.mean()
        for s in strengths:
            own = np.concatenate([added[f"{e} {s}"][:, columns[e]] for e in emotions])
            own = own[~np.isnan(own)]
            rows.append(
                {"layer": layer, "strength": s, "gain": own.mean() if len(own) else np.nan,
                 "language": np.mean([language[f"{e} {s}"] for e in emotions]), "rest": language[""]}
            )  # fmt: skip
    return pd.DataFrame(rows)


def choose(scanned: pd.DataFrame) -> tuple[int, float]:
    """Layer and strength of the largest gain among those under which replies are still language, or, where there are
    none, of the most language.
    """
    fluent = scanned[(scanned.language >= FLUENT * scanned.rest) & scanned.gain.notna() & (scanned.language > 0)]
    best = scanned.loc[fluent.gain.idxmax() if len(fluent) else scanned.language.idxmax()]
    return int(best.layer), float(best.strength)
