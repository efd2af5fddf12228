"""Tiny GGUF files and package wheels, for tests of what is fetched and converted."""

import base64
import hashlib
import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
from conftest import make_subject

NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
PARTS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def gguf_name(name: str) -> str:
    """A Llama's weight as GGUF calls it."""
    if name in NAMES:
        return NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{PARTS[rest.removesuffix('.weight')]}.weight"


def turned(weight: np.ndarray, heads: int) -> np.ndarray:
    """Query or key rows in GGUF's order: the two halves of a head's rotary pairs side by side."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def write_gguf(path: Path, pre="gpt-2", quant=None, without=(), extra=(), architecture="llama", **fields) -> object:
    """A whole GGUF of the tiny Llama of the tests, and the subject that it was made of.

    ``quant``: a quantisation of the matrices; ``without``: weights left out; ``extra``: (name, array) added;
    ``fields``: further entries of the header, dots written as double underscores.
    """
    subject = make_subject("llama")
    config, backend = subject.model.config, json.loads(subject.tokenizer.backend_tokenizer.to_str())["model"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(256)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quant else gguf.LlamaFileType.ALL_F32)
    tokens = sorted(backend["vocab"], key=backend["vocab"].get)
    tokens += [f"unused{i}" for i in range(config.vocab_size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if t in ("<pad>", "<s>", "</s>") else 1 for t in tokens])
    writer.add_token_merges([" ".join(m) for m in backend["merges"]])
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for key, value in fields.items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}[type(value)]
        add(key.replace("__", "."), value)
    for name, weight in subject.model.state_dict().items():
        w = weight.numpy()
        if "q_proj" in name or "k_proj" in name:
            w = turned(w, config.num_attention_heads if "q_proj" in name else config.num_key_value_heads)
        w = np.ascontiguousarray(w)
        if name in without:
            continue
        if quant and w.ndim == 2:
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(w, quant), raw_dtype=quant)
        else:
            writer.add_tensor(gguf_name(name), w)
    for name, w in extra:
        writer.add_tensor(name, w)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return subject


def write_wheel(folder: Path, name: str, version: str, member: str, data: bytes) -> Path:
    """A package wheel that holds one data file and a module that must never be imported."""
    module, info = member.split("/")[0], f"{name.replace('-', '_')}-{version}.dist-info"
    inside = {
        f"{module}/__init__.py": b"raise SystemExit('imported')\n",
        member: data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }

    def digest(b: bytes) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(b).digest()).rstrip(b"=").decode()

    record = "".join(f"{n},sha256={digest(b)},{len(b)}\n" for n, b in inside.items()) + f"{info}/RECORD,,\n"
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as z:
        for n, b in (inside | {f"{info}/RECORD": record.encode()}).items():
            z.writestr(n, b)
    return path
