"""What post-training does to the vectors' readings (paper, section 6)."""

import numpy as np
import pandas as pd

from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply
from emotion_concepts.reading.vectors import EmotionVectors


def reply_scores(subject: Subject, vectors: EmotionVectors, messages: list[str]) -> np.ndarray:
    """Probe cosines at the reply's start at every layer, (messages, layers, emotions).

    ``vectors`` may be those of the partner model, as in the paper, which reads base and post-trained model with the
    same probes; both are measured from the probes' own origin.
    """
    acts = at_reply(subject, messages, vectors.layers, progress=False)
    return np.stack([vectors.scores(acts[:, k], layer) for k, layer in enumerate(vectors.layers)], 1)


def shift(base: np.ndarray, post: np.ndarray, emotions: list[str]) -> pd.DataFrame:
    """Mean reading before and after at one layer from scores (messages, emotions): base, post, shift by emotion."""
    table = pd.DataFrame({"base": base.mean(0), "post": post.mean(0)}, index=pd.Index(emotions, name="emotion"))
    table["shift"] = table.post - table.base
    return table


def shift_by_layer(base: np.ndarray, post: np.ndarray) -> np.ndarray:
    """Mean absolute change of reading at each layer, from (messages, layers, emotions): (layers,)."""
    return np.abs(post.mean(0) - base.mean(0)).mean(1)
