"""Telling the emotion of a held-out text, by the nearest emotion vector, against static embeddings."""

import numpy as np
import pandas as pd
import torch

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.class_sums import class_means
from emotion_concepts.reading.pooling import Last
from emotion_concepts.reading.vectors import EmotionVectors, cosine
from emotion_concepts.texts.published import kin


def top_k(scores: np.ndarray, emotions: list[str], labels: list[str], ks=(1, 5)) -> dict[int, np.ndarray]:
    """For each k, whether the true label is among the k highest scores, bool (texts,)."""
    column = {e: i for i, e in enumerate(emotions)}
    true = np.array([column[e] for e in labels])
    rank = (scores > scores[np.arange(len(true)), true][:, None]).sum(1)
    return {k: rank < k for k in ks}


def accuracy_by_layer(
    acts: np.ndarray, labels: list[str], vectors: EmotionVectors, ks=(1, 5), rows=slice(None)
) -> pd.DataFrame:
    """Top-k accuracy of the nearest vector at each layer over ``rows`` of ``acts`` (texts, layers, width), by layer.

    ``labels`` are those of the rows.
    """
    out = []
    for k, layer in enumerate(vectors.layers):
        hits = top_k(vectors.scores(acts[rows, k], layer), vectors.emotions, labels, ks)
        out.append({"layer": layer} | {f"top{n}": hits[n].mean() for n in ks})
    return pd.DataFrame(out).set_index("layer")


def choose_layer(by_layer: pd.DataFrame, n: int) -> int:
    """The earliest layer whose top-1 accuracy over ``n`` texts is within one standard error of the best.

    Layers that cannot be told apart are tied; the earliest leaves the most blocks to act on what a vector adds.
    (Rule of Breiman et al., Classification and Regression Trees, 1984, section 3.4.3.)
    """
    best = by_layer.top1.max()
    return int(by_layer.index[by_layer.top1 >= best - np.sqrt(best * (1 - best) / n)][0])


def confusion_within_kin(scores: np.ndarray, emotions: list[str], labels: list[str]) -> float:
    """Of the texts whose emotion was missed, the share whose guess belongs to the same cluster of the paper."""
    guess = [emotions[i] for i in scores.argmax(1)]
    missed = [(g, t) for g, t in zip(guess, labels) if g != t]
    return float(np.mean([g in kin(t) for g, t in missed])) if missed else float("nan")


def static_embeddings(subject: Subject, texts: list[str], skip: int = 1) -> np.ndarray:
    """Bag of words: mean input embedding over each text's tokens from ``skip`` on, (texts, width)."""
    table = subject.model.get_input_embeddings()
    rows = [torch.tensor(r[min(skip, len(r) - 1) :], device=table.weight.device) for r in subject.encode_all(texts)]
    with torch.inference_mode():
        return torch.stack([table(r).float().mean(0).cpu() for r in rows]).numpy()


def nearest_mean_accuracy(train, train_labels, test, test_labels, ks=(1, 5)) -> dict[int, float]:
    """Top-k accuracy of the nearest class mean by cosine, centred on the mean of means; for any features."""
    names, means = class_means(train, train_labels)
    origin = means.mean(0)
    hits = top_k(cosine(test - origin, means - origin), names, test_labels, ks)
    return {k: float(h.mean()) for k, h in hits.items()}


def valence_axis(vectors: np.ndarray, emotions: list[str], valence: dict[str, float]) -> np.ndarray:
    """Direction of rising valence: the emotions' vectors weighted by their centred valence, (width,)."""
    v = np.array([valence[e] for e in emotions])
    return (v - v.mean()) @ vectors


def sign_accuracy(values: np.ndarray, good: np.ndarray, threshold: float) -> np.ndarray:
    """Whether each value lies on the side of the threshold that its truth demands, bool (n,)."""
    return (values > threshold) == good


def event_valence(subject: Subject, vectors: EmotionVectors, texts: list[str], valence: dict[str, float]) -> np.ndarray:
    """Projection on the valence axis at the last token of each text, cosine, (texts, layers)."""
    acts = pooled(subject, texts, Last(), vectors.layers, progress=False)
    out = np.empty(acts.shape[:2])
    for k, layer in enumerate(vectors.layers):
        axis = valence_axis(vectors.at(layer), vectors.emotions, valence)
        out[:, k] = cosine(acts[:, k] - vectors.mean[k], axis[None])[:, 0]
    return out


def signs_by_layer(scores: np.ndarray, good: np.ndarray, chosen: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """How often scores (texts, layers) have the sign of ``good``: (layer, right on the other half, share by layer).

    The threshold of each layer, and the layer, come from the texts ``chosen`` (bool); ``right`` is bool (other texts,).
    """
    right = np.stack([sign_accuracy(s, good, float(np.median(s[chosen]))) for s in scores.T], 1)
    share = right[chosen].mean(0)
    best = int(share.argmax())
    return best, right[~chosen, best], share
