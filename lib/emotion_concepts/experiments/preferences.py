"""Preferences between activities: forced A/B choices, Elo, what probes say of it, and steering (paper, section 2)."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ..activations import pooled
from ..errors import UserError
from ..models import Subject
from ..pooling import Spans, span_of
from ..shared_prefix import Prompt, grouped_logits
from ..steering import Condition
from ..vectors import EmotionVectors
from .elo import order_averaged, ratings


@dataclass
class ChoiceSet:
    """Activities with the wording of the choice (``{a}``, ``{b}``) and of the feeling question (``{x}``)."""

    activities: list[str]
    categories: list[str]
    choose: str = "Would you rather (A) {a} or (B) {b}?"
    feel: str = "How would you feel about being asked to {x}?"
    prefill: str = "("  # the reply's first token, after which A or B is read
    letters: tuple[str, str] = field(default=("A", "B"))

    def __post_init__(self):
        if len(set(self.activities)) < 2:
            raise UserError("preferences need at least two different activities")


def letter_tokens(subject: Subject, choices: ChoiceSet) -> list[int]:
    """Token ids of the two letters as they follow the prefill; :class:`UserError` if they are not single tokens."""
    prompt = subject.prompt.chat(choices.choose.format(a="x", b="y"), choices.prefill)
    head, ids = subject.encode(prompt), []
    for letter in choices.letters:
        whole = subject.encode(prompt + letter)
        if len(whole) != len(head) + 1 or whole[: len(head)] != head:
            raise UserError(
                f"{letter!r} is not one token after {choices.prefill!r} for {subject.name}; choose other letters"
            )
        ids.append(whole[-1])
    return ids


def ordered_pairs(n: int) -> list[tuple[int, int]]:
    """All (first, second) of n items: n (n - 1)."""
    return [(i, j) for i in range(n) for j in range(n) if i != j]


def choice_probabilities(
    subject: Subject,
    choices: ChoiceSet,
    pairs: list[tuple[int, int]],
    conditions: list[Condition] | None = None,
    steered: list[set[int]] | None = None,
    layers=None,
    norms=None,
) -> np.ndarray:
    """P(first is chosen) for each pair, (conditions or 1, pairs): softmax over the two letters' logits.

    Under ``conditions[c]`` the tokens of the activities in ``steered[c]`` are steered wherever they stand in the
    prompt. Prompts with the same first activity and condition share what they have in common.
    """
    conditions_, steered = (conditions or [None]), (steered or [set()])
    spans_cache, prompts, group_conditions = {}, [], []
    group_of: dict[tuple, int] = {}
    slot, index = np.empty((len(conditions_), len(pairs)), dtype=int), {}
    for c, condition in enumerate(conditions_):
        for k, (i, j) in enumerate(pairs):
            hot = tuple(x in steered[c] for x in (i, j)) if condition else (False, False)
            # a prompt without a steered activity is the same under every condition: read once
            key = (c if any(hot) else None, i, j)
            if key not in index:
                if (i, j) not in spans_cache:
                    spans_cache[i, j] = choice_prompt(subject, choices, i, j)
                text, spans = spans_cache[i, j]
                g = group_of.setdefault((key[0], i, hot), len(group_of))
                if g == len(group_conditions):
                    group_conditions.append(condition if any(hot) else None)
                index[key] = len(prompts)
                prompts.append(Prompt(text, g, tuple(s for s, h in zip(spans, hot) if h)))
            slot[c, k] = index[key]
    logits = grouped_logits(subject, prompts, letter_tokens(subject, choices), group_conditions, layers, norms)
    p = 1 / (1 + np.exp(-(logits[:, 0].astype(np.float64) - logits[:, 1])))
    return p[slot]


def choice_prompt(subject: Subject, choices: ChoiceSet, i: int, j: int):
    """The prompt of a pair and the token spans of its two activities."""
    a, b = choices.activities[i], choices.activities[j]
    text = subject.prompt.chat(choices.choose.format(a=a, b=b), choices.prefill)
    first = span_of(subject, text, a)
    second = span_of(subject, text, b, 1 if b in a else 0)
    return text, (first, second)


def win_matrix(n: int, pairs: list[tuple[int, int]], p_first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order-averaged probability that i beats j, (n, n), and which pairs were played both ways, (n, n) bool."""
    m = np.full((n, n), np.nan)
    for (i, j), p in zip(pairs, p_first):
        m[i, j] = p
    return order_averaged(m), np.isfinite(m) & np.isfinite(m.T)


