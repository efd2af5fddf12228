"""What a subject brings along when the texts that it was trained on are known."""

from pathlib import Path
from typing import Protocol


class World(Protocol):
    """The known world of a subject: prompts in its own wording, a parser of its replies, and the planted truth.

    Subjects without one (every model that others trained) are shown natural prompts, and rules read their replies.
    """

    name: str
    reply_tokens: int  # the longest reply that its texts hold
    folder: Path  # of the finished pair: ``evaluation.json``, ``truth.json``, ``pretraining/``

    def material(self, experiment: str):
        """What an experiment shows the subject, with the keys of ``texts/material/<experiment>.yaml``."""

    def situation(self, name: str, n: int = 60) -> dict:
        """Messages, levels of pressure, a control, messages with feelings told, a reader of replies, all wordings."""

    def dialogues(self, n: int) -> list[tuple[list[str], tuple[str, str]]]:
        """Talks of two people with independent emotions: (turns, emotions)."""

    def hidden(self, n: int) -> list[tuple[str, str, str, str]]:
        """Texts that hide a feeling: (text, part shown aloud, real emotion, displayed emotion)."""

    def truth(self) -> dict:
        """What was planted in the texts, as numbers."""
