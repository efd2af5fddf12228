"""Loading a model by name, folder, hub name or GGUF file."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as MULTIMODAL

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject, wrap
from emotion_concepts.lm.zoo import locate, world_of

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LOADING = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, SafetensorError)


def reason(e: Exception) -> str:
    """The first line of what an exception says."""
    return (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(".")


def default_device() -> str:
    """The accelerator that is there, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _loader(config, name: str):
    """The transformers class that loads this configuration; :class:`UserError` for what is no causal model."""
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{name} ({kind}) is an encoder-decoder model; a causal language model is needed")
    if kind in CAUSAL:
        return AutoModelForCausalLM
    if kind in MULTIMODAL:
        return AutoModelForImageTextToText
    raise UserError(f"{name} ({kind}) is not a causal language model, as far as transformers knows; choose another")


def load_model(
    name_or_path: str = "organism", dtype: str = "float32", device: str = "auto", system: str | None = None,
    quantise: int | None = None,
) -> Subject:  # fmt: skip
    """Load a model by its name in the zoo, hub name (with ``@revision``), local folder or ``.gguf`` file.

    ``dtype`` is float32, float16 or bfloat16; ``device`` is auto, cpu, cuda, mps, or "spread": over all devices (needs
    accelerate). ``system``: see :func:`~emotion_concepts.lm.subject.wrap`. ``quantise``: 8 or 4 bits a weight (needs
    bitsandbytes). :class:`UserError` for anything that cannot be loaded, and for a checkpoint that lacks weights.
    """
    if dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    if quantise not in (None, 4, 8):
        raise UserError(f"cannot quantise to {quantise} bits; choose 8 or 4")
    where = locate(str(name_or_path))
    device = default_device() if device == "auto" else device
    if device != "spread":
        try:
            torch.empty(0, device=device)  # a wrong device is told before minutes of loading
        except (RuntimeError, AssertionError) as e:
            raise UserError(f"cannot use device {device!r}: {reason(e)}; choose auto, cpu, cuda, mps or spread") from e
    options = {"revision": where.revision} if where.revision else {}
    placed = {"device_map": "auto" if device == "spread" else device} if device == "spread" or quantise else {}
    if quantise:
        from transformers import BitsAndBytesConfig

        placed["quantization_config"] = BitsAndBytesConfig(load_in_4bit=quantise == 4, load_in_8bit=quantise == 8)
    try:
        config = AutoConfig.from_pretrained(where.path, **options)
        loader = _loader(config, str(name_or_path))
        tokenizer = AutoTokenizer.from_pretrained(where.path, **options)
        model, info = loader.from_pretrained(
            where.path, dtype=DTYPES[dtype], output_loading_info=True, **options, **placed
        )
        model = model if placed or getattr(model, "hf_quantizer", None) else model.to(device)
    except LOADING as e:
        hint = "use a name of the zoo (./run_all.sh models), a hub name, a folder or a .gguf file"
        raise UserError(f"cannot load model {str(name_or_path)!r}: {reason(e)}; {hint}") from e
    if missing := sorted(info["missing_keys"]):  # they would be random numbers
        raise UserError(
            f"cannot load model {str(name_or_path)!r}: {len(missing)} weights are missing (first: {missing[0]}); "
            "download it anew"
        )
    revision = getattr(model.config, "_commit_hash", None) or where.revision
    world = world_of(model.config, Path(where.path))
    return wrap(model, tokenizer, str(name_or_path), revision, world, system)
