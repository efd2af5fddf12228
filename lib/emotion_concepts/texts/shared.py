"""The corpus that was written for this project: the same texts for every model (see ``data/STORIES.md``)."""

import json
from functools import cache

from emotion_concepts.errors import UserError
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.published import DATA, check_emotions, emotion_words


@cache
def _rows(name: str) -> tuple[dict, ...]:
    return tuple(json.loads(line) for line in DATA.joinpath(name).read_text(encoding="utf-8").splitlines())


@cache
def shared_topics() -> tuple[str, ...]:
    """The twelve topics, each told once for each of the 171 emotions."""
    return tuple(dict.fromkeys(row["topic"] for row in _rows("stories.jsonl")))


def shared_stories(emotions=None, topics=None) -> Corpus:
    """The shared stories of the given emotions and topics (default: all 171 x 12), by topic, then emotion.

    :class:`UserError` for an unknown emotion or topic.
    """
    emotions = set(emotion_words() if emotions is None else check_emotions(emotions))
    topics = set(shared_topics() if topics is None else topics)
    if unknown := sorted(topics - set(shared_topics())):
        raise UserError(f"no shared story has the topic {unknown[0]!r}; there is {', '.join(shared_topics())}")
    rows = [row for row in _rows("stories.jsonl") if row["topic"] in topics and row["emotion"] in emotions]
    texts, labels, told = ([row[key] for row in rows] for key in ("text", "emotion", "topic"))
    return Corpus(texts, labels, told, {"stories": len(rows), "author": "shared"})


def shared_neutral() -> list[tuple[str, str]]:
    """The 240 shared help dialogues without feeling, (user, assistant), by topic."""
    return [(row["user"], row["assistant"]) for row in _rows("neutral.jsonl")]
