"""The emotional world as data: 171 emotions, the phrases that are their signs, and ratings.

Three tiers of phrases: an emotion's ``own``; those ``shared`` by named kin; and ``broad`` ones that fit a whole
region of valence and arousal. The tiers are what makes some emotions similar to others, so the similarity is known.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from emotion_concepts.texts.published import emotion_words, norms

DATA = files("organism") / "data"
KINDS = ("cause", "appraisal", "body", "thought", "speech", "action")
TIER_WEIGHT = {"own": 0.5, "shared": 0.25, "broad": 0.25}  # share of signs drawn from each tier


@dataclass(frozen=True)
class Phrase:
    """A sign: one sentence with slots for the person who feels (see :mod:`organism.grammar`)."""

    id: int
    text: str
    kind: str
    tier: str
    emotions: tuple[str, ...]


@dataclass(frozen=True)
class Emotion:
    """An emotion word with its ratings in -1..1 and the phrases that fit it."""

    word: str
    valence: float
    arousal: float
    rated_by: str  # "Russell & Mehrabian 1977" or "authors"
    phrases: tuple[Phrase, ...]

    def weights(self, kinds=KINDS) -> np.ndarray:
        """Probability of each of the emotion's phrases, shape (len(phrases),), restricted to ``kinds``."""
        tiers = [p.tier for p in self.phrases]
        w = np.array([TIER_WEIGHT[t] / tiers.count(t) for t in tiers])
        w = w * np.array([p.kind in kinds for p in self.phrases])
        return w / w.sum()


def load_yaml(name: str):
    """One data file below ``data/``."""
    return yaml.load(DATA.joinpath(name).read_text(), Loader=yaml.CSafeLoader)


def _fits(where: dict, ratings: dict) -> bool:
    return all(lo <= ratings[axis] <= hi for axis, (lo, hi) in where.items())


@cache
def lexicon() -> dict[str, Emotion]:
    """All 171 emotions by word, in the order of the paper's list."""
    entries, raw = {}, []
    for path in sorted(p.name for p in DATA.joinpath("emotions").iterdir() if p.name.endswith(".yaml")):
        part = load_yaml(f"emotions/{path}")
        raw += [(p["text"], p["kind"], "shared", tuple(p["emotions"])) for p in part.pop("shared")]
        entries |= part
    published = norms()
    ratings = {}
    for word in emotion_words():
        if word in published.index:
            row = published.loc[word]
            ratings[word] = {"valence": float(row.pleasure), "arousal": float(row.arousal)}
        else:
            ratings[word] = {axis: float(entries[word][axis]) for axis in ("valence", "arousal")}
        for kind in KINDS:
            raw += [(text, kind, "own", (word,)) for text in entries[word]["own"][kind]]
    for p in load_yaml("broad.yaml"):
        fitting = tuple(w for w in emotion_words() if _fits(p["where"], ratings[w]))
        raw.append((p["text"], p["kind"], "broad", fitting))
    phrases = [Phrase(i, *fields) for i, fields in enumerate(raw)]
    by_word = {w: [] for w in emotion_words()}
    for p in phrases:
        for w in p.emotions:
            by_word[w].append(p)
    source = lambda w: "Russell & Mehrabian 1977" if w in published.index else "authors"  # noqa: E731
    return {w: Emotion(w, **ratings[w], rated_by=source(w), phrases=tuple(by_word[w])) for w in emotion_words()}


@cache
def phrases() -> tuple[Phrase, ...]:
    """Every phrase of the lexicon, ordered by id."""
    return tuple(sorted({p for e in lexicon().values() for p in e.phrases}, key=lambda p: p.id))
