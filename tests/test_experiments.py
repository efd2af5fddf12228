import numpy as np
import pandas as pd
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import classification, geometry, lens, probing
from emotion_concepts.experiments.coherence import coherence
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.scoring import perplexity
from emotion_concepts.outcomes.graders import repetition
from emotion_concepts.reading.activations import mean_norm
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.report.heatmap import token_html
from emotion_concepts.statistics import random_directions
from emotion_concepts.texts.published import emotion_words, norms

EMOTIONS = ["afraid", "calm", "happy", "sad"]


@pytest.fixture
def vectors(make_vectors):
    return make_vectors(EMOTIONS, origin=False)


def test_logit_lens_finds_a_planted_word(tiny_llama):
    """A direction along a word's unembedding is read as that word; random directions are not."""
    table = tiny_llama.unembedding.detach().numpy()
    ids = sorted(lens.first_tokens(tiny_llama, "calm"))
    direction = (table - table.mean(0))[ids[0]]
    direction = direction / np.linalg.norm(direction)
    v = np.stack([direction, *np.random.default_rng(1).normal(size=(3, 32))])
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    vs = EmotionVectors(
        ["calm", "afraid", "happy", "sad"], v[None].astype(np.float32), np.ones((1, 4)), np.zeros((1, 32)), [0], {}
    )
    row = lens.logit_lens(tiny_llama, vs, 0, ["calm"]).iloc[0]
    assert row.word and row["rank"] == 1


def test_word_steering_raises_the_word_along_its_unembedding(tiny_llama):
    table = tiny_llama.unembedding.detach().numpy()
    ids = sorted(lens.first_tokens(tiny_llama, "calm"))
    v = np.zeros((1, 4, 32), np.float32)
    rng = np.random.default_rng(0)
    v[0] = rng.normal(size=(4, 32))
    v[0, 1] = table[ids].mean(0)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    vs = EmotionVectors(EMOTIONS, v, np.ones((1, 4)), np.zeros((1, 32)), [2], {})
    norms_ = np.full(3, 6.0)
    change, null = lens.word_steering(
        tiny_llama, vs, ["calm"], ["He feels"], 1.0, [2], norms_, rng.normal(size=(3, 32)) / 6
    )
    assert change.loc["calm", "calm"] > 0.5 > np.abs(null).mean() - 5
    assert null.shape == (3, 1)


def test_top_k_counts_ties_and_ranks():
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    hits = classification.top_k(scores, ["a", "b", "c"], ["a", "b"], (1, 2))
    assert hits[1].tolist() == [True, False] and hits[2].tolist() == [True, True]


def test_classification_by_layer_separates_what_is_separable():
    rng = np.random.default_rng(0)
    labels = [e for e in EMOTIONS for _ in range(20)]
    x = rng.normal(size=(80, 2, 16))
    x[np.arange(80), 1, np.repeat(range(4), 20)] += 8  # only layer 1 knows
    v = emotion_vectors(x[::2].astype(np.float32), labels[::2], [0, 1])
    table = classification.accuracy_by_layer(x[1::2], labels[1::2], v)
    assert table.loc[1, "top1"] > 0.95 and table.loc[0, "top1"] < 0.6
    flat = classification.nearest_mean_accuracy(x[::2, 0], labels[::2], x[1::2, 0], labels[1::2])
    assert flat[1] < 0.6


def test_the_chosen_layer_is_the_earliest_that_cannot_be_told_from_the_best():
    table = pd.DataFrame({"top1": [0.5, 0.86, 0.80, 0.87]}, index=[2, 4, 6, 7])
    assert classification.choose_layer(table, 600) == 4  # one standard error is .014
    assert classification.choose_layer(table, 60_000) == 7


def test_static_embeddings_are_the_mean_of_input_embeddings(tiny_llama):
    table = tiny_llama.model.get_input_embeddings().weight.detach().numpy()
    ids = tiny_llama.encode("The rain")
    assert np.allclose(classification.static_embeddings(tiny_llama, ["The rain"], 0)[0], table[ids].mean(0), atol=1e-6)


def test_valence_axis_points_from_bad_to_good():
    v = np.eye(4)
    axis = classification.valence_axis(v, EMOTIONS, {"afraid": -1, "calm": 0.5, "happy": 1, "sad": -0.5})
    assert axis[2] > axis[1] > 0 > axis[3] > axis[0]


