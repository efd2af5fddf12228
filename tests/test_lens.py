"""Vectors in words: through the last norm, in whole words, beside the other words."""

import copy

import numpy as np
import pytest
import torch
from conftest import make_tokenizer, plain_log_probs
from families import build

from emotion_concepts.experiments import lens
from emotion_concepts.lm.steering import steer
from emotion_concepts.lm.subject import wrap
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.texts.published import ratings

WORDS = ["afraid", "angry", "calm", "happy", "sad", "tense", "upset"]
TRAINING = [" ".join(f"{w} {w.capitalize()}" for w in WORDS) + " He It is feels glad"] * 40


@pytest.fixture(scope="module")
def subject(tiny_llama):
    """A model whose last norm has a strong gain, with a tokenizer that knows some words as tokens."""
    model = copy.deepcopy(tiny_llama.model)
    with torch.no_grad():
        model.model.norm.weight.copy_(torch.logspace(-1, 1, 32))
        model.lm_head.weight.normal_(std=0.2, generator=torch.Generator().manual_seed(1))
    return wrap(model, make_tokenizer(texts=TRAINING), "lens")


def along(subject, token: int) -> np.ndarray:
    """The direction that raises a token most, for the norm's gain."""
    table = subject.unembedding.detach().numpy()
    return (table - table.mean(0))[token] / subject.model.model.norm.weight.detach().numpy()


def vectors(directions, emotions) -> EmotionVectors:
    v = np.stack(directions)[None].astype(np.float32)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    return EmotionVectors(emotions, v, np.ones((1, len(emotions))), np.zeros((1, v.shape[-1])), [0], {})


def test_words_are_whole_tokens_or_none(subject):
    tokens = lens.word_tokens(subject, ["calm", "worthless", "on edge"])
    assert {subject.tokenizer.decode([i]) for i in tokens["calm"]} <= {" calm", " Calm", "calm", "Calm"}
    assert tokens["calm"] and not tokens["worthless"] and not tokens["on edge"]
    assert lens.word_tokens(subject, ["calm"])["calm"] is tokens["calm"]  # looked up once


def test_the_lens_is_the_models_own_last_step(subject):
    """A direction's logits are those of the gain, the head, and nothing else, whatever the direction's length."""
    v = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    got = lens.lens_logits(subject, v * [[1.0], [5.0], [0.01]])
    gain, table = subject.model.model.norm.weight.detach(), subject.unembedding.detach()
    v = torch.from_numpy(v)
    want = (v / v.norm(dim=1, keepdim=True) * 32**0.5 * gain) @ table.T
    assert torch.allclose(got, want, atol=1e-3)
    assert torch.allclose(lens.lens_logits(subject, v, [9, 7]), got[:, [9, 7]], atol=1e-4)


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "olmo", "opt (projected)", "granite"])
def test_other_norms_and_heads(family):
    """Gains about 1, offsets, no gain, a projection, scaled and capped heads: order is that of small steps."""
    s = build(family)
    with torch.no_grad():
        for p in s.architecture.norm.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(2)) * 0.3)
        v = torch.nn.functional.normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(3)), dim=-1)
        v = v - v.mean(-1, keepdim=True)
        base = torch.zeros(1, 32)  # where norms are linear in a small step
        step = s.head(s.architecture.norm(base + 1e-4 * v)) - s.head(s.architecture.norm(base))
    got = lens.lens_logits(s, v)
    for a, b in zip(got, step):
        assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.98


def test_a_planted_word_is_found_and_no_other(subject):
    calm = subject.encode("It is calm")[-1]
    v = vectors([along(subject, calm), np.random.default_rng(1).normal(size=32)], ["calm", "happy"])
    row, other = lens.logit_lens(subject, v, 0, ["calm", "happy"]).to_dict("records")
    assert row["word"] and row["rank"] == 1 and row["place"] == 1 and row["readable"] and row["word or kin"]
    assert other["words"] == row["words"] >= len(WORDS) and 1 < other["place"] <= other["words"]


def test_words_that_are_cut_are_counted_and_not_found(subject):
    v = vectors(np.random.default_rng(2).normal(size=(2, 32)), ["worthless", "calm"])
    row = lens.logit_lens(subject, v, 0, ["worthless"]).iloc[0]
    assert not row.word and np.isnan(row.place)


def test_a_tokenizer_that_knows_no_emotion_word_says_nothing(tiny_llama):
    v = vectors(np.random.default_rng(2).normal(size=(2, 32)), ["happy", "calm"])
    table = lens.logit_lens(tiny_llama, v, 0, ["happy", "calm"])
    assert not table.readable.any() and not table["word or kin"].any() and (table.words == 0).all()
    assert table.place.isna().all() and table.valence.isna().all() and table.top.str.len().gt(0).all()


def test_the_valence_of_the_words_raised_is_their_mean_rating(subject):
    pleasure = ratings().valence
    tokens = lens.word_tokens(subject, WORDS)
    table = subject.unembedding.detach().numpy()
    gain = subject.model.model.norm.weight.detach().numpy()
    axis = sum(np.sign(pleasure[w]) * table[sorted(tokens[w])].mean(0) for w in WORDS) / gain
    v = vectors([axis, -axis], ["happy", "sad"])
    table = lens.logit_lens(subject, v, 0, ["happy", "sad"], k=2)
    assert table.valence[0] > 0.3 > -0.3 > table.valence[1]
    scores = lens.word_scores(subject, axis[None]).iloc[0].sort_values(ascending=False)
    assert table.valence[0] == pytest.approx(pleasure[scores.index[:2]].mean())


def test_top_words_are_tokens_that_the_tokenizer_has(subject):
    model = copy.deepcopy(subject.model)
    model.resize_token_embeddings(464, mean_resizing=False)  # rows to fill up the table, as many models have them
    with torch.no_grad():
        model.lm_head.weight[400:] = 50.0
    padded = wrap(model, subject.tokenizer, "padded")
    top = lens.top_words(padded, np.ones((1, 32)) / 32**0.5, 5)[0]
    assert all(i < len(subject.tokenizer) and text for i, text in top)


def test_the_null_counts_whole_words_only(subject):
    calm, calms = subject.encode("It is calm")[-1], lens.word_tokens(subject, ["calm"])["calm"]
    rate = lens.random_lens_rate(subject, np.stack([along(subject, calm)] * 2), ["calm", "worthless"], k=1)
    assert calm in calms and rate.tolist() == [0.5, 0.5]


def test_a_words_gain_is_that_of_the_product_over_its_tokens(subject):
    """Small and capital form together, after a space or at a line's start; words that the tokenizer cuts too."""
    prompts, words, norms = ["He feels", "It is\n"], ["calm", "worthless"], np.ones(3)
    v = vectors(np.random.default_rng(0).normal(size=(2, 32)), words)
    push = np.random.default_rng(1).normal(size=(1, 32))
    change, null = lens.word_steering(subject, v, words, prompts, 0.5, [0], norms, push)

    def bits(word, direction, strength):
        forms = [[space + w for w in (word, word.capitalize())] for space in (" ", "")]
        with steer(subject, direction, strength, [0], norms):
            p = [np.exp(plain_log_probs(subject, [p] * 2, f)).sum() for p, f in zip(prompts, forms)]
        return np.log2(p).mean()

    for i, direction in enumerate([v.of("calm", 0), v.of("worthless", 0), push[0]]):
        want = [bits(w, direction, 0.5) - bits(w, direction, 0) for w in words]
        assert np.abs(want).max() > 0.05
        assert np.vstack([change, null])[i] == pytest.approx(want, abs=2e-3)
