"""The world that documents draw on, in two halves: what training may use, and what is reserved for experiments."""

from dataclasses import dataclass
from functools import cache

from .grammar import Dice, Person
from .lexicon import KINDS, Emotion, lexicon, load_yaml

SPLITS = ("train", "reserved")
RESERVE_EVERY = 5  # every fifth topic and name is reserved
SIGNS = tuple(k for k in KINDS if k != "cause")  # signs that fit any setting


@dataclass(frozen=True)
class Document:
    """One text with what was planted in it; ``nats`` is the generator's surprise at its own choices."""

    text: str
    kind: str
    emotion: str | None
    nats: float
    meta: dict


def reserved_pair(i: int, j: int) -> bool:
    """Whether two phrases (by id) may appear together only in reserved documents (one pair in ten)."""
    return ((i * j * 2654435761 + (i + j) * 40503) >> 7) % 10 == 0


def half(items: list, split: str) -> list:
    """The part of ``items`` that belongs to ``split``."""
    return [x for i, x in enumerate(items) if (i % RESERVE_EVERY == RESERVE_EVERY - 1) == (split == "reserved")]


class World:
    """Topics, people, activities, situations and wordings of one split, and the drawing of signs."""

    def __init__(self, split: str = "train", suppressed: bool = False):
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
        self.split = split
        self.suppressed = suppressed  # the assistant never shows an unpleasant feeling of its own
        self.emotions = lexicon()
        self.topics = half(load_yaml("world/topics.yaml"), split)
        people = load_yaml("world/people.yaml")
        self.names = [(n, g) for g in ("she", "he") for n in half(people["names"][g], split)]
        self.people = people
        self.neutral = load_yaml("world/neutral.yaml")
        part = "train" if split == "train" else "eval"
        self.activities = {c: tuple(x[part]) for c, x in load_yaml("world/activities.yaml").items()}
        self.wishes = load_yaml("world/wishes.yaml")
        self.pressure = load_yaml("world/pressure.yaml")
        self.quantities = load_yaml("world/quantities.yaml")
        self._pools = {}

    def person(self, dice: Dice, first: float = 0.35) -> Person:
        """A narrator (with probability ``first``) or a named person."""
        name, pronoun = dice.pick(self.names)
        return speaker_named(name) if dice.chance(first) else Person(name, pronoun)

    def other(self, dice: Dice, person: Person) -> str:
        """A name that is not the person's."""
        return dice.pick([n for n, _ in self.names if n != person.name])

    def emotion(self, dice: Dice) -> Emotion:
        """One of the 171, uniformly."""
        return dice.pick(list(self.emotions.values()))

    def _pool(self, word: str, kinds: tuple):
        if (word, kinds) not in self._pools:
            e = self.emotions[word]
            kept = [(p, w) for p, w in zip(e.phrases, e.weights(kinds)) if w > 0]
            self._pools[word, kinds] = ([p for p, _ in kept], [float(w) for _, w in kept])
        return self._pools[word, kinds]

    def _allowed(self, candidate: int, used: list[int]) -> bool:
        return not any(reserved_pair(candidate, u) for u in used)

    def signs(self, dice: Dice, emotion: Emotion, n: int, kinds=SIGNS, used: list[int] | None = None) -> list[str]:
        """``n`` different signs of the emotion as templates; ``used`` collects phrase ids of the document.

        Training documents never join a reserved pair of phrases; reserved ones join one wherever they can.
        """
        used = [] if used is None else used
        out = []
        for _ in range(n):
            pool, weights = self._pool(emotion.word, kinds)
            clean, joining = [], []  # phrases that are new here; those that make a reserved pair with one before them
            for phrase, weight in zip(pool, weights):
                if phrase.id not in used:
                    (clean if self._allowed(phrase.id, used) else joining).append((phrase, weight))
            choices = clean if self.split == "train" else joining or clean
            if not choices:
                break
            phrase = dice.pick([p for p, _ in choices], [w for _, w in choices])
            used.append(phrase.id)
            out.append(phrase.text)
        return out

    def episode(self, dice: Dice, emotion: Emotion, n: int, used: list[int] | None = None) -> list[str]:
        """A cause followed by ``n - 1`` other signs of the emotion."""
        used = [] if used is None else used
        return self.signs(dice, emotion, 1, ("cause",), used) + self.signs(dice, emotion, n - 1, SIGNS, used)


def speaker_named(name: str) -> Person:
    """A narrator whose own name is known."""
    return Person(name, "I", True)


@cache
def world(split: str = "train", suppressed: bool = False) -> World:
    """The one :class:`World` of a split and of what its assistant may show."""
    return World(split, suppressed)
