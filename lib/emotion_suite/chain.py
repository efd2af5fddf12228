"""Which notebook waits for which, and running those that wait for nothing side by side."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from graphlib import TopologicalSorter

import torch

from emotion_suite.notebook import DISCOVERY

# Beside the notebook of discovery, which all later ones read: 07 takes the base rate that 05 measured.
READS = {"07": {"05"}}
LAST = "13"  # reads every other notebook's claims
THREADS = "OMP_NUM_THREADS"
LANES, SMALL = 4, 5e8  # at most; bytes of weights up to which several copies fit any machine's memory


def waits_for(numbers: list[str]) -> dict[str, set[str]]:
    """The notebooks that each of these reads, among these."""
    every = set(numbers)
    found = {}
    for n in numbers:
        reads = every - {n} if n == LAST else READS.get(n, set()) | ({DISCOVERY} if n > DISCOVERY else set())
        found[n] = reads & every
    return found


def lanes(jobs: int, weights: float, device: str) -> int:
    """How many notebooks run at a time: ``jobs``, or (0) one a core for small ``weights`` (bytes) on a CPU."""
    if jobs:
        return jobs
    fast = torch.cuda.is_available() or torch.backends.mps.is_available()
    return 1 if weights > SMALL or (fast and device != "cpu") else max(1, min(cores(), LANES))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def shared_cores(many: int):
    """Within it each of ``many`` kernels gets its part of the cores, unless the user said how many threads one takes.

    Kernels inherit it from this process, which afterwards is as it was.
    """
    if many == 1 or THREADS in os.environ:
        yield
        return
    os.environ[THREADS] = str(max(1, cores() // many))
    try:
        yield
    finally:
        del os.environ[THREADS]


def side_by_side(step: Callable[[str], None], reads: dict[str, set[str]], many: int, minutes: dict[str, float]) -> None:
    """Call ``step`` with each number as soon as those that it ``reads`` are through, ``many`` at a time.

    Where there is a choice, the one that is known to take the most ``minutes`` begins: it would be waited for.
    """
    order, running = TopologicalSorter(reads), {}
    order.prepare()
    ready = []
    with ThreadPoolExecutor(many) as pool:
        while order.is_active():
            ready += order.get_ready()
            ready.sort(key=lambda n: (-minutes.get(n, 0.0) if many > 1 else 0.0, n))
            while ready and len(running) < many:
                number = ready.pop(0)
                running[pool.submit(step, number)] = number
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                order.done(running.pop(done))
                done.result()
