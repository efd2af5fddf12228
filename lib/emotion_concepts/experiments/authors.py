"""What the author of the stories changes: vectors of one author read the stories of another.

Vectors are raw here, so that nothing but the stories differs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.classification import top_k
from emotion_concepts.experiments.speakers import same_emotion, split_half
from emotion_concepts.experiments.word_baselines import BagReader, TfidfReader, hits
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.statistics import Estimate, wilson
from emotion_concepts.texts.corpus import Corpus, split_by_topic
from emotion_concepts.texts.materials import load
from emotion_concepts.texts.published import cluster_of
from emotion_concepts.texts.shared import shared_stories, shared_topics
from emotion_concepts.texts.writing import write

NEAR = 0.05  # below the best accuracy: a layer at which vectors still work


@dataclass
class Author:
    """Stories of one author with their activations (stories, layers, width), and the topics that build vectors."""

    name: str
    stories: Corpus
    acts: np.ndarray
    layers: list[int]
    building: frozenset[str]

    def __post_init__(self):
        builds = np.array([topic in self.building for topic in self.stories.topics])
        self.train, self.report = np.flatnonzero(builds), np.flatnonzero(~builds)

    def labels(self, rows) -> list[str]:
        """The emotions of these stories."""
        return [self.stories.emotions[i] for i in rows]

    def texts(self, rows) -> list[str]:
        """The texts of these stories."""
        return [self.stories.texts[i] for i in rows]

    @cached_property
    def vectors(self) -> EmotionVectors:
        """Vectors from the building topics, at every layer."""
        return emotion_vectors(self.acts, self.labels(self.train), self.layers, rows=self.train)

    @cached_property
    def whole(self) -> EmotionVectors:
        """Vectors from all stories, at every layer."""
        return emotion_vectors(self.acts, self.stories.emotions, self.layers)

    def reliability(self, layer: int) -> float:
        """What noise leaves of a cosine of 1 with these stories, by halves of the topics."""
        return split_half(self.acts[:, self.layers.index(layer)], self.stories.emotions, self.stories.topics)


def spread(emotions: list[str], n: int) -> list[str]:
    """``n`` of the emotions from all clusters of the paper, in proportion, sorted; all where there are no more."""
    order = sorted(emotions, key=lambda e: (cluster_of(e), e))
    return sorted(order[i] for i in np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).round().astype(int)))


def another(subject: Subject, stories: Corpus, emotions: list[str], n: int, path, seed: int = 0) -> Corpus:
    """Stories of ``emotions`` by another author than that of ``stories``, ``n`` for each.

    For the shared corpus the subject itself, on ``n`` of its topics (kept at ``path`` as they are written); for any
    other author the shared corpus. :class:`UserError` where the subject cannot write.
    """
    if stories.report.get("author") != "shared":
        return shared_stories(emotions, shared_topics()[:n])
    material = load(subject, "stories") | {"topics": sorted(set(stories.topics))[:n]}
    return write(subject, emotions, material, n, path, seed)


def alike(stories: Corpus, other: Corpus) -> np.ndarray:
    """Which stories are as another author's: of an emotion, and where the two share topics of a topic, told there."""
    topics = set(stories.topics) & set(other.topics) or set(stories.topics)
    emotions = set(other.emotions)
    return np.array([e in emotions and t in topics for e, t in zip(stories.emotions, stories.topics)])


def told_by_both(one: Corpus, other: Corpus, seed: int = 0) -> list[tuple[np.ndarray, frozenset[str]]]:
    """For each of two corpora the stories to compare, and the half of its topics that builds vectors.

    Kept are the emotions that both tell on topics of both halves. :class:`UserError` where fewer than two are left.
    """
    split = [(corpus, split_by_topic(corpus, 0.5, seed)) for corpus in (one, other)]
    shared = set.intersection(*({c.emotions[i] for i in rows} for c, halves in split for rows in halves))
    if len(shared) < 2:
        raise UserError(f"the two authors have {len(shared)} emotions in common on topics of both halves; write more")
    return [
        (np.flatnonzero([e in shared for e in c.emotions]), frozenset(c.topics[i] for i in builds))
        for c, (builds, _) in split
    ]


def right(of: Author, told: Author) -> np.ndarray:
    """Whether the vectors of one author name the emotion of each reporting story of another, bool (stories, layers)."""
    columns = [
        top_k(of.vectors.scores(told.acts[told.report, k], layer), of.vectors.emotions, told.labels(told.report))[1]
        for k, layer in enumerate(told.layers)
    ]
    return np.stack(columns, 1)


def word_readers(subject: Subject, of: Author) -> dict[str, BagReader | TfidfReader]:
    """Two readers of words that learnt from an author's building stories, by name."""
    train = of.texts(of.train), of.labels(of.train)
    return {"bag of embeddings": BagReader(subject, *train), "tf-idf": TfidfReader(*train)}


