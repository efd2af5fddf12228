"""The benchmark measures what it says; how fast this machine is, is no test."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from emotion_concepts.experiments import preferences
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_suite import benchmark

SECONDS = {"pooled": 2.0, "bare": 1.0, "practice": 6.0, "single": 3.0, "shared": 4.0, "plain": 10.0, "batched": 3.0,
           "loop": 4.5}  # fmt: skip


@pytest.fixture
def known_times(monkeypatch):
    """Every rival runs once; known seconds stand for the measured ones, and 50 GFLOP/s for the peak."""

    def taken(rivals, rounds):
        for run in rivals.values():
            run()
        return {name: np.full(rounds, SECONDS[name]) for name in rivals}

    monkeypatch.setattr(benchmark, "rival_times", taken)
    monkeypatch.setattr(benchmark, "matmul_peak", lambda: 50.0)


def test_extraction_is_told_in_tokens_a_second(organism, known_times):
    result = benchmark.extraction(organism, 24, 2)
    lengths = [len(organism.encode(t)) for t in benchmark.ragged_texts(organism, 24)]
    assert result["texts"] == 24 and result["tokens"] == sum(lengths)
    assert result["tokens_per_s"]["pooled"] == sum(lengths) / 2
    assert result["pooled_vs_bare"] == 1 / 2 and result["pooled_vs_practice"] == 6 / 2
    one_by_one = sum(lengths[:16]) / 3  # fewer texts are read one at a time
    assert result["pooled_vs_single"] == pytest.approx(sum(lengths) / 2 / one_by_one)
    work = benchmark.flops_per_token(organism, np.mean(lengths)) * sum(lengths) / 1e9
    assert result["share_of_matmul_peak"] == pytest.approx(work / 2 / 50)
    assert result["bare_share_of_matmul_peak"] == pytest.approx(work / 1 / 50)


def test_choices_are_the_same_however_fast(organism, known_times, monkeypatch):
    seen = {"shared": [], "plain": []}

    def watch(module, name, kind):
        run = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, **k: seen[kind].append(run(*a, **k)) or seen[kind][-1])

    watch(preferences, "choice_probabilities", "shared")
    watch(benchmark, "next_logits", "plain")
    result = benchmark.preference_speed(organism, 4, 2)
    assert result["choices"] == 3 * 8 * 7 and result["shared_vs_plain"] == 10 / 4
    assert result["shared_vs_single"] == pytest.approx((168 / 4) / (20 / 3))
    logits = np.stack(seen["plain"])
    want = 1 / (1 + np.exp(logits[..., 1] - logits[..., 0]))
    assert np.abs(seen["shared"][0] - want).max() < 1e-3 and want.std() > 1e-2


def test_rollouts_are_told_in_replies_a_second(organism, known_times):
    result = benchmark.rollout_speed(organism, 4, 2, max_new_tokens=3)
    assert result["rollouts"] == 12 and result["rollouts_vs_loop"] == (12 / 3) / (6 / 4.5)


def test_rivals_take_turns():
    calls = []
    times = benchmark.rival_times({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3 and {k: len(v) for k, v in times.items()} == {"a": 2, "b": 2}


def test_texts_are_ragged_and_common_practice_pools_the_same(organism):
    texts = benchmark.ragged_texts(organism, 12)
    rows = [organism.encode(t) for t in texts]
    assert max(map(len, rows)) > 2 * min(map(len, rows))
    ours = pooled(organism, texts, MeanFrom(0), progress=False)
    for batch in (5, 1):
        theirs = benchmark.common_practice(organism, rows, batch).numpy()
        assert theirs.shape == ours.shape
        assert np.abs(theirs - ours)[:, :-1].max() < 1e-3  # transformers gives the last layer behind the last norm


def test_operations_are_those_that_torch_counts(organism):
    ids = torch.arange(5, 69)[None]
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        organism.model.base_model(input_ids=ids, use_cache=False)
    # this attention computes the whole square of positions, of which a causal one needs half
    assert counter.get_total_flops() / 64 == benchmark.flops_per_token(organism, 2 * 64)
