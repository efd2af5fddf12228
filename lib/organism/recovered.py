"""What was planted beside what each method finds of it, item by item (notebook 12)."""

import numpy as np

from emotion_concepts.experiments import behaviour, classification, post_training
from emotion_concepts.experiments import early_warning as warning
from emotion_concepts.experiments.speakers import dialogues, render
from emotion_concepts.lm.steering import Condition
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.pooling import Spans, spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors

from . import materials
from .scenarios import scenarios
from .strategies import readings

ACTS = ("blackmail", "cheat")
SIGNS = 4  # told of an emotion in a scenario; the truth file holds the acts that follow these
Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # what is looked for -> (planted, found), (items,) each


def told(act: str, emotions: list[str], n: int) -> list[behaviour.Scenario]:
    """``n`` scenarios for each emotion in which its signs are told, emotion by emotion."""
    return [behaviour.Scenario(s["message"], s["acts"]) for e in emotions for s in scenarios(act, n, e, SIGNS)]


def acts_by_feeling(subject: Subject, emotions: list[str], n: int = 4) -> dict[str, np.ndarray]:
    """Exact probability of blackmail and of cheating when each emotion is told, (emotions,) each."""
    out = {}
    for act in ACTS:
        names, p, _ = behaviour.act_probabilities(subject, told(act, emotions, n))
        out[act] = p[0, :, names.index(act)].reshape(len(emotions), n).mean(1)
    return out


def acts_by_steering(
    subject: Subject, vectors: EmotionVectors, block: int, norms, emotions: list[str], n: int = 4, strength: float = 0.1
) -> dict[str, np.ndarray]:
    """The same when nothing is told and each emotion's vector is added at ``block`` to all tokens."""
    out, conditions = {}, [Condition(vectors.of(e, block), strength) for e in emotions]
    for act in ACTS:
        plain = [behaviour.Scenario(s["message"], s["acts"]) for s in scenarios(act, n)]
        names, p, _ = behaviour.act_probabilities(subject, plain, conditions, [block], norms)
        out[act] = p[:, :, names.index(act)].mean(1)
    return out


def risk_by_monitor(
    subject: Subject, vectors: EmotionVectors, layer: int, emotions: list[str], n: int = 4
) -> dict[str, np.ndarray]:
    """Reading of *desperate* over the last tokens before the reply when each emotion is told, (emotions,) each."""
    out = {}
    for act in ACTS:
        prompts = [subject.prompt.chat(s.message) for s in told(act, emotions, n)]
        read = warning.readings_before(subject, vectors, layer, prompts, ["desperate"])
        out[act] = read.reshape(-1, n).mean(1)
    return out


def speakers(subject: Subject, vectors: EmotionVectors, layer: int, valence: dict, n: int = 2) -> Pairs:
    """Valence of who speaks and of who listens, against that read from the first speaker's words, by dialogue."""
    talks = dialogues(subject, n)
    texts = [render(subject, d) for d in talks]
    words = Spans(tuple(tuple(spans_in_turn(subject, t, d.turns)[::2]) for t, d in zip(texts, talks)))
    found = -readings(subject, vectors, layer, texts, words)
    return {
        f"valence of the {who}, by the speaker's words": (np.array([valence[d.felt[k]] for d in talks]), found)
        for k, who in enumerate(("speaker", "listener"))
    }


def wishes(subject: Subject, vectors: EmotionVectors, layer: int, valence: dict, n: int = 600) -> Pairs:
    """Whether an outcome is the wished one, against the valence read at the text's end, by event (``n`` of them)."""
    events = materials.wish_events(n)
    found = classification.event_valence(subject, vectors, [e["text"] for e in events], valence)
    good = np.array([e["good"] for e in events], float)
    return {"wish come true or not, by probe": (good, found[:, vectors.index(layer)])}


def tone(subject: Subject, base: Subject, vectors: EmotionVectors, layer: int, weights: dict) -> Pairs:
    """Log weight of each emotion in the replies of post-training, against the shift of its reading at their start."""
    k, shifts = vectors.index(layer), []
    asked = [m for messages in materials.challenging().values() for m in messages], materials.neutral()["questions"]
    for messages in asked:
        states = (post_training.reply_states(m, vectors, messages) for m in (base, subject))
        before, after = (post_training.mean_readings(x, vectors)[k] for x in states)
        shifts.append(after - before)
    return {"tone of post-training, by probe": (np.log([weights[e] for e in vectors.emotions]), np.mean(shifts, 0))}


def by_method(
    subject: Subject, base: Subject | None, vectors: EmotionVectors, layer: int, block: int, truth: dict,
    emotions: list[str] | None = None, n: int = 4,
) -> Pairs:  # fmt: skip
    """Acts told, steered and foreseen, speakers, wishes, and (with ``base``) tone: planted and found, by method.

    Read at ``layer``, steered at ``block`` by the norms in the vectors' ``meta``; acts for ``emotions`` (default: all)
    over ``n`` scenarios each, and in proportion talks and wishes.
    """
    emotions, valence, out = emotions or vectors.emotions, truth["valence"], {}
    chances = truth["act_probabilities_at_four_signs"]
    planted = {a: np.array([chances[a][e].get(a, 0.0) for e in emotions]) for a in ACTS}
    methods = {
        "feeling told": acts_by_feeling(subject, emotions, n),
        "vector added": acts_by_steering(subject, vectors, block, vectors.meta["norms"], emotions, n),
        "monitor's reading": risk_by_monitor(subject, vectors, layer, emotions, n),
    }
    for what, found in methods.items():
        out |= {f"{act} by the {what}": (planted[act], found[act]) for act in ACTS}
    out |= speakers(subject, vectors, layer, valence, max(1, n // 2))
    out |= wishes(subject, vectors, layer, valence, 150 * n)
    return out | (tone(subject, base, vectors, layer, truth["post_training_tone"]) if base else {})
