"""Preferences between activities: forced A/B choices, Elo, what probes say of it, and steering (paper, section 2)."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.elo import Games, beaten, rating_intervals, ratings
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


def opening_of(subject: Subject, question: str, prefills, answers) -> tuple[str, list[int]]:
    """The first of ``prefills`` after which each of ``answers`` is one token of its own, and these tokens' ids.

    Some tokenisers write "(A" as one token, so that nothing can be read after "(". :class:`UserError` if no prefill
    serves.
    """
    for prefill in prefills:
        prompt = subject.prompt.chat(question, prefill)
        head, wholes = subject.encode(prompt), [subject.encode(prompt + answer) for answer in answers]
        if all(whole[:-1] == head for whole in wholes):
            return prefill, [whole[-1] for whole in wholes]
    raise UserError(
        f"{' or '.join(map(repr, answers))} is not one token after any of {prefills} for {subject.name}; "
        "choose other letters or prefills"
    )


def opening(subject: Subject, choices: ChoiceSet) -> tuple[str, list[int]]:
    """How the reply to a choice is begun, and the letters' token ids; see :func:`opening_of`."""
    key = subject.prompt  # with its tokeniser all that the answer hangs on
    if key not in choices.openings:
        question = choices.choose.format(a="x", b="y")
        choices.openings[key] = opening_of(subject, question, choices.prefills, choices.letters)
    return choices.openings[key]


def letter_tokens(subject: Subject, choices: ChoiceSet) -> list[int]:
    """Token ids of the two letters as they follow the prefill that :func:`opening` finds."""
    return opening(subject, choices)[1]


def ordered_pairs(n: int) -> list[tuple[int, int]]:
    """All (first, second) of n items: n (n - 1)."""
    return [(i, j) for i in range(n) for j in range(n) if i != j]


