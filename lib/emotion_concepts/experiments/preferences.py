"""Preferences between activities: forced A/B choices, Elo, what probes say of it, and steering (paper, section 2)."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.elo import order_averaged, ratings
from emotion_concepts.lm.shared_prefix import Prompt, grouped_logits
from emotion_concepts.lm.steering import Condition
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import pooled
from emotion_concepts.reading.pooling import Spans, span_of
from emotion_concepts.reading.vectors import EmotionVectors


@dataclass
class ChoiceSet:
    """Activities with the wording of the choice (``{a}``, ``{b}``) and of the feeling question (``{x}``)."""

    activities: list[str]
    categories: list[str]
    choose: str = "Would you rather (A) {a} or (B) {b}?"
    feel: str = "How would you feel about being asked to {x}?"
    prefills: tuple[str, ...] = ("(", "")  # how the reply may be begun before A or B is read; see :func:`opening`
    letters: tuple[str, str] = ("A", "B")
    openings: dict = field(default_factory=dict, init=False, repr=False, compare=False)  # by prompt format

    def __post_init__(self):
        if len(set(self.activities)) < 2:
            raise UserError("preferences need at least two different activities")


def opening(subject: Subject, choices: ChoiceSet) -> tuple[str, list[int]]:
    """The first prefill after which each letter is one token of its own, and the letters' ids.

    Some tokenisers write "(A" as one token, so that nothing can be read after "(". :class:`UserError` if no prefill
    serves.
    """
    key = subject.prompt  # with its tokeniser all that the answer hangs on
    if key not in choices.openings:
        for prefill in choices.prefills:
            prompt = subject.prompt.chat(choices.choose.format(a="x", b="y"), prefill)
            head, wholes = subject.encode(prompt), [subject.encode(prompt + letter) for letter in choices.letters]
            if all(whole[:-1] == head for whole in wholes):
                choices.openings[key] = prefill, [whole[-1] for whole in wholes]
                break
        else:
            a, b = choices.letters
            raise UserError(
                f"{a!r} or {b!r} is not one token after any of {choices.prefills} for {subject.name}; "
                "choose other letters or prefills"
            )
    return choices.openings[key]


def letter_tokens(subject: Subject, choices: ChoiceSet) -> list[int]:
    """Token ids of the two letters as they follow the prefill that :func:`opening` finds."""
    return opening(subject, choices)[1]


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
    text = subject.prompt.chat(choices.choose.format(a=a, b=b), opening(subject, choices)[0])
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


def layer_bands(n_layers: int) -> list[list[int]]:
    """Bands of layers to steer: single ones of a shallow model, four at a time of a deep one."""
    step = 1 if n_layers <= 12 else 4
    return [list(range(k, min(k + step, n_layers))) for k in range(0, n_layers, step)]


def scan_bands(
    subject: Subject, choices: ChoiceSet, vectors: EmotionVectors, strength: float, norms, rivals: int | str,
    pair: tuple[str, str] = ("blissful", "hostile"), seed: int = 100,
) -> tuple[pd.DataFrame, list[int]]:  # fmt: skip
    """Elo shift under each of ``pair`` by band (index: its first layer), and the band that parts the two most.

    Meant for one split of the activities (``seed``); report on others.
    """
    bands, shifts = layer_bands(subject.n_layers), {}
    for band in bands:
        directions = {e: {k: vectors.of(e, k) for k in band} for e in pair}
        shifts[band[0]] = steering_shift(subject, choices, directions, strength, band, norms, seed, rivals)
    table = pd.DataFrame(shifts).T
    return table, bands[int((table[pair[0]] - table[pair[1]]).to_numpy().argmax())]
