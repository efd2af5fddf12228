"""Heads, blocks and streams of models unlike the plain ones; what cannot be studied is refused in one line."""

import copy

import numpy as np
import pytest
import torch
from conftest import CONFIGS, TEXTS, make_tokenizer
from families import build
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from emotion_concepts.errors import UserError
from emotion_concepts.lm import head as heads
from emotion_concepts.lm.head import Head
from emotion_concepts.lm.scoring import next_logits
from emotion_concepts.lm.subject import wrap
from emotion_concepts.reading.activations import mean_norm, per_token


def plain(subject, text):
    with torch.no_grad():
        return subject.model(torch.tensor([subject.encode(text)]), output_hidden_states=True)


@pytest.mark.parametrize("family", ["cohere", "granite", "gemma2", "minicpm3", "recurrent_gemma", "falcon_h1"])
def test_heads_that_scale_divide_or_cap(family):
    """Logits are the model's own; the bare product with the output embedding, which was taken once, is not."""
    s = build(family)
    out, h = plain(s, TEXTS[1]), s.final_hidden(torch.tensor([s.encode(TEXTS[1])])).last_hidden_state
    with torch.no_grad():
        bare = torch.nn.functional.linear(h, s.unembedding)
        assert torch.allclose(s.head(h), out.logits, atol=1e-4) and not torch.allclose(bare, out.logits, atol=1e-4)
        assert torch.allclose(s.head(h[0, 2:5], [9, 7]), out.logits[0, 2:5, [9, 7]], atol=1e-4)
    assert np.allclose(next_logits(s, TEXTS[1:2])[0], out.logits[0, -1], atol=1e-3)


@pytest.fixture(scope="module")
def letters():
    """A model in bfloat16 whose logits stand near 36, and which of 24 prompts' two answers it likes better is small."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"])
    with torch.no_grad():
        for p in model.model.layers.parameters():
            if p.ndim == 2:
                p.normal_(std=0.2)
        model.model.embed_tokens.weight[:, 0] = 60.0
        model.lm_head.weight.normal_(std=0.2)
        model.lm_head.weight[:, 0] = 6.4
    return wrap(model.bfloat16(), make_tokenizer(), "bf16"), wrap(copy.deepcopy(model).float(), make_tokenizer(), "f32")


def test_differences_between_answers_outlive_half_precision(letters):
    """The head works in float32: in bfloat16 logits near 36 are .25 apart, as are their differences."""
    half, full = letters
    texts = [f"{a} {b}" for a in TEXTS for b in ("He said", "A letter", "The sea", "No one", "It rained")][:24]
    want = next_logits(full, texts, [70, 80])
    own = torch.stack([plain(half, t).logits[0, -1, [70, 80]] for t in texts]).float().numpy()
    assert 32 < np.abs(want).mean() < 64
    want, own = want[:, 0] - want[:, 1], own[:, 0] - own[:, 1]
    assert len(set(own)) < 12  # what was read before: too few steps for 24 differences
    with torch.no_grad():  # the same states through a head without rounding
        states = [half.final_hidden(torch.tensor([half.encode(t)])).last_hidden_state[0, -1].double() for t in texts]
        rows = half.unembedding.double()
        want = np.array([float(x @ (rows[70] - rows[80])) for x in states])
    got = half.head(torch.stack(states).bfloat16(), [70, 80]).detach().numpy()
    got = got[:, 0] - got[:, 1]
    assert got.dtype == np.float32 and len(set(got)) > 20 and np.corrcoef(got, want)[0, 1] > 0.999


def test_a_large_head_is_taken_in_parts(letters, monkeypatch):
    half, _ = letters
    h = torch.randn(3, 32).bfloat16()
    with torch.inference_mode():
        whole = half.head(h)
        monkeypatch.setattr(heads, "PART", 32 * 77)
        assert torch.allclose(half.head(h), whole, atol=1e-4) and whole.shape == (3, 400)


class Packed(torch.nn.Module):
    """A linear layer of eight-bit weights that only its own code can read."""

    def __init__(self, linear):
        super().__init__()
        self.scale = linear.weight.detach().abs().max() / 127
        self.weight = torch.nn.Parameter((linear.weight / self.scale).round().to(torch.int8), requires_grad=False)
        self.out_features = linear.out_features

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight * self.scale)


def test_a_packed_head_runs_its_own_code(tiny_llama):
    model = copy.deepcopy(tiny_llama.model)
    model.lm_head = Packed(model.lm_head)
    s = wrap(model, tiny_llama.tokenizer)
    want = plain(s, TEXTS[0]).logits[0, -1]
    assert np.allclose(next_logits(s, TEXTS[:1])[0], want, atol=1e-4) and s.vocabulary == 400
    assert np.allclose(next_logits(s, TEXTS[:1], [9, 7])[0], want[[9, 7]], atol=1e-4)


def test_the_model_is_as_before_whatever_happens(tiny_llama):
    trunk, embedding = tiny_llama.head.trunk, tiny_llama.head.embedding
    with pytest.raises(IndexError):
        tiny_llama.head(torch.zeros(2, 32), [400])
    assert "forward" not in vars(trunk) and "forward" not in vars(embedding)


@pytest.mark.parametrize("family", ["gemma3", "llama4", "mllama"])
def test_of_vision_and_text_blocks_of_one_number_the_text_is_read(family, capsys):
    """Else every activation, norm and covariance is zero, and steering does nothing. Cross attention is left out."""
    s = build(family)
    classes = {type(s.model.get_submodule(b)).__name__ for b in s.blocks}
    assert not any("Vision" in c or "Siglip" in c or "Cross" in c for c in classes)
    assert s.n_layers == (3 if family == "mllama" else 4) and (mean_norm(s, TEXTS) > 0).all()
    assert np.abs(per_token(s, TEXTS[0])[1]).max(axis=(0, 2)).min() > 0
    assert np.allclose(next_logits(s, TEXTS[:1])[0], plain(s, TEXTS[0]).logits[0, -1], atol=1e-3)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("bert", "in bert a token looks at later ones; a causal language model is needed"),
        ("hrm_text", "runs its block .* more than once a pass"),
        ("deepseek_v4", r"gives \(1, 8, 4, 32\), not \(batch, tokens, width 32\)"),
    ],
)
def test_families_that_cannot_be_studied_are_refused_in_one_line(family, message):
    with pytest.raises(UserError, match=message) as e:
        build(family)
    assert "\n" not in str(e.value)


class Skips(LlamaForCausalLM):
    """Logits that do not come from the trunk's states alone."""

    def forward(self, input_ids=None, **options):
        out = super().forward(input_ids, **options)
        out.logits = out.logits + self.model.embed_tokens(input_ids).mean(-1, keepdim=True) * torch.arange(400)
        return out


