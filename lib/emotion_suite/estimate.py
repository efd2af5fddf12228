"""What a step will cost on this machine, said before it begins: minutes and memory from a second of measuring."""

import sys
import time

import torch

from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject

LONG = 60.0  # seconds from which a step is announced
ROUGH = 2e10  # floating-point operations a second of a slow core; steps that are short even so are not measured
READ, WRITTEN = 512, (32, 8)  # tokens read, texts and tokens written to measure a speed


def speeds(subject: Subject) -> tuple[float, float]:
    """Tokens read and tokens written (32 texts at a time) a second on this machine, measured once a subject."""
    if not hasattr(subject, "_speeds"):
        ids = torch.arange(READ).reshape(4, -1) % subject.unembedding.shape[0]
        with torch.inference_mode():
            subject.final_hidden(ids[:, :8])  # the first pass prepares kernels
            start = time.perf_counter()
            subject.final_hidden(ids)
            reading = READ / (time.perf_counter() - start)
        texts, tokens = WRITTEN
        start = time.perf_counter()
        generate(subject, ["a"] * texts, tokens, alike=list(range(texts)), progress=False)
        subject._speeds = reading, texts * tokens / (time.perf_counter() - start)
    return subject._speeds


def seconds(subject: Subject, read: int = 0, written: int = 0) -> float:
    """Expected seconds for reading and writing so many tokens; 0 where that is short on any machine."""
    if 2 * subject.parameters * (read + 20 * written) / ROUGH < LONG:
        return 0.0
    reading, writing = speeds(subject)
    return read / reading + written / writing


def announce(subject: Subject, what: str, read: int = 0, written: int = 0, held: int = 0) -> float:
    """Say on the terminal what a step of over a minute will take; the expected seconds.

    ``read``, ``written``: tokens; ``held``: bytes that the step keeps beside the weights.
    """
    expected = seconds(subject, read, written)
    if expected >= LONG:
        weights = sum(p.numel() * p.element_size() for p in subject.model.parameters())
        room = (weights + held) / 2**30
        # past the kernel's own streams: it is for whoever waits, and no output of the notebook
        print(f"    {what}: about {expected / 60:.0f} min, {room:.1f} GiB", file=sys.__stderr__, flush=True)
    return expected
