"""Logits from final hidden states, as the model's own code computes them.

Families differ in what they do behind the last norm: they scale, cap, or divide. So none of it is rebuilt here: the
model's own forward pass runs, with its trunk replaced by the hidden states at hand.
"""

import contextlib
from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

from emotion_concepts.errors import UserError

PART = 2**22  # numbers of a half-precision output embedding that are held in float32 at a time


@dataclass
class _Answer(ModelOutput):
    """What a trunk gives: hidden states, and None for whatever else a family's head may look at."""

    last_hidden_state: torch.Tensor | None = None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class Head:
    """What ``model`` does behind ``trunk``, the module that gives the hidden states after the last norm."""

    def __init__(self, model: torch.nn.Module, trunk: torch.nn.Module, name: str = "this model"):
        self.model, self.trunk = model, trunk
        self.embedding = model.get_output_embeddings()
        if self.embedding is None or not hasattr(self.embedding, "weight"):
            raise UserError(f"{name} has no output embedding; is it a causal language model?")
        weight = self.embedding.weight
        self.quantised = not weight.is_floating_point()  # packed: only the module's own code can use it
        self.vocabulary = getattr(self.embedding, "out_features", weight.shape[0])

    def __call__(self, h: torch.Tensor, token_ids=None) -> torch.Tensor:
        """Logits float32 (..., vocabulary) of hidden states after the last norm (..., width), or those of some tokens.

        The product with the output embedding is taken in float32, whatever the weights are: rounded to bfloat16,
        differences between the logits of two answers vanish.
        """
        if not h.numel():
            n = self.vocabulary if token_ids is None else len(token_ids)
            return h.new_zeros(*h.shape[:-1], n, dtype=torch.float32)
        flat = h.reshape(1, -1, h.shape[-1])
        ids = torch.zeros(flat.shape[:2], dtype=torch.long, device=next(self.model.parameters()).device)
        with self._trunk_gives(flat), self._exact(token_ids):
            logits = self.model(input_ids=ids, use_cache=False).logits.float()
        if self.quantised and token_ids is not None:
            logits = logits[..., list(token_ids)]
        return logits.reshape(*h.shape[:-1], -1)

    def _trunk_gives(self, h):
        """The model's trunk answers every call with ``h`` while the context lasts."""

        def forward(*args, **kwargs):
            return _Answer(last_hidden_state=h)

        return _replaced(self.trunk, forward)

    def _exact(self, token_ids):
        """The output embedding works in float32, and on the rows of ``token_ids`` alone, while the context lasts."""
        if self.quantised:
            return contextlib.nullcontext()
        weight, bias = self.embedding.weight, getattr(self.embedding, "bias", None)
        if token_ids is not None:
            rows = torch.as_tensor(token_ids, device=weight.device)
            weight, bias = weight[rows], None if bias is None else bias[rows]

        def forward(x):
            x = x.to(weight.device).float()
            parts = weight.split(max(1, PART // weight.shape[1])) if weight.dtype != torch.float32 else [weight]
            out = torch.cat([torch.nn.functional.linear(x, w.float()) for w in parts], -1)
            return out if bias is None else out + bias.float()

        return _replaced(self.embedding, forward)


@contextlib.contextmanager
def _replaced(module: torch.nn.Module, forward):
    """``module.forward`` is ``forward`` while the context lasts, whatever happens."""
    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
