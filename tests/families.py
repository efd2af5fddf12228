"""Tiny random models of the families that transformers knows, and what of the library holds on each.

``python tests/families.py --table docs/families.md`` writes the table; ``python tests/families.py llama jamba`` prints
what holds for some. Every check compares with the plain model, one text a pass, nothing cached, nothing padded.
"""

import argparse
import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

import numpy as np
import torch
import transformers
from conftest import TEXTS, make_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.scoring import next_logits, token_nats
from emotion_concepts.lm.shared_prefix import Prompt, grouped_log_probs, grouped_logits
from emotion_concepts.lm.steering import Condition, span_mask, steer
from emotion_concepts.lm.subject import Subject, wrap
from emotion_concepts.reading import activations
from emotion_concepts.reading.pooling import MeanFrom

PLAIN = dict(
    vocab_size=400, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=512,
)  # fmt: skip
GROUPED = PLAIN | dict(num_key_value_heads=2, head_dim=8)
SLIDING = GROUPED | dict(sliding_window=16)
WINDOWED = dict(layer_types=["sliding_attention", "full_attention"] * 2)
GPT = dict(vocab_size=400, n_embd=32, n_layer=4, n_head=4, n_positions=512)
LOCAL = dict(num_local_experts=4, num_experts_per_tok=2)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
ROUTED = dict(
    n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, n_shared_experts=1, n_group=1, topk_group=1,
    first_k_dense_replace=1,
)  # fmt: skip
LATENT = PLAIN | dict(
    num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8
)
STATE = dict(vocab_size=400, hidden_size=32, num_hidden_layers=4, state_size=8, conv_kernel=4, expand=2)
SSM = dict(mamba_n_heads=8, mamba_d_head=8, mamba_d_state=8, mamba_n_groups=1, mamba_chunk_size=8)
DELTA = dict(
    linear_num_value_heads=4, linear_num_key_heads=2, linear_key_head_dim=8, linear_value_head_dim=8,
    layer_types=["linear_attention", "full_attention"] * 2,
)  # fmt: skip
CONV = dict(num_key_value_heads=2, layer_types=["conv", "full_attention"] * 2, block_multiple_of=8)
VISION = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, image_size=16, patch_size=4
)
QWEN_VISION = dict(depth=4, hidden_size=32, intermediate_size=64, num_heads=4, patch_size=4, out_hidden_size=32)
ROPE3 = dict(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]})


@dataclass(frozen=True)
class Family:
    """``kind``: transformers' model type; ``config``: a small one; the rest: how its ``hidden_states`` are meant."""

    kind: str
    config: dict
    multimodal: bool = False
    first: int = 1  # which of the model's own hidden_states is the output of block 0
    tail: bool = True  # whether the last of them is the last block's output behind the last module alone


def _family(kind, *parts, **options) -> Family:
    extra = {k: options.pop(k) for k in ("multimodal", "first", "tail") if k in options}
    config: dict = {}
    for part in (*parts, options):
        config |= part
    return Family(kind, config, **extra)


def _vision(kind, text: dict, vision: dict, **options) -> Family:
    return _family(kind, text_config=text, vision_config=vision, multimodal=True, **options)


