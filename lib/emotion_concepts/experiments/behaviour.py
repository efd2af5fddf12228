"""What a subject does in a situation, and how steering changes it (paper, section 5)."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.prompts import PLAIN
from emotion_concepts.lm.shared_prefix import grouped_log_probs
from emotion_concepts.lm.steering import Condition, stack, steer
from emotion_concepts.lm.subject import Subject
from emotion_concepts.statistics import Estimate, bootstrap_ci, wilson

NEXT_TURN = re.compile(rf"\n+(?:{'|'.join(PLAIN.values())}):")
ROOM = (0.05, 0.60)  # base rates between which an act can be seen to become more and less frequent


@dataclass(frozen=True)
class Scenario:
    """A user message and the wordings of each act that may answer it, act -> texts."""

    message: str
    acts: dict[str, tuple[str, ...]]


def act_probabilities(
    subject: Subject,
    scenarios: list[Scenario],
    conditions: list[Condition | None] | None = None,
    layers=None,
    norms=None,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Exact probability of each act by log-likelihood: (act names, p, covered).

    ``p`` (conditions, scenarios, acts) is the sum over an act's wordings divided by that over all acts: conditional on
    acting in a listed wording. ``covered`` (conditions, scenarios) is the probability of all listed wordings before
    the division: how much of what the subject may answer they are. ``conditions`` steer all tokens; None is the
    unsteered subject.
    """
    conditions = conditions or [None]
    acts = list(scenarios[0].acts)
    prompts = [subject.prompt.chat(s.message) for s in scenarios]
    texts = [[" " + t for act in acts for t in s.acts[act]] for s in scenarios]
    found = grouped_log_probs(
        subject, prompts * len(conditions), texts * len(conditions), [c for c in conditions for _ in scenarios], layers,
        norms,
    )  # fmt: skip
    p = np.empty((len(conditions), len(scenarios), len(acts)))
    covered = np.empty(p.shape[:2])
    for k, logp in enumerate(found):
        c, s = divmod(k, len(scenarios))
        ends = np.cumsum([len(scenarios[s].acts[a]) for a in acts])[:-1]
        by_act = np.array([logsumexp(part) for part in np.split(logp, ends)])
        p[c, s], covered[c, s] = softmax(by_act), np.exp(logsumexp(by_act))
    return acts, p, covered


def harm_rates(
    subject: Subject, situation, items: list[int], conditions: list[Condition | None], layers, norms
) -> np.ndarray:
    """Exact rate of the situation's harm under each condition, mean over its messages ``items``, (conditions,)."""
    told = [situation.scenarios[i] for i in items]
    acts, p, _ = act_probabilities(subject, told, conditions, layers, norms)
    return p[:, :, acts.index(situation.harm)].mean(1)


def rollouts(
    subject: Subject, messages: list[str], n: int, read: Callable, conditions: list[Condition | None] | None = None,
    layers=None, norms=None, max_new_tokens: int = 120, seed: int = 0, progress: bool = True, temperature: float = 1.0,
) -> pd.DataFrame:  # fmt: skip
    """``n`` sampled replies for each condition, messages in turn: condition, message, reply, outcome.

    ``read(replies, message numbers)`` names all outcomes at once, when everything is written. Conditions share batches
    and a message is read once for each of them; they steer all tokens, prompt and reply. Reply k of every condition
    uses the same message.
    """
    conditions = conditions or [None]
    if layers is None and any(conditions):
        raise UserError("conditions need layers to be steered in; name at least one")
    table = pd.DataFrame(
        [{"condition": c, "message": k % len(messages)} for c in range(len(conditions)) for k in range(n)]
    )
    prompts = [subject.prompt.chat(messages[m]) for m in table.message]
    layers = list(layers) if layers is not None else []

    def steering(rows, lengths, width):
        return steer(
            subject, *stack([conditions[table.condition[i]] for i in rows], layers, subject.width), layers, norms
        )

    replies = generate(
        subject, prompts, max_new_tokens, temperature, seed, steering=steering if layers else None,
        alike=list(table.condition), progress=progress,
    )  # fmt: skip
    if not subject.prompt.has_template:  # nothing ends a turn there, and the model goes on to write the next one
        replies = [NEXT_TURN.split(r)[0].strip() for r in replies]
    table["reply"] = replies
    table["outcome"] = read(replies, list(table.message))
    return table