def balanced_pairs(n: int, opponents: int, seed: int = 0) -> list[tuple[int, int]]:
    """Ordered pairs in which each of n items meets about ``opponents`` others, all equally many, in both orders.

    The items stand in a seeded circle and meet those at a few seeded distances, one place on among them, so that no
    group of items plays apart from the rest.
    """
    if opponents >= n - 1:
        return ordered_pairs(n)
    rng = np.random.default_rng([seed, 2])
    circle, far = rng.permutation(n), rng.permutation(np.arange(2, (n + 1) // 2))
    steps = [1, *far[: max(0, opponents // 2 - 1)]]
    met = {(circle[k], circle[(k + s) % n]) for k in range(n) for s in steps}
    return sorted((int(i), int(j)) for pair in met for i, j in (pair, pair[::-1]))


@dataclass
class _Questions:
    """Prompts for :func:`grouped_logits`; ``slot[c, k]`` is the prompt of pair k under condition c."""

    prompts: list[Prompt]
    conditions: list[Condition | None]  # of each group
    slot: np.ndarray

    def ask(self, subject: Subject, token_ids, layers, norms) -> np.ndarray:
        """Logits after each prompt, float64 (prompts, tokens)."""
        return grouped_logits(subject, self.prompts, token_ids, self.conditions, layers, norms).astype(np.float64)


def _questions(subject: Subject, choices: ChoiceSet, pairs, conditions, steered) -> _Questions:
    """The prompts of all pairs under all conditions; those without a steered activity are read once.

    Prompts share what they have in common: the question's beginning and, where a first activity meets enough others
    for it to save tokens, that activity.
    """
    conditions, steered = (conditions or [None]), (steered or [set()])
    texts = {pair: choice_prompt(subject, choices, *pair) for pair in dict.fromkeys(pairs)}
    (start, end), meets = next(iter(texts.values()))[1][0], len(texts) / len({i for i, _ in texts})
    by_first = (meets - 1) * (end - start) > start
    prompts, group_conditions, group_of, index = [], [], {}, {}
    slot = np.empty((len(conditions), len(pairs)), dtype=int)
    for c, condition in enumerate(conditions):
        for k, pair in enumerate(pairs):
            hot = tuple(x in steered[c] for x in pair) if condition else (False, False)
            own = c if any(hot) else None
            if (own, pair) not in index:
                text, spans = texts[pair]
                # what is shared must be steered alike
                g = group_of.setdefault((own, hot, pair[0] if by_first else None), len(group_of))
                if g == len(group_conditions):
                    group_conditions.append(condition if any(hot) else None)
                index[own, pair] = len(prompts)
                prompts.append(Prompt(text, g, tuple(s for s, h in zip(spans, hot) if h)))
            slot[c, k] = index[own, pair]
    return _Questions(prompts, group_conditions, slot)


def letter_logits(
    subject: Subject,
    choices: ChoiceSet,
    pairs: list[tuple[int, int]],
    conditions: list[Condition] | None = None,
    steered: list[set[int]] | None = None,
    layers=None,
    norms=None,
) -> np.ndarray:
    """Logit in nats of the first activity's letter over the second's, float64 (conditions or 1, pairs).

    Under ``conditions[c]`` the tokens of the activities in ``steered[c]`` are steered wherever they stand in the
    prompt.
    """
    questions = _questions(subject, choices, pairs, conditions, steered)
    logits = questions.ask(subject, letter_tokens(subject, choices), layers, norms)
    return (logits[:, 0] - logits[:, 1])[questions.slot]


def choice_probabilities(subject: Subject, choices: ChoiceSet, pairs: list[tuple[int, int]], *steering) -> np.ndarray:
    """P(first is chosen) for each pair, (conditions or 1, pairs): softmax over the two letters' logits.

    ``steering`` as in :func:`letter_logits`.
    """
    return 1 / (1 + np.exp(-letter_logits(subject, choices, pairs, *steering)))


def letter_share(subject: Subject, choices: ChoiceSet, pairs: list[tuple[int, int]], *steering) -> np.ndarray:
    """P(the answer is one of the two letters at all), (conditions or 1, pairs); ``steering`` as above.

    Where it is small, the two letters' logits compare what the model would not say.
    """
    questions = _questions(subject, choices, pairs, *(steering[:2] or (None, None)))
    logits = questions.ask(subject, None, *(steering[2:] or (None, None)))
    letters = logits[:, letter_tokens(subject, choices)]
    return np.exp(logsumexp(letters, axis=1) - logsumexp(logits, axis=1))[questions.slot]


def choice_prompt(subject: Subject, choices: ChoiceSet, i: int, j: int):
    """The prompt of a pair and the token spans of its two activities."""
    a, b = choices.activities[i], choices.activities[j]
    text = subject.prompt.chat(choices.choose.format(a=a, b=b), opening(subject, choices)[0])
    first = span_of(subject, text, a)
    second = span_of(subject, text, b, 1 if b in a else 0)
    return text, (first, second)


def question_tokens(subject: Subject, choices: ChoiceSet) -> int:
    """Tokens of one question, that between the first two activities: what an estimate of minutes is made from."""
    return len(subject.encode(choice_prompt(subject, choices, 0, 1)[0]))


def play(subject: Subject, choices: ChoiceSet, pairs: list[tuple[int, int]]) -> Games:
    """The unsteered choices of these pairs."""
    return Games(len(choices.activities), pairs, letter_logits(subject, choices, pairs)[0])


def rated(choices: ChoiceSet, games: Games) -> pd.DataFrame:
    """Ratings of the activities: activity, category, elo, lo, hi (95 % over opponents), beaten (share of hard wins)."""
    wins, played = games.wins, games.played
    lo, hi = rating_intervals(wins, played).T
    hard = beaten(wins, choices.categories, played)
    columns = {"elo": ratings(wins, played), "lo": lo, "hi": hi, "beaten": hard}
    return pd.DataFrame({"activity": choices.activities, "category": choices.categories} | columns)


def elo(subject: Subject, choices: ChoiceSet) -> pd.DataFrame:
    """:func:`rated` over all ordered pairs."""
    return rated(choices, play(subject, choices, ordered_pairs(len(choices.activities))))


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
    """About ``n`` of the activities, equally many of every category, evenly spaced in their order."""
    kinds = list(dict.fromkeys(choices.categories))
    members = {kind: [i for i, c in enumerate(choices.categories) if c == kind] for kind in kinds}
    each = max(1, round(n / len(kinds)))
    kept = sorted({m[k * len(m) // each] for m in members.values() for k in range(each)})
    columns = {name: [getattr(choices, name)[i] for i in kept] for name in ("activities", "categories")}
    return replace(choices, **columns)


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


def activity_shifts(
    subject: Subject, choices: ChoiceSet, directions: dict[str, object], strength: float, layers, norms,
    seed: int = 0, rivals: int | str = "unsteered",
) -> pd.DataFrame:  # fmt: skip
    """Elo change of each steered activity (columns) under each direction (name -> vector; rows).

    Half of the activities are steered (:func:`half_split`); the same pairs (:func:`steered_pairs`) are rated with and
    without.
    """
    return _shifts(subject, choices, [(directions, layers)], strength, norms, seed, rivals)[0]


def _shifts(subject, choices, pushes, strength, norms, seed, rivals) -> list[pd.DataFrame]:
    """:func:`activity_shifts` of several ``(directions, layers)``, against one play without steering."""
    n, hot = len(choices.activities), half_split(choices, seed)
    pairs, mine = steered_pairs(n, hot, rivals, seed), sorted(hot)

    def rated_under(conditions, layers):
        logits = letter_logits(subject, choices, pairs, conditions, [hot] * len(conditions), layers, norms)
        return [ratings(g.wins, g.played) for g in (Games(n, pairs, row) for row in logits)]

    (before,), names = rated_under([None], pushes[0][1]), [choices.activities[i] for i in mine]
    tables = []
    for directions, layers in pushes:
        after = rated_under([Condition(v, strength) for v in directions.values()], layers)
        tables.append(pd.DataFrame([(x - before)[mine] for x in after], list(directions), names))
    return tables


def steering_shift(subject: Subject, choices: ChoiceSet, directions: dict[str, object], *args, **options) -> pd.Series:
    """Mean Elo change of the steered half of the activities under each direction; see :func:`activity_shifts`."""
    return activity_shifts(subject, choices, directions, *args, **options).mean(axis=1).rename("elo_shift")


def layer_bands(n_layers: int) -> list[list[int]]:
    """Bands of layers to steer: single ones of a shallow model, four at a time of a deep one.

    None is the last block alone: what is added there to an activity's tokens no later token can attend to.
    """
    step = 1 if n_layers <= 12 else 4
    return [list(range(k, min(k + step, n_layers))) for k in range(0, max(1, n_layers - 1), step)]


def scan_bands(
    subject: Subject, choices: ChoiceSet, vectors: EmotionVectors, strength: float, norms, rivals: int | str,
    pair: tuple[str, str] = ("blissful", "hostile"), seed: int = 100,
) -> tuple[pd.DataFrame, list[int]]:  # fmt: skip
    """Elo shift under each of ``pair`` by band (index: its first layer), and the band that parts the two most.

    Meant for one split of the activities (``seed``); report on others. Bands with layers that ``vectors`` lack are
    left out.
    """
    bands = [band for band in layer_bands(subject.n_layers) if set(band) <= set(vectors.layers)]
    if not bands:
        raise UserError("the vectors hold no whole band of layers to steer; extract them at all layers")
    pushes = [(vectors.band(pair, band), band) for band in bands]
    found = _shifts(subject, choices, pushes, strength, norms, seed, rivals)
    table = pd.DataFrame({band[0]: t.mean(axis=1) for band, t in zip(bands, found)}).T
    return table, bands[int((table[pair[0]] - table[pair[1]]).to_numpy().argmax())]
