"""Stories on request: the same topics for every emotion, kept as they come, asked for again where one is refused."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.published import check_emotions
from emotion_concepts.texts.story_file import StoryFile
from emotion_concepts.texts.words import named

TRIES = 6  # requests for one story before it is given up
MINIMUM = 0.5  # share of its stories below which an emotion is dropped
BEYOND_SKIP = 8  # tokens that a story must have after those that the pooling rule skips
ENDED = re.compile(r"[.!?…][\"'”’»)\]*_]*\Z")


class Request(NamedTuple):
    """One story asked for; ``wording``: which of the material's requests, ``attempt``: the how-manieth of its kind."""

    emotion: str
    topic: str
    wording: int
    attempt: int

    def text(self, material: dict) -> str:
        """The user message."""
        return material["requests"][self.wording].format(topic=self.topic, e=self.emotion)

    @property
    def stream(self) -> int:
        """The number of its random stream, which is its own wherever it stands in a batch."""
        return int.from_bytes(hashlib.sha256(json.dumps(self).encode()).digest()[:8])


class Reply(NamedTuple):
    """What came back: the text, how many tokens it has at least, and whether the length limit may have cut it."""

    text: str
    tokens: int
    cut: bool


def plan(material: dict, per_emotion: int, seed: int) -> list[list[tuple[str, int, int]]]:
    """For each story of an emotion its requests in turn, (topic, wording, attempt); the same for every emotion.

    The stories take the first ``per_emotion`` topics of a seeded order, then these again in the next wording. One that
    is refused is asked for in the topic's other wordings, then on the next topics of the same set.
    """
    order = np.random.default_rng(seed).permutation(len(material["topics"]))[:per_emotion]
    topics, wordings = [material["topics"][i] for i in order], len(material["requests"])

    def request(story: int, attempt: int) -> tuple[str, int, int]:
        again, place = divmod(story, len(topics))
        moved = max(0, attempt - wordings + 1)
        wording = (place + again + attempt) % wordings
        return topics[(place + moved) % len(topics)], wording, again // wordings * TRIES + attempt

    return [[request(k, attempt) for attempt in range(TRIES)] for k in range(per_emotion)]


def refusal(reply: Reply, emotion: str, skip: int) -> str:
    """Why a story can't be used, or "": ``short``, ``word`` (names its emotion) or ``unfinished`` (cut off)."""
    if reply.tokens <= skip + BEYOND_SKIP:
        return "short"
    if named(reply.text, emotion):
        return "word"
    return "unfinished" if reply.cut and not ENDED.search(reply.text) else ""


def collect(
    emotions: list[str], material: dict, per_emotion: int, path, seed: int, author: dict,
    ask: Callable[[list[Request]], Iterable[tuple[Request, Reply]]], batch: int, minimum: float = MINIMUM,
) -> Corpus:  # fmt: skip
    """Ask until every story of the :func:`plan` is there or given up; what ``path`` holds already is not asked again.

    ``material``: ``requests`` (with {topic}, {e}), ``topics``, ``max_new_tokens``, ``skip``; ``author``: what else the
    texts depend on. An emotion with less than ``minimum`` of its stories is dropped and named; :class:`UserError` where
    fewer than two are left. ``report``: stories, author, texts refused by reason, emotions dropped, and for each
    emotion the stories kept, the share refused and the mean length in words.
    """
    check_emotions(emotions)
    if per_emotion < 1 or not emotions:
        raise UserError("an empty corpus was asked for; give at least one emotion and one story for each")
    same = {k: material[k] for k in ("requests", "max_new_tokens", "skip")}
    file = StoryFile(path, author | same | {"seed": seed})
    tries, stories = plan(material, per_emotion, seed), [(e, k) for e in emotions for k in range(per_emotion)]
    todo, found, refused = stories, {}, {e: Counter() for e in emotions}
    with tqdm(total=len(stories), desc="stories", unit="story", leave=False) as bar:
        for attempt in range(TRIES):
            wanted = {story: Request(story[0], *tries[story[1]][attempt]) for story in todo}
            for start in range(0, len(todo), batch):
                here = todo[start : start + batch]
                if missing := [wanted[story] for story in here if wanted[story] not in file.rows]:
                    for r, reply in ask(missing):
                        why = refusal(reply, r.emotion, material["skip"])
                        file.append(r._asdict() | {"refused": why, "text": reply.text})
                for story in here:
                    row = file.rows[wanted[story]]
                    if row["refused"]:
                        refused[story[0]][row["refused"]] += 1
                    else:
                        found[story] = row
                bar.update(len(found) - bar.n)
            todo = [story for story in todo if story not in found]
    return _corpus(emotions, stories, found, refused, minimum * per_emotion, author)


def _corpus(emotions, stories, found, refused, quota: float, author: dict) -> Corpus:
    """The corpus of what was found, without the emotions that fell short of the quota."""
    kept = Counter(e for e, _ in found)
    dropped = {e: kept[e] for e in emotions if kept[e] < quota}
    why = sum(refused.values(), Counter())
    if len(dropped) > len(emotions) - min(2, len(emotions)):
        told = ", ".join(f"{w} {n}" for w, n in why.most_common())
        raise UserError(
            f"{author['author']} wrote enough stories for {len(emotions) - len(dropped)} of {len(emotions)} emotions "
            f"(refused: {told}); use --stories shared, or another writer"
        )
    if dropped:
        print(f"notice: too few stories, left out: {', '.join(f'{e} ({n})' for e, n in dropped.items())}")
    rows = [found[s] for s in stories if s in found and s[0] not in dropped]
    texts, labels, topics = ([row[k] for row in rows] for k in ("text", "emotion", "topic"))
    words = {e: [len(t.split()) for t, label in zip(texts, labels) if label == e] for e in emotions}
    each = {
        e: {
            "kept": kept[e],
            "refused": round(refused[e].total() / (refused[e].total() + kept[e]), 3),
            "words": round(float(np.mean(words[e])), 1) if words[e] else None,
        }
        for e in emotions
    }
    report = {"stories": len(rows), "author": author["author"], "refused": dict(why), "dropped": dropped}
    return Corpus(texts, labels, topics, report | {"emotions": each})


def write(
    subject: Subject, emotions: list[str], material: dict, per_emotion: int, path, seed: int = 0,
    minimum: float = MINIMUM, temperature: float = 1.0, batch: int = 128,
) -> Corpus:  # fmt: skip
    """Let the subject write the stories; see :func:`collect`. ``path``: the JSONL file that they are kept in.

    In float32 a killed run goes on with the same texts. :class:`UserError` for a base model, which can't be asked.
    """
    if not subject.prompt.has_template:
        raise UserError(f"{subject.name} has no chat template, so it can't be asked for stories; use --stories shared")
    author = {"author": subject.model_id, "system": subject.prompt.system, "temperature": temperature}

    def ask(requests):
        prompts, limit = [subject.prompt.chat(r.text(material)) for r in requests], material["max_new_tokens"]
        streams = [r.stream for r in requests]
        texts = generate(subject, prompts, limit, temperature, seed, batch, progress=False, streams=streams)
        for request, text, ids in zip(requests, texts, subject.encode_all(texts)):
            yield request, Reply(text, len(ids), len(ids) > 0.9 * limit)  # read back, a text may have fewer tokens

    return collect(emotions, material, per_emotion, path, seed, author, ask, batch, minimum)
