import numpy as np
import pytest
import torch
from conftest import plain_log_probs

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.scoring import next_logits, perplexity, token_nats
from emotion_concepts.lm.shared_prefix import grouped_log_probs
from emotion_concepts.lm.steering import span_mask, steer


@pytest.fixture
def vector(tiny):
    v = np.random.default_rng(0).normal(size=tiny.width).astype(np.float32)
    return v / np.linalg.norm(v)


def logits(subject, ids):
    with torch.no_grad():
        return subject.model(torch.tensor(ids)).logits


def norms(subject, value=3.0):
    return np.full(subject.n_layers, value)


def test_strength_zero_is_identity_to_the_bit(tiny, vector):
    ids = [tiny.encode("The rain fell all night.")]
    before = logits(tiny, ids)
    with steer(tiny, vector, 0.0, [1], norms(tiny)):
        assert torch.equal(before, logits(tiny, ids))
    with steer(tiny, np.stack([vector, vector]), [0.0, 0.5], [1], norms(tiny)):
        both = logits(tiny, ids * 2)
    plain = logits(tiny, ids * 2)
    assert torch.equal(both[0], plain[0]) and not torch.allclose(both[1], plain[1], atol=1e-3)


def test_adds_strength_times_norm_at_the_output_of_the_block(tiny, vector):
    from emotion_concepts.reading.activations import per_token

    text = "Two dogs ran over the hill."
    _, plain = per_token(tiny, text)
    with steer(tiny, vector, 0.5, [1], norms(tiny, 4.0)):
        _, steered = per_token(tiny, text)
    assert np.allclose(steered[:, 0], plain[:, 0], atol=1e-6)
    # the reading hook was set after the steering hook, so it sees the steered stream
    assert np.allclose(steered[:, 1] - plain[:, 1], 0.5 * 4.0 * vector, atol=1e-4)


def test_restores_the_model_whatever_happens(tiny, vector):
    ids = [tiny.encode("A letter came.")]
    before = logits(tiny, ids)
    count = lambda: sum(len(m._forward_hooks) for m in tiny.model.modules())  # noqa: E731
    hooks = count()  # transformers may keep hooks of its own
    with pytest.raises(ZeroDivisionError):
        with steer(tiny, vector, 1.0, [0, 2], norms(tiny)):
            assert not torch.allclose(before, logits(tiny, ids))
            raise ZeroDivisionError
    assert torch.equal(before, logits(tiny, ids))
    assert count() == hooks


def test_rows_are_conditions(tiny, vector):
    """One batch with a vector and a strength for each row is what separate runs give."""
    ids = [tiny.encode("The rain fell on the roof.")] * 3
    vectors, strengths = np.stack([vector, -vector, vector[::-1].copy()]), [0.2, 0.4, 0.0]
    with steer(tiny, vectors, strengths, [1], norms(tiny)):
        together = logits(tiny, ids)
    for i in range(3):
        with steer(tiny, vectors[i], strengths[i], [1], norms(tiny)):
            assert torch.allclose(together[i], logits(tiny, ids[:1])[0], atol=1e-4)


def test_positions(tiny, vector):
    """A masked token is steered, those before it are untouched."""
    ids = [tiny.encode("The rain fell on the roof all night.")]
    n = len(ids[0])
    before = logits(tiny, ids)
    with steer(tiny, vector, 1.0, [0], norms(tiny), span_mask([(4, 6)], [n], n)):
        after = logits(tiny, ids)
    assert torch.allclose(before[0, :4], after[0, :4], atol=1e-5)
    assert not torch.allclose(before[0, 4], after[0, 4], atol=1e-3)
    assert span_mask([(1, 2)], [3], 5, left=True).tolist() == [[False, False, False, True, False]]


def test_cached_generation_is_steered_from_the_first_new_token(tiny, vector):
    """Greedy cached generation under steering equals recomputing the whole steered text each step (hazard 5)."""
    prompt, steps = "The rain fell", 6
    ids = tiny.encode(prompt)
    context = lambda *_: steer(tiny, vector, 1.5, [1], norms(tiny))  # noqa: E731
    text = generate(tiny, [prompt], steps, temperature=0, steering=context, progress=False)[0]
    grown = list(ids)
    with context():
        for _ in range(steps):
            grown.append(int(logits(tiny, [grown])[0, -1].argmax()))
            if grown[-1] == tiny.tokenizer.eos_token_id:
                grown.pop()
                break
    assert text == tiny.tokenizer.decode(grown[len(ids) :], skip_special_tokens=True).strip()
    plain = generate(tiny, [prompt], steps, temperature=0, progress=False)[0]
    assert text != plain