FAMILIES: dict[str, Family] = {
    kind: _family(kind, GROUPED)
    for kind in (
        "llama mistral ministral3 qwen2 qwen3 gemma olmo olmo2 stablelm phi starcoder2 glm glm4 helium smollm3 "
        "ernie4_5 seed_oss arcee apertus nemotron hunyuan_v1_dense diffllama exaone4 bitnet jais2 doge nanochat "
        "vaultgemma"
    ).split()
}
FAMILIES |= {
    # heads that scale, divide or cap
    "cohere": _family("cohere", GROUPED),
    "cohere2": _family("cohere2", SLIDING),
    "granite": _family("granite", GROUPED, logits_scaling=8.0),
    "hyperclovax": _family("hyperclovax", GROUPED, logits_scaling=4.0),
    "minicpm3": _family("minicpm3", LATENT, dim_model_base=8),
    "gemma2": _family("gemma2", SLIDING, final_logit_softcapping=4.0),
    # sliding windows, shorter than the longest text
    "mistral (sliding)": _family("mistral", SLIDING),
    "qwen2 (sliding)": _family("qwen2", SLIDING, use_sliding_window=True, max_window_layers=2),
    "gemma3_text": _family("gemma3_text", SLIDING),
    "gemma3_text (per-layer window)": _family("gemma3_text", SLIDING, WINDOWED),
    "gemma3n_text": _family(
        "gemma3n_text", SLIDING, WINDOWED, vocab_size_per_layer_input=400, hidden_size_per_layer_input=8,
        num_kv_shared_layers=2, laurel_rank=8, altup_num_inputs=4, activation_sparsity_pattern=[0.0] * 4, tail=False,
    ),
    "gemma4_text": _family(
        "gemma4_text", SLIDING, WINDOWED, global_head_dim=8, vocab_size_per_layer_input=400,
        hidden_size_per_layer_input=8, num_kv_shared_layers=2,
    ),
    "phi3": _family("phi3", PLAIN, num_key_value_heads=2, sliding_window=16, pad_token_id=0),
    "olmo3": _family("olmo3", SLIDING),
    "ministral": _family("ministral", SLIDING),
    "cwm": _family("cwm", SLIDING),
    "granite_swa": _family("granite_swa", SLIDING),
    "modernbert-decoder": _family("modernbert-decoder", PLAIN, local_attention=16, global_attn_every_n_layers=2),
    # experts
    "mixtral": _family("mixtral", GROUPED, LOCAL),
    "qwen2_moe": _family("qwen2_moe", PLAIN, EXPERTS, num_key_value_heads=2, shared_expert_intermediate_size=32),
    "qwen3_moe": _family("qwen3_moe", GROUPED, EXPERTS),
    "olmoe": _family("olmoe", PLAIN, EXPERTS, num_key_value_heads=2),
    "flex_olmo": _family("flex_olmo", PLAIN, EXPERTS, num_key_value_heads=2),
    "gpt_oss": _family("gpt_oss", SLIDING, LOCAL),
    "phimoe": _family("phimoe", PLAIN, LOCAL, num_key_value_heads=2),
    "granitemoe": _family("granitemoe", PLAIN, LOCAL, num_key_value_heads=2, logits_scaling=4.0),
    "granitemoeshared": _family("granitemoeshared", PLAIN, LOCAL, num_key_value_heads=2, shared_intermediate_size=32),
    "jetmoe": _family(
        "jetmoe", vocab_size=400, hidden_size=32, num_hidden_layers=4, num_key_value_heads=2, kv_channels=8,
        intermediate_size=64, max_position_embeddings=512, **LOCAL,
    ),
    "dbrx": _family(
        "dbrx", vocab_size=400, d_model=32, n_layers=4, n_heads=4, max_seq_len=512,
        attn_config=dict(kv_n_heads=2, clip_qkv=8.0, rope_theta=10000.0),
        ffn_config=dict(ffn_hidden_size=64, moe_num_experts=4, moe_top_k=2),
    ),
    "deepseek_v2": _family("deepseek_v2", LATENT, ROUTED),
    "deepseek_v3": _family("deepseek_v3", LATENT, ROUTED),
    "deepseek_v32": _family("deepseek_v32", LATENT, ROUTED, index_n_heads=2, index_head_dim=16, index_topk=512),
    "deepseek_v4": _family("deepseek_v4", PLAIN),
    "youtu": _family("youtu", LATENT),
    "longcat_flash": _family(
        "longcat_flash", LATENT, num_layers=2, ffn_hidden_size=64, expert_ffn_hidden_size=32, n_routed_experts=4,
        moe_topk=2, zero_expert_num=2, head_dim=8, num_hidden_layers=4,
    ),
    "glm4_moe": _family("glm4_moe", GROUPED, ROUTED),
    "dots1": _family("dots1", GROUPED, ROUTED),
    "ernie4_5_moe": _family(
        "ernie4_5_moe", PLAIN, num_key_value_heads=2, moe_num_experts=4, moe_k=2, moe_intermediate_size=32
    ),
    "hunyuan_v1_moe": _family("hunyuan_v1_moe", GROUPED, num_experts=4, moe_topk=[2] * 4),
    "afmoe": _family("afmoe", SLIDING, EXPERTS, num_dense_layers=1),
    "minimax": _family("minimax", GROUPED, LOCAL, block_size=16),
    "minimax_m2": _family("minimax_m2", GROUPED, LOCAL),
    "solar_open": _family("solar_open", GROUPED, ROUTED),
    "llama4_text": _family(
        "llama4_text", GROUPED, intermediate_size_mlp=64, num_local_experts=4, num_experts_per_tok=1,
        attention_chunk_size=16,
    ),
    # the older ones, with biases, learnt positions, parallel blocks, slopes instead of positions
    "gpt2": _family("gpt2", GPT, n_inner=64),
    "gpt_bigcode": _family("gpt_bigcode", GPT, n_inner=64),
    "gptj": _family("gptj", GPT, rotary_dim=4),
    "codegen": _family("codegen", GPT, rotary_dim=4, n_ctx=512),
    "openai-gpt": _family("openai-gpt", GPT),
    "gpt_neox": _family("gpt_neox", PLAIN),
    "gpt_neox_japanese": _family("gpt_neox_japanese", PLAIN, intermediate_multiple_size=2),
    "gpt_neo": _family(
        "gpt_neo", vocab_size=400, hidden_size=32, num_layers=4, attention_types=[[["global", "local"], 2]],
        num_heads=4, intermediate_size=64, window_size=16, max_position_embeddings=512,
    ),
    "falcon": _family("falcon", PLAIN, new_decoder_architecture=True, num_kv_heads=2),
    "falcon (slopes)": _family("falcon", PLAIN, alibi=True, new_decoder_architecture=False),
    "bloom": _family("bloom", vocab_size=400, hidden_size=32, n_layer=4, n_head=4),
    "mpt": _family("mpt", vocab_size=400, d_model=32, n_layers=4, n_heads=4, max_seq_len=512),
    "opt": _family("opt", PLAIN, ffn_dim=64, word_embed_proj_dim=32),
    "opt (projected)": _family("opt", PLAIN, ffn_dim=64, word_embed_proj_dim=16, do_layer_norm_before=False),
    "persimmon": _family("persimmon", PLAIN),
    "biogpt": _family("biogpt", PLAIN),
    "xglm": _family(
        "xglm", vocab_size=400, d_model=32, num_layers=4, attention_heads=4, ffn_dim=64, max_position_embeddings=512
    ),
    "ctrl": _family("ctrl", GPT, dff=64),
    # states instead of keys and values, and both
    "mamba": _family("mamba", STATE, first=0),
    "mamba2": _family("mamba2", STATE, num_heads=8, head_dim=8, n_groups=1, chunk_size=8, first=0),
    "falcon_mamba": _family("falcon_mamba", STATE, first=0),
    "rwkv": _family(
        "rwkv", vocab_size=400, hidden_size=32, num_hidden_layers=4, attention_hidden_size=32, intermediate_size=64,
        context_length=512, first=0,
    ),
    "xlstm": _family(
        "xlstm", vocab_size=400, hidden_size=128, num_hidden_layers=4, num_heads=4, chunk_size=16,
        autocast_kernel_dtype="float32",
    ),
    "recurrent_gemma": _family(
        "recurrent_gemma", PLAIN, num_hidden_layers=3, num_key_value_heads=1, lru_width=32, attention_window_size=16,
        block_types=["recurrent", "recurrent", "attention"], logits_soft_cap=4.0,
    ),
    "jamba": _family(
        "jamba", PLAIN, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, mamba_d_state=8, mamba_d_conv=4,
        mamba_expand=2, mamba_dt_rank=8, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2,
        expert_layer_offset=1, use_mamba_kernels=False,
    ),
    "bamba": _family("bamba", PLAIN, SSM, num_key_value_heads=2, attn_layer_indices=[1, 3]),
    "falcon_h1": _family("falcon_h1", GROUPED, SSM, mamba_d_ssm=64, lm_head_multiplier=0.25),
    "granitemoehybrid": _family(
        "granitemoehybrid", PLAIN, LOCAL, SSM, num_key_value_heads=2, shared_intermediate_size=32,
        layer_types=["mamba", "attention"] * 2,
    ),
    "nemotron_h": _family(
        "nemotron_h", GROUPED, hybrid_override_pattern="M-*-", mamba_num_heads=8, mamba_head_dim=8, ssm_state_size=8,
        n_groups=1, chunk_size=8,
    ),
    "zamba2": _family(
        "zamba2", PLAIN, num_key_value_heads=4, mamba_d_state=8, mamba_d_conv=4, mamba_expand=2, mamba_ngroups=1,
        n_mamba_heads=8, mamba_headdim=8, layers_block_type=["mamba", "hybrid"] * 2, hybrid_layer_ids=[1, 3],
        num_mem_blocks=1, adapter_rank=4, chunk_size=8, use_mamba_kernels=False,
    ),
    "qwen3_next": _family("qwen3_next", GROUPED, EXPERTS, DELTA, shared_expert_intermediate_size=32),
    "qwen3_5_text": _family("qwen3_5_text", GROUPED, DELTA),
    "qwen3_5_moe_text": _family("qwen3_5_moe_text", GROUPED, EXPERTS, DELTA, shared_expert_intermediate_size=32),
    "olmo_hybrid": _family("olmo_hybrid", PLAIN, DELTA, num_key_value_heads=4, linear_num_key_heads=4),
    "kimi_linear": _family(
        "kimi_linear", LATENT, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, n_group=1, topk_group=1,
        linear_head_dim=8, linear_num_heads=4, layer_types=["linear_attention", "full_attention"] * 2, q_lora_rank=None,
    ),
    "lfm2": _family("lfm2", PLAIN, CONV),
    "lfm2_moe": _family("lfm2_moe", PLAIN, EXPERTS, CONV, num_dense_layers=1),
    "zaya": _family(
        "zaya", PLAIN, num_key_value_heads=2, num_experts=4, moe_intermediate_size=32, router_hidden_size=16
    ),
    # blocks that run many times a pass; no decoder at all
    "hrm_text": _family("hrm_text", PLAIN),
    "bert": _family("bert", PLAIN),
    # vision and text of the same depth
    "gemma3": _vision("gemma3", GROUPED, VISION, mm_tokens_per_image=4),
    "mistral3": _vision(
        "mistral3", GROUPED | dict(model_type="mistral"), VISION | dict(model_type="pixtral", head_dim=8)
    ),
    "llava": _vision("llava", GROUPED | dict(model_type="llama"), VISION | dict(model_type="clip_vision_model")),
    "llama4": _vision(
        "llama4", GROUPED | dict(intermediate_size_mlp=64, num_local_experts=4, num_experts_per_tok=1),
        VISION | dict(vision_output_dim=32, projector_input_dim=32, projector_output_dim=32),
    ),
    "qwen2_vl": _vision("qwen2_vl", PLAIN | ROPE3 | dict(num_key_value_heads=2), QWEN_VISION | dict(embed_dim=32)),
    "qwen2_5_vl": _vision("qwen2_5_vl", PLAIN | ROPE3 | dict(num_key_value_heads=2), QWEN_VISION),
    "qwen3_vl": _vision("qwen3_vl", GROUPED | ROPE3, QWEN_VISION | dict(deepstack_visual_indexes=[1])),
    "idefics3": _vision("idefics3", GROUPED | dict(model_type="llama", pad_token_id=0), VISION, scale_factor=2),
    "smolvlm": _vision("smolvlm", GROUPED | dict(model_type="llama", pad_token_id=0), VISION, scale_factor=2),
    "mllama": _vision(
        "mllama", PLAIN | dict(num_key_value_heads=2, cross_attention_layers=[1]),
        VISION | dict(num_global_layers=1, intermediate_layers_indices=[1], supported_aspect_ratios=[[1, 1]]),
    ),
}  # fmt: skip


