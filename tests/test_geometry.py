"""Maps of emotions: axes that were planted are found, and maps that know nothing are told from those that do."""

import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import geometry
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.texts.published import emotion_words, norms

EMOTIONS = ["afraid", "calm", "happy", "sad"]
WORDS = list(norms().index)


def planted(pleasure=2.0, arousal=1.0, noise=0.05, seed=0):
    """Unit vectors of the 45 rated words along two directions, (45, 20)."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(9).normal(size=(20, 2)))[0].T
    x = np.outer(norms().pleasure, axes[0]) * pleasure + np.outer(norms().arousal, axes[1]) * arousal
    x = x + rng.normal(size=(45, 20)) * noise
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_geometry_recovers_planted_axes():
    """Vectors made of pleasure and arousal give them back as the first two components."""
    x = planted()
    pcs = geometry.components(x, WORDS)
    table = geometry.norm_correlations(pcs)
    assert table.loc["PC1", "pleasure"] > 0.85 and abs(table.loc["PC2", "arousal"]) > 0.6
    assert pcs.scores[WORDS.index("happy"), 0] > 0
    assert sorted(geometry.dendrogram_order(geometry.similarity(x)).tolist()) == list(range(45))
    with pytest.raises(UserError, match="unit vectors"):
        geometry.similarity(3 * x)


def test_clusters_find_planted_groups():
    """Emotions around the centres of the paper's clusters are grouped as there; noise is not."""
    emotions = list(emotion_words())
    names = [geometry.cluster_of(e) for e in emotions]
    kinds = sorted(set(names))
    rng = np.random.default_rng(0)
    x = np.eye(10)[[kinds.index(n) for n in names]] + 0.05 * rng.normal(size=(171, 10))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found, ari = geometry.clusters(x, emotions)
    assert ari > 0.99 and abs(geometry.shuffled_rand(found, 50).mean()) < 0.05
    assert geometry.cluster_gap(geometry.similarity(x), emotions) > 0.9
    noise = rng.normal(size=(171, 10))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert geometry.clusters(noise, emotions)[1] < 0.1
    assert abs(geometry.cluster_gap(geometry.similarity(noise), emotions)) < 0.05


def test_the_component_of_a_rating_is_found_wherever_it_lies():
    """With arousal as the stronger direction, pleasure is the second component and is still found."""
    usual, turned = geometry.components(planted(2.0, 1.0), WORDS), geometry.components(planted(1.0, 3.0), WORDS)
    first, second = geometry.best_component(usual, "pleasure"), geometry.best_component(turned, "pleasure")
    assert first.component == 1 and second.component == 2 and second.r.value > 0.7 > second.chance > 0.2
    assert second.r.value == pytest.approx(max(map(abs, second.each))) and second.r.lo > second.chance
    assert geometry.best_component(usual, "pleasure", among=(1, 2)).component in (2, 3)


def test_a_map_that_knows_more_gains_over_one_that_knows_less():
    clear, noise = geometry.components(planted(), WORDS), geometry.components(planted(0, 0, 1.0), WORDS)
    assert geometry.gain_over(clear, noise, "pleasure", n=300).lo > 0
    assert geometry.gain_over(clear, clear, "pleasure", n=50) == (0, 0, 0)
    table = geometry.compare_maps({"clear": planted(), "noise": planted(0, 0, 1.0)}, WORDS)
    assert table.pleasure["clear"] > 0.85 > 0.5 > table.pleasure["noise"]
    assert table["r with the first map"]["clear"] == pytest.approx(1)


def test_a_map_of_any_features_is_that_of_their_class_means():
    rng = np.random.default_rng(0)
    centres, labels = rng.normal(size=(4, 6)), EMOTIONS * 50
    names, x = geometry.unit_map(np.tile(centres, (50, 1)) + 0.01 * rng.normal(size=(200, 6)), labels)
    wanted = centres - centres.mean(0)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert names == EMOTIONS and np.allclose(x, wanted, atol=0.02)


def test_layer_agreement_is_one_for_equal_layers(make_vectors):
    vectors = make_vectors(EMOTIONS, origin=False)
    same = EmotionVectors(EMOTIONS, np.stack([vectors.vectors[0]] * 2), np.ones((2, 4)), np.zeros((2, 32)), [0, 1], {})
    assert np.allclose(geometry.layer_agreement(same), 1)
    assert geometry.layer_agreement(vectors).loc[0, 1] < 0.999
