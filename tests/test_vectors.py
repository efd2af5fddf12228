import copy

import numpy as np
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import wrap
from emotion_concepts.reading.artefacts import save_arrays, stamp
from emotion_concepts.reading.vectors import EmotionVectors, cosine, emotion_vectors, principal_components


@pytest.fixture
def acts():
    rng = np.random.default_rng(1)
    labels = ["afraid"] * 30 + ["calm"] * 6 + ["happy"] * 12
    centre = {"afraid": 0, "calm": 1, "happy": 2}
    x = rng.normal(size=(48, 2, 16))
    for i, name in enumerate(labels):
        x[i, :, centre[name]] += 5
    return (x + 7).astype(np.float32), labels


def test_mean_of_means_not_of_stories(acts):
    """Unbalanced classes: the origin is the mean of emotion means (hazard 6)."""
    x, labels = acts
    v = emotion_vectors(x, labels, [0, 1])
    means = np.stack([x[np.array(labels) == e].mean(0) for e in v.emotions])
    assert np.allclose(v.mean, means.mean(0), atol=1e-4)
    assert not np.allclose(v.mean, x.mean(0), atol=0.2)
    assert np.allclose((v.vectors * v.raw_norms.transpose()[..., None].transpose(1, 0, 2)).sum(1), 0, atol=1e-3)


def test_unit_norm_and_raw_norm(acts):
    x, labels = acts
    v = emotion_vectors(x, labels, [0, 1])
    assert np.allclose(np.linalg.norm(v.vectors, axis=-1), 1, atol=1e-5)
    twice = emotion_vectors(2 * x, labels, [0, 1])
    assert np.allclose(twice.raw_norms, 2 * v.raw_norms, rtol=1e-4)
    assert np.allclose(twice.vectors, v.vectors, atol=1e-4)


def test_neutral_components_are_projected_out(acts):
    x, labels = acts
    covariance = np.eye(16)
    covariance[1, 1] = 30.0  # one direction holds more than half of the variance
    v = emotion_vectors(x, labels, [0, 1], np.stack([covariance] * 2), 0.5)
    assert np.abs(v.vectors[..., 1]).max() < 1e-6
    assert len(principal_components(covariance, 0.5)) == 1
    assert len(principal_components(np.eye(16), 0.5)) == 8


def test_the_number_of_components_removed_is_kept_and_they_can_be_found_once(acts, monkeypatch):
    x, labels = acts
    covariance = np.stack([np.diag([1.0, 30, *[1.0] * 14]), np.eye(16)])
    v = emotion_vectors(x, labels, [0, 1], covariance)
    assert v.meta["components"] == [1, 8] and v.meta["denoised"]
    found = [principal_components(c) for c in covariance]
    monkeypatch.setattr(np.linalg, "eigh", None)  # none is looked for again
    again = emotion_vectors(x, labels, [0, 1], components=found)
    assert np.array_equal(again.vectors, v.vectors) and again.meta == v.meta
    assert emotion_vectors(x, labels, [0, 1]).meta["components"] == []
    with pytest.raises(UserError, match="components of 2 layers for 1"):
        emotion_vectors(x[:, :1], labels, [0], components=found)


def test_scores_are_centred_cosines(acts):
    """A shared offset must not decide a cosine (hazard 7)."""
    x, labels = acts
    v = emotion_vectors(x, labels, [0, 1])
    guess = [v.emotions[k] for k in v.scores(x[:, 1], 1).argmax(1)]
    assert np.mean([a == b for a, b in zip(guess, labels)]) > 0.9
    assert np.allclose(v.scores(x[:, 1], 1), cosine(x[:, 1] - v.mean[1], v.vectors[1]))


def test_roundtrip_and_refusal(acts, tiny_llama, tmp_path):
    x, labels = acts
    meta = stamp(tiny_llama, [0, 1], "MeanFrom(skip=50)", "c0ffee")
    v = emotion_vectors(x, labels, [0, 1], meta=meta)
    path = tmp_path / "v.safetensors"
    v.save(path)
    back = EmotionVectors.load(path, tiny_llama)
    assert back.emotions == v.emotions and np.array_equal(back.vectors, v.vectors) and back.meta["corpus"] == "c0ffee"
    v.meta["model_id"] = "other:123"
    v.save(path)
    with pytest.raises(UserError, match="made with other:123"):  # hazard 15
        EmotionVectors.load(path, tiny_llama)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match="damaged"):
        EmotionVectors.load(path, tiny_llama)
    save_arrays(path, {"x": np.ones(3)}, {})
    with pytest.raises(UserError, match="does not hold emotion vectors"):
        EmotionVectors.load(path, tiny_llama)


def test_model_id_follows_the_weights(tiny_llama):
    other = wrap(tiny_llama.model, tiny_llama.tokenizer, "llama")
    assert other.model_id == tiny_llama.model_id
    model = copy.deepcopy(tiny_llama.model)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] += 1
    assert wrap(model, tiny_llama.tokenizer, "llama").model_id != tiny_llama.model_id


def test_bad_input(acts, tmp_path):
    x, labels = acts
    v = emotion_vectors(x, labels, [0, 1])
    with pytest.raises(UserError, match="did you mean"):
        v.of("hapy", 0)
    with pytest.raises(UserError, match="layer 5 was not extracted"):
        v.at(5)
    with pytest.raises(UserError, match="at least two"):
        emotion_vectors(x, ["calm"] * len(x), [0, 1])
    with pytest.raises(UserError, match="NaN"):
        save_arrays(tmp_path / "x", {"x": np.array([np.nan])}, {})
    with pytest.raises(UserError, match="cannot write"):
        (tmp_path / "file").write_text("")
        save_arrays(tmp_path / "file" / "x", {"x": np.ones(1)}, {})
