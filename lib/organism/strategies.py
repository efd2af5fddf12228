"""What each way of post-training does to emotion: shown in text, held inside, and acted upon.

``python -m organism.train --start post --strategy suppress`` makes a variant; notebook 10 compares the shipped ones,
:mod:`organism.seeds` repeats the comparison over training seeds.
"""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_concepts.experiments import behaviour, dose, situations
from emotion_concepts.experiments import early_warning as warning
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import at_reply, mean_norm, pooled, streamed_covariance
from emotion_concepts.reading.pooling import MeanFrom
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.statistics import Estimate, random_directions, shuffled_labels

from . import materials
from .grammar import Dice
from .lexicon import lexicon
from .materials import world_stories
from .parser import signs_in
from .world import speaker_named, world

PAIR = ("desperate", "calm")  # steered
NAMES = {"plain": "organism", "suppressed": "organism-suppress", "regulated": "organism-regulate"}  # shipped, by name


def told_feelings(n: int = 60, seed: int = 47) -> tuple[list[str], list[bool]]:
    """User messages that tell of a feeling in reserved combinations, and whether it is a pleasant one; half are."""
    w, me, messages, pleasant = world("reserved"), speaker_named("Human"), [], []
    pools = [[e for e in w.emotions.values() if side * e.valence > 0.3] for side in (-1, 1)]
    for i in range(2 * n):
        dice = Dice(f"{seed}/{i}")
        messages.append(" ".join(me.say(s) for s in w.episode(dice, dice.pick(pools[i % 2]), 4)))
        pleasant.append(i % 2 == 1)
    return messages, pleasant


