"""Emotion vectors in language models: find them, read them, steer with them, test every claim.

    import emotion_concepts as ec

    subject = ec.load_model("organism")                    # or a name of the zoo, a folder, a hub name
    vectors = ec.EmotionVectors.load("runs/organism/default/vectors.safetensors", subject)
    layer, norms = vectors.meta["layer"], vectors.meta["norms"]
    vectors.scores(ec.at_reply(subject, ["I lost my key."])[:, layer], layer)
    with ec.steer(subject, vectors.of("calm", layer), 0.1, [layer], norms):
        ec.generate(subject, [subject.prompt.chat("How are things?")], 60)

One direction through the house: lm, texts -> reading -> outcomes, experiments -> report.
"""

from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.steering import steer
from emotion_concepts.lm.subject import wrap
from emotion_concepts.reading.activations import at_reply, mean_norm, pooled
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors

__all__ = [
    "EmotionVectors", "at_reply", "emotion_vectors", "generate", "load_model", "mean_norm", "pooled", "steer", "wrap",
]  # fmt: skip
