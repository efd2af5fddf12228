"""How fast the suite is, against what bounds it and against what replications do, in one run.

    python -m emotion_suite.benchmark [--model organism] [--out DIR] [--texts 600] [--rounds 5]

Prints a table and writes ``figures/benchmark`` as PNG, SVG and JSON. Rivals take turns, round by round, so that a
drifting machine meets all of them; each ratio is the median over rounds.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from emotion_concepts.experiments import preferences
from emotion_concepts.experiments.behaviour import rollouts
from emotion_concepts.experiments.situations import situation
from emotion_concepts.lm.batching import length_buckets, pad_right
from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.scoring import next_logits
from emotion_concepts.lm.steering import Condition, span_mask, steer
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import TOKEN_BUDGET, pooled_batches
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.report import plots
from emotion_concepts.report.results import save_figure
from emotion_concepts.texts import materials


def matmul_peak(seconds: float = 1.0, n: int = 2048) -> float:
    """Measured GFLOP/s of a large float32 matrix product on this machine."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        t = time.perf_counter()
        (a @ b).sum().item()
        best = max(best, 2 * n**3 / (time.perf_counter() - t) / 1e9)
    return best


def flops_per_token(subject: Subject, length: float) -> float:
    """Multiply-adds of the blocks for one token, times two: weights and attention at a mean causal length."""
    blocks = [subject.model.get_submodule(b) for b in subject.blocks]
    weights = sum(p.numel() for b in blocks for p in b.parameters() if p.ndim == 2)
    return 2.0 * weights + 2.0 * 2 * len(blocks) * subject.width * length / 2


def ragged_texts(subject: Subject, n: int, seed: int = 0) -> list[str]:
    """Texts of very different lengths, 20 to 250 tokens, cut from the subject's sweep material."""
    rng = np.random.default_rng(seed)
    ids = [t for text in materials.load(subject, "sweep") for t in subject.encode(text)[1:]]
    lengths = rng.integers(20, min(250, subject.max_length - 8), n)
    starts = rng.integers(0, max(1, len(ids) - 260), n)
    return [subject.tokenizer.decode(ids[s : s + k]) for s, k in zip(starts, lengths)]


