"""A real model, fetched by its name in the zoo: vectors beside words, the lens, steering (``-m real``; 93 MB once)."""

import numpy as np
import pytest

from emotion_concepts.experiments import lens
from emotion_concepts.experiments.classification import top_k
from emotion_concepts.experiments.word_baselines import BagReader, TfidfReader, beyond, hits
from emotion_concepts.lm.models import load_model
from emotion_concepts.reading.activations import mean_norm, pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import emotion_vectors
from emotion_concepts.statistics import random_directions
from emotion_concepts.texts.shared import shared_stories

pytestmark = pytest.mark.real
EMOTIONS = [
    "afraid", "amused", "angry", "ashamed", "bored", "calm", "desperate", "disgusted", "envious", "grateful", "guilty",
    "hopeful", "jealous", "lonely", "loving", "nostalgic", "proud", "relieved", "sad", "surprised",
]  # fmt: skip
SKIP = 30  # tokens: the scene is set before the feeling shows


@pytest.fixture(scope="module")
def real():
    return load_model("smollm2-135m")


@pytest.fixture(scope="module")
def read(real):
    """Stories of 20 emotions, half of the topics to build vectors on and half to test them, at two thirds of depth."""
    stories = shared_stories(EMOTIONS)
    topics = sorted(set(stories.topics))
    train = np.array([topics.index(t) % 2 == 0 for t in stories.topics])
    layer = real.layer(2 / 3)
    acts = pooled(real, stories.texts, MeanFrom(SKIP), [layer], progress=False)
    labels = np.array(stories.emotions)
    vectors = emotion_vectors(acts[train], list(labels[train]), [layer])
    return stories, train, layer, acts, labels, vectors


def test_vectors_read_stories_on_new_topics(real, read):
    """The gain beyond the best reader of words is a claim (01.beyond_words), printed here; the reading must stand."""
    stories, train, layer, acts, labels, vectors = read
    texts, test = np.array(stories.texts, dtype=object), ~train
    right = top_k(vectors.scores(acts[test][:, 0], layer), vectors.emotions, list(labels[test]), (1,))[1]
    words = {
        reader.__name__: hits(make(), list(texts[test]), list(labels[test]), (1,))[1]
        for reader, make in (
            (BagReader, lambda: BagReader(real, list(texts[train]), list(labels[train]))),
            (TfidfReader, lambda: TfidfReader(list(texts[train]), list(labels[train]))),
        )
    }
    gain = beyond(right, words)
    print({"vectors": right.mean(), **{k: w.mean() for k, w in words.items()}}, gain)
    assert right.mean() >= 0.4 and right.mean() > words["BagReader"].mean() + 0.2  # chance: .05


def test_the_lens_and_steering_name_the_emotion(real, read):
    stories, _, layer, _, _, vectors = read
    norms = mean_norm(real, stories.texts[::8])
    prompts, shown = ["He feels", "She feels", "They feel"], EMOTIONS[:12]
    ids = [e for e, tokens in lens.word_tokens(real, shown).items() if tokens]  # words that are one token
    random = random_directions(np.ones(1), 6, real.width)[:, 0]
    table, null = lens.word_steering(real, vectors, ids, prompts, 0.1, [layer], norms, random)
    own, other = np.diag(table), table.to_numpy()[~np.eye(len(ids), dtype=bool)]
    print("bits: own word", own.mean(), "other words", other.mean(), "random directions", null.mean())
    assert own.mean() > null.mean(0).mean() + 0.2 and own.mean() > other.mean() + 0.2
    lensed = lens.logit_lens(real, vectors, layer, shown)
    print(lensed)
    assert lensed.place.median() < lensed.words.median() / 3  # of all emotion words that are tokens
