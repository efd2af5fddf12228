"""Texts without feeling: help dialogues whose main directions are taken out of the vectors (paper, section 1)."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.texts.shared import shared_neutral


@dataclass
class Neutral:
    """Whole chats, and of each the assistant's words: the part whose tokens count.

    ``spans_in_turn(subject, text, [reply])`` of ``reading.pooling`` finds the tokens. :class:`UserError` if there is
    none, or a reply does not stand in its chat.
    """

    texts: list[str]
    replies: list[str]

    def __post_init__(self):
        if not self.texts or len(self.texts) != len(self.replies):
            raise UserError(f"{len(self.texts)} neutral texts with {len(self.replies)} replies; give one for each")
        for i, (text, reply) in enumerate(zip(self.texts, self.replies)):
            if not reply.strip() or reply.strip() not in text:
                raise UserError(f"neutral text {i} does not hold its reply {reply[:40]!r}; write the texts again")

    def __len__(self) -> int:
        return len(self.texts)

    def save(self, path) -> None:
        """Write as JSON, one object."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path) -> "Neutral":
        """Read what :meth:`save` wrote; :class:`UserError` if it is missing or damaged."""
        try:
            return cls(**json.loads(Path(path).read_text()))
        except FileNotFoundError as e:
            raise UserError(f"{path} does not exist; run notebook 01 first") from e
        except (ValueError, TypeError) as e:
            raise UserError(f"{path} is damaged; delete it and run notebook 01 again") from e


def neutral_texts(subject: Subject, material: dict, n: int, seed: int = 0) -> Neutral:
    """``n`` help dialogues as the subject's chats: the shared ones, in a seeded order, at most the 240 there are.

    A subject with a world answers its ``material``'s questions in its own words instead; a question that it left
    without answer, or whose words it only repeated, is left out.
    """
    if n < 1:
        raise UserError("no neutral texts were asked for; give at least one")
    if subject.world:
        questions = (material["questions"] * (n // len(material["questions"]) + 1))[:n]
        prompts = [subject.prompt.chat(q) for q in questions]
        pairs = list(zip(questions, generate(subject, prompts, material["max_new_tokens"], seed=seed)))
    else:
        shared = shared_neutral()
        pairs = [shared[i] for i in np.random.default_rng(seed).permutation(len(shared))[:n]]
    pairs = [(question, answer) for question, answer in pairs if answer and answer not in question]
    return Neutral([subject.prompt.turns([("user", q), ("assistant", a)]) for q, a in pairs], [a for _, a in pairs])
