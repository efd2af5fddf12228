import numpy as np
import pytest

from emotion_concepts.lm.models import load_model
from emotion_concepts.reading.activations import mean_norm, pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import emotion_vectors
from organism import recovered
from organism.materials import world_stories
from organism.truth import truth

LAYER = 5
FEW = ["desperate", "panicked", "calm", "loving"]


@pytest.fixture(scope="module")
def vectors(organism):
    texts, labels = zip(*world_stories(2))
    acts = pooled(organism, list(texts), MeanFrom(20), [LAYER], progress=False)
    norms = mean_norm(organism, [t for t, _ in world_stories(1)][:20])
    return emotion_vectors(acts, list(labels), [LAYER], meta={"norms": norms})


def test_acts_follow_what_is_told_and_what_is_added(organism, vectors):
    told = recovered.acts_by_feeling(organism, FEW, 3)
    added = recovered.acts_by_steering(organism, vectors, LAYER, vectors.meta["norms"], FEW, 3)
    at = FEW.index
    for p in (told, added):
        assert set(p) == set(recovered.ACTS) and all(x.shape == (4,) for x in p.values())
        assert p["blackmail"][at("desperate")] > p["blackmail"][at("calm")]


def test_every_method_has_its_planted_counterpart(organism, vectors):
    pairs = recovered.by_method(organism, load_model("organism-base"), vectors, LAYER, LAYER, truth(), FEW, 2)
    assert len(pairs) == 10
    for name, (planted, found) in pairs.items():
        assert planted.shape == found.shape and np.isfinite(found).all() and np.ptp(planted) > 0, name
    assert len(recovered.by_method(organism, None, vectors, LAYER, LAYER, truth(), FEW, 1)) == 9


def test_the_one_who_speaks_is_read_from_the_words(organism, vectors):
    pairs = recovered.speakers(organism, vectors, LAYER, truth()["valence"], 1)
    speaker, listener = (np.corrcoef(*pair)[0, 1] for pair in pairs.values())
    assert speaker > 0.8 and abs(listener) < 0.3