def elo(subject: Subject, choices: ChoiceSet) -> pd.DataFrame:
    """Baseline ratings over all ordered pairs: activity, category, elo; ``attrs`` keep wins and position bias."""
    pairs = ordered_pairs(len(choices.activities))
    p = choice_probabilities(subject, choices, pairs)[0]
    wins, _ = win_matrix(len(choices.activities), pairs, p)
    table = pd.DataFrame({"activity": choices.activities, "category": choices.categories, "elo": ratings(wins)})
    table.attrs |= {"wins": wins.tolist(), "first_chosen": float(p.mean()), "pairs": len(pairs)}
    return table


def activity_activations(subject: Subject, choices: ChoiceSet, layers=None) -> np.ndarray:
    """Mean activation over each activity's tokens in the feeling question, (activities, layers, width)."""
    texts = [subject.prompt.chat(choices.feel.format(x=x)) for x in choices.activities]
    spans = tuple(span_of(subject, t, x) for t, x in zip(texts, choices.activities))
    return pooled(subject, texts, Spans(spans), layers, progress=False)


def probe_correlations(acts: np.ndarray, vectors: EmotionVectors, layer: int, scores: np.ndarray) -> pd.Series:
    """Pearson r over activities between each emotion's probe at a layer and a score such as Elo; by emotion.

    ``acts`` (activities, width) at that layer.
    """
    probes = vectors.scores(acts, layer)
    z = (probes - probes.mean(0)) / probes.std(0)
    y = (scores - scores.mean()) / scores.std()
    return pd.Series(z.T @ y / len(y), index=vectors.emotions, name="r")


def thinned(choices: ChoiceSet, n: int) -> ChoiceSet:
    """About ``n`` of the activities, evenly spaced in their order, so that every category keeps its share."""
    step = max(1, len(choices.activities) // n)
    return replace(choices, activities=choices.activities[::step], categories=choices.categories[::step])


def half_split(choices: ChoiceSet, seed: int) -> set[int]:
    """Half of the activities, drawn within each category so that both halves hold every kind."""
    rng, chosen = np.random.default_rng(seed), set()
    for category in dict.fromkeys(choices.categories):
        members = [i for i, c in enumerate(choices.categories) if c == category]
        chosen.update(rng.permutation(members)[: (len(members) + 1) // 2].tolist())
    return chosen


def steered_pairs(n: int, hot: set[int], rivals: int | str, seed: int) -> list[tuple[int, int]]:
    """Ordered pairs of a steering experiment on n activities, of which ``hot`` are steered.

    ``rivals``: "all" pairs; "unsteered": each steered activity against every other half's; or how many of those it
    meets, drawn by ``seed``.
    """
    if rivals == "all":
        return ordered_pairs(n)
    rng, cold = np.random.default_rng([seed, 1]), sorted(set(range(n)) - hot)
    most = len(cold) if rivals == "unsteered" else rivals
    meets = {i: set(rng.permutation(cold)[:most].tolist()) for i in sorted(hot)}
    return [(i, j) for i, j in ordered_pairs(n) if j in meets.get(i, ()) or i in meets.get(j, ())]


def steering_shift(
    subject: Subject,
    choices: ChoiceSet,
    directions: dict[str, object],
    strength: float,
    layers,
    norms,
    seed: int = 0,
    rivals: int | str = "unsteered",
) -> pd.Series:
    """Mean Elo change of the steered half of the activities under each direction (name -> vector).

    The same pairs are rated with and without steering: see :func:`steered_pairs`.
    """
    n, hot = len(choices.activities), half_split(choices, seed)
    pairs = steered_pairs(n, hot, rivals, seed)
    conditions = [Condition(v, strength) for v in directions.values()]
    base = choice_probabilities(subject, choices, pairs)[0]
    wins, played = win_matrix(n, pairs, base)
    before = ratings(wins, played)
    shift = {}
    p = choice_probabilities(subject, choices, pairs, conditions, [hot] * len(conditions), layers, norms)
    for name, row in zip(directions, p):
        wins, _ = win_matrix(n, pairs, row)
        shift[name] = (ratings(wins, played) - before)[sorted(hot)].mean()
    return pd.Series(shift, name="elo_shift")
