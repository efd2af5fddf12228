"""Caches of a beginning: copied for many endings, and growing in place.

Transformers' own layers copy all that they hold for every new token; :class:`GrowingLayer` does not.
"""

import copy

import torch
from transformers.cache_utils import DynamicLayer

ROOM = 64  # tokens for which room is made at a time


def _append(room, held: torch.Tensor, new: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The room in which ``held`` and ``new`` (rows, heads, tokens, width) lie one behind the other, and both in it."""
    n, end = held.shape[-2], held.shape[-2] + new.shape[-2]
    in_room = room is not None and room.data_ptr() == held.data_ptr() and room.shape[:2] == held.shape[:2]
    if not in_room or end > room.shape[-2]:
        room = new.new_empty(*new.shape[:2], end + ROOM, new.shape[-1])
        room[..., :n, :] = held
    room[..., n:end, :] = new
    return room, room[..., :end, :]


class GrowingLayer(DynamicLayer):
    """A :class:`DynamicLayer` that already holds something, with room behind it; it gives the same numbers."""

    def __init__(self, layer: DynamicLayer):
        vars(self).update(vars(layer))
        self._key_room = self._value_room = None

    def update(self, key_states, value_states, *args, **kwargs):
        """Append the new keys and values, (rows, heads, tokens, width), and return all."""
        self._key_room, self.keys = _append(self._key_room, self.keys, key_states)
        self._value_room, self.values = _append(self._value_room, self.values, value_states)
        return self.keys, self.values


def growing(cache):
    """``cache`` with its plain layers (not those of a sliding window, nor of other kinds) replaced by growing ones."""
    for i, layer in enumerate(getattr(cache, "layers", ())):
        if type(layer) is DynamicLayer and layer.get_seq_length():
            cache.layers[i] = GrowingLayer(layer)
    return cache


def fork(cache, rows: torch.Tensor):
    """A cache of chosen rows (which may repeat) that grows apart from ``cache``; of any kind that transformers has."""
    out = copy.copy(cache)
    out.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in out.layers:  # states held in lists or dicts are exchanged in place
        for name, value in vars(layer).items():
            if isinstance(value, (list, dict)):
                setattr(layer, name, copy.copy(value))
    out.reorder_cache(rows)
    return out


def goes_on(subject) -> bool:
    """Whether texts read in two parts, the first shared, give the hidden states of texts read at once.

    Some families drop their state when several tokens follow a cache; for them prompts are read whole.
    """
    if not subject.architecture.caches:
        return False
    device, vocabulary = subject.device, subject.unembedding.shape[0]
    ids = (torch.arange(24, device=device) * 7 + 3) % vocabulary
    tails = torch.stack([ids[:4] + 1, ids[4:8]]) % vocabulary
    whole = torch.cat([ids.expand(2, -1), tails], 1)
    positions = torch.arange(len(ids), whole.shape[1], device=device).unsqueeze(0)
    with torch.inference_mode():
        want = subject.final_hidden(whole).last_hidden_state[:, len(ids) :].float()
        cache = getattr(subject.final_hidden(ids[None], use_cache=True), "past_key_values", None)
        if not hasattr(cache, "reorder_cache") or not hasattr(cache, "layers"):
            return False
        cache = fork(cache, torch.zeros(2, dtype=torch.long, device=device))
        got = subject.final_hidden(tails, position_ids=positions, past_key_values=cache, use_cache=True)
    worst = float((got.last_hidden_state.float() - want).abs().max() / want.abs().max())
    return worst <= (1e-3 if subject.dtype == torch.float32 else 5e-2)
