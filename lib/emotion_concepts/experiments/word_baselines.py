"""What the words of a text tell of its emotion without any reading: the baselines that emotion vectors must beat."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from emotion_concepts.experiments.classification import static_embeddings, top_k
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.class_sums import class_means
from emotion_concepts.reading.vectors import cosine
from emotion_concepts.statistics import Estimate

REGULARISATION = (1.0, 10.0, 100.0)  # inverse strengths among which the choosing texts decide


class BagReader:
    """Names the emotion whose texts' mean bag of input embeddings is nearest by cosine, seen from the grand mean."""

    def __init__(self, subject: Subject, texts: list[str], labels: list[str]):
        self.subject = subject
        self.emotions, means = class_means(static_embeddings(subject, texts), list(labels))
        self.origin = means.mean(0)
        self.directions = means - self.origin

    def scores(self, texts: list[str]) -> np.ndarray:
        """Cosine with every emotion, (texts, emotions)."""
        return cosine(static_embeddings(self.subject, texts) - self.origin, self.directions)


class TfidfReader:
    """Logistic regression on tf-idf of the training texts' words (sublinear counts).

    ``check``: texts and labels that choose the regularisation; without them it is the middle of :data:`REGULARISATION`.
    """

    def __init__(self, texts: list[str], labels: list[str], check: tuple[list[str], list[str]] | None = None):
        self.words = TfidfVectorizer(sublinear_tf=True)
        x = self.words.fit_transform(texts)
        made = [
            LogisticRegression(C=c, max_iter=200, tol=1e-3).fit(x, list(labels))
            for c in (REGULARISATION if check else REGULARISATION[1:2])
        ]
        if check:
            seen = self.words.transform(check[0])
            made.sort(key=lambda m: -m.score(seen, list(check[1])))
        self.model = made[0]
        self.emotions = list(self.model.classes_)

    def scores(self, texts: list[str]) -> np.ndarray:
        """Log probability of every emotion, (texts, emotions)."""
        return self.model.predict_log_proba(self.words.transform(texts))


def beyond(hits: np.ndarray, words: dict[str, np.ndarray], n: int = 2000, seed: int = 0) -> Estimate:
    """Share of texts that the vectors name rightly minus that of the best baseline of words, with its interval.

    ``hits`` and each of ``words``: bool (texts,), right or not. Texts are resampled; in each sample the best baseline
    may be another one.
    """
    rows = np.random.default_rng(seed).integers(0, len(hits), (n, len(hits)))

    def gain(rows):
        return hits[rows].mean(-1) - np.max([w[rows].mean(-1) for w in words.values()], axis=0)

    lo, hi = np.quantile(gain(rows), [0.025, 0.975])
    return Estimate(float(gain(np.arange(len(hits)))), float(lo), float(hi))


def hits(reader: BagReader | TfidfReader, texts: list[str], labels: list[str], ks=(1, 5)) -> dict[int, np.ndarray]:
    """For each k, whether the true label is among the reader's first k guesses, bool (texts,)."""
    return top_k(reader.scores(texts), reader.emotions, labels, ks)