def test_prompt_mask_leaves_new_tokens_alone(tiny, vector):
    """With a KV cache the passes after the prompt are one token long; a prompt mask must not touch them (hazard 5)."""
    prompts = ["The rain fell on the", "A letter"]

    def steering(rows, lengths, width):
        if lengths is None:
            return steer(tiny, vector, 0.0, [1], norms(tiny))
        mask = span_mask([(1, 2)] * len(rows), lengths, width, left=True)
        return steer(tiny, vector, 1.0, [1], norms(tiny), mask)

    together = generate(tiny, prompts, 5, temperature=0, steering=steering, progress=False)
    for prompt, text in zip(prompts, together):
        grown = tiny.encode(prompt)
        n = len(grown)
        for _ in range(5):
            with steer(tiny, vector, 1.0, [1], norms(tiny), span_mask([(1, 2)], [len(grown)], len(grown))):
                grown.append(int(logits(tiny, [grown])[0, -1].argmax()))
            if grown[-1] == tiny.tokenizer.eos_token_id:
                break
        assert text == tiny.tokenizer.decode(grown[n:], skip_special_tokens=True).strip()


def test_generation_does_not_depend_on_the_batch(tiny, texts):
    alone = [generate(tiny, [t], 8, seed=3, progress=False)[0] for t in texts[:1]]
    together = generate(tiny, texts, 8, seed=3, progress=False)
    assert alone[0] == together[0]
    assert together == generate(tiny, texts, 8, seed=3, batch=2, progress=False)
    assert together != generate(tiny, texts, 8, seed=4, progress=False)


def test_prompts_that_are_alike_are_read_once(tiny, vector, texts):
    """Sampling many texts after one prompt and condition gives what reading the prompt each time gives."""
    prompts, strength = [texts[0], texts[1], texts[0], texts[0], texts[1]] * 2, [1.0] * 5 + [0.0] * 5
    read = []

    def steering(rows, lengths, width):
        read.append((len(rows), lengths is not None))
        return steer(tiny, vector, [strength[i] for i in rows], [1], norms(tiny))

    each = generate(tiny, prompts, 8, seed=2, steering=steering, progress=False)
    assert [n for n, prompt in read if prompt] == [10]
    read.clear()
    once = generate(tiny, prompts, 8, seed=2, steering=steering, alike=strength, progress=False)
    assert [n for n, prompt in read if prompt] == [4] and (10, False) in read
    assert once == each and len(set(once)) > 4
    plain = generate(tiny, prompts[:5], 8, seed=2, progress=False)
    assert plain == generate(tiny, prompts[:5], 8, seed=2, alike=list(range(5)), progress=False) != once[:5]


def test_scores_match_the_plain_model(tiny, texts):
    ids = tiny.encode(texts[0])
    lp = torch.log_softmax(logits(tiny, [ids])[0].float(), -1)
    want = -lp[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].numpy()
    assert np.allclose(token_nats(tiny, texts)[0], want, atol=1e-4)
    assert np.isclose(perplexity(tiny, texts)[0], np.exp(want.mean()), rtol=1e-4)
    head, tails = "Mara looked at the", [" sea and waited", " sea"]
    assert np.allclose(grouped_log_probs(tiny, [head], [tails])[0], plain_log_probs(tiny, [head] * 2, tails), atol=1e-4)
    full = next_logits(tiny, texts)
    for i, t in enumerate(texts):  # each read at its own last token, not at the batch's last column (hazard 1)
        assert np.allclose(full[i], logits(tiny, [tiny.encode(t)])[0, -1].numpy(), atol=1e-3)
    assert np.allclose(full[:, [7, 9]], next_logits(tiny, texts, [7, 9]), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(vector=np.ones(5)), "5 numbers but the model's width"),
        (dict(strength=np.nan), "NaN or Inf"),
        (dict(layers=[9]), "out of range"),
        (dict(norms=None), "mean residual norm"),
        (dict(vector={0: np.ones(32)}, layers=[0, 1]), "no vector for layer 1"),
        (dict(vector=np.ones((3, 32))), "3 rows but the batch has 1"),
        (dict(positions=np.ones((1, 3), bool)), "position mask"),
    ],
)
def test_bad_input(tiny_llama, change, message):
    args = dict(vector=np.ones(32), strength=0.5, layers=[1], norms=norms(tiny_llama), positions=None) | change
    with pytest.raises(UserError, match=message):
        with steer(tiny_llama, args["vector"], args["strength"], args["layers"], args["norms"], args["positions"]):
            logits(tiny_llama, [[5, 6]])
