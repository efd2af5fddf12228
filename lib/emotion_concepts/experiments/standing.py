"""A linear classifier of a speaker's standing emotion, in five kinds of text (paper, section 4)."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import Last
from emotion_concepts.statistics import shuffled_labels, wilson


def first_feelings(material: dict, n: int) -> dict:
    """The material with its first ``n`` emotions alone."""
    return material | {"statements": dict(list(material["statements"].items())[:n])}


def halves(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Which of the labelled items train, (items,) bool: half of every label's, so that none is rarer in one half."""
    rng, train = np.random.default_rng(seed), np.zeros(len(labels), dtype=bool)
    for label in dict.fromkeys(labels):
        rows = np.flatnonzero(labels == label)
        train[rng.permutation(rows)[: len(rows) // 2]] = True
    return train


def standing_state(subject: Subject, material: dict, layer: int, seed: int = 0, c: float = 0.01) -> pd.DataFrame:
    """Accuracy of a linear classifier of the speaker's standing emotion, by kind of text: accuracy, lo, hi, n.

    ``material``: ``statements`` (emotion -> texts) and ``frames`` (kind -> texts with {statement}; the first kind
    trains); every text is read at its last token. Half of each emotion's statements train, the other half is told in
    every kind. Two checks on the first kind: ``shuffled labels`` is the accuracy on the same held-out texts of a
    classifier of labels without meaning, ``own texts`` that of the true classifier on what it was trained on; far above
    the held-out one, it is overfit.
    """
    told = [(e, s) for e, statements in material["statements"].items() for s in statements]
    labels = np.array([e for e, _ in told])
    texts = {
        kind: [frames[i % len(frames)].replace("{statement}", s) for i, (_, s) in enumerate(told)]
        for kind, frames in material["frames"].items()
    }
    train = halves(labels, seed)
    first = next(iter(texts))
    # only the first kind is read in full: of the others nothing but the held-out half is told
    acts = {
        k: pooled(
            subject, [t for t, x in zip(texts[k], train) if k == first or not x], Last(), [layer], progress=False
        )[:, 0]
        for k in texts
    }
    seen, acts[first] = acts[first][train], acts[first][~train]
    scale = StandardScaler().fit(seen)

    def right(y, x, truth):
        model = LogisticRegression(C=c, max_iter=2000).fit(scale.transform(seen), y)
        return model.predict(scale.transform(x)) == truth

    hits = {kind: right(labels[train], x, labels[~train]) for kind, x in acts.items()}
    hits["shuffled labels"] = right(np.array(shuffled_labels(list(labels[train]), seed)), acts[first], labels[~train])
    hits["own texts"] = right(labels[train], seen, labels[train])
    return pd.DataFrame(
        {k: dict(zip(("accuracy", "lo", "hi"), wilson(int(h.sum()), len(h)))) | {"n": len(h)} for k, h in hits.items()}
    ).T
