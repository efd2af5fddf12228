"""Where a model keeps what we read: the blocks that run on text, the residual stream, its last norm and its head.

All of it is seen in two short passes, and what the library stands on is checked there: every block runs once and gives
(batch, tokens, width), no token looks at a later one, and trunk and head in turn give the model's own logits.
"""

from dataclasses import dataclass

import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.head import Head
from emotion_concepts.lm.tracing import TraceDict, hidden

PROBE = (3, 5, 4, 6, 3, 7, 8, 4)  # token ids of a short text
SAME = 5  # tokens with which another short text begins, too
# What a module raises that is used in a way it is not made for.
UNFIT = (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError, NotImplementedError)
# How far numbers that should be equal may lie apart, as a share of their length: rounding, and in half precision
# experts that are chosen otherwise for it.
TOLERANCE = {torch.float32: 1e-3}
ROUGH = 0.2


@dataclass(frozen=True)
class Architecture:
    """``head``: what the model does behind its trunk; ``blocks``: dotted names of the decoder blocks that run on text,
    in the order in which they run; ``width`` of the residual stream; ``stream``: which of several parallel streams is
    read and steered, None where there is one; ``norm``: the trunk's last module, between the last block and the head,
    None where there is none.
    """

    head: Head
    blocks: list[str]
    width: int
    stream: int | None
    norm: torch.nn.Module | None


def apart(got: torch.Tensor, want: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether two arrays differ by more than the rounding of a model of this ``dtype`` explains; NaN is different."""
    if got.shape != want.shape:
        return True
    difference = (got.float() - want.float()).norm() / want.float().norm().clamp(min=1e-12)
    return not difference <= TOLERANCE.get(dtype, ROUGH)


def _decoders(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules that may hold the decoder's blocks, the likeliest first."""
    found = [model.get_decoder()] if hasattr(model, "get_decoder") else []
    return [*found, getattr(model, "base_model", model), model]


def _blocks_in(model: torch.nn.Module, decoder: torch.nn.Module, n: int | None) -> list[str]:
    """Dotted names in ``model`` of the decoder's blocks, its outermost list of ``n`` modules; or none."""
    prefix = next((f"{name}." for name, m in model.named_modules() if m is decoder and name), "")
    lists = [(prefix + name, m) for name, m in decoder.named_modules() if isinstance(m, torch.nn.ModuleList)]
    outer = [(name, len(m)) for name, m in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    # some configurations count parts of blocks; then the list of blocks divides the number
    fitting = [x for x in outer if x[1] == n] or [x for x in outer if n and x[1] > 1 and n % x[1] == 0]
    return [f"{name}.{i}" for name, count in fitting[:1] for i in range(count)]


def inspect(model: torch.nn.Module, name: str = "this model") -> Architecture:
    """The architecture of a model, seen in short passes over text.

    Blocks that text does not pass (those of cross attention) are left out and named. :class:`UserError` where there
    are no blocks, as in encoders, and where a check fails.
    """
    if any(p.is_meta for p in model.parameters()):
        raise UserError(f"{name} does not fit into the memory of its devices; choose a smaller dtype or model")
    try:
        return _inspect(model, name)
    except UserError:
        raise
    except Exception as e:  # whatever the model's own code raises on a plain text
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise UserError(f"{name} fails on a short text ({type(e).__name__}: {why}); it cannot be studied") from e


def _inspect(model: torch.nn.Module, name: str) -> Architecture:
    config = model.config.get_text_config(decoder=True)
    n, width = getattr(config, "num_hidden_layers", None), config.hidden_size
    names = next((found for m in _decoders(model) if (found := _blocks_in(model, m, n))), None)
    if not names:
        kind = type(model).__name__
        raise UserError(f"no list of {n} decoder blocks found in {kind}; is it a causal language model?")
    stream, around = getattr(config, "altup_active_idx", None), names[0].split(".")[:-2]
    ids = torch.tensor([PROBE, PROBE[:SAME] + PROBE[: len(PROBE) - SAME]], device=next(model.parameters()).device)
    ids %= config.vocab_size
    ran, want = _seen_to_run(model, names, ids[:1], stream, width, name)
    inside = {m for block in ran for m in model.get_submodule(block).modules()}
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    for k in range(len(around), 0, -1):  # the trunk is one of the modules around the blocks, most often the innermost
        head = Head(model, model.get_submodule(".".join(around[:k])), name)
        try:
            h, norm = _final(head.trunk, ids, width, inside)
            with torch.inference_mode():
                whole, part = head(h[:1]), head(h[:1], [1, 0])
        except UNFIT:
            continue
        if not want.isfinite().all():  # whoever reads or generates says where the numbers broke
            return Architecture(head, ran, width, stream, norm)
        if apart(whole, want, dtype) or apart(part, want[..., [1, 0]], dtype):
            continue
        if apart(h[1, :SAME], h[0, :SAME], dtype):
            raise UserError(f"in {name} a token looks at later ones; a causal language model is needed")
        return Architecture(head, ran, width, stream, norm)
    raise UserError(f"the head of {name} cannot be run apart from its trunk; this architecture is not supported")


def _seen_to_run(model, names, ids, stream, width, name) -> tuple[list[str], torch.Tensor]:
    """The blocks in the order in which they run on ``ids`` (1, tokens), all checked, and the model's logits."""
    shapes: dict[str, tuple] = {}

    def look(output, layer):
        if layer in shapes:
            raise UserError(f"{name} runs its block {layer} more than once a pass; layers have no single output there")
        shapes[layer] = tuple(hidden(output, stream).shape)
        return output

    with torch.inference_mode(), TraceDict(model, names, retain_output=False, edit_output=look):
        logits = model(input_ids=ids, use_cache=False).logits
    if not shapes:
        raise UserError(f"no block of {name} runs on text; is it a causal language model?")
    if bad := [(layer, shape) for layer, shape in shapes.items() if shape != (*ids.shape, width)]:
        raise UserError(
            f"block {bad[0][0]} of {name} gives {bad[0][1]}, not (batch, tokens, width {width}); "
            "this architecture is not supported"
        )
    if unseen := [n for n in names if n not in shapes]:
        print(f"notice: {len(unseen)} blocks of {name} do not run on text and are left out (first: {unseen[0]})")
    return list(shapes), logits.float()


def _final(trunk, ids, width, blocks: set) -> tuple[torch.Tensor, torch.nn.Module | None]:
    """The trunk's hidden states over ``ids``, and the module behind ``blocks`` that makes them of the last block's."""
    seen = []

    def look(module, inputs, output):
        if torch.is_tensor(output) and inputs and torch.is_tensor(inputs[0]) and inputs[0].shape[-1] == width:
            seen.append((module, output))

    handles = [m.register_forward_hook(look) for m in trunk.modules() if m is not trunk and m not in blocks]
    try:
        with torch.inference_mode():
            h = trunk(input_ids=ids, use_cache=False)[0]
    finally:
        for handle in handles:
            handle.remove()
    return h, next((m for m, out in seen if out.shape == h.shape and torch.equal(out, h)), None)
