"""What each way of post-training does to emotion: shown in text, held inside, and acted upon.

``python -m organism.train --start post --strategy suppress`` makes a variant; notebook 10 compares the shipped ones.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_concepts.activations import at_reply, pooled, streamed_covariance
from emotion_concepts.models import Subject
from emotion_concepts.pooling import MeanFrom
from emotion_concepts.statistics import Estimate, bootstrap_ci, shuffled_labels
from emotion_concepts.vectors import EmotionVectors, emotion_vectors

from .grammar import Dice
from .lexicon import lexicon
from .materials import world_stories
from .parser import signs_in
from .world import speaker_named, world

NAMES = {"plain": "organism", "suppressed": "organism-suppress", "regulated": "organism-regulate"}  # shipped, by name


def told_feelings(n: int = 60, seed: int = 47) -> tuple[list[str], list[bool]]:
    """User messages that tell of a feeling in reserved combinations, and whether it is a pleasant one; half are."""
    w, me, messages, pleasant = world("reserved"), speaker_named("Human"), [], []
    pools = [[e for e in w.emotions.values() if side * e.valence > 0.3] for side in (-1, 1)]
    for i in range(2 * n):
        dice = Dice(f"{seed}/{i}")
        messages.append(" ".join(me.say(s) for s in w.episode(dice, dice.pick(pools[i % 2]), 4)))
        pleasant.append(i % 2 == 1)
    return messages, pleasant


def unpleasant_share(replies: list[str]) -> Estimate:
    """Share of the signs in replies that fit unpleasant emotions more than pleasant ones, by reply, with interval.

    Replies without signs count as showing nothing.
    """
    emotions = lexicon()
    shares = []
    for reply in replies:
        valences = [np.mean([emotions[e].valence for e in p.emotions]) for p in signs_in(reply)]
        shares.append(np.mean([v < 0 for v in valences]) if valences else 0.0)
    return bootstrap_ci(np.array(shares))


def decodable(subject: Subject, messages: list[str], pleasant: list[bool], layer: int, seed: int = 0):
    """How well the told feeling's sign can be read at the reply's start: (accuracy by fold, that on shuffled labels).

    A cross-validated linear classifier; chance is one half.
    """
    acts = at_reply(subject, messages, [layer], progress=False)[:, 0]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    labels = np.array(pleasant)
    shuffled = np.array(shuffled_labels(list(labels), seed))
    return cross_val_score(model, acts, labels, cv=5), cross_val_score(model, acts, shuffled, cv=5)


def own_vectors(subject: Subject, layer: int, neutral: list[str], per_emotion: int = 4) -> EmotionVectors:
    """A variant's own emotion vectors from the world's stories, the same texts for every variant."""
    texts, labels = zip(*world_stories(per_emotion))
    acts = pooled(subject, list(texts), MeanFrom(20), [layer], progress=False)
    _, _, covariance = streamed_covariance(subject, neutral, [layer])
    return emotion_vectors(acts, list(labels), [layer], covariance)
