"""What a subject does in a scenario, and how steering changes it (paper, section 5)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp, softmax

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.shared_prefix import grouped_log_probs
from emotion_concepts.lm.steering import Condition, stack, steer
from emotion_concepts.lm.subject import Subject
from emotion_concepts.statistics import bootstrap_ci, wilson


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

    ``p`` (conditions, scenarios, acts) is the sum over an act's wordings divided by that over all acts; ``covered``
    (conditions, scenarios) is the probability of all listed wordings before the division: how much of what the subject
    may answer they are. ``conditions`` steer all tokens; None is the unsteered subject.
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


def dose_response(
    subject: Subject, scenarios: list[Scenario], act: str, directions: dict, strengths, layers, norms
) -> pd.DataFrame:
    """Mean probability of ``act`` for each direction and strength: direction, strength, p, lo, hi, covered, items.

    ``directions``: name -> vector (width,) or dict layer -> (width,). Strength 0 stands in every curve. ``items`` holds
    the probability in each scenario.
    """
    points = [(name, s) for name in directions for s in sorted({0.0, *strengths})]
    conditions = [Condition(directions[name], s) if s else None for name, s in points]
    acts, p, covered = act_probabilities(subject, scenarios, conditions, layers, norms)
    rows = []
    for (name, strength), column, seen in zip(points, p[:, :, acts.index(act)], covered):
        e = bootstrap_ci(column)
        rows.append(
            {"direction": name, "strength": strength, "p": e.value, "lo": e.lo, "hi": e.hi, "covered": seen.mean(),
             "items": column}
        )  # fmt: skip
    return pd.DataFrame(rows)


def response(
    subject: Subject, situation, act: str, directions: dict, strengths, layers, norms, items=None, n: int = 200,
    seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """:func:`dose_response` of a :class:`~.situations.Situation` over the messages ``items`` (default all).

    Exact where the subject's world is known, else :func:`sampled_response`.
    """
    items = list(range(len(situation.messages))) if items is None else list(items)
    if situation.scenarios is not None:
        scenarios = [situation.scenarios[i] for i in items]
        return dose_response(subject, scenarios, act, directions, strengths, layers, norms)
    return sampled_response(subject, situation, act, directions, strengths, layers, norms, items, n, seed)


def sampled_response(
    subject: Subject, situation, act: str, directions: dict, strengths, layers, norms, items, n: int = 200,
    seed: int = 0, max_new_tokens: int = 600,
) -> pd.DataFrame:  # fmt: skip
    """The same from ``n`` rollouts a point, with Wilson intervals; ``items`` are then the rollouts, 1 for the act.

    ``covered`` is the share of replies that did something at all (not "neither").
    """
    points = [(name, s) for name in directions for s in sorted({0.0, *strengths})]
    conditions = [Condition(directions[name], s) if s else None for name, s in points]
    messages = [situation.messages[i] for i in items]
    told = rollouts(
        subject, messages, n, lambda reply, m: situation.read(reply, items[m]), conditions, layers, norms,
        max_new_tokens, seed,
    )  # fmt: skip
    rows = []
    for c, (name, strength) in enumerate(points):
        outcomes = _decided(told.outcome[told.condition == c], f" under {name} at {strength}")
        did = (outcomes == act).to_numpy()
        e = wilson(int(did.sum()), len(did))
        rows.append(
            {"direction": name, "strength": strength, "p": e.value, "lo": e.lo, "hi": e.hi,
             "covered": (outcomes != "neither").mean(), "items": did.astype(float)}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _decided(outcomes: pd.Series, where: str = "") -> pd.Series:
    """Outcomes without those that a judge left open, which belong in no rate; :class:`UserError` if none is left."""
    outcomes = outcomes[outcomes.notna()]
    if outcomes.empty:
        raise UserError(f"no reply{where} could be judged; see the judge's table, then run again")
    return outcomes


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
    subject: Subject, situation, messages: list[str], items: list[int], n: int = 200, seed: int = 0
) -> float:
    """Rate of the situation's harm when its messages ``items`` are told in other words, ``messages``."""
    exact = harm_probabilities(subject, situation, messages, items)
    if exact is not None:
        return float(exact.mean())
    found = rollouts(
        subject,
        messages,
        n,
        lambda reply, m: situation.read(reply, items[m % len(items)]),
        max_new_tokens=600,
        seed=seed,
    )
    return float((_decided(found.outcome) == situation.harm).mean())


def curve(table: pd.DataFrame, direction: str, column: str = "p") -> pd.Series:
    """Probability by strength of one direction of a response table; ``column`` "lo" or "hi": its bound."""
    return table[table.direction == direction].set_index("strength")[column]


def contrast(table: pd.DataFrame, direction: str, strength: float, stat=lambda x: x[:, 1].mean() - x[:, 0].mean()):
    """``stat`` of the paired items (n, 2) at strength 0 and at ``strength``, with interval over items.

    Default: the rise of the probability.
    """
    items = curve(table, direction, "items")
    return bootstrap_ci(np.stack([items[0.0], items[strength]], 1), stat)


def rollouts(
    subject: Subject, messages: list[str], n: int, read, conditions: list[Condition | None] | None = None, layers=None,
    norms=None, max_new_tokens: int = 120, seed: int = 0, progress: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """``n`` sampled replies for each condition, messages in turn: condition, message, reply, outcome = ``read(reply)``.

    Conditions share batches and a message is read once for each of them; they steer all tokens, prompt and reply.
    Reply k of every condition uses the same message.
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

    table["reply"] = generate(
        subject, prompts, max_new_tokens, seed=seed, steering=steering if layers else None,
        alike=list(table.condition), progress=progress,
    )  # fmt: skip
    table["outcome"] = [read(reply, m) for reply, m in zip(table.reply, table.message)]
    return table
