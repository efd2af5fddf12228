"""A plot that grows in the notebook while a model writes."""

import numpy as np
from matplotlib import pyplot as plt

from emotion_concepts.report import plots


class LivePlot:
    """Draws the scores that a :class:`~emotion_concepts.reading.monitor.Monitor` hands to ``on_step``, every few steps.

    >>> live = LivePlot(["desperate", "calm"], level=0.2)
    >>> with Monitor(subject, vectors, ["desperate", "calm"], layer, on_step=live): ...
    >>> figure = live.close()
    """

    def __init__(self, emotions, level: float | None = None, row: int = 0, every: int = 8):
        from IPython.display import display

        self.emotions, self.level, self.row, self.every = list(emotions), level, row, every
        self.scores: list[np.ndarray] = []
        self.figure = plots.curves([0], {e: [0.0] for e in self.emotions}, xlabel="token", ylabel="cosine")
        self.handle = display(self.figure, display_id=True)

    def __call__(self, step: int, scores: np.ndarray) -> None:
        self.scores.append(scores[self.row])
        if step % self.every == 0:
            self._draw()

    def _draw(self) -> None:
        plt.close(self.figure)
        seen = np.stack(self.scores)
        series = {e: seen[:, k] for k, e in enumerate(self.emotions)}
        self.figure = plots.curves(range(len(seen)), series, mark=self.level, xlabel="token", ylabel="cosine")
        if self.handle is not None:
            self.handle.update(self.figure)

    def close(self):
        """Draw what is left and return the finished figure."""
        self._draw()
        plt.close(self.figure)
        return self.figure
