"""The growing key-value cache against transformers' own."""

import torch
from transformers import DynamicCache

from emotion_concepts.lm import generation, kv_cache

PROMPTS = ["She was glad.", "The rain came and he waited by the door.", "She was glad.", "No one knew."] * 2


def test_texts_are_those_of_the_models_own_cache(tiny, monkeypatch):
    """More tokens than one room holds, rows that leave the batch, equal prompts read once."""
    monkeypatch.setattr(kv_cache, "ROOM", 4)
    grown = generation.generate(tiny, PROMPTS, 20, seed=3, progress=False)
    monkeypatch.setattr(generation, "growing", lambda cache: cache)
    assert grown == generation.generate(tiny, PROMPTS, 20, seed=3, progress=False)


def test_layers_hold_the_same_numbers_and_copy_only_when_the_room_is_full(monkeypatch):
    monkeypatch.setattr(kv_cache, "ROOM", 3)
    torch.manual_seed(0)
    parts = [torch.randn(4, 2, n, 8) for n in (5, 1, 1, 1, 1, 2)]
    own, grown, places = DynamicCache(), DynamicCache(), []
    for k, part in enumerate(parts):
        expected, got = own.update(part, -part, 0), grown.update(part, -part, 0)
        assert all(torch.equal(a, b) for a, b in zip(expected, got))
        if k == 0:
            grown = kv_cache.growing(grown)
        if k == 3:  # rows leave
            for cache in (own, grown):
                cache.batch_select_indices(torch.tensor([2, 0]))
            parts[4:] = [p[:2] for p in parts[4:]]
        places.append(grown.layers[0].keys.data_ptr())
    assert isinstance(grown.layers[0], kv_cache.GrowingLayer)
    assert places[1] == places[2]


def test_tokens_after_a_cut_take_the_place_of_those_cut():
    first = torch.zeros(1, 1, 2, 4)
    cache = DynamicCache()
    cache.update(first, first, 0)
    kv_cache.growing(cache).update(first + 1, first + 1, 0)
    held = cache.layers[0].keys.clone()
    cache.layers[0].crop(-2)
    cache.update(first + 2, first + 2, 0)  # where the cut tokens stood
    assert held[0, 0, 2, 0] == 1 and cache.layers[0].keys[0, 0, 2, 0] == 2 and cache.get_seq_length() == 4


def test_empty_caches_and_those_without_layers_are_left_alone():
    assert kv_cache.growing(None) is None
    assert not any(isinstance(x, kv_cache.GrowingLayer) for x in kv_cache.growing(DynamicCache()).layers)