def build(name: str) -> Subject:
    """A small random model of the family with the tests' tokenizer; :class:`UserError` where the library refuses it."""
    family = FAMILIES[name]
    torch.manual_seed(0)
    config = AutoConfig.for_model(family.kind, **family.config)
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        part.pad_token_id, part.bos_token_id, part.eos_token_id = 0, 1, 2
    loader = AutoModelForImageTextToText if family.multimodal else AutoModelForCausalLM
    model = loader.from_config(config).float()
    for n, p in model.named_parameters():  # random models are nearly linear at their usual scale
        expert = p.ndim == 3 and ("expert" in n or "moe" in n.lower())
        if expert or p.ndim == 2 and "A_log" not in n and "embed" not in n.lower():
            torch.nn.init.normal_(p, std=0.2)
    with contextlib.redirect_stdout(io.StringIO()):
        return wrap(model, make_tokenizer(), name)


READ = [TEXTS[1], " ".join(TEXTS[:2]), TEXTS[3]]  # the second is longer than the sliding windows
PROMPTS = ["Mara looked at", "The rain fell on the roof all night, and nobody", "He"]
NEW = 8  # tokens written


class Reference:
    """The plain model, one text a pass; logits are kept, since many checks ask for the same."""

    def __init__(self, subject: Subject):
        self.subject, self.kept = subject, {}
        rng = np.random.default_rng(0)
        v = rng.normal(size=(3, subject.width)).astype(np.float32)
        self.vectors = v / np.linalg.norm(v, axis=1, keepdims=True)
        self.norms = np.full(subject.n_layers, 3.0)

    def logits(self, text: str) -> torch.Tensor:
        """(tokens, vocabulary) of a text."""
        if text not in self.kept:
            self.kept[text] = self.run(self.subject.encode(text))
        return self.kept[text]

    def run(self, ids: list[int]) -> torch.Tensor:
        with torch.no_grad():
            return self.subject.model(torch.tensor([ids])).logits[0].float()

    def hidden(self, text: str) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            return self.subject.model(
                torch.tensor([self.subject.encode(text)]), output_hidden_states=True
            ).hidden_states

    def steer(self, row: int, strength: float, positions=None):
        return steer(self.subject, self.vectors[row], strength, [1], self.norms, positions)

    def greedy(self, prompt: str, steps: int, context: Callable = contextlib.nullcontext) -> str:
        """The likeliest tokens one by one; ``context(length)`` may steer the pass over that many tokens."""
        tok, ids = self.subject.tokenizer, list(self.subject.encode(prompt))
        n = len(ids)
        for _ in range(steps):
            with context(len(ids)):
                token = int(self.run(ids)[-1].argmax())
            if token == tok.eos_token_id:
                break
            ids.append(token)
        return tok.decode(ids[n:], skip_special_tokens=True).strip()


