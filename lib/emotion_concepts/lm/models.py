"""Loading a language model with what the experiments need to know about it."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from emotion_concepts.errors import UserError
from emotion_concepts.lm.prompts import PromptFormat
from emotion_concepts.lm.world import World
from emotion_concepts.lm.zoo import locate, world_of

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
    max_length: int
    world: World | None = None  # what is known of the texts that it was trained on
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

    def reply_tokens(self, longest: int) -> int:
        """How long a reply may become: as its world's replies are, or ``longest`` where no world is known."""
        return self.world.reply_tokens if self.world else longest

    def layer(self, depth: float) -> int:
        """The layer nearest to a share of the model's depth, 0..1 (paper: about two thirds)."""
        return int(np.argmin(np.abs(self.depth - depth)))

    def check_layer(self, layer: int) -> int:
        """``layer`` as a non-negative index; :class:`UserError` outside the model."""
        if not -self.n_layers <= layer < self.n_layers:
            raise UserError(f"layer {layer} is out of range: {self.name} has layers 0 to {self.n_layers - 1}")
        return layer % self.n_layers

    def choose_layers(self, layers=None) -> list[int]:
        """``layers`` checked and in order; None: all; :class:`UserError` for none at all."""
        if layers is None:
            return list(range(self.n_layers))
        chosen = sorted({self.check_layer(i) for i in layers})
        if not chosen:
            raise UserError("no layers chosen; give at least one, or None for all")
        return chosen

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


def wrap(model, tokenizer, name: str = "model", revision: str | None = None, world: World | None = None) -> Subject:
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
        max_length=getattr(config, "max_position_embeddings", 2048),
        world=world,
    )


def _reason(e: Exception) -> str:
    """The first line of what an exception says."""
    return (str(e).strip() or type(e).__name__).splitlines()[0].rstrip(".")


def load_model(name_or_path: str = "organism", dtype: str = "float32", device: str = "auto") -> Subject:
    """Load a model by its name in the zoo (``organism``, ``organism-base``), local folder or hub name.

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
        hint = "use a local folder, a hub name or a name of the zoo"
        raise UserError(f"cannot load model {name_or_path!r}: {_reason(e)}; {hint}") from e
    if missing := sorted(info["missing_keys"]):  # they would be random numbers
        raise UserError(
            f"cannot load model {name_or_path!r}: {len(missing)} weights are missing (first: {missing[0]}); "
            "download it anew"
        )
    revision = getattr(model.config, "_commit_hash", None)
    return wrap(model, tokenizer, str(name_or_path), revision, world_of(model.config, path))
