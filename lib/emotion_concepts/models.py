"""Loading a language model with what the experiments need to know about it."""

import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from .errors import UserError
from .prompts import PromptFormat

SHIPPED = {
    "organism": "chat",
    "organism-base": "base",
    "organism-suppress": "suppress",
    "organism-regulate": "regulate",
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass
class Subject:
    """A model under study. Layer ``i`` always means the output of block ``i`` (``hidden_states[i + 1]``)."""

    name: str
    model: torch.nn.Module
    tokenizer: object
    blocks: list[str]  # dotted names of the decoder blocks
    width: int  # of the residual stream
    model_id: str  # name and a digest of configuration and weights
    revision: str | None
    prompt: PromptFormat
    is_organism: bool
    max_length: int
    depth: np.ndarray = field(init=False)  # (layers,) share of the blocks passed after each layer

    def __post_init__(self):
        self.depth = np.arange(1, self.n_layers + 1) / self.n_layers

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(self.blocks)

    @property
    def device(self) -> torch.device:
        """Where the model's inputs go."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return next(self.model.parameters()).dtype

    @property
    def unembedding(self) -> torch.Tensor:
        """The output embedding, (vocabulary, width)."""
        return self.model.get_output_embeddings().weight

    def layer(self, depth: float) -> int:
        """The layer nearest to a share of the model's depth, 0..1 (paper: about two thirds)."""
        return int(np.argmin(np.abs(self.depth - depth)))

    def check_layer(self, layer: int) -> int:
        """``layer`` as a non-negative index; :class:`UserError` outside the model."""
        if not -self.n_layers <= layer < self.n_layers:
            raise UserError(f"layer {layer} is out of range: {self.name} has layers 0 to {self.n_layers - 1}")
        return layer % self.n_layers

    def encode(self, text: str) -> list[int]:
        """Token ids with the beginning-of-text token exactly once, whether or not the text brings it."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        adds_bos = bos is not None and self.tokenizer("a")["input_ids"][:1] == [bos]
        return [bos, *ids] if adds_bos and ids[:1] != [bos] else ids


def _block_names(model) -> list[str]:
    """Dotted names of the decoder blocks: the longest list of like modules in the model's text stack."""
    n = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n:
            return [f"{name}.{i}" for i in range(n)]
    raise UserError(f"no list of {n} decoder blocks found in {type(model).__name__}; is it a causal language model?")


def _digest(model) -> str:
    """Twelve hex digits over the class and every weight's name, shape, and a sample of its values."""
    h = hashlib.sha256(type(model).__name__.encode())
    for name, p in sorted(model.state_dict().items()):
        flat = p.detach().flatten()
        step = max(1, flat.numel() // 512)
        h.update(f"{name}{tuple(p.shape)}".encode())
        h.update(flat[::step].float().cpu().numpy().tobytes())
    return h.hexdigest()[:12]


def wrap(model, tokenizer, name: str = "model", revision: str | None = None, is_organism: bool = False) -> Subject:
    """A :class:`Subject` around a model that is already in memory; model and tokenizer are used unchanged."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()
    config = model.config.get_text_config()
    return Subject(
        name=name,
        model=model,
        tokenizer=tokenizer,
        blocks=_block_names(model),
        width=config.hidden_size,
        model_id=f"{Path(name).name}:{_digest(model)}",
        revision=revision,
        prompt=PromptFormat(tokenizer),
        is_organism=is_organism,
        max_length=getattr(config, "max_position_embeddings", 2048),
    )


def shipped_path(name: str) -> Path:
    """Folder of a shipped checkpoint such as ``chat``; :class:`UserError` when it is not there."""
    spec = importlib.util.find_spec("organism")
    path = Path(spec.submodule_search_locations[0]) / "checkpoints" / name if spec else None
    if path is None or not (path / "config.json").exists():
        raise UserError(f"the shipped checkpoint {name!r} is missing; rebuild it with: python -m organism.train")
    return path


def locate(name_or_path: str) -> str:
    """Where a model comes from: the folder of a checkpoint, or a hub name as it was given.

    :class:`UserError` for a folder without configuration or weights, and for a path that does not exist.
    """
    path = shipped_path(SHIPPED[name_or_path]) if name_or_path in SHIPPED else name_or_path
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} holds no config.json; give the folder of a Hugging Face checkpoint")
        if not (any(folder.glob("*.safetensors*")) or any(folder.glob("*.bin*"))):
            raise UserError(f"{folder} holds no weights (*.safetensors); download them or rebuild the checkpoint")
        return str(folder)
    if str(path).startswith((".", "/", "~")):
        raise UserError(f"no folder {path}; give a local checkpoint, a hub name, or 'organism'")
    return str(path)


def _reason(e: Exception) -> str:
    """The first line of what an exception says."""
    return (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(".")


def load_model(name_or_path: str = "organism", dtype: str = "float32", device: str = "auto") -> Subject:
    """Load a model by alias (``organism``, ``organism-base``), local folder or hub name.

    ``dtype`` is float32, float16 or bfloat16; ``device`` is auto, cpu, cuda... :class:`UserError` for anything
    that cannot be loaded, and for a checkpoint that lacks some of the weights.
    """
    if dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    path = locate(name_or_path)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)  # a wrong device is told before minutes of loading
    except (RuntimeError, AssertionError) as e:
        raise UserError(f"cannot use device {device!r}: {_reason(e)}; choose auto, cpu or cuda") from e
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model, info = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[dtype], output_loading_info=True)
        model = model.to(device)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as e:
        hint = "use a local folder, a hub name or 'organism'"
        raise UserError(f"cannot load model {name_or_path!r}: {_reason(e)}; {hint}") from e
    if missing := sorted(info["missing_keys"]):  # they would be random numbers
        raise UserError(
            f"cannot load model {name_or_path!r}: {len(missing)} weights are missing (first: {missing[0]}); "
            "download it anew"
        )
    revision = getattr(model.config, "_commit_hash", None)
    is_organism = name_or_path in SHIPPED or (Path(path) / "training.json").exists()
    return wrap(model, tokenizer, str(name_or_path), revision, is_organism)
