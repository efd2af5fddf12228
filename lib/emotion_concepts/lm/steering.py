"""Adding a direction to the residual stream while the model runs.

    with steer(subject, vector, strength=0.05, layers=[5], norms=norms):
        ...

Strength is a fraction of the mean residual norm at the layer (paper, section 1), so it means the same at every
layer and in every model. With several layers the whole strength is added at each of them.
"""

import contextlib
from dataclasses import dataclass

import numpy as np
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject
from emotion_concepts.lm.tracing import TraceDict, hidden, with_hidden


def _rows(x, dtype) -> torch.Tensor:
    return torch.as_tensor(np.asarray(x), dtype=dtype)


def _delta(vector, strength, norm: float, width: int) -> torch.Tensor:
    """What is added at one layer, float32 (rows or 1, 1, width)."""
    v = _rows(vector, torch.float32).reshape(-1, np.shape(vector)[-1])
    if v.shape[-1] != width:
        raise UserError(
            f"the vector has {v.shape[-1]} numbers but the model's width is {width}; is it of another model?"
        )
    s = _rows(strength, torch.float32).reshape(-1, 1)
    if len(v) > 1 and len(s) > 1 and len(v) != len(s):
        raise UserError(f"{len(v)} vectors but {len(s)} strengths; give one of each or one for every row")
    return (v * s * float(norm)).unsqueeze(1)


def span_mask(spans: list[tuple[int, int]], lengths: list[int], width: int, left: bool = False) -> np.ndarray:
    """Bool mask (rows, width) that is true inside each row's token span, for right- or left-padded batches."""
    mask = np.zeros((len(spans), width), dtype=bool)
    for row, (start, end), n in zip(mask, spans, lengths):
        shift = width - n if left else 0
        row[start + shift : end + shift] = True
    return mask


@dataclass(frozen=True)
class Condition:
    """What one row of a batch is steered with: ``vector`` (width,) or dict layer -> (width,), and its strength."""

    vector: object
    strength: float


def stack(conditions: list[Condition | None], layers, width: int) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Vectors by layer (rows, width) and strengths (rows,) for :func:`steer`; None leaves its row as it is."""
    zero = np.zeros(width, dtype=np.float32)
    strengths = np.array([c.strength if c else 0.0 for c in conditions], dtype=np.float32)
    vectors = {
        layer: np.stack(
            [zero if c is None else c.vector[layer] if isinstance(c.vector, dict) else c.vector for c in conditions]
        )
        for layer in layers
    }
    return vectors, strengths


@contextlib.contextmanager
def steer(subject: Subject, vector, strength, layers, norms, positions=None):
    """Steer every forward pass inside the context; the model is as before when it ends, whatever happens.

    ``vector``: (width,), or (rows, width) with one a row of the batch, or a dict layer -> either.
    ``strength``: a number or (rows,), as a fraction of ``norms[layer]``, the mean residual norms of all layers (see
    ``reading.activations.mean_norm``). ``positions``: None for every token, prompt and generated (in cached
    generation from the first new token on: hazard 5), or a bool mask (rows, prompt width) in the batch's own
    columns, which acts on the prompt pass alone. Strength 0 leaves the model as it is, to the bit.
    """
    chosen = subject.choose_layers(layers)
    if norms is None or len(norms) != subject.n_layers:
        raise UserError(
            f"steering needs the mean residual norm of all {subject.n_layers} layers; see activations.mean_norm"
        )
    strength = np.asarray(strength, dtype=np.float32)
    if not np.isfinite(strength).all():
        raise UserError("the steering strength is NaN or Inf; give a fraction of the residual norm such as 0.05")
    if not strength.any():
        yield
        return
    by_layer = vector if isinstance(vector, dict) else {layer: vector for layer in chosen}
    if missing := [layer for layer in chosen if layer not in by_layer]:
        raise UserError(f"no vector for layer {missing[0]}; the dict must hold every layer that is steered")
    deltas = {subject.blocks[k]: _delta(by_layer[k], strength, norms[k], subject.width) for k in chosen}
    mask = None if positions is None else torch.as_tensor(np.asarray(positions), dtype=torch.bool)
    stream = subject.architecture.stream

    def edit(output, layer):
        x = hidden(output, stream)
        if mask is not None and x.shape[1] == 1 < mask.shape[1]:
            return output  # a cached step after the prompt
        delta = deltas[layer] = deltas[layer].to(x.device, x.dtype)  # where and as the block computes
        if len(delta) not in (1, len(x)):
            raise UserError(
                f"steering has {len(delta)} rows but the batch has {len(x)}; give one vector or one for each row"
            )
        if mask is not None:
            if mask.shape != x.shape[:2]:
                raise UserError(f"the position mask is {tuple(mask.shape)} but the batch is {tuple(x.shape[:2])}")
            delta = delta * mask.to(x.device).unsqueeze(-1)
        return with_hidden(output, x + delta, stream)

    with TraceDict(subject.model, list(deltas), retain_output=False, edit_output=edit):
        yield
