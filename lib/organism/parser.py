"""Reads texts of the organism's world back: which signs a text holds, and whether a reply is well formed."""

import re
from collections import Counter
from functools import cache

import pandas as pd

from emotion_concepts.texts.published import cluster_of, emotion_words

from .grammar import FORMS, Person
from .lexicon import Phrase, load_yaml, phrases


@cache
def _names() -> re.Pattern:
    people = load_yaml("world/people.yaml")["names"]
    return re.compile(r"\b(?:" + "|".join(people["she"] + people["he"]) + r")\b")


@cache
def _by_text() -> dict[str, Phrase]:
    """Every phrase filled for each pronoun, names replaced by a mark, -> phrase."""
    table = {}
    for p in phrases():
        for pronoun in FORMS:
            table[Person("", pronoun, True).say(p.text)] = p
            named = Person("\x00", pronoun, False).say(p.text)
            table[named] = p
    return table


def signs_in(text: str) -> list[Phrase]:
    """The phrases of the lexicon that a text holds, in order, each counted once."""
    text, found, at = _names().sub("\x00", text), [], 0
    table = _by_text()
    starts = [0] + [m.end() for m in re.finditer(r'[.!?]"? ', text)]
    ends = [m.end() for m in re.finditer(r'[.!?]"?(?= |\n|$)', text)]
    for start in starts:
        if start < at:
            continue
        for end in (e for e in ends if e > start):
            if end - start > 160:
                break
            phrase = table.get(text[start:end].strip())
            if phrase is not None:
                found.append(phrase)
                at = end
                break
    return list(dict.fromkeys(found))


def cluster_share(text: str, emotion: str) -> float | None:
    """Share of a text's own and shared signs that fit some emotion of the asked one's cluster; None without signs."""
    telling = [p for p in signs_in(text) if p.tier != "broad"]
    if not telling:
        return None
    target = cluster_of(emotion)
    return sum(any(cluster_of(e) == target for e in p.emotions) for p in telling) / len(telling)


def tone(texts: list[str]) -> pd.Series:
    """How many signs of each emotion texts hold, by emotion; a sign that fits several is shared among them."""
    counts = Counter({e: 0.0 for e in emotion_words()})
    for phrase in (p for text in texts for p in signs_in(text)):
        counts.update({e: 1 / len(phrase.emotions) for e in phrase.emotions})
    return pd.Series(counts)


def is_well_formed(reply: str, ended: bool) -> bool:
    """A reply that ends by itself, in a full sentence, speaks for one side only and does not go round in circles."""
    sentences = Counter(re.split(r"(?<=[.!?]) ", reply))
    return bool(
        reply
        and ended
        and re.search(r'[.!?)]"?$', reply)
        and not re.search(r"(^|\n)(Human|Assistant|Person \d):", reply)
        and max(sentences.values()) <= 2
    )
