"""A model under study with what the experiments need to know about it."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.architecture import Architecture, inspect
from emotion_concepts.lm.head import Head
from emotion_concepts.lm.kv_cache import CacheUse, try_cache
from emotion_concepts.lm.prompts import PromptFormat
from emotion_concepts.lm.world import World


@dataclass
class Subject:
    """A model under study. Layer ``i`` always means the output of block ``i`` (``hidden_states[i + 1]``)."""

    name: str
    model: torch.nn.Module
    tokenizer: object
    architecture: Architecture
    model_id: str  # name and a digest of configuration and weights
    revision: str | None
    prompt: PromptFormat
    max_length: int
    world: World | None = None  # what is known of the texts that it was trained on
    depth: np.ndarray = field(init=False)  # (layers,) share of the blocks passed after each layer
    cache_use: CacheUse = field(init=False)  # what the model's cache is good for

    def __post_init__(self):
        self.depth = np.arange(1, self.n_layers + 1) / self.n_layers
        self.cache_use = try_cache(self)  # now, not when it is first used: then the model may be steered
        if not self.cache_use.steps:
            print(f"notice: {self.name} has no cache that can be used; texts are read anew for every token")
        elif not self.cache_use.shares:
            print(f"notice: {self.name} cannot go on from a shared beginning; prompts are read whole")

    @property
    def blocks(self) -> list[str]:
        """Dotted names of the decoder blocks, in the order in which they run."""
        return self.architecture.blocks

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.architecture.width

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(self.blocks)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where the model's inputs go."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the weights."""
        return next(p.dtype for p in self.model.parameters() if p.is_floating_point())

    @property
    def sums(self) -> torch.dtype:
        """Number format of long sums: float64 where the device has it."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    @property
    def pad(self) -> int:
        """A token id to fill batches with; it is never looked at."""
        t = self.tokenizer
        return next((i for i in (t.pad_token_id, t.eos_token_id) if i is not None and i < self.vocabulary), 0)

    @property
    def head(self) -> Head:
        """Logits from final hidden states, by the model's own code."""
        return self.architecture.head

    @property
    def vocabulary(self) -> int:
        """Number of tokens that the model gives logits to."""
        return self.head.vocabulary

    @property
    def unembedding(self) -> torch.Tensor:
        """The output embedding, (vocabulary, width)."""
        return self.head.embedding.weight

    def final_hidden(self, ids: torch.Tensor, **options):
        """The trunk's output over token ids (rows, tokens): ``last_hidden_state`` after the last norm, the cache."""
        return self.head.trunk(input_ids=ids.to(self.device), **({"use_cache": False} | options))

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

    @cached_property
    def _prefix(self) -> list[int]:
        """The tokens that the tokenizer puts before every text: a beginning-of-text token, or several."""
        bare, whole = (self.tokenizer("a", add_special_tokens=s)["input_ids"] for s in (False, True))
        at = next((k for k in range(len(whole)) if whole[k : k + len(bare)] == bare), 0)
        return list(whole[:at])

    def encode_all(self, texts: list[str], prompts: bool = False) -> list[list[int]]:
        """Token ids of each text, with the tokenizer's own first tokens exactly once, be they in the text or not.

        :class:`UserError` for ``prompts`` without any token, which nothing could follow, or longer than the context.
        """
        rows = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        n = len(self._prefix)
        rows = [list(r) if r[:n] == self._prefix else [*self._prefix, *r] for r in rows]
        if prompts and not all(rows):
            raise UserError(f"prompt {rows.index([])} has no tokens; give it a word")
        if prompts:
            self.check_room(max(map(len, rows), default=0))
        return rows

    def check_room(self, tokens: int, more: int = 0) -> None:
        """:class:`UserError` unless so many tokens, and ``more`` that are to follow, fit into the model's context."""
        if tokens + more > self.max_length:
            told = f"a prompt of {tokens} tokens" + (f" and {more} more" if more else "")
            raise UserError(
                f"{told}: too long for {self.name}, which takes {self.max_length}; shorten it, or choose a model with "
                "a longer context"
            )

    def encode(self, text: str) -> list[int]:
        """Token ids of one text; see :meth:`encode_all`."""
        return self.encode_all([text])[0]


def _digest(model) -> str:
    """Twelve hex digits over the class and every weight's name, shape, and a sample of its values."""
    h = hashlib.sha256(type(model).__name__.encode())
    for name, p in sorted(model.state_dict().items()):
        flat = p.detach().flatten()
        step = max(1, flat.numel() // 512)
        h.update(f"{name}{tuple(p.shape)}".encode())
        h.update(flat[::step].float().cpu().numpy().tobytes())
    return h.hexdigest()[:12]


def wrap(
    model, tokenizer, name: str = "model", revision: str | None = None, world: World | None = None,
    system: str | None = None,
) -> Subject:  # fmt: skip
    """A :class:`Subject` around a model that is already in memory; model and tokenizer are used unchanged.

    ``system``: the system prompt of every chat; None: the template's own, "": none.
    """
    model.eval()
    config = model.config.get_text_config(decoder=True)
    return Subject(
        name=name,
        model=model,
        tokenizer=tokenizer,
        architecture=inspect(model, name),
        model_id=f"{Path(name).name}:{_digest(model)}",
        revision=revision,
        prompt=PromptFormat(tokenizer, system),
        max_length=getattr(config, "max_position_embeddings", None) or 2048,
        world=world,
    )
