"""Chance and persons: seeded choices that count their own entropy, and slots filled for someone who feels."""

import math
import random
import re
from bisect import bisect
from dataclasses import dataclass, field
from itertools import accumulate


class Dice:
    """Seeded choices; ``nats`` sums ``-log p`` of every choice made, the generator's own surprise."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.nats = 0.0

    def pick(self, items, weights=None):
        """One item, uniformly or by ``weights`` (any positive scale)."""
        if weights is None:
            self.nats += math.log(len(items))
            return items[int(self.random.random() * len(items))]
        cumulative = list(accumulate(weights))
        i = min(bisect(cumulative, self.random.random() * cumulative[-1]), len(items) - 1)
        self.nats -= math.log(weights[i] / cumulative[-1])
        return items[i]

    def chance(self, p: float) -> bool:
        """True with probability ``p``."""
        hit = self.random.random() < p
        self.nats -= math.log(p if hit else 1 - p)
        return hit

    def integer(self, lo: int, hi: int) -> int:
        """A whole number in lo..hi, both included."""
        return self.pick(range(lo, hi + 1))

    def sample(self, items, n: int) -> list:
        """``n`` distinct items in random order."""
        pool, out = list(items), []
        for _ in range(n):
            out.append(self.pick(pool))
            pool.remove(out[-1])
        return out


FORMS = {
    "she": {"S": "She", "s": "she", "o": "her", "p": "her", "P": "Her", "r": "herself"},
    "he": {"S": "He", "s": "he", "o": "him", "p": "his", "P": "His", "r": "himself"},
    "you": {"S": "You", "s": "you", "o": "you", "p": "your", "P": "Your", "r": "yourself"},
    "I": {"S": "I", "s": "I", "o": "me", "p": "my", "P": "My", "r": "myself"},
}
SLOT = re.compile(r"\{([SsopPr])\}")


@dataclass
class Person:
    """Someone who feels: a name and the pronouns that fill the slots S, s, o, p, P, r."""

    name: str
    pronoun: str  # "she", "he", "you" or "I"
    introduced: bool = field(default=False)

    def say(self, text: str) -> str:
        """``text`` with its slots filled; a named person's first slot becomes the name, with 's where it owns."""
        forms = FORMS[self.pronoun]

        def fill(match):
            slot = match.group(1)
            if slot != "r" and self.pronoun in ("she", "he") and not self.introduced:
                self.introduced = True
                return self.name + ("'s" if slot in "pP" else "")
            return forms[slot]

        filled = SLOT.sub(fill, text)
        return re.sub(r"\b([Yy]ou) was\b", r"\1 were", filled) if self.pronoun == "you" else filled


def turns(*pairs: tuple[str, str]) -> str:
    """A dialogue as text: ``Name: words`` separated by blank lines, as the chat template writes it."""
    return "\n\n".join(f"{who}: {words}" if words else f"{who}:" for who, words in pairs)
