"""Reads chosen emotion vectors while a model generates, and alarms above a threshold (paper, sections 5 and 7)."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject
from emotion_concepts.lm.tracing import TraceDict, hidden
from emotion_concepts.reading.vectors import EmotionVectors


class Monitor:
    """Cosine of the newest token with each of ``emotions`` at one layer, for every row and step of any generation.

    >>> monitor = Monitor(subject, vectors, ["desperate"], layer)
    >>> with monitor:
    ...     subject.model.generate(**batch, max_new_tokens=100)
    >>> monitor.traces[0]  # (steps, emotions): the end of the prompt, then each new token but the last

    Rows are those of the left-padded batch. With :func:`~emotion_concepts.lm.generation.generate`, whose batches
    shrink, pass ``steering=monitor.rows`` instead. ``on_step(step, scores)`` is called with (rows, emotions) after each
    token, for live plots.
    """

    def __init__(
        self, subject: Subject, vectors: EmotionVectors, emotions, layer: int, on_step: Callable | None = None
    ):
        self.subject, self.layer, self.emotions, self.on_step = subject, layer, list(emotions), on_step
        self._probes = torch.tensor(np.stack([vectors.of(e, layer) for e in self.emotions])).T.float()
        self._mean = torch.tensor(vectors.mean[vectors.index(layer)]).float()
        self._steps: list[tuple[list[int] | None, torch.Tensor]] = []
        self._open = contextlib.ExitStack()

    def _look(self, output, layer, rows):
        x = hidden(output, self.subject.architecture.stream)[:, -1].detach().float()
        self._probes, self._mean = self._probes.to(x.device), self._mean.to(x.device)  # where the block computes
        x = x - self._mean
        scores = (x @ self._probes) / x.norm(dim=-1, keepdim=True)
        self._steps.append((rows, scores))
        if self.on_step is not None:
            self.on_step(len(self._steps) - 1, scores.cpu().numpy())
        return output

    def _watch(self, rows=None):
        block = self.subject.blocks[self.layer]
        return TraceDict(
            self.subject.model, [block], retain_output=False, edit_output=lambda o, name: self._look(o, name, rows)
        )

    def __enter__(self) -> "Monitor":
        self._steps = []
        self._open.enter_context(self._watch())
        return self

    def __exit__(self, *error) -> None:
        self._open.close()

    def rows(self, rows, lengths, width):
        """A context for one batch of :func:`~emotion_concepts.lm.generation.generate` with those prompt numbers."""
        return self._watch(list(rows))

    @property
    def traces(self) -> dict[int, np.ndarray]:
        """Scores by row, (steps, emotions) each, in the order of generation."""
        out: dict[int, list] = {}
        for rows, scores in self._steps:
            for row, s in zip(rows if rows is not None else range(len(scores)), scores.cpu().numpy(), strict=True):
                out.setdefault(row, []).append(s)
        return {row: np.stack(s) for row, s in sorted(out.items())}


def threshold(calm_traffic: list[np.ndarray], false_alarms: float) -> float:
    """The level that only a share ``false_alarms`` of calm traces (steps,) ever exceeds.

    :class:`UserError` where the traffic is too small to tell such a rate.
    """
    if not 0 < false_alarms < 1:
        raise UserError(f"a false-alarm rate lies between 0 and 1, not {false_alarms}")
    if len(calm_traffic) * false_alarms < 1:
        raise UserError(
            f"{len(calm_traffic)} calm traces cannot tell a false-alarm rate of {false_alarms}; use "
            f"{int(np.ceil(1 / false_alarms))} or more"
        )
    return float(np.quantile([np.max(t) for t in calm_traffic], 1 - false_alarms))


def first_alarm(trace: np.ndarray, level: float) -> int | None:
    """The first step at which a trace (steps,) exceeds the level, or None."""
    over = np.flatnonzero(np.asarray(trace) > level)
    return int(over[0]) if len(over) else None
