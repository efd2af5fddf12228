"""The benchmark measures what it says; how fast this machine is, is no test."""

import numpy as np

from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import MeanFrom
from emotion_suite import benchmark


def test_ratios_and_shares_are_finite(organism):
    result = benchmark.extraction(organism, 24, 1)
    assert result["texts"] == 24 and 0 < result["share_of_matmul_peak"] < 2
    assert all(
        np.isfinite(result[k]) and result[k] > 0 for k in ("pooled_vs_bare", "pooled_vs_practice", "pooled_vs_single")
    )
    result = benchmark.preference_speed(organism, 4, 1)
    assert result["choices"] == 3 * 8 * 7 and result["shared_vs_plain"] > 0
    result = benchmark.rollout_speed(organism, 4, 1, max_new_tokens=3)
    assert result["rollouts"] == 12 and result["rollouts_vs_loop"] > 0


def test_rivals_take_turns():
    calls = []
    times = benchmark.rival_times({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3 and {k: len(v) for k, v in times.items()} == {"a": 2, "b": 2}


def test_texts_are_ragged_and_common_practice_pools_the_same(organism):
    texts = benchmark.ragged_texts(organism, 12)
    lengths = [len(organism.encode(t)) for t in texts]
    assert max(lengths) > 2 * min(lengths)
    assert pooled(organism, texts, MeanFrom(0), progress=False).shape == (12, organism.n_layers, organism.width)
    assert benchmark.flops_per_token(organism, 100) > 2e6