def near(got, want, tolerance: float = 1e-3) -> None:
    difference = np.abs(np.asarray(got) - np.asarray(want)).max()
    assert difference <= tolerance, f"differs by {difference:.1e}"


def layers_are_hidden_states(s: Subject, ref: Reference, family: Family) -> None:
    stream = s.architecture.stream
    for text in READ:
        _, got = activations.per_token(s, text)
        states = ref.hidden(text)
        states = [h[stream] if stream is not None and h.ndim == 4 else h for h in states]
        states = states[family.first : family.first + s.n_layers - 1] + states[-1:]
        assert len(states) == s.n_layers and np.abs(got).max() > 0
        for k, want in enumerate(states[:-1]):
            near(got[:, k], want[0])
        if family.tail:
            last, norm = torch.from_numpy(got[:, -1].copy()), s.architecture.norm
            with torch.no_grad():
                near(last if norm is None else norm(last), states[-1][0])


def batch_is_single(s: Subject, ref: Reference, family: Family) -> None:
    together = activations.pooled(s, READ, MeanFrom(2), progress=False)
    for i, text in enumerate(READ):
        near(together[i], activations.per_token(s, text)[1][2:].mean(0))
    chat = PROMPTS[:2]
    replies = activations.at_reply(s, chat, progress=False)
    for i, message in enumerate(chat):
        near(replies[i], activations.per_token(s, s.prompt.chat(message))[1][-1])


