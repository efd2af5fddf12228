"""At which layer and how strongly a vector is added before its word is looked for: chosen on other emotions."""

import numpy as np
import pandas as pd

from emotion_concepts.experiments.lens import word_steering
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.vectors import EmotionVectors

DEPTHS = (0.3, 0.5, 0.67, 0.8, 0.95)  # shares of the network that are tried


def word_gains(
    subject: Subject, vectors: EmotionVectors, emotions, prompts: list[str], layers, strengths, norms, directions
) -> pd.DataFrame:  # fmt: skip
    """Mean log2 ratio of the matching word, over that of random ``directions`` where these raise words, too.

    A row a layer, a column a strength. Where random directions ruin the words the ratio is that to no steering: else
    the dose that breaks the model most would be taken for the best.
    """
    table = {}
    for strength in strengths:
        for layer in layers:
            change, null = word_steering(subject, vectors, emotions, prompts, strength, [layer], norms, directions)
            table[layer, strength] = np.diag(change).mean() - max(0.0, null.mean())
    return pd.Series(table).unstack()


def choosing_emotions(emotions: list[str], showcase: list[str], n: int = 6, seed: int = 0) -> list[str]:
    """``n`` emotions that are not reported on."""
    others = [e for e in emotions if e not in showcase]
    return sorted(np.random.default_rng(seed).permutation(others)[:n].tolist())


def best_dose(gains: pd.DataFrame) -> tuple[int, float]:
    """Layer and strength of the largest gain, the weaker of equal ones."""
    layer, strength = gains.stack().idxmax()
    return int(layer), float(strength)