def acted(subject: Subject, situation, items: list[int], messages: list[str] | None = None, **options) -> pd.DataFrame:
    """:func:`rollouts` of a situation's messages ``items``, one column more for each of its ``marks``.

    ``messages``: the same told in other words, in one or several versions of all of them.
    """
    messages = [situation.messages[i] for i in items] if messages is None else messages
    table = rollouts(
        subject, messages, read=lambda replies, ms: situation.outcomes(replies, [items[m % len(items)] for m in ms]),
        progress=False, temperature=situation.temperature, **options,
    )  # fmt: skip
    for name, rule in situation.marks.items():
        table[name] = [o is not None and rule(r, o) for r, o in zip(table.reply, table.outcome)]
    return table


def did(table: pd.DataFrame, act: str) -> np.ndarray:
    """1.0 for each reply that did ``act``, an outcome or a mark, 0.0 for others, NaN for those a judge left open."""
    done = table[act] if act in table.columns else table.outcome == act
    return np.where(table.outcome.isna(), np.nan, done.astype(float))


def rate(done: np.ndarray, where: str = "") -> Estimate:
    """Share with its Wilson interval, without replies that a judge left open; :class:`UserError` where none is left."""
    done = done[~np.isnan(done)]
    if not len(done):
        raise UserError(f"no reply{where} could be judged; see the judge's table, then run again")
    return wilson(int(done.sum()), len(done))


def has_room(subject: Subject, base_rate: float) -> bool:
    """Whether an act of this base rate could be seen to change; always for a subject whose acts have exact rates."""
    return subject.world is not None or ROOM[0] <= base_rate <= ROOM[1]