def norms_and_covariances_are_finite(s: Subject, ref: Reference, family: Family) -> None:
    norms, (n, mean, covariance) = activations.mean_norm(s, READ), activations.streamed_covariance(s, READ)
    assert np.isfinite(norms).all() and (norms > 0).all() and n > 9
    assert np.isfinite(mean).all() and np.isfinite(covariance).all() and np.abs(covariance).max() > 0


def steering_by_rows(s: Subject, ref: Reference, family: Family) -> None:
    ids, strengths = s.encode(READ[0]), [0.5, 1.0, 0.0]
    plain = ref.logits(READ[0])
    with ref.steer(0, 0.0):
        assert torch.equal(plain, ref.run(ids))
    with torch.no_grad(), steer(s, ref.vectors, strengths, [1], ref.norms):
        together = s.model(torch.tensor([ids] * 3)).logits
    for row, strength in enumerate(strengths):
        with ref.steer(row, strength):
            near(together[row], ref.run(ids))
    assert (together[0] - plain).abs().max() > 1e-3


def greedy_texts(s: Subject, ref: Reference, family: Family) -> None:
    want = [ref.greedy(p, NEW) for p in PROMPTS]
    assert generate(s, PROMPTS, NEW, temperature=0, progress=False) == want
    assert generate(s, PROMPTS[1:2], NEW, temperature=0, progress=False) == want[1:2]
    ids = torch.tensor([s.encode(PROMPTS[0])])
    with torch.no_grad():
        own = s.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, pad_token_id=0
        )[0, ids.shape[1] :]
    assert s.tokenizer.decode([t for t in own.tolist() if t != 2], skip_special_tokens=True).strip() == want[0]