def rival_times(rivals: dict[str, Callable], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each rival in each round, after one round to warm up; they take turns."""
    times = {name: [] for name in rivals}
    for r in range(rounds + 1):
        for name, run in rivals.items():
            t = time.perf_counter()
            run()
            if r:
                times[name].append(time.perf_counter() - t)
    return {k: np.array(v) for k, v in times.items()}


def bare_forward(subject: Subject, rows: list[list[int]]) -> None:
    """The same layers on the same batches and nothing else: the bound for pooled extraction."""
    decoder = subject.model.base_model
    for bucket in length_buckets([len(r) for r in rows], TOKEN_BUDGET):
        ids, _ = pad_right([rows[i] for i in bucket], subject.pad)
        with torch.inference_mode():
            decoder(input_ids=ids.to(subject.device), use_cache=False)


def common_practice(subject: Subject, rows: list[list[int]], batch: int) -> torch.Tensor:
    """What replications do: unsorted padded batches, every hidden state kept, LM head on; (texts, layers, width).

    The last of these layers is behind the last norm, as transformers gives it.
    """
    means = []
    for k in range(0, len(rows), batch):
        ids, mask = pad_right(rows[k : k + batch], subject.pad)
        with torch.inference_mode():
            out = subject.model(
                input_ids=ids.to(subject.device), attention_mask=mask.to(subject.device), output_hidden_states=True
            )
        w = mask.to(subject.device).unsqueeze(-1)
        means.append(torch.stack([((h * w).sum(1) / w.sum(1)).float().cpu() for h in out.hidden_states[1:]], 1))
    return torch.cat(means)


def extraction(subject: Subject, n: int, rounds: int) -> dict:
    """Pooled all-layer extraction against its bound and against common practice."""
    texts = ragged_texts(subject, n)
    rows = [subject.encode(t) for t in texts]
    tokens = sum(map(len, rows))

    def ours():
        for _ in pooled_batches(subject, texts, MeanFrom(0), progress=False):
            pass

    few = rows[: max(16, n // 4)]
    times = rival_times(
        {
            "pooled": ours,
            "bare": lambda: bare_forward(subject, rows),
            "practice": lambda: common_practice(subject, rows, 16),
            "single": lambda: common_practice(subject, few, 1),
        },
        rounds,
    )
    rate = {k: tokens / v for k, v in times.items()}
    rate["single"] = sum(map(len, few)) / times["single"]
    peak = matmul_peak()
    flops = flops_per_token(subject, tokens / len(rows))
    return {
        "texts": len(rows),
        "tokens": tokens,
        "tokens_per_s": {k: float(np.median(v)) for k, v in rate.items()},
        "pooled_vs_bare": float(np.median(rate["pooled"] / rate["bare"])),
        "pooled_vs_practice": float(np.median(rate["pooled"] / rate["practice"])),
        "pooled_vs_single": float(np.median(rate["pooled"] / rate["single"])),
        "matmul_peak_gflops": peak,
        "share_of_matmul_peak": float(np.median(rate["pooled"]) * flops / 1e9 / peak),
        "bare_share_of_matmul_peak": float(np.median(rate["bare"]) * flops / 1e9 / peak),
    }


def random_conditions(subject: Subject, n: int = 3) -> list[Condition]:
    """Random directions at a small strength."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n, subject.width)).astype(np.float32) / subject.width**0.5
    return [Condition(v, 0.1) for v in vectors]


def preference_speed(subject: Subject, activities: int, rounds: int) -> dict:
    """Choices under three conditions: shared prefixes and mixed batches, plain sorted batches, one prompt at a time."""
    choices = preferences.thinned(preferences.ChoiceSet(**materials.load(subject, "choices")), activities)
    pairs = preferences.ordered_pairs(len(choices.activities))
    conditions = random_conditions(subject)
    hot = [set(range(0, len(choices.activities), 2))] * 3
    norms = np.ones(subject.n_layers)
    letters = preferences.letter_tokens(subject, choices)
    prompts = [preferences.choice_prompt(subject, choices, *p)[0] for p in pairs]

    def shared():
        preferences.choice_probabilities(subject, choices, pairs, conditions, hot, [1], norms)

    def plain():
        for c in conditions:

            def steering(rows, lengths, width, c=c):
                mask = np.zeros((len(rows), width), bool)
                for k, i in enumerate(rows):
                    for x, s in zip(pairs[i], preferences.choice_prompt(subject, choices, *pairs[i])[1]):
                        if x in hot[0]:
                            mask[k] |= span_mask([s], [lengths[k]], width)[0]
                return steer(subject, c.vector, c.strength, [1], norms, mask)

            next_logits(subject, prompts, letters, steering)

    few = prompts[: max(20, len(prompts) // 10)]

    def single():
        for p in few:
            ids = torch.tensor([subject.encode(p)], device=subject.device)
            with torch.inference_mode():
                subject.model(ids).logits[0, -1, letters].cpu()

    times = rival_times({"shared": shared, "plain": plain, "single": single}, rounds)
    rate = {k: 3 * len(pairs) / times[k] for k in ("shared", "plain")} | {"single": len(few) / times["single"]}
    return {
        "activities": len(choices.activities),
        "choices": 3 * len(pairs),
        "choices_per_s": {k: float(np.median(v)) for k, v in rate.items()},
        "shared_vs_plain": float(np.median(rate["shared"] / rate["plain"])),
        "shared_vs_single": float(np.median(rate["shared"] / rate["single"])),
    }


def rollout_speed(subject: Subject, n: int, rounds: int, max_new_tokens: int = 60) -> dict:
    """``n`` sampled replies under each of three conditions: mixed batches, and the model's own generate in a loop."""
    messages = situation(subject, "blackmail").messages[:8]
    layer, norms = subject.n_layers // 2, np.ones(subject.n_layers)
    conditions = random_conditions(subject)

    def batched():
        rollouts(subject, messages, n, lambda reply, m: "", conditions, [layer], norms, max_new_tokens, progress=False)

    few = max(6, n // 10)
    prompts = [torch.tensor([subject.encode(subject.prompt.chat(m))], device=subject.device) for m in messages]

    def loop():
        for k in range(few):
            c, ids = conditions[k % 3], prompts[k % len(prompts)]
            with torch.inference_mode(), steer(subject, c.vector, c.strength, [layer], norms):
                subject.model.generate(
                    ids, attention_mask=torch.ones_like(ids), do_sample=True, max_new_tokens=max_new_tokens,
                    pad_token_id=subject.pad,
                )  # fmt: skip

    times = rival_times({"batched": batched, "loop": loop}, rounds)
    rate = {"batched": 3 * n / times["batched"], "loop": few / times["loop"]}
    return {
        "rollouts": 3 * n,
        "rollouts_per_s": {k: float(np.median(v)) for k, v in rate.items()},
        "rollouts_vs_loop": float(np.median(rate["batched"] / rate["loop"])),
    }


MEMORY = """
import resource, sys, numpy as np
from emotion_concepts.lm.models import load_model
from emotion_suite.benchmark import ragged_texts
from emotion_concepts.reading.activations import pooled_batches
from emotion_concepts.reading.pooling import MeanFrom
s = load_model(sys.argv[1])
texts = ragged_texts(s, 1000) * (int(sys.argv[2]) // 1000)
total = np.zeros((s.n_layers, s.width))
for rows, x in pooled_batches(s, texts, MeanFrom(0), progress=False):
    total += x.sum(0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_memory(model: str, n: int) -> float:
    """Peak resident megabytes of a fresh process that reads ``n`` texts."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    out = subprocess.run(
        [sys.executable, "-c", MEMORY, model, str(n)], capture_output=True, text=True, check=True, env=env
    )
    return float(out.stdout.split()[-1]) / 1024


def figure(result: dict):
    """Each ratio as a bar, its mark as a dotted line."""
    names = {"pooled_vs_bare": "pooled /\nbare forward", "pooled_vs_practice": "pooled /\ncommon practice",
             "pooled_vs_single": "pooled /\none text a time", "shared_vs_plain": "choices shared /\nplain batches",
             "shared_vs_single": "choices shared /\none prompt a time",
             "rollouts_vs_loop": "rollouts batched /\nplain loop"}  # fmt: skip
    marks = result["marks"]
    fig = plots.bar_with_null(
        [names[k] for k in marks], [m["value"] for m in marks.values()], ylabel="speed ratio (dots: mark)"
    )
    ax = fig.axes[0]
    ax.hlines(
        [m["mark"] for m in marks.values()], *(np.arange(len(marks)) + d for d in (-0.42, 0.42)), ls=":", color="black"
    )
    return fig


MARKS = {
    "pooled_vs_bare": 0.95,
    "pooled_vs_practice": 1.5,
    "pooled_vs_single": 1.5,
    "shared_vs_plain": 2.0,
    "shared_vs_single": 4.0,
    "rollouts_vs_loop": 4.0,
}


def run(model: str, n: int, rounds: int, memory: bool = True) -> dict:
    """All measurements as one dict."""
    subject = load_model(model)
    result = {"model": model, "threads": torch.get_num_threads(), "extraction": extraction(subject, n, rounds)}
    result["preferences"] = preference_speed(subject, 16, max(2, rounds // 2))
    result["rollouts"] = rollout_speed(subject, 200, max(2, rounds // 2))
    if memory:
        result["peak_memory_mb"] = {str(k): peak_memory(model, k) for k in (1000, 10000)}
    flat = result["extraction"] | result["preferences"] | result["rollouts"]
    result["marks"] = {k: {"value": flat[k], "mark": m, "met": bool(flat[k] >= m)} for k, m in MARKS.items()}
    return result


def main(argv=None) -> None:
    """Command line; see the module's docstring."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default="organism")
    p.add_argument("--out", type=Path, default=Path("."), help="folder that holds figures/")
    p.add_argument("--texts", type=int, default=600)
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args(argv)
    result = run(a.model, a.texts, a.rounds)
    caption = f"Speed against the bound and against common practice ({result['threads']} threads); dots: marks."
    save_figure(figure(result), "benchmark", result, a.out, caption, nondeterministic=True)
    for name, row in result["marks"].items():
        print(f"{name:20s} {row['value']:6.2f}  mark {row['mark']:.2f}  {'met' if row['met'] else 'MISSED'}")
    e = result["extraction"]
    print(f"share of matmul peak {e['share_of_matmul_peak']:.2f} (bare forward {e['bare_share_of_matmul_peak']:.2f})")
    print("peak memory MB " + ", ".join(f"{k} texts: {v:.0f}" for k, v in result["peak_memory_mb"].items()))


if __name__ == "__main__":
    main()
