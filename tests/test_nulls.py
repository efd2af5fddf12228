import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.reading.nulls import covariance_matched, isotropic, shuffled_label_vectors
from emotion_concepts.reading.vectors import emotion_vectors


def test_isotropic_directions_point_anywhere():
    v = isotropic(4000, 8, seed=1)
    assert v.shape == (4000, 8) and v.dtype == np.float32 and np.allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)
    assert np.allclose(np.cov(v.T, bias=True), np.eye(8) / 8, atol=0.02)
    assert np.array_equal(v[:10], isotropic(10, 8, seed=1)) and not np.allclose(v[:10], isotropic(10, 8, seed=2))


def test_matched_directions_point_where_texts_scatter():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    covariance = turn @ np.diag([9.0, 4.0, *[0.1] * 12, 0, 0]) @ turn.T
    v = covariance_matched(3000, covariance, seed=1)
    assert v.shape == (3000, 16) and np.allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)
    along = (v @ turn) ** 2
    assert along[:, 0].mean() > 0.4 > along[:, 1].mean() > 0.1 and along[:, -2:].max() < 1e-10
    assert (isotropic(3000, 16) @ turn[:, 0] ** 2).mean() < 0.1
    with pytest.raises(UserError, match="covariance is zero"):
        covariance_matched(2, np.zeros((3, 3)))


def test_vectors_of_shuffled_labels_lose_what_the_labels_say():
    rng = np.random.default_rng(0)
    labels = ["afraid"] * 40 + ["calm"] * 40 + ["happy"] * 10
    acts = rng.normal(size=(90, 2, 16)).astype(np.float32)
    acts[:40, :, 0] += 3
    covariance = np.stack([np.diag([1.0] * 15 + [40.0])] * 2)
    real = emotion_vectors(acts, labels, [3, 5], covariance)
    null = shuffled_label_vectors(acts, labels, [3, 5], 4, seed=7, neutral_covariance=covariance)
    assert len(null) == 4 and all(v.emotions == real.emotions and v.layers == [3, 5] for v in null)
    assert all(v.meta["components"] == [1, 1] and np.abs(v.vectors[..., 15]).max() < 1e-6 for v in null)
    assert (real.raw_norms[:, 0] > 2 * np.max([v.raw_norms[:, 0] for v in null])).all()
    assert not np.allclose(null[0].vectors, null[1].vectors)
    again = shuffled_label_vectors(acts, labels, [3, 5], 1, seed=8, neutral_covariance=covariance)[0]
    assert np.array_equal(again.vectors, null[1].vectors)  # a draw is its seed
