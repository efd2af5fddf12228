"""Logits from final hidden states, as the model's own code computes them.

Families differ in what they do behind the last norm: they scale, cap, or divide. So none of it is rebuilt here: the
model's own forward pass runs, with its trunk replaced by the hidden states at hand.
"""

import contextlib
from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput

from emotion_concepts.errors import UserError
from emotion_concepts.lm.architecture import PROBE

TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 5e-2}  # of the largest logit


@dataclass
class _Answer(ModelOutput):
    """What a trunk gives: hidden states, and None for whatever else a family's head may look at."""

    last_hidden_state: torch.Tensor | None = None

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class Head:
    """The head of ``model`` behind ``trunk``; checked once against the model's own logits."""

    def __init__(self, model: torch.nn.Module, trunk: torch.nn.Module, name: str = "this model"):
        self.model, self.trunk, self.name = model, trunk, name
        self.embedding = model.get_output_embeddings()
        if self.embedding is None or not hasattr(self.embedding, "weight"):
            raise UserError(f"{name} has no output embedding; is it a causal language model?")
        self._check()

    def __call__(self, h: torch.Tensor, token_ids=None) -> torch.Tensor:
        """Logits float32 (..., vocabulary) of hidden states after the last norm (..., width), or those of some tokens.

        The product with the output embedding is taken in float32, whatever the weights are: rounded to bfloat16,
        differences between the logits of two answers vanish.
        """
        if not h.numel():
            return h.new_zeros(*h.shape[:-1], self.embedding.weight.shape[0] if token_ids is None else len(token_ids))
        flat = h.reshape(1, -1, h.shape[-1])
        with self._trunk_gives(flat), self._exact(token_ids):
            logits = self.model(input_ids=torch.zeros(flat.shape[:2], dtype=torch.long, device=h.device), use_cache=False)
        return logits.logits.float().reshape(*h.shape[:-1], -1)

    @contextlib.contextmanager
    def _trunk_gives(self, h):
        """The model's trunk answers every call with ``h`` while the context lasts."""

        def forward(*args, **kwargs):
            return _Answer(last_hidden_state=h)

        with _replaced(self.trunk, forward):
            yield

    @contextlib.contextmanager
    def _exact(self, token_ids):
        """The output embedding works in float32, and on the rows of ``token_ids`` alone, while the context lasts."""
        weight, bias = self.embedding.weight, getattr(self.embedding, "bias", None)
        if not weight.is_floating_point():  # quantised: only its own code can use it
            yield
            return

        def forward(x):
            w, b = weight, bias
            if token_ids is not None:
                rows = torch.as_tensor(token_ids, device=weight.device)
                w, b = w[rows], None if b is None else b[rows]
            return torch.nn.functional.linear(x.to(w.device).float(), w.float(), None if b is None else b.float())

        with _replaced(self.embedding, forward):
            yield

    def _check(self) -> None:
        """:class:`UserError` where trunk and head in turn do not give the model's own logits."""
        ids = torch.tensor([PROBE], device=next(self.model.parameters()).device) % self.embedding.weight.shape[0]
        with torch.inference_mode():
            want = self.model(input_ids=ids, use_cache=False).logits.float()
            h = self.trunk(input_ids=ids, use_cache=False)[0]
            if not want.isfinite().all():
                return  # whoever generates or scores says where the numbers broke
            got, part = self(h), self(h, [1, 0])
        dtype = self.embedding.weight.dtype
        room = TOLERANCE.get(dtype, 5e-2) * max(1.0, float(want.abs().max()))
        worst = max(float((got - want).abs().max()), float((part - got[..., [1, 0]]).abs().max()))
        if not worst <= room:
            raise UserError(
                f"the head of {self.name} cannot be run apart from its trunk (logits differ by {worst:.1e}); "
                "this architecture is not supported"
            )


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
