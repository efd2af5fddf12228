"""Texts of a known emotion, written by the subject itself, and neutral texts (paper, section 1)."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.texts.published import check_emotions


def corpus_hash(texts) -> str:
    """Sixteen hex digits over the texts in their order."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


@dataclass
class Corpus:
    """Stories with what was asked for: an emotion and a topic each; ``report`` counts what was written anew.

    :class:`UserError` without stories, or where one lacks its emotion or topic.
    """

    texts: list[str]
    emotions: list[str]
    topics: list[str]
    report: dict = field(default_factory=dict)

    def __post_init__(self):
        if not self.texts:
            raise UserError("the corpus is empty; write stories first (notebook 01)")
        if not len(self.texts) == len(self.emotions) == len(self.topics):
            raise UserError(
                f"a corpus needs an emotion and a topic for each text, not {len(self.texts)} texts, "
                f"{len(self.emotions)} emotions and {len(self.topics)} topics"
            )

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def hash(self) -> str:
        """Sixteen hex digits over texts and emotions."""
        return corpus_hash(self.texts + self.emotions)

    def subset(self, keep) -> "Corpus":
        """The stories at the given positions."""
        pick = lambda xs: [xs[i] for i in keep]  # noqa: E731
        return Corpus(pick(self.texts), pick(self.emotions), pick(self.topics), self.report)

    def save(self, path) -> None:
        """Write as JSON, one object."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path) -> "Corpus":
        """Read what :meth:`save` wrote; :class:`UserError` if it is missing or damaged."""
        try:
            return cls(**json.loads(Path(path).read_text()))
        except FileNotFoundError as e:
            raise UserError(f"{path} does not exist; run notebook 01 first") from e
        except (ValueError, TypeError) as e:
            raise UserError(f"{path} is damaged; delete it and run notebook 01 again") from e


def uses_word(text: str, emotion: str) -> bool:
    """Whether a text contains the emotion word, an inflection or near derivative: sadder, sadness, not saddle."""
    stem = re.escape(emotion[:-1] if emotion.endswith(("y", "e")) else emotion)
    if emotion.endswith("e"):
        ends = "e(?:s|d|r|st|ly|ness|ful|fully|dly)?|ing|ingly|ion|ity|ety|y"
    elif emotion.endswith("y"):
        ends = "(?:y|ic|ily|iness|ier|iest|ies|ied)?"
    else:
        double = emotion[-1]
        ends = f"{double}?(?:s|ed|er|est|ing|ingly|en|ened|ening|ly|ness|ful|fully|fulness|om|ment|edly|ally|y)?"
    return re.search(rf"\b{stem}(?:{ends})\b", text, re.I) is not None


def split_by_topic(corpus: Corpus, share: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Positions of two parts that share no topic: one to choose on, one to report on (hazard 9).

    :class:`UserError` for a single topic, of which one part would be empty.
    """
    topics = sorted(set(corpus.topics))
    if len(topics) < 2:
        raise UserError(f"all stories have the topic {topics[0]!r}; two parts without a common topic need two or more")
    order = np.random.default_rng(seed).permutation(len(topics))
    first = {topics[i] for i in order[: min(max(1, round(share * len(topics))), len(topics) - 1)]}
    mask = np.array([t in first for t in corpus.topics])
    return np.flatnonzero(mask), np.flatnonzero(~mask)


def write_stories(
    subject: Subject,
    emotions: list[str],
    material: dict,
    per_emotion: int,
    seed: int = 0,
    rounds: int = 4,
    temperature: float = 1.0,
    batch: int = 256,
) -> Corpus:
    """Let the subject write ``per_emotion`` stories for each emotion, topics in turn.

    ``material``: ``requests`` (with {topic}, {e}), ``topics``, ``max_new_tokens``, ``skip``. A story that is no
    longer than the skip, or that uses its emotion's word, is written anew with another seed for up to ``rounds``
    rounds; what still fails raises :class:`UserError`, so that no corpus is silently partial (hazard 13). ``report``
    counts the rewritten.
    """
    check_emotions(emotions)
    if per_emotion < 1 or not emotions:
        raise UserError("an empty corpus was asked for; give at least one emotion and one story for each")
    topics, requests = material["topics"], material["requests"]
    jobs = [(e, topics[(k + i) % len(topics)]) for i, e in enumerate(emotions) for k in range(per_emotion)]
    prompts = [subject.prompt.chat(requests[i % len(requests)].format(topic=t, e=e)) for i, (e, t) in enumerate(jobs)]
    texts: list[str | None] = [None] * len(jobs)
    report = {"stories": len(jobs), "rewritten_short": 0, "rewritten_word": 0}
    todo = list(range(len(jobs)))
    for attempt in range(rounds):
        new = generate(
            subject,
            [prompts[i] for i in todo],
            material["max_new_tokens"],
            temperature,
            seed=seed + 7919 * attempt,
            batch=batch,
        )
        failed = []
        for i, text in zip(todo, new):
            if len(subject.encode(text)) <= material["skip"] + 8:
                report["rewritten_short"] += 1
                failed.append(i)
            elif uses_word(text, jobs[i][0]):
                report["rewritten_word"] += 1
                failed.append(i)
            else:
                texts[i] = text
        todo = failed
        if not todo:
            break
    if todo:
        e, t = jobs[todo[0]]
        raise UserError(
            f"{subject.name} failed to write {len(todo)} of {len(jobs)} stories in {rounds} rounds "
            f"(first: {e!r}, {t!r}); "
            "raise rounds or check its prompt format"
        )
    return Corpus(texts, [e for e, _ in jobs], [t for _, t in jobs], report)


def neutral_texts(subject: Subject, material: dict, n: int, seed: int = 0) -> list[str]:
    """Help dialogues without feeling: practical questions, answered by the subject, as full chats."""
    questions = (material["questions"] * (n // len(material["questions"]) + 1))[:n]
    answers = generate(subject, [subject.prompt.chat(q) for q in questions], material["max_new_tokens"], seed=seed)
    return [subject.prompt.turns([("user", q), ("assistant", a)]) for q, a in zip(questions, answers)]