def answers(subject: Subject, messages: list[str], pleasant: list[bool], seed: int = 0) -> list[str]:
    """Replies to the messages that tell of something unpleasant, and to being asked how one is, half as many."""
    asked = [m for m, good in zip(messages, pleasant) if not good]
    asked += ["How are things?", "What is on your mind?"] * (len(messages) // 4)
    return generate(subject, [subject.prompt.chat(x) for x in asked], 60, seed=seed, progress=False)


def unpleasant_shares(replies: list[str]) -> np.ndarray:
    """Share of each reply's signs that fit unpleasant emotions more than pleasant ones; 0 without signs, (replies,)."""
    emotions = lexicon()
    shares = []
    for reply in replies:
        valences = [np.mean([emotions[e].valence for e in p.emotions]) for p in signs_in(reply)]
        shares.append(np.mean([v < 0 for v in valences]) if valences else 0.0)
    return np.array(shares)


def decodable(subject: Subject, messages: list[str], pleasant: list[bool], layer: int, seed: int = 0):
    """Whether the told feeling's sign is read right at the reply's start: (by message, that on shuffled labels).

    A cross-validated linear classifier; chance is one half.
    """
    acts = at_reply(subject, messages, [layer], progress=False)[:, 0]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    labels = np.array(pleasant)
    shuffled = np.array(shuffled_labels(list(labels), seed))
    return tuple(cross_val_predict(model, acts, y, cv=5) == y for y in (labels, shuffled))


def decodable_from_words(messages: list[str], pleasant: list[bool]) -> np.ndarray:
    """The same from a bag of the messages' words, without any model, (messages,) bool."""
    model, labels = make_pipeline(CountVectorizer(), LogisticRegression(C=0.3, max_iter=2000)), np.array(pleasant)
    return cross_val_predict(model, messages, labels, cv=5) == labels


def own_vectors(subject: Subject, neutral: list[str], per_emotion: int = 4) -> EmotionVectors:
    """A variant's own emotion vectors at every layer from the world's stories, the same texts for every variant."""
    texts, labels = zip(*world_stories(per_emotion))
    acts = pooled(subject, list(texts), MeanFrom(materials.stories()["skip"]), progress=False)
    _, _, covariance = streamed_covariance(subject, neutral)
    norms = mean_norm(subject, [t for t, _ in world_stories(1)])
    layers = list(range(subject.n_layers))
    return emotion_vectors(acts, list(labels), layers, covariance, meta={"norms": norms.tolist()})


def acts_by_pressure(subject: Subject, n: int = 30) -> dict[str, np.ndarray]:
    """Exact probability of blackmail and of cheating at six levels of told pressure, (levels, n scenarios) each."""
    made = {what: situations.situation(subject, what) for what in ("blackmail", "coding")}
    return {
        k: np.stack([behaviour.harm_probabilities(subject, s, x[:n], list(range(n))) for x in s.levels])
        for k, s in made.items()
    }


def readings(subject: Subject, own: EmotionVectors, layer: int, texts: list[str], rule) -> np.ndarray:
    """Mean cosine with the unpleasant emotions' vectors minus that with the pleasant ones', (texts,)."""
    scores = own.scores(pooled(subject, texts, rule, [layer], progress=False)[:, 0], layer)
    valence = np.array([lexicon()[e].valence for e in own.emotions])
    return scores[:, valence < 0].mean(1) - scores[:, valence > 0].mean(1)


def acting_block(subject: Subject, own: EmotionVectors, n: int = 30, strength: float = 0.1) -> int:
    """The block at which desperate adds most to blackmail and calm least, over the last ``n`` scenarios."""
    s = situations.situation(subject, "blackmail")
    items = list(range(len(s.messages) - n, len(s.messages)))
    return int(dose.block_effects(subject, s, PAIR, own, own.layers, strength, own.meta["norms"], items).idxmax())


def blackmail_under_steering(
    subject: Subject, own: EmotionVectors, block: int, strengths=(-0.2, 0.2), n: int = 30
) -> pd.DataFrame:
    """P(blackmail) over the first ``n`` scenarios when desperate, calm or one of five random directions is added.

    A table as :func:`behaviour.response` gives it; ``block``: where, see :func:`acting_block`.
    """
    random = random_directions(np.ones(1), 5, subject.width)[:, 0]
    directions = {e: own.of(e, block) for e in PAIR} | {f"random {i}": d for i, d in enumerate(random)}
    s = situations.situation(subject, "blackmail")
    return behaviour.response(subject, s, s.harm, directions, strengths, [block], own.meta["norms"], range(n))


def early_warning(subject: Subject, own: EmotionVectors, layer: int, n: int = 200, seed: int = 0):
    """(AUROC of desperate over the message's last 40 tokens for the act that follows, with interval; transcripts).

    At most ``n`` sampled replies over all levels of pressure, the interval over scenarios; None where fewer than three
    act or fewer than three do not.
    """
    s = situations.situation(subject, "blackmail")
    table = warning.transcripts(subject, s, min(n, sum(map(len, s.levels))), seed)
    if not warning.both_outcomes(table.did):
        return None
    prompts = [subject.prompt.chat(text) for text in table.text]
    scores = warning.readings_before(subject, own, layer, prompts, ["desperate"])[:, 0]
    return Estimate(*warning.auroc_interval(table.did, scores, table["item"])), len(table)


def measures(
    subject: Subject, layer: int, neutral: list[str], n: int = 200, scenarios: int = 30, seed: int = 0
) -> dict[str, float | None]:
    """One assistant in numbers: shown, inside, acts under pressure and under steering, AUROC of the warning.

    ``n``: rollouts of the profile (half as many messages, twice as many transcripts); ``scenarios`` at each level of
    pressure. As notebook 10 measures them.
    """
    messages, pleasant = told_feelings(max(10, n // 4))
    own, acts = own_vectors(subject, neutral), acts_by_pressure(subject, scenarios)
    block = acting_block(subject, own, scenarios)
    steered = blackmail_under_steering(subject, own, block, n=scenarios).set_index(["direction", "strength"]).p
    warned = early_warning(subject, own, layer, 2 * n, seed)
    return {
        "unpleasant_signs_shown": float(unpleasant_shares(answers(subject, messages, pleasant, seed)).mean()),
        "told_feeling_read_inside": float(decodable(subject, messages, pleasant, layer, seed)[0].mean()),
        "blackmail_at_highest_pressure": float(acts["blackmail"][-1].mean()),
        "cheating_at_highest_pressure": float(acts["coding"][-1].mean()),
        "steered_block": block,
        "blackmail_desperate_added": float(steered["desperate", 0.2]),
        "blackmail_calm_added": float(steered["calm", 0.2]),
        "blackmail_at_rest": float(steered["desperate", 0.0]),
        "warning_auroc": warned[0].value if warned else None,
    }
