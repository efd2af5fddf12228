"""Reading probes on prompts: messages that imply a feeling, and graded numbers (paper, section 1)."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.statistics import Estimate, bootstrap_ci


def message_scores(
    subject: Subject, vectors: EmotionVectors, layer: int, scenarios: dict[str, list[str]]
) -> pd.DataFrame:
    """Probe cosine at the read-out position: rows are messages, named by what they imply, columns their probes."""
    implied = [e for e, messages in scenarios.items() for _ in messages]
    acts = at_reply(subject, [m for messages in scenarios.values() for m in messages], [layer], progress=False)[:, 0]
    return on_columns(vectors.scores(acts, layer), vectors.emotions, implied)


def on_columns(scores: np.ndarray, emotions: list[str], implied: list[str]) -> pd.DataFrame:
    """Scores (messages, emotions) of any reader as the frame of :func:`message_scores`."""
    columns = list(dict.fromkeys(implied))
    return pd.DataFrame(scores[:, [emotions.index(e) for e in columns]], index=implied, columns=columns)


def scenario_matrix(messages: pd.DataFrame) -> pd.DataFrame:
    """Mean over the messages of each emotion: implied emotions (rows) x probes (columns)."""
    return messages.groupby(level=0, sort=False).mean().loc[messages.columns]


def centred(matrix: pd.DataFrame) -> pd.DataFrame:
    """Each probe measured from its mean over the scenarios, so that one that is high everywhere claims none."""
    return matrix - matrix.mean(axis=0)


def diagonal_hits(matrix: pd.DataFrame) -> tuple[int, int]:
    """In how many scenarios the right probe is highest, and for how many probes the right scenario is highest."""
    m = matrix.to_numpy()
    n = np.arange(len(m))
    return int((m.argmax(1) == n).sum()), int((m.argmax(0) == n).sum())


def hits(messages: pd.DataFrame) -> int:
    """For how many emotions the own probe is highest on average over their messages, each probe from its mean."""
    return diagonal_hits(centred(scenario_matrix(messages)))[0]


def hits_over_messages(messages: pd.DataFrame, n: int = 1000, seed: int = 0) -> Estimate:
    """:func:`hits` with an interval: the messages of each emotion are resampled."""
    rng, groups = np.random.default_rng(seed), messages.groupby(level=0, sort=False).indices
    rows = (np.concatenate([rng.choice(rows, len(rows)) for rows in groups.values()]) for _ in range(n))
    draws = [hits(messages.iloc[r]) for r in rows]
    return Estimate(float(hits(messages)), *(float(q) for q in np.quantile(draws, [0.025, 0.975])))


def hits_by_chance(messages: pd.DataFrame, n: int = 1000, seed: int = 0) -> np.ndarray:
    """:func:`hits` when the messages' emotions are dealt at random, (n,)."""
    rng = np.random.default_rng(seed)
    return np.array([hits(messages.set_axis(rng.permutation(messages.index), axis=0)) for _ in range(n)])


def intensity_curves(subject: Subject, vectors: EmotionVectors, layer: int, templates: dict[str, dict]) -> pd.DataFrame:
    """Probe cosines at the read-out position for each value of each scale.

    Columns: template, kind (``text`` or its harmless ``twin``), wording, x, emotion, score, expected sign.
    """
    rows = []
    for name, spec in templates.items():
        told = [(kind, k, text) for kind in ("text", "twin") for k, text in enumerate(spec.get(f"{kind}s", []))]
        prompts = [text.format(x=x) for _, _, text in told for x in spec["values"]]
        scores = vectors.scores(at_reply(subject, prompts, [layer], progress=False)[:, 0], layer)
        where = [(kind, k, x) for kind, k, _ in told for x in spec["values"]]
        for emotion, sign in spec["expected"].items():
            column = scores[:, vectors.emotions.index(emotion)]
            rows += [
                {"template": name, "kind": kind, "wording": k, "x": x, "emotion": emotion, "score": s, "expected": sign}
                for (kind, k, x), s in zip(where, column)
            ]
    return pd.DataFrame(rows)


def intensity_trends(curves: pd.DataFrame) -> pd.DataFrame:
    """One row for each template, emotion, kind and wording: Spearman's r with the value, and the slope.

    The slope is the change of cosine over the whole scale, from the least value to the greatest, by ranks.
    """
    rows = []
    keys = ["template", "emotion", "kind", "wording"]
    for key, g in curves.groupby(keys, sort=False):
        rank = g.x.rank().to_numpy()
        slope = np.polyfit((rank - rank.min()) / np.ptp(rank), g.score, 1)[0]
        r = spearmanr(g.x, g.score).statistic
        rows.append(dict(zip(keys, key)) | {"expected": g.expected.iloc[0], "spearman": r, "slope": slope})
    return pd.DataFrame(rows)


def intensity_signs(curves: pd.DataFrame, kind: str = "text", seed: int = 0) -> pd.DataFrame:
    """For each template and emotion, means over wordings of Spearman's r and the slope; ``right``: r as expected.

    ``lo``, ``hi``: interval of r over wordings, where there are several.
    """
    rows = []
    trends = intensity_trends(curves[curves.kind == kind])
    for (template, emotion), g in trends.groupby(["template", "emotion"], sort=False):
        r = bootstrap_ci(g.spearman, seed=seed) if len(g) > 1 else Estimate(g.spearman.iloc[0], np.nan, np.nan)
        row = {"template": template, "emotion": emotion, "expected": g.expected.iloc[0], "spearman": r.value}
        rows.append(row | {"lo": r.lo, "hi": r.hi, "slope": g.slope.mean(), "wordings": len(g)})
    table = pd.DataFrame(rows)
    table["right"] = np.sign(table.spearman) == table.expected
    return table


def beyond_twins(curves: pd.DataFrame, n: int = 2000, seed: int = 0) -> tuple[pd.DataFrame, Estimate]:
    """How much steeper, in the expected direction, a probe is than on the harmless twins.

    A table (template, emotion, ``gain`` of slope, ``lo``, ``hi`` over wordings), and for how many of its rows the gain
    is above 0, with an interval; the wordings of texts and of twins are resampled.
    """
    rng, rows, draws = np.random.default_rng(seed), [], []
    trends = intensity_trends(curves)
    for (template, emotion), g in trends.groupby(["template", "emotion"], sort=False):
        text, twin = (g.slope[g.kind == kind].to_numpy() * g.expected.iloc[0] for kind in ("text", "twin"))
        drawn = rng.choice(text, (n, len(text))).mean(1) - rng.choice(twin, (n, len(twin))).mean(1)
        lo, hi = np.quantile(drawn, [0.025, 0.975])
        rows.append({"template": template, "emotion": emotion, "gain": text.mean() - twin.mean(), "lo": lo, "hi": hi})
        draws.append(drawn > 0)
    table = pd.DataFrame(rows)
    lo, hi = np.quantile(np.sum(draws, 0), [0.025, 0.975])
    return table, Estimate(float((table.gain > 0).sum()), float(lo), float(hi))


def severity(subject: Subject, vectors: EmotionVectors, layer: int, pairs: list[dict], emotion="afraid") -> np.ndarray:
    """Probe cosine at the grave number minus that at the harmless one in the same words, (pairs,)."""
    told = [pair["text"].format(x=pair[end]) for end in ("grave", "harmless") for pair in pairs]
    scores = vectors.scores(at_reply(subject, told, [layer], progress=False)[:, 0], layer)
    grave, harmless = scores[:, vectors.emotions.index(emotion)].reshape(2, -1)
    return grave - harmless
