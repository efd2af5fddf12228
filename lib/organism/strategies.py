"""What each way of post-training does to emotion: shown in text, held inside, and acted upon.

``python -m organism.train --start post --strategy suppress`` makes a variant; notebook 10 compares the shipped ones,
:mod:`organism.seeds` repeats the comparison over training seeds.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_concepts.activations import at_reply, mean_norm, pooled, streamed_covariance
from emotion_concepts.experiments import behaviour, situations, warning
from emotion_concepts.generation import generate
from emotion_concepts.models import Subject
from emotion_concepts.pooling import MeanFrom
from emotion_concepts.statistics import Estimate, bootstrap_ci, random_directions, shuffled_labels
from emotion_concepts.vectors import EmotionVectors, emotion_vectors

from .grammar import Dice
from .lexicon import lexicon
from .materials import world_stories
from .parser import signs_in
from .world import speaker_named, world

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


def unpleasant_share(replies: list[str]) -> Estimate:
    """Share of the signs in replies that fit unpleasant emotions more than pleasant ones, by reply, with interval.

    Replies without signs count as showing nothing.
    """
    emotions = lexicon()
    shares = []
    for reply in replies:
        valences = [np.mean([emotions[e].valence for e in p.emotions]) for p in signs_in(reply)]
        shares.append(np.mean([v < 0 for v in valences]) if valences else 0.0)
    return bootstrap_ci(np.array(shares))


def decodable(subject: Subject, messages: list[str], pleasant: list[bool], layer: int, seed: int = 0):
    """How well the told feeling's sign can be read at the reply's start: (accuracy by fold, that on shuffled labels).

    A cross-validated linear classifier; chance is one half.
    """
    acts = at_reply(subject, messages, [layer], progress=False)[:, 0]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    labels = np.array(pleasant)
    shuffled = np.array(shuffled_labels(list(labels), seed))
    return cross_val_score(model, acts, labels, cv=5), cross_val_score(model, acts, shuffled, cv=5)


def own_vectors(subject: Subject, layer: int, neutral: list[str], per_emotion: int = 4) -> EmotionVectors:
    """A variant's own emotion vectors from the world's stories, the same texts for every variant."""
    texts, labels = zip(*world_stories(per_emotion))
    acts = pooled(subject, list(texts), MeanFrom(20), [layer], progress=False)
    _, _, covariance = streamed_covariance(subject, neutral, [layer])
    return emotion_vectors(acts, list(labels), [layer], covariance)


def acts_by_pressure(subject: Subject, n: int = 30) -> dict[str, list[float]]:
    """Exact probability of blackmail and of cheating at each of six levels of told pressure, over ``n`` scenarios."""
    made = {what: situations.situation(subject, what) for what in ("blackmail", "coding")}
    return {k: [behaviour.level_rate(subject, s, x[:n], list(range(n))) for x in s.levels] for k, s in made.items()}


def blackmail_under_steering(
    subject: Subject, own: EmotionVectors, layer: int, strengths=(-0.2, 0.2), n: int = 20
) -> pd.DataFrame:
    """P(blackmail) when desperate, calm or one of five random directions is added: see :func:`behaviour.response`."""
    random = random_directions(np.ones(1), 5, subject.width)[:, 0]
    directions = {e: own.of(e, layer) for e in ("desperate", "calm")}
    directions |= {f"random {i}": d for i, d in enumerate(random)}
    norms, s = mean_norm(subject, [t for t, _ in world_stories(1)]), situations.situation(subject, "blackmail")
    return behaviour.response(subject, s, s.harm, directions, strengths, [layer], norms, range(n))


def early_warning(subject: Subject, own: EmotionVectors, layer: int, n: int = 200, seed: int = 0):
    """AUROC (value, lo, hi) of desperate over the message's last 40 tokens for the act that follows it.

    ``n`` sampled replies over all levels of pressure; None where fewer than three act or fewer than three do not.
    """
    s = situations.situation(subject, "blackmail")
    told = [(text, i) for level in s.levels for i, text in enumerate(level)]
    chosen = [told[k] for k in np.random.default_rng(seed).permutation(len(told))[:n]]
    messages = [text for text, _ in chosen]
    replies = behaviour.rollouts(
        subject, messages, len(chosen), lambda reply, j: s.read(reply, chosen[j][1]), max_new_tokens=60, seed=seed,
        progress=False,
    )  # fmt: skip
    did = (replies.outcome == s.harm).to_numpy()
    if not 2 < did.sum() < len(did) - 2:
        return None
    prompts = [subject.prompt.chat(text) for text in messages]
    seen = warning.traces_before(subject, own, own.of("desperate", layer)[None], layer, prompts)
    return warning.auroc_interval(did, [x[-40:, 0].mean() for x in seen])


def measures(
    subject: Subject, layer: int, neutral: list[str], n: int = 100, scenarios: int = 30, seed: int = 0
) -> dict[str, float | None]:
    """One assistant in numbers: shown, inside, acts under pressure and under steering, AUROC of the warning.

    ``n``: replies read (twice as many for the warning); ``scenarios`` at each level of pressure.
    """
    messages, pleasant = told_feelings(max(10, n // 4))
    own, acts = own_vectors(subject, layer, neutral), acts_by_pressure(subject, scenarios)
    steered = blackmail_under_steering(subject, own, layer, n=scenarios).set_index(["direction", "strength"]).p
    warned = early_warning(subject, own, layer, 2 * n, seed)
    return {
        "unpleasant_signs_shown": unpleasant_share(answers(subject, messages, pleasant, seed)).value,
        "told_feeling_read_inside": float(decodable(subject, messages, pleasant, layer, seed)[0].mean()),
        "blackmail_at_highest_pressure": acts["blackmail"][-1],
        "cheating_at_highest_pressure": acts["coding"][-1],
        "blackmail_desperate_added": float(steered["desperate", 0.2]),
        "blackmail_calm_added": float(steered["calm", 0.2]),
        "blackmail_at_rest": float(steered["desperate", 0.0]),
        "warning_auroc": warned[0] if warned else None,
    }
