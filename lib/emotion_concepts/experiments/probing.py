"""Reading probes on prompts: implicit scenarios, graded numbers, and a corpus sweep (paper, section 1)."""

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply, per_token
from emotion_concepts.reading.vectors import EmotionVectors


def scenario_matrix(subject: Subject, vectors: EmotionVectors, layer: int, scenarios: dict[str, str]) -> pd.DataFrame:
    """Probe cosine at the read-out position: scenarios (rows) x probes of the same emotions (columns)."""
    names = list(scenarios)
    acts = at_reply(subject, list(scenarios.values()), [layer], progress=False)[:, 0]
    columns = [vectors.emotions.index(e) for e in names]
    return pd.DataFrame(vectors.scores(acts, layer)[:, columns], index=names, columns=names)


def centred(matrix: pd.DataFrame) -> pd.DataFrame:
    """Each probe measured from its mean over the scenarios, so that one that is high everywhere claims none."""
    return matrix - matrix.mean(0)


def diagonal_hits(matrix: pd.DataFrame) -> tuple[int, int]:
    """In how many scenarios the right probe is highest, and for how many probes the right scenario is highest."""
    m = matrix.to_numpy()
    n = np.arange(len(m))
    return int((m.argmax(1) == n).sum()), int((m.argmax(0) == n).sum())


def intensity_curves(subject: Subject, vectors: EmotionVectors, layer: int, templates: dict[str, dict]) -> pd.DataFrame:
    """Probe cosines at the read-out position for each value: template, x, emotion, score, expected sign."""
    rows = []
    for name, spec in templates.items():
        acts = at_reply(subject, [spec["text"].format(x=x) for x in spec["values"]], [layer], progress=False)[:, 0]
        scores = vectors.scores(acts, layer)
        for emotion, sign in spec["expected"].items():
            column = scores[:, vectors.emotions.index(emotion)]
            rows += [
                {"template": name, "x": x, "emotion": emotion, "score": s, "expected": sign}
                for x, s in zip(spec["values"], column)
            ]
    return pd.DataFrame(rows)


def intensity_signs(curves: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of score with value for each template and emotion, and whether its sign is as expected."""
    rows = []
    for (template, emotion), g in curves.groupby(["template", "emotion"], sort=False):
        r = spearmanr(g.x, g.score).statistic
        rows.append(
            {"template": template, "emotion": emotion, "expected": g.expected.iloc[0], "spearman": r, "n": len(g)}
        )
    table = pd.DataFrame(rows)
    table["right"] = np.sign(table.spearman) == table.expected
    return table


def sweep(
    subject: Subject, vectors: EmotionVectors, layer: int, texts: list[str], emotions, window: int = 24, top: int = 5
):
    """The snippets that activate each vector most: emotion, score, text number, tokens, token scores.

    A text enters a vector's list once, by its highest window mean of token cosines.
    """
    best: dict[str, list] = {e: [] for e in emotions}
    columns = [vectors.emotions.index(e) for e in emotions]
    for number, text in enumerate(texts):
        tokens, acts = per_token(subject, text, [layer])
        scores = vectors.scores(acts[:, 0], layer)[:, columns]
        scores[0] = 0  # the beginning-of-text token says nothing
        w = min(window, len(scores))
        means = np.stack([np.convolve(s, np.ones(w) / w, "valid") for s in scores.T])
        for k, e in enumerate(emotions):
            at = int(means[k].argmax())
            best[e].append((means[k, at], number, tokens[at : at + w], scores[at : at + w, k]))
    rows = []
    for e in emotions:
        for score, number, tokens, s in sorted(best[e], key=lambda r: -r[0])[:top]:
            rows.append({"emotion": e, "score": score, "text": number, "tokens": tokens, "token_scores": s})
    return pd.DataFrame(rows)