def test_heads_that_need_more_than_the_trunk_are_refused(tiny_llama):
    model = Skips(CONFIGS["llama"])
    torch.nn.init.normal_(model.model.embed_tokens.weight)
    with pytest.raises(UserError, match="head of skips cannot be run apart"):
        wrap(model, tiny_llama.tokenizer, "skips")


def test_a_model_that_fails_or_does_not_fit_is_refused_in_one_line(tiny_llama):
    broken = copy.deepcopy(tiny_llama.model)
    broken.model.layers[1].mlp.up_proj = torch.nn.Linear(7, 64)
    with pytest.raises(
        UserError, match=r"m fails on a short text \(RuntimeError: mat1 and mat2.*\); it cannot be studied"
    ):
        wrap(broken, tiny_llama.tokenizer, "m")
    far = copy.deepcopy(tiny_llama.model)
    far.model.layers[1].to("meta")  # as of weights that are left on a disk
    with pytest.raises(UserError, match="m does not fit into the memory"):
        wrap(far, tiny_llama.tokenizer, "m")
    bare = copy.deepcopy(tiny_llama.model)
    bare.get_output_embeddings = lambda: None
    with pytest.raises(UserError, match="m has no output embedding"):
        Head(bare, bare.model, "m")


class Forwarding(torch.nn.Module):
    """A wrapper that gives what it lacks from inside, as those of adapters do."""

    def __init__(self, inside: str, module):
        super().__init__()
        self._inside = inside
        setattr(self, inside, module)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__(self._inside), name)

    def forward(self, *args, **options):
        return getattr(self, self._inside)(*args, **options)


def test_adapters_around_a_model_are_seen_through(tiny_llama):
    """The wrapper's ``base_model`` is no trunk: it gives logits."""
    model = copy.deepcopy(tiny_llama.model)
    linear, down, up = model.model.layers[0].mlp.up_proj, torch.randn(4, 32), torch.randn(64, 4)
    model.model.layers[0].mlp.up_proj = torch.nn.Sequential(linear)
    linear.register_forward_hook(lambda m, inputs, out: out + inputs[0] @ down.T @ up.T)
    s = wrap(Forwarding("base_model", Forwarding("model", model)), tiny_llama.tokenizer, "adapted")
    assert s.blocks[0] == "base_model.model.model.layers.0" and s.head.trunk is model.model
    out = plain(s, TEXTS[0])
    assert not torch.allclose(out.logits, plain(tiny_llama, TEXTS[0]).logits, atol=0.1)
    assert np.allclose(per_token(s, TEXTS[0])[1][:, 1], out.hidden_states[2][0], atol=1e-5)
    assert np.allclose(next_logits(s, TEXTS[:1])[0], out.logits[0, -1], atol=1e-4)
