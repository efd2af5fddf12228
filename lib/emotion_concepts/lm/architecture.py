"""Where a model keeps what we read: its decoder, the blocks that run on text, the residual stream, the trunk."""

from dataclasses import dataclass

import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.tracing import TraceDict, hidden

PROBE = (3, 5, 4, 6, 3)  # token ids of a short pass that shows what runs


@dataclass(frozen=True)
class Architecture:
    """``trunk``: the module that gives the hidden states after the last norm; ``blocks``: dotted names of the decoder
    blocks that run on text, in the order in which they run; ``width`` of the residual stream; ``stream``: which of
    several parallel streams is read and steered, None where there is one; ``caches``: whether a pass returns keys and
    values (or states) that a later pass can go on from.
    """

    trunk: torch.nn.Module
    blocks: list[str]
    width: int
    stream: int | None
    caches: bool


def trunk_of(model: torch.nn.Module) -> torch.nn.Module:
    """The part of a causal model before its head."""
    base = getattr(model, "base_model", model)
    trunk = base if base is not model else model.get_decoder()
    return trunk if trunk is not model else next(iter(model.children()))


def block_names(model: torch.nn.Module) -> list[str]:
    """Dotted names of the decoder's blocks: its outermost list of modules, as long as the configuration says.

    :class:`UserError` where there is none, as in encoders.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    n = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    prefix = next((f"{name}." for name, m in model.named_modules() if m is decoder and name), "")
    lists = [(prefix + name, m) for name, m in decoder.named_modules() if isinstance(m, torch.nn.ModuleList)]
    outer = [(name, m) for name, m in lists if not any(name.startswith(f"{other}.") for other, _ in lists)]
    fitting = [(name, len(m)) for name, m in outer if len(m) == n] or [
        # some configurations count parts of blocks; then the one list of blocks that divides the number
        (name, len(m)) for name, m in outer if n and len(m) > 1 and n % len(m) == 0
    ]
    if not fitting:
        kind = type(model).__name__
        raise UserError(f"no list of {n} decoder blocks found in {kind}; is it a causal language model?")
    name, count = fitting[0]
    return [f"{name}.{i}" for i in range(count)]


def inspect(model: torch.nn.Module, name: str = "this model") -> Architecture:
    """The architecture of a model, seen in a short pass over text.

    Blocks that text does not pass (those of cross attention) are left out and named. :class:`UserError` where a block
    runs more than once, or gives something else than (batch, tokens, width).
    """
    config = model.config.get_text_config(decoder=True)
    names, width = block_names(model), config.hidden_size
    stream = getattr(config, "altup_active_idx", None)
    ran: list[str] = []
    shapes: dict[str, tuple] = {}

    def look(output, layer):
        ran.append(layer)
        shapes[layer] = tuple(hidden(output, stream).shape)
        return output

    device = next(model.parameters()).device
    ids = torch.tensor([PROBE], device=device) % config.vocab_size
    with torch.inference_mode(), TraceDict(model, names, retain_output=False, edit_output=look):
        out = model(input_ids=ids, use_cache=True)
    if len(ran) != len(set(ran)):
        twice = next(n for n in ran if ran.count(n) > 1)
        raise UserError(f"{name} runs its block {twice} more than once a pass; layers have no single output there")
    if not ran:
        raise UserError(f"no block of {name} runs on text; is it a causal language model?")
    if bad := [n for n in ran if shapes[n] != (1, len(PROBE), width)]:
        raise UserError(
            f"block {bad[0]} of {name} gives {shapes[bad[0]]}, not (batch, tokens, width {width}); "
            "this architecture is not supported"
        )
    if unseen := sorted(set(names) - set(ran)):
        print(f"notice: {len(unseen)} blocks of {name} do not run on text and are left out (first: {unseen[0]})")
    caches = getattr(out, "past_key_values", None) is not None
    return Architecture(trunk_of(model), ran, width, stream, caches)