def responses(
    subject: Subject, situation, directions: dict, strengths, layers, norms, items=None, n: int = 200, seed: int = 0,
    max_new_tokens: int = 600, rest: pd.DataFrame | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rate of every act for each direction and strength: act, direction, strength, p, lo, hi, covered, items.

    ``directions``: name -> vector (width,) or dict layer -> (width,); strength 0 stands in every curve, measured once.
    Over the messages ``items`` (default all): exact where the subject's world is known (``items`` holds the
    probability in each scenario, the interval is over scenarios), else :func:`sampled_responses`.
    """
    items = list(range(len(situation.messages))) if items is None else list(items)
    if situation.scenarios is None:
        return sampled_responses(
            subject, situation, directions, strengths, layers, norms, items, n, seed, max_new_tokens, rest
        )
    points, conditions = _points(directions, strengths)
    acts, p, covered = act_probabilities(subject, [situation.scenarios[i] for i in items], conditions, layers, norms)
    rates = {(a, c): bootstrap_ci(p[c, :, k]) for k, a in enumerate(acts) for c in range(len(conditions))}
    return pd.DataFrame(
        [_row(a, point, rates[a, c], covered[c].mean(), p[c, :, acts.index(a)]) for a in acts for c, point in points]
    )


def sampled_responses(
    subject: Subject, situation, directions: dict, strengths, layers, norms, items, n: int = 200, seed: int = 0,
    max_new_tokens: int = 600, rest: pd.DataFrame | None = None,
) -> pd.DataFrame:  # fmt: skip
    """:func:`responses` from ``n`` rollouts a point, with Wilson intervals.

    ``items`` are then the rollouts, as :func:`did` has them; ``covered`` is the share of replies that did something at
    all (not "neither"). ``rest``: replies at strength 0 (of :func:`acted`) that are already there.
    """
    points, conditions = _points(directions, strengths)
    table = acted(
        subject, situation, items, n=n, conditions=conditions[0 if rest is None else 1 :], layers=layers, norms=norms,
        max_new_tokens=max_new_tokens, seed=seed,
    )  # fmt: skip
    parts = [] if rest is None else [rest]
    parts += [part for _, part in table.groupby("condition")]
    return pd.DataFrame(
        [
            _row(act, point, rate(did(parts[c], act), f" under {point[0]} at {point[1]}"),
                 (parts[c].outcome.dropna() != "neither").mean(), did(parts[c], act))
            for act in (*situation.acts, *situation.marks) for c, point in points
        ]
    )  # fmt: skip


def _points(directions: dict, strengths) -> tuple[list[tuple[int, tuple[str, float]]], list[Condition | None]]:
    """(number of the condition, (direction, strength)) of every point of all curves, and the conditions, rest first."""
    conditions, points = [None], []
    for name, vector in directions.items():
        for s in sorted({0.0, *strengths}):
            points.append((len(conditions) if s else 0, (name, s)))
            conditions += [Condition(vector, s)] if s else []
    return points, conditions


def _row(act: str, point: tuple[str, float], e: Estimate, covered: float, items: np.ndarray) -> dict:
    return {
        "act": act, "direction": point[0], "strength": point[1], "p": e.value, "lo": e.lo, "hi": e.hi,
        "covered": covered, "items": items,
    }  # fmt: skip


def response(subject: Subject, situation, act: str, *args, **options) -> pd.DataFrame:
    """:func:`responses` of one act."""
    table = responses(subject, situation, *args, **options)
    return table[table.act == act].reset_index(drop=True)


def harm_probabilities(subject: Subject, situation, messages: list[str], items: list[int]) -> np.ndarray | None:
    """Exact probability of the situation's harm after its messages ``items`` told in other words, (messages,).

    None where the subject's world is not known.
    """
    if situation.scenarios is None:
        return None
    asked = list(zip(messages, items, strict=True))
    once = list(dict.fromkeys(asked))
    acts, p, _ = act_probabilities(subject, [Scenario(m, situation.scenarios[i].acts) for m, i in once])
    known = dict(zip(once, p[0, :, acts.index(situation.harm)]))
    return np.array([known[k] for k in asked])


def level_rate(
    subject: Subject, situation, messages: list[str], items: list[int], n: int = 200, seed: int = 0,
    max_new_tokens: int = 600,
) -> float:  # fmt: skip
    """Rate of the situation's harm when its messages ``items`` are told in other words, ``messages``."""
    exact = harm_probabilities(subject, situation, messages, items)
    if exact is not None:
        return float(exact.mean())
    table = acted(subject, situation, items, messages, n=n, max_new_tokens=max_new_tokens, seed=seed)
    return rate(did(table, situation.harm)).value


def curve(table: pd.DataFrame, direction: str, column: str = "p") -> pd.Series:
    """Probability by strength of one direction of one act's table; ``column`` "lo" or "hi": its bound."""
    return table[table.direction == direction].set_index("strength")[column]


def contrast(table: pd.DataFrame, direction: str, strength: float, stat=lambda x: x[:, 1].mean() - x[:, 0].mean()):
    """``stat`` of the paired items (n, 2) at strength 0 and at ``strength``, with interval over items.

    Default: the rise of the probability. A reply that a judge left open goes, and its partner with it.
    """
    items = curve(table, direction, "items")
    k = min(len(items[0.0]), len(items[strength]))
    pairs = np.stack([items[0.0][:k], items[strength][:k]], 1)
    pairs = pairs[~np.isnan(pairs).any(1)]
    if not len(pairs):
        raise UserError(f"no pair of replies under {direction} at {strength} could be judged; see the judge's table")
    return bootstrap_ci(pairs, stat)