def sampled_texts(s: Subject, ref: Reference, family: Family) -> None:
    prompts = PROMPTS * 2
    once = generate(s, prompts, NEW, seed=3, progress=False)
    assert once == generate(s, prompts, NEW, seed=3, alike=list(range(6)), progress=False), "read once and each"
    assert once == generate(s, prompts, NEW, seed=3, batch=1, progress=False), "alone"


def steered_texts(s: Subject, ref: Reference, family: Family) -> None:
    prompt, n = PROMPTS[1], len(s.encode(PROMPTS[1]))
    everywhere = lambda *_: ref.steer(0, 1.5)  # noqa: E731
    assert generate(s, [prompt], NEW, temperature=0, steering=everywhere, progress=False) == [
        ref.greedy(prompt, NEW, everywhere)
    ]

    def in_prompt(rows, lengths, width):
        if lengths is None:
            return contextlib.nullcontext()
        return ref.steer(0, 1.5, span_mask([(1, n)] * len(rows), lengths, width, left=True))

    want = ref.greedy(prompt, NEW, lambda length: ref.steer(0, 1.5, span_mask([(1, n)], [length], length)))
    assert generate(s, [prompt], NEW, temperature=0, steering=in_prompt, progress=False) == [want]


def scores(s: Subject, ref: Reference, family: Family) -> None:
    for text, nats in zip(READ, token_nats(s, READ), strict=True):
        ids, lp = s.encode(text), torch.log_softmax(ref.logits(text), -1)
        near(nats, -lp[torch.arange(len(ids) - 1), torch.tensor(ids[1:])])
    for text, logits in zip(READ, next_logits(s, READ, list(range(20))), strict=True):
        near(logits, ref.logits(text)[-1, :20])


