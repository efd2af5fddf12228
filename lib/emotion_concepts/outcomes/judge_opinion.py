"""A judge that is asked about the replies of which the rules say nothing."""

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.outcomes import judge as judging


class Question(NamedTuple):
    """One reply that rules left open: where it belongs, what it answers, and what each outcome means there."""

    name: str
    message: str
    reply: str
    rubric: str


class SecondOpinion:
    """One judge for all replies of a notebook; its verdicts are kept in ``path``, where a later run finds them.

    ``by``, ``model`` and ``timeout`` as for :func:`~.judge.judge`; ``items``: what it was asked, id -> item.
    """

    def __init__(self, by: str, path, model: str = "", timeout: float = 60.0):
        self.asker, self.path, self.items = judging.open_judge(by, model, timeout), path, {}
        kept = judging.read_lines(path)  # a path that can't be used is refused before anything is sampled
        judging.write_lines(path, list(kept.values()))

    def verdicts(self, questions: list[Question], outcomes: tuple[str, ...]) -> list[str | None]:
        """The outcome that the judge names for each question, asked together; None where it could not be had.

        Why not is reported in ``path``. :class:`UserError` once the judge could not be reached
        :data:`~.judge.PATIENCE` times in a row.
        """
        items = [judging.Item("", q.message, q.reply, outcomes, q.rubric) for q in questions]
        items = [replace(i, id=f"{q.name}/{i.asked}") for q, i in zip(questions, items)]
        once = {i.id: i for i in items}  # equal replies to one message are one question
        if not once:
            return []
        self.items |= once
        told = judging.judge(list(once.values()), self.asker, self.path, progress=False).set_index("id").verdict
        if self.asker.lost >= judging.PATIENCE:
            self.asker.lost = 0
            raise UserError(
                f"{self.asker.name} could not be reached {judging.PATIENCE} times in a row ({self.path} says why); "
                "run the same cell again when it can, or leave the judge out"
            )
        return [told[i.id] for i in items]

    def table(self) -> pd.DataFrame:
        """What was asked, as a table of :func:`~.judge.verdicts`."""
        return judging.verdicts(list(self.items.values()), self.path)

    def __str__(self):
        if not self.items:
            return "nothing was asked of the judge"
        return str(judging.summary(list(self.items.values()), self.path))
