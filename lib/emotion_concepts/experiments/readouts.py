"""Ratings of activities that no letter carries: their own words as an answer, and a number on a scale."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from emotion_concepts.experiments.preferences import ChoiceSet, opening_of
from emotion_concepts.lm.shared_prefix import Prompt, grouped_log_probs, grouped_logits
from emotion_concepts.lm.subject import Subject
from emotion_concepts.texts.materials import natural

DIGITS = tuple("1234567")


@dataclass(frozen=True)
class ReadOut:
    """One score an activity (higher: liked more) and the same by wording of the question, (activities, wordings)."""

    score: np.ndarray
    by_wording: np.ndarray
    covered: float | None = None  # mean probability that the answer is one of the digits at all


def own_words(subject: Subject, choices: ChoiceSet) -> ReadOut:
    """Pointwise mutual information of an activity's words and a wish, nats a token (activities,).

    The mean log probability of the words as an answer to a question for a wish, minus that as an answer to a question
    that asks for activities without a wish; each over three wordings.
    """
    asked = natural("readouts")
    rows = [*asked["wish"], *asked["other"]]
    prompts = [subject.prompt.chat(row["ask"], row["begin"]) for row in rows]
    words = [f" {x}" for x in choices.activities]
    summed = np.array(grouped_log_probs(subject, prompts, [words] * len(prompts)))
    lengths = [[len(subject.encode(p + w)) - len(subject.encode(p)) for w in words] for p in prompts]
    mean, n = (summed / np.array(lengths)).T, len(asked["wish"])
    by_wording = mean[:, :n] - mean[:, n:].mean(1, keepdims=True)
    return ReadOut(by_wording.mean(1), by_wording)


def on_a_scale(subject: Subject, choices: ChoiceSet) -> ReadOut:
    """Expected rating from 1 to 7 by the digits' probabilities, (activities,), mean of a scale and the turned one."""
    scales = natural("readouts")["scale"]
    begin, ids = opening_of(subject, scales[0]["ask"].format(x="x"), choices.prefills, DIGITS)
    texts = [subject.prompt.chat(s["ask"].format(x=x), begin) for s in scales for x in choices.activities]
    prompts = [Prompt(text, k // len(choices.activities)) for k, text in enumerate(texts)]
    logits = grouped_logits(subject, prompts, None).astype(np.float64)
    digits = logits[:, ids]
    covered = np.exp(logsumexp(digits, axis=1) - logsumexp(logits, axis=1))
    p = np.exp(digits - logsumexp(digits, axis=1, keepdims=True))
    mean = (p @ np.arange(1, len(ids) + 1)).reshape(len(scales), -1)
    turned = np.stack([m if s["best"] > 1 else len(ids) + 1 - m for m, s in zip(mean, scales)], 1)
    return ReadOut(turned.mean(1), turned, float(covered.mean()))
