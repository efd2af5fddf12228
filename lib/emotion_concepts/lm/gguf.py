"""GGUF files, converted once into folders of safetensors in the cache.

The weights are those of the quantised file, dequantised, not those that it was made of; ``config.json`` of the folder
says so under ``converted_from``, and :attr:`Subject.revision` repeats it.
"""

import hashlib
import json
import re
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from emotion_concepts.errors import UserError
from emotion_concepts.lm.cache import cache_folder, once

WIDE = 4e9  # bytes; what would be larger in float32 is written in bfloat16
# How byte-level vocabularies split a text before merging (``tokenizer.ggml.pre``). transformers takes GPT-2's rule for
# every name that it does not know; here are those for which that is right, and those that also set every digit apart.
GPT2_RULE = {"gpt-2", "phi-2", "olmo", "mpt", "jais"}
DIGITS_APART = {"smollm", "starcoder", "refact", "command-r"}


def content(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def folder_for(name: str, digest: str) -> Path:
    """Where the conversion of the file with this SHA-256 lies, or will lie."""
    return cache_folder() / "models" / f"{name}-{digest[:12]}"


def converted(path: Path) -> Path:
    """The folder of safetensors for a ``.gguf`` file; converted on first use, found by the file's content later.

    :class:`UserError` for what is no GGUF file, or of a kind that cannot be read rightly.
    """
    if not path.is_file():
        raise UserError(f"no file {path}; give the path of a .gguf file")
    digest = content(path)
    return once(folder_for(path.stem, digest), lambda part: convert(path, digest, part))


def convert(path: Path, digest: str, part: Path) -> None:
    """Write the model, tokenizer and chat template of a GGUF file into the new folder ``part``."""
    print(f"converting {path.name} to safetensors (once, a minute or more) ...", flush=True)
    header = _Header(path)
    dtype = torch.float32 if header.parameters * 4 <= WIDE else torch.bfloat16
    with tempfile.TemporaryDirectory() as alone:  # other files beside it would be taken for its configuration
        (Path(alone) / path.name).symlink_to(path.absolute())
        try:
            model, info = AutoModelForCausalLM.from_pretrained(
                alone, gguf_file=path.name, dtype=dtype, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=path.name)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, TypeError, AttributeError) as e:
            why = (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(".")
            raise UserError(f"cannot read {path}: {why}; take the original model by its hub name") from e
    if missing := sorted(info["missing_keys"]):
        raise UserError(f"{path} lacks {len(missing)} weights (first: {missing[0]}); download it anew")
    header.check_rotation(model.config)
    header.mend_splitting(tokenizer)
    rounded = "" if dtype == torch.float32 else " in bfloat16"
    model.config.converted_from = f"gguf {header.kind} {digest[:12]}{rounded}"
    model.generation_config.eos_token_id = header.ends()
    model.hf_quantizer = None  # transformers would refuse to save it; the weights are plain numbers now
    del model.config.quantization_config
    try:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    except SafetensorError as e:
        raise OSError(str(e)) from e


class _Header:
    """What stands before the weights in a GGUF file, and what transformers makes too little of."""

    def __init__(self, path: Path):
        try:
            from gguf import GGUFReader, LlamaFileType

            reader = GGUFReader(path)
        except ImportError as e:
            raise UserError("reading .gguf files needs the package gguf: pip install gguf") from e
        except (ValueError, KeyError, IndexError, OverflowError) as e:
            raise UserError(f"{path} is no whole GGUF file; download it anew") from e
        self.path, self.reader = path, reader
        self.architecture = self.field("general.architecture")
        self.parameters = sum(int(t.n_elements) for t in reader.tensors)
        try:
            self.kind = LlamaFileType(self.field("general.file_type")).name.removeprefix("MOSTLY_")
        except ValueError:  # absent, or newer than the package
            self.kind = "of unknown quantisation"
        if (self.field("split.count") or 1) > 1:
            raise UserError(f"{path} is one part of a model; join the parts into one .gguf file first")
        if self.field("general.type") not in (None, "model"):
            raise UserError(f"{path} holds no model, but: {self.field('general.type')}; give the model's own file")

    def field(self, key: str):
        """A value by its key; None where the file does not have it."""
        found = self.reader.get_field(key)
        return found.contents() if found else None

    def check_rotation(self, config) -> None:
        """:class:`UserError` where the file scales its rotary frequencies and the configuration does not."""
        own = self.architecture
        scaled = self.field(f"{own}.rope.scaling.type") not in (None, "none") or any(
            t.name.startswith("rope_f") and (t.data != 1).any() for t in self.reader.tensors
        )
        kinds = re.findall(r'"rope_type": "(\w+)"', json.dumps(getattr(config, "rope_parameters", None)))
        if scaled and set(kinds) <= {"default"}:
            raise UserError(
                f"{self.path} scales its rotary frequencies, which transformers does not read from GGUF; "
                "take the original model by its hub name"
            )

    def mend_splitting(self, tokenizer) -> None:
        """Split text as the vocabulary was learnt; :class:`UserError` where that is not known."""
        rule, backend = self.field("tokenizer.ggml.pre"), tokenizer.backend_tokenizer
        if not isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel) or rule in GPT2_RULE:
            return
        if rule not in DIGITS_APART:
            raise UserError(
                f"{self.path} splits text by the rule {rule!r}, which is not known here; "
                "take the original model by its hub name"
            )
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )

    def ends(self) -> list[int] | None:
        """The tokens that end a text or a turn."""
        ids = [self.field(f"tokenizer.ggml.{key}_token_id") for key in ("eos", "eot")]
        return list(dict.fromkeys(i for i in ids if i is not None)) or None