def scores_after_shared_beginnings(s: Subject, ref: Reference, family: Family) -> None:
    beginning, tails = TEXTS[2].rpartition(" by")[0], (" knew", " was there to tell him so")
    assert len(s.encode(beginning)) >= 24  # beyond the sliding windows
    prompts = [Prompt(beginning + t, g, ((2, 5),)) for g in (0, 1) for t in tails]
    got = grouped_logits(s, prompts, list(range(20)), [None, Condition(ref.vectors[0], 0.7)], [1], ref.norms)
    for p, logits in zip(prompts, got, strict=True):
        ids = s.encode(p.text)
        with ref.steer(0, 0.7 * p.group, span_mask([(2, 5)], [len(ids)], len(ids))):
            near(logits, ref.run(ids)[-1, :20])
    ends = [[" the sea", " him and waited"], [" slept", " and waited for the boat"]]
    starts = [PROMPTS[0], beginning]
    for p, texts, got in zip(starts, ends, grouped_log_probs(s, starts, ends), strict=True):
        for text, value in zip(texts, got, strict=True):
            n, ids, lp = len(s.encode(p)), s.encode(p + text), torch.log_softmax(ref.logits(p + text), -1)
            near(value, sum(lp[j - 1, ids[j]] for j in range(n, len(ids))))


CHECKS = {
    "layers": layers_are_hidden_states,
    "batches": batch_is_single,
    "norms": norms_and_covariances_are_finite,
    "steering": steering_by_rows,
    "greedy": greedy_texts,
    "sampling": sampled_texts,
    "steered texts": steered_texts,
    "scores": scores,
    "shared": scores_after_shared_beginnings,
}


@dataclass
class Report:
    """What was seen of one family: ``failed`` must be empty; ``refused`` holds the one line of a refusal."""

    name: str
    blocks: str = ""
    refused: str = ""
    given_up: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def row(self) -> str:
        """The family's row of the table."""
        holds = "refused" if self.refused else ", ".join(c for c in CHECKS if c not in self.failed)
        holds = "all" if holds == ", ".join(CHECKS) else holds
        notes = self.refused or "; ".join([*self.given_up, *(f"{k}: {v}" for k, v in self.failed.items())])
        return f"| {self.name} | {self.blocks} | {holds} | {notes} |"


def report(name: str) -> Report:
    """Build a family and run every check on it."""
    found = Report(name)
    try:
        s = build(name)
    except UserError as e:
        found.refused = str(e)
        return found
    kinds = sorted({type(s.model.get_submodule(b)).__name__ for b in s.blocks})
    found.blocks = f"{len(s.blocks)} {' and '.join(kinds)}"
    ref = Reference(s)
    with contextlib.redirect_stdout(io.StringIO()):
        for label, check in CHECKS.items():
            try:
                check(s, ref, FAMILIES[name])
            except Exception as e:  # of any kind: the table says what went wrong
                found.failed[label] = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
        use = s.cache_use
    if not use.steps:
        found.given_up.append("no cache that can be used: texts are read anew for every token")
    elif not use.shares:
        found.given_up.append("prompts that begin alike are read whole")
    if left_out := len(s.model.get_submodule(s.blocks[0].rpartition(".")[0])) - len(s.blocks):
        found.given_up.append(f"blocks that do not run on text and are left out: {left_out}")
    return found


HEAD = """# Model families

What holds on tiny random models of {n} families (torch {torch}, transformers {transformers}, float32), written by
`python tests/families.py --table docs/families.md`. "All" means: every layer is the model's own hidden state, batches
are the texts alone, norms and covariances are finite, steering by rows is steering one at a time and strength 0 changes
no bit, greedy texts are those of the plain model and of transformers' `generate`, sampled texts do not depend on the
batch, steered texts, token probabilities and answers after shared beginnings are the plain model's. What a family
cannot do is given up, and said when it is loaded; a family that cannot be studied is refused in one line.

| family | blocks | holds | given up, or why it is refused |
|---|---|---|---|
"""


def main() -> None:
    """Print reports, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="families; default: all")
    parser.add_argument("--table", type=Path, help="write the table of all families there")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)  # on models this small a second thread only waits
    rows = []
    for name in args.names or FAMILIES:
        try:
            rows.append(report(name).row())
        except Exception as e:
            if args.table:
                raise
            rows.append(f"| {name} | | cannot be built | {type(e).__name__}: {str(e).splitlines()[0][:200]} |")
        print(rows[-1], flush=True)
    if args.table:
        head = HEAD.format(n=len(rows), torch=torch.__version__.split("+")[0], transformers=transformers.__version__)
        args.table.write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