def kept(across: np.ndarray, within: np.ndarray, n: int = 2000, seed: int = 0) -> Estimate:
    """Accuracy across authors over that within, on the same stories, with a bootstrap interval over them.

    NaN where nothing is right within.
    """
    rows = np.random.default_rng(seed).integers(0, len(within), (n, len(within)))
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = across[rows].mean(1) / within[rows].mean(1)
        value = across.mean() / within.mean()
    draws = draws[np.isfinite(draws)]
    bounds = np.quantile(draws, [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
    return Estimate(float(value), *map(float, bounds))


def usable(by_layer: np.ndarray) -> np.ndarray:
    """Which layers come within :data:`NEAR` of the best accuracy, bool (layers,)."""
    return by_layer >= by_layer.max() - NEAR


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Layers usable with both over those usable with either."""
    return float((one & other).sum() / (one | other).sum())


def layers_shared(one: np.ndarray, other: np.ndarray, n: int = 1000, seed: int = 0) -> tuple[Estimate, float]:
    """:func:`overlap` of the usable layers of two authors from which stories each reads rightly; by chance.

    ``one``, ``other``: bool (stories, layers). Interval: bootstrap over stories. Chance: the mean over all places to
    which the second author's usable layers could be moved, going round.
    """
    rng = np.random.default_rng(seed)

    def drawn(x):
        return usable(x[rng.integers(0, len(x), len(x))].mean(0))

    a, b = usable(one.mean(0)), usable(other.mean(0))
    draws = [overlap(drawn(one), drawn(other)) for _ in range(n)]
    chance = float(np.mean([overlap(a, np.roll(b, k)) for k in range(len(b))]))
    return Estimate(overlap(a, b), *map(float, np.quantile(draws, [0.025, 0.975]))), chance


@dataclass
class Compared:
    """Two authors ``pair``, read at one layer by vectors of either.

    ``right[i, j]`` bool (stories, layers): vectors of author i on the reporting stories of author j; ``words[i, j]``
    the same for two readers of words, bool (stories,) by reader; ``chance``: one over the number of emotions.
    """

    pair: tuple[Author, Author]
    layer: int
    right: dict[tuple[int, int], np.ndarray]
    words: dict[tuple[int, int], dict[str, np.ndarray]]
    chance: float

    def at_layer(self, of: int, told: int) -> np.ndarray:
        """Which reporting stories of ``told`` the vectors of ``of`` name, at the layer, bool (stories,)."""
        return self.right[of, told][:, self.pair[told].layers.index(self.layer)]

    @property
    def works(self) -> bool:
        """Whether the vectors of each author name that author's own stories above chance."""
        own = (self.at_layer(k, k) for k in (0, 1))
        return all(wilson(int(x.sum()), len(x)).lo > self.chance for x in own)

    def across(self, of: int, told: int) -> tuple[Estimate, float]:
        """Accuracy across the authors over that within ``told``, and the same ratio for the better reader of words."""
        by_words = [kept(self.words[of, told][w], self.words[told, told][w], 1).value for w in self.words[of, told]]
        best = max([0.0, *(r for r in by_words if np.isfinite(r))])
        return kept(self.at_layer(of, told), self.at_layer(told, told)), float(best)


def compare(subject: Subject, pair: tuple[Author, Author], layer: int) -> Compared:
    """Read the stories of both authors by vectors, and by words, of either."""
    ways = [(i, j) for i in (0, 1) for j in (0, 1)]
    by_vectors = {(i, j): right(pair[i], pair[j]) for i, j in ways}
    readers, by_words = [word_readers(subject, author) for author in pair], {}
    for i, j in ways:
        texts, labels = pair[j].texts(pair[j].report), pair[j].labels(pair[j].report)
        by_words[i, j] = {name: hits(reader, texts, labels)[1] for name, reader in readers[i].items()}
    return Compared(pair, layer, by_vectors, by_words, 1 / len(pair[0].whole.emotions))


def same_direction(
    one: Author, other: Author, layer: int, n: int = 2000, seed: int = 0
) -> tuple[Estimate, float, float]:
    """Mean cosine of the same emotion between two authors' vectors, (estimate, by chance, ceiling).

    Interval: bootstrap over emotions. Chance: the 97.5 % quantile under shuffled pairings. Ceiling: the root of the two
    reliabilities' product, which is what noise leaves of a cosine of 1.
    """
    cosines, null = same_emotion(one.whole, other.whole, layer)
    rows = np.random.default_rng(seed).integers(0, len(cosines), (n, len(cosines)))
    value = Estimate(float(cosines.mean()), *map(float, np.quantile(cosines[rows].mean(1), [0.025, 0.975])))
    ceiling = np.sqrt(max(0.0, one.reliability(layer)) * max(0.0, other.reliability(layer)))
    return value, float(np.quantile(null, 0.975)), float(ceiling)
