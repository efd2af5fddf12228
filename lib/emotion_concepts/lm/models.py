"""Loading a model by name, folder, hub name or GGUF file."""

import importlib.util
from pathlib import Path

import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)  # fmt: skip
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as MULTIMODAL

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject, wrap
from emotion_concepts.lm.zoo import Source, alike, locate, world_of

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
LOADING = (OSError, ValueError, KeyError, RuntimeError, ImportError, AttributeError, SafetensorError)
WRITES = ("forcausallm", "lmheadmodel", "modelwithlmhead", "forconditionalgeneration")  # ends of class names
NO_FLAG = ("gpt_neox", "gpt_neox_japanese")  # causal, whatever is_decoder says


def reason(e: Exception) -> str:
    """The first line of what an exception says."""
    return (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(".")


def _not_loaded(name: str, e: Exception) -> UserError:
    """What a user can do about a model that did not load, told from the first cause that is known."""
    chain = []
    while e is not None and e not in chain:
        chain.append(e)
        e = e.__cause__ or e.__context__

    def caused(*kinds) -> bool:
        return any(isinstance(c, kinds) for c in chain)

    near = f" (the zoo has {', '.join(found)})" if (found := alike(name)) else ""
    if caused(GatedRepoError):
        why = "it is gated; accept its licence on its page at the hub, then log in here: hf auth login"
    elif caused(RevisionNotFoundError):
        why = "the hub has the model, but not this revision; choose another after the @"
    elif caused(RepositoryNotFoundError):
        why = f"neither the zoo nor the hub has it{near}; see ./run_all.sh models; a private one needs: hf auth login"
    elif caused(LocalEntryNotFoundError, OfflineModeIsEnabled):
        why = f"the hub cannot be reached, and the model was not downloaded before{near}; check the network, or use a "
        why += "name of the zoo that needs no hub: smollm2-135m, gemma3-270m"
    else:
        why = f"{reason(chain[0])}; use a name of the zoo (./run_all.sh models), a hub name, a folder or a .gguf file"
    return UserError(f"cannot load model {name!r}: {why}")


def default_device() -> str:
    """The accelerator that is there, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def configuration(where: Source, name: str):
    """A model's configuration; :class:`UserError` where it cannot be had or is not of a causal language model."""
    try:
        config = AutoConfig.from_pretrained(where.path, **_revision(where))
    except LOADING as e:
        raise _not_loaded(name, e) from e
    kind, classes = config.model_type, config.architectures or []
    if getattr(config, "is_encoder_decoder", False):
        raise UserError(f"{name} ({kind}) is an encoder-decoder model; choose a causal language model")
    encodes = kind not in NO_FLAG and getattr(config, "is_decoder", True) is False
    if kind not in CAUSAL | MULTIMODAL or encodes or (classes and not any(c.lower().endswith(WRITES) for c in classes)):
        what = f"{kind}, {classes[0]}" if classes else kind
        raise UserError(f"{name} ({what}) is not a causal language model, as far as transformers knows; choose another")
    return config


def _revision(where: Source) -> dict:
    return {"revision": where.revision} if where.revision else {}


def _needs(package: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{what} needs the package {package}: pip install {package}")


def load_model(
    name_or_path: str = "organism", dtype: str = "float32", device: str = "auto", system: str | None = None,
    quantise: int | None = None,
) -> Subject:  # fmt: skip
    """Load a model by its name in the zoo, hub name (with ``@revision``), local folder or ``.gguf`` file.

    ``dtype`` is float32, float16 or bfloat16; ``device`` is auto, cpu, cuda, mps, or "spread": over all devices (needs
    accelerate). ``system``: see :func:`~emotion_concepts.lm.subject.wrap`. ``quantise``: 8 or 4 bits a weight (needs
    bitsandbytes). :class:`UserError` for anything that cannot be loaded, and for a checkpoint that lacks weights.
    """
    name = str(name_or_path)
    if dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    if quantise not in (None, 4, 8):
        raise UserError(f"cannot quantise to {quantise} bits; choose 8 or 4")
    device = default_device() if device == "auto" else device
    if device == "spread":
        _needs("accelerate", "device 'spread'")
    else:
        try:
            torch.empty(0, device=device)  # a wrong device is told before minutes of loading
        except (RuntimeError, AssertionError) as e:
            raise UserError(f"cannot use device {device!r}: {reason(e)}; choose auto, cpu, cuda, mps or spread") from e
    where = locate(name)
    config = configuration(where, name)
    small = quantise or getattr(config, "quantization_config", None)  # such weights are put in place as they are loaded
    placed = {"device_map": "auto" if device == "spread" else device} if device == "spread" or small else {}
    if quantise:
        _needs("accelerate", "quantising")
        _needs("bitsandbytes", "quantising")
        from transformers import BitsAndBytesConfig

        placed["quantization_config"] = BitsAndBytesConfig(load_in_4bit=quantise == 4, load_in_8bit=quantise == 8)
    loader = AutoModelForCausalLM if config.model_type in CAUSAL else AutoModelForImageTextToText
    try:
        tokenizer = AutoTokenizer.from_pretrained(where.path, **_revision(where))
        model, info = loader.from_pretrained(
            where.path, dtype=DTYPES[dtype], output_loading_info=True, **_revision(where), **placed
        )
        model = model if placed else model.to(device)
    except LOADING as e:
        raise _not_loaded(name, e) from e
    if missing := sorted(info["missing_keys"]):  # they would be random numbers
        raise UserError(
            f"cannot load model {name!r}: {len(missing)} weights are missing (first: {missing[0]}); download it anew"
        )
    revision = getattr(config, "converted_from", None) or getattr(config, "_commit_hash", None) or where.revision
    told = Path(name).name if Path(name).exists() else name  # results are no place for folders of this machine
    return wrap(model, tokenizer, told, revision, world_of(config, Path(where.path)), system)


def check_pair(subject: Subject, base: Subject) -> None:
    """:class:`UserError` that says what differs, where two models cannot be compared layer by layer and text by text.

    They must have as many blocks of the same width, and the same vocabulary but for tokens that were added to one.
    """
    said = [
        f"{what} {theirs}, not {own}"
        for what, own, theirs in (("width", subject.width, base.width), ("blocks", subject.n_layers, base.n_layers))
        if own != theirs
    ]
    vocabularies = [s.tokenizer.get_vocab() for s in (subject, base)]
    added = [s.tokenizer.get_added_vocab() for s in (subject, base)]
    own, theirs = vocabularies
    differ = [t for t in own.keys() & theirs.keys() if own[t] != theirs[t]]
    differ += [t for t in own.keys() ^ theirs.keys() if not any(t in tokens for tokens in added)]
    if differ:
        said.append(f"{len(differ)} tokens of another number (such as {min(differ)!r})")
    if said:
        raise UserError(
            f"{base.name} is no pretrained partner of {subject.name}: it has {'; '.join(said)}; "
            "name the model that it was trained from"
        )
