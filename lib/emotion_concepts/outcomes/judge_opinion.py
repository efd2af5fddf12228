"""A judge that is asked about one reply at a time, where the rules say nothing of it."""

from dataclasses import replace

import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.outcomes import judge as judging


class SecondOpinion:
    """One judge for replies as they come; its verdicts are kept in ``path``, where a later run finds them.

    ``by``, ``model`` and ``timeout`` as for :func:`~.judge.judge`; ``items``: what it was asked, id -> item.
    """

    def __init__(self, by: str, path, model: str = "", timeout: float = 60.0):
        self.asker, self.path, self.items = judging.open_judge(by, model, timeout), path, {}
        kept = judging.read_lines(path)  # a path that can't be used is refused before anything is sampled
        judging.write_lines(path, list(kept.values()))

    def verdict(self, name: str, question: str, reply: str, outcomes: tuple[str, ...], rubric: str) -> str | None:
        """The outcome that the judge names; None where it could not be had, which is reported in ``path``.

        :class:`UserError` once the judge could not be reached :data:`~.judge.PATIENCE` times in a row.
        """
        item = judging.Item("", question, reply, outcomes, rubric)
        item = replace(item, id=f"{name}/{item.asked}")
        self.items[item.id] = item
        verdict = judging.judge([item], self.asker, self.path, progress=False).verdict[0]
        if self.asker.lost >= judging.PATIENCE:
            self.asker.lost = 0
            raise UserError(
                f"{self.asker.name} could not be reached {judging.PATIENCE} times in a row ({self.path} says why); "
                "run the same cell again when it can, or leave the judge out"
            )
        return verdict

    def table(self) -> pd.DataFrame:
        """What was asked, as a table of :func:`~.judge.verdicts`."""
        return judging.verdicts(list(self.items.values()), self.path)

    def __str__(self):
        if not self.items:
            return "nothing was asked of the judge"
        return str(judging.summary(list(self.items.values()), self.path))