def test_scenarios_and_intensity(tiny_llama, vectors):
    m = probing.scenario_matrix(tiny_llama, vectors, 1, {e: f"I saw the {e[0]} boat." for e in EMOTIONS})
    assert m.shape == (4, 4) and m.abs().max().max() <= 1
    assert probing.diagonal_hits(pd.DataFrame(np.eye(4))) == (4, 4)
    assert np.allclose(probing.centred(m).mean(0), 0, atol=1e-6)
    spec = {"t": {"text": "I counted {x} dogs.", "values": [1, 20, 300], "expected": {"happy": 1, "sad": -1}}}
    curves = probing.intensity_curves(tiny_llama, vectors, 1, spec)
    assert len(curves) == 6
    signs = probing.intensity_signs(curves.assign(score=curves.x * curves.expected))
    assert signs.right.all() and np.allclose(signs.spearman.abs(), 1)
    assert not probing.intensity_signs(curves.assign(score=-curves.x * curves.expected)).right.any()


def test_sweep_finds_the_strongest_snippet(tiny_llama, vectors, texts):
    table = probing.sweep(tiny_llama, vectors, 1, texts, ["happy", "sad"], window=4, top=2)
    assert len(table) == 4 and table.groupby("emotion").score.apply(lambda s: s.is_monotonic_decreasing).all()
    assert all(len(t) == len(s) for t, s in zip(table.tokens, table.token_scores))


def test_geometry_recovers_planted_axes():
    """Vectors made of pleasure and arousal give them back as the first two components."""
    words = list(norms().index)
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(20, 2)))[0].T
    x = np.outer(norms().pleasure, axes[0]) * 2 + np.outer(norms().arousal, axes[1]) + rng.normal(size=(45, 20)) * 0.05
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    pcs = geometry.components(x, words)
    table = geometry.norm_correlations(pcs)
    assert table.loc["PC1", "pleasure"] > 0.85 and abs(table.loc["PC2", "arousal"]) > 0.6
    assert pcs.scores[words.index("happy"), 0] > 0
    found, ari = geometry.clusters(x, words, k=4)
    assert len(found) == 45 and -1 <= ari <= 1
    assert abs(geometry.shuffled_rand(found, 50).mean()) < 0.05
    assert sorted(geometry.dendrogram_order(geometry.similarity(x)).tolist()) == list(range(45))
    with pytest.raises(UserError, match="unit vectors"):
        geometry.similarity(3 * x)


def test_layer_agreement_is_one_for_equal_layers(vectors):
    same = EmotionVectors(EMOTIONS, np.stack([vectors.vectors[0]] * 2), np.ones((2, 4)), np.zeros((2, 32)), [0, 1], {})
    assert np.allclose(geometry.layer_agreement(same), 1)
    assert geometry.layer_agreement(vectors).loc[0, 1] < 0.999


def test_heat_map_escapes_markup():
    page = token_html(["<script>", "alert(1)", "</script>", "&"], np.array([0.5, -0.5, 0.0, 1.0]), title="a<b")
    assert "<script>" not in page and "&lt;script&gt;" in page and "a&lt;b" in page
    assert page.count("<span") == 4


def test_reference_data():
    assert len(emotion_words()) == 171 and len(set(emotion_words())) == 171
    assert len(norms()) == 45 and norms().abs().max().max() <= 1


def test_coherence_notices_a_model_that_has_lost_its_language():
    """Perplexity and repetition stand at strength 0 as without steering and rise with a strength beyond reason."""
    assert repetition("a b c d e f") == 0 and repetition("a b") == 0
    assert repetition("no no no no no no no no") == pytest.approx(0.8)
    subject = load_model("organism")
    texts = ["I stood by the window and waited.", "The bus was late when I reached the stop."]
    direction = random_directions(np.ones(1), 5, subject.width)[0, 0]
    prompts = [subject.prompt.chat("How are things?")]
    norms = mean_norm(subject, texts)
    table = coherence(subject, {"random": direction}, (0.05, 8.0), [3], norms, texts, prompts)
    assert list(table.strength) == [0.0, 0.05, 8.0]
    rest, _, broken = table.perplexity
    assert rest == pytest.approx(np.exp(np.median(np.log(perplexity(subject, texts)))))
    assert broken > 3 * rest


def test_the_sign_is_chosen_on_one_half_and_judged_on_the_other():
    """Layer 1 tells the sign, layer 0 only on the half that chooses; the threshold need not be zero."""
    rng = np.random.default_rng(0)
    good, chosen = np.tile([True, False], 40), np.arange(80) < 40
    told = 5.0 + np.where(good, 1.0, -1.0)
    chance = rng.normal(size=80)
    best, right, share = classification.signs_by_layer(np.stack([chance, told], 1), good, chosen)
    assert best == 1 and share[1] == 1 and right.all() and len(right) == 40
    lucky = np.where(chosen, told, 5.0 + rng.normal(size=80))
    assert classification.signs_by_layer(np.stack([chance, lucky], 1), good, chosen)[1].mean() < 0.75
