"""Caches of a beginning: tried against plain passes, copied for many endings, and growing in place.

Transformers' own layers copy all that they hold for every new token; :class:`GrowingLayer` does not.
"""

import copy
from dataclasses import dataclass

import torch
from transformers.cache_utils import DynamicLayer

from emotion_concepts.lm.architecture import UNFIT, apart
from emotion_concepts.lm.batching import pad_left, pad_right

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


@dataclass(frozen=True)
class CacheUse:
    """``steps``: token by token, rows padded on the left, repeated, dropped; ``shares``: many tokens after a fork."""

    steps: bool
    shares: bool


def try_cache(subject) -> CacheUse:
    """What the cache of a subject's model is good for: where going on from it gives what a plain pass gives.

    Some families have no cache, some cannot part its rows, some drop their state when several tokens follow it.
    """
    return CacheUse(*(_holds(subject, trial) for trial in (_steps, _shares)))


def _holds(subject, trial) -> bool:
    """Whether every pair of hidden states (got, wanted) of a trial agrees; no where the family's cache raises."""
    try:
        with torch.inference_mode():
            return not any(apart(got, want, subject.dtype) for got, want in trial(subject))
    except UNFIT:
        return False


def _steps(subject):
    """Prompts of unequal length, padded on the left; then one token a row, after the rows were put in another order."""
    prompts, order, tokens = (_ids(subject, 12), _ids(subject, 5)), torch.tensor([1, 0, 1]), [7, 5, 4]
    ids, mask, positions = (x.to(subject.device) for x in pad_left(prompts, subject.pad))
    first = subject.final_hidden(ids, attention_mask=mask, position_ids=positions, use_cache=True)
    cache = growing(first.past_key_values)
    cache.reorder_cache(order.to(subject.device))
    mask = torch.nn.functional.pad(mask[order], (0, 1), value=True)
    second = subject.final_hidden(
        torch.tensor(tokens)[:, None], attention_mask=mask, position_ids=positions[order, -1:] + 1,
        past_key_values=cache, use_cache=True,
    )  # fmt: skip
    rows = [[*prompts[k], token] for k, token in zip(order.tolist(), tokens)]
    whole, last = subject.final_hidden(pad_right(rows, subject.pad)[0]).last_hidden_state, [len(r) - 1 for r in rows]
    for k in range(len(rows)):
        yield first.last_hidden_state[order[k], -1], whole[k, last[k] - 1]
        yield second.last_hidden_state[k, -1], whole[k, last[k]]


def _shares(subject):
    """One beginning; forked twice, each time with other endings of several tokens."""
    head, ends = _ids(subject, 12), torch.tensor([[4, 3, 6, 5], [7, 7, 3, 8]])
    cache = subject.final_hidden(torch.tensor([head]), use_cache=True).past_key_values
    positions = torch.arange(len(head), len(head) + ends.shape[1], device=subject.device).unsqueeze(0)
    whole = subject.final_hidden(torch.cat([torch.tensor([head, head]), ends], 1)).last_hidden_state[:, len(head) :]
    for order in ([0, 1], [1, 0]):
        mine = fork(cache, torch.zeros(2, dtype=torch.long, device=subject.device))
        out = subject.final_hidden(ends[order], position_ids=positions, past_key_values=mine, use_cache=True)
        yield out.last_hidden_state, whole[order]


def _ids(subject, n: int) -> list[int]:
    return [(7 * i + 3) % subject.vocabulary for i in range(n)]
