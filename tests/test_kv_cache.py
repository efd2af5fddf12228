"""The growing key-value cache against transformers' own; what caches of other kinds are good for."""

import numpy as np
import pytest
import torch
from conftest import plain_log_probs
from families import build
from transformers import DynamicCache

from emotion_concepts.lm import generation, kv_cache
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.kv_cache import CacheUse
from emotion_concepts.lm.shared_prefix import Prompt, grouped_log_probs, grouped_logits
from emotion_concepts.lm.steering import steer
from emotion_concepts.lm.subject import wrap

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


def alone(subject, prompts, n):
    """Texts written one by one, each from its own random stream."""
    return [generate(subject, [p], n, seed=3, streams=[i], progress=False)[0] for i, p in enumerate(prompts)]


@pytest.mark.parametrize("family", ["lfm2", "jamba", "falcon_h1"])
def test_states_of_convolutions_and_recurrences_follow_their_rows(family):
    """Equal prompts read once, rows that end and leave, a beginning gone on from: layers that hold no keys, too."""
    s = build(family)
    assert s.cache_use.steps
    assert generate(s, PROMPTS[:5], 6, seed=3, progress=False) == alone(s, PROMPTS[:5], 6)
    heads, tails = ["The rain came and", "She was"], [[" he waited", " no one knew it"], [" glad"]]
    for head, ends, got in zip(heads, tails, grouped_log_probs(s, heads, tails)):
        assert np.allclose(got, plain_log_probs(s, [head] * len(ends), ends), atol=1e-3)


def answers(subject):
    """Logits after prompts that begin alike, and by the plain model."""
    texts = [f"The rain came and {end}" for end in ("he waited by the door", "no one knew", "she was glad of it")]
    got = grouped_logits(subject, [Prompt(t, 0) for t in texts], None)
    with torch.no_grad():
        return got, np.stack([subject.model(torch.tensor([subject.encode(t)])).logits[0, -1] for t in texts])


def test_a_family_that_drops_its_state_is_found_out(capsys):
    """Jamba forgets all before the last token when several follow its cache, and says nothing."""
    s = build("jamba")
    assert s.cache_use == CacheUse(steps=True, shares=False)
    got, want = answers(s)
    assert np.abs(got - want).max() < 1e-3
    s.cache_use = CacheUse(steps=True, shares=True)
    got, _ = answers(s)
    assert np.abs(got - want).max() > 0.05
    wrap(s.model, s.tokenizer, "jamba")
    assert "jamba cannot go on from a shared beginning; prompts are read whole" in capsys.readouterr().out


@pytest.mark.parametrize("family", ["openai-gpt", "minimax"])
def test_without_a_cache_texts_are_read_anew_for_every_token(family):
    """No cache at all; and one whose rows cannot be parted."""
    s = build(family)
    assert s.cache_use == CacheUse(steps=False, shares=False)
    assert generate(s, PROMPTS[:4], 5, seed=3, progress=False) == alone(s, PROMPTS[:4], 5)
    ids = s.encode(PROMPTS[1])
    greedy = generate(s, PROMPTS[1:2], 5, temperature=0, progress=False)[0]
    for _ in range(5):
        with torch.no_grad():
            ids.append(int(s.model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert s.tokenizer.decode(ids[-5:], skip_special_tokens=True).strip() == greedy
    got, want = answers(s)
    assert np.abs(got - want).max() < 1e-3


def test_a_fork_leaves_its_cache_as_it_was(tiny):
    ids = torch.tensor([tiny.encode(PROMPTS[1])])
    with torch.no_grad():
        cache = tiny.final_hidden(ids, use_cache=True).past_key_values
        held = [layer.keys.clone() for layer in cache.layers]
        fork = kv_cache.fork(cache, torch.tensor([0, 0]))
        tiny.final_hidden(ids[:, :3].expand(2, -1), past_key_values=fork, use_cache=True)
    assert all(torch.equal(a, layer.keys) for a, layer in zip(held, cache.layers))
    assert fork.get_seq_length() == cache.get_seq_length() + 3


def test_what_a_cache_is_good_for_is_tried_before_anyone_steers(tiny_llama):
    """A trial inside another's context would be steered, too, and give the cache up."""
    with steer(tiny_llama, np.ones((3, 32)), 1.0, [1], np.ones(3)):  # three rows: any other batch is refused
        assert tiny_llama.cache_use == CacheUse(steps=True, shares=True)
