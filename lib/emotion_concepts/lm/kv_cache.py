"""Keys and values that grow in place; transformers' own layers copy all that they hold for every new token."""

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
