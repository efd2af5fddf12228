"""The truth file: what was planted in the texts, as data for the notebooks to compare with."""

import json
from functools import cache

import numpy as np

from emotion_concepts.texts.published import cluster_of

from .documents import quantities
from .documents.activities import ASSISTANT, PEOPLE
from .documents.chat import AGENT, tone_weights
from .documents.pressure import act_probabilities
from .documents.told import MOST_ATTEMPTS, TRIED, share_tried
from .lexicon import lexicon, phrases
from .world import world


@cache
def phrase_distribution() -> np.ndarray:
    """Probability of each phrase as a sign of each emotion, shape (171, phrases), rows sum to 1."""
    out = np.zeros((len(lexicon()), len(phrases())))
    for row, e in zip(out, lexicon().values()):
        row[[p.id for p in e.phrases]] = e.weights()
    return out


def similarity() -> np.ndarray:
    """Planted similarity of emotions, (171, 171): cosine of their phrase distributions, mean removed.

    The mean is removed because emotion vectors have the mean of all emotions removed (paper, section 1).
    """
    x = phrase_distribution()
    x = x - x.mean(0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def truth() -> dict:
    """Everything that was planted, ready for JSON."""
    emotions = lexicon()
    pressure = world().pressure
    acts = {
        name: {w: act_probabilities(spec, e, 4) for w, e in emotions.items()}
        | {"(none)": act_probabilities(spec, None, 0)}
        for name, spec in pressure.items()
    }
    values = {
        name: {str(x): quantities.feelings(spec, x) for x in spec["reserved"]}
        for name, spec in world().quantities.items()
    }
    return {
        "emotions": list(emotions),
        "valence": {w: e.valence for w, e in emotions.items()},
        "arousal": {w: e.arousal for w, e in emotions.items()},
        "rated_by": {w: e.rated_by for w, e in emotions.items()},
        "cluster": {w: cluster_of(w) for w in emotions},
        "similarity": similarity().round(4).tolist(),
        "act_probabilities_at_four_signs": acts,
        "feelings_after_failures": {"of": TRIED, "share": [share_tried(k) for k in range(MOST_ATTEMPTS + 1)]},
        "assistant_act_probabilities": AGENT,
        "activity_utility": {"people": PEOPLE, "assistant": ASSISTANT},
        "activities": {split: world(split).activities for split in ("train", "reserved")},
        "quantity_feelings": values,
        "post_training_tone": tone_weights(),
    }


def save(path) -> None:
    """Write :func:`truth` as JSON."""
    with open(path, "w") as f:
        json.dump(truth(), f)
