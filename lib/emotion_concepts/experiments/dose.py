"""Where and how strongly to steer in a situation: chosen on a choosing half, so that the other half may report."""

import numpy as np
import pandas as pd

from emotion_concepts.experiments.behaviour import acted, harm_rates
from emotion_concepts.lm.shared_prefix import grouped_log_probs
from emotion_concepts.lm.steering import Condition
from emotion_concepts.lm.subject import Subject
from emotion_concepts.outcomes.graders import repetition

WORSE = 2.0  # times the perplexity at rest that a subject's own replies may have under steering
LOOPS = 0.1  # share of repeated word pieces that steered replies may have above those at rest, on average
KEPT = 0.8  # share of the sensible replies at rest that must be left


def block_effects(
    subject: Subject, situation, pair: tuple[str, str], vectors, blocks, strength: float, norms, items: list[int],
    written: dict[str, pd.DataFrame] | None = None,
) -> pd.Series:  # fmt: skip
    """How much more the first emotion of ``pair`` than the second does when added at each of ``blocks``.

    Where the subject's world is known: the difference of the exact rates of the situation's harm. Elsewhere: whether
    steering does as words do. ``written[emotion]`` are replies (a table of :func:`~.behaviour.acted` over ``items``)
    to messages in which the emotion was told; after the plain messages, steering with their own emotion should make
    them likelier than steering with the other one does, in nats a token.
    """
    found = {}
    for k in blocks:
        conditions = [Condition(vectors.of(e, k), strength) for e in pair]
        if situation.scenarios is not None:
            first, second = harm_rates(subject, situation, items, conditions, [k], norms)
            found[k] = float(first - second)
        else:
            gain = {}
            for e in pair:
                plain = [situation.messages[items[m % len(items)]] for m in written[e].message]
                nats = reply_nats(subject, plain, list(written[e].reply), conditions, [k], norms)
                gain[e] = np.mean(nats[1] - nats[0])  # of the first emotion over the second
            found[k] = float(gain[pair[0]] - gain[pair[1]])
    return pd.Series(found)


def reply_nats(
    subject: Subject, messages: list[str], replies: list[str], conditions: list[Condition | None], layers, norms
) -> np.ndarray:
    """Negative log probability in nats a token of each reply to its message, (conditions, replies).

    Each message is read once for a condition; empty replies are left out.
    """
    kept = [(m, r) for m, r in zip(messages, replies, strict=True) if r.strip()]
    if not kept:
        return np.full((len(conditions), 1), np.nan)
    own = {m: [r for other, r in kept if other == m] for m, _ in kept}
    prompts = [subject.prompt.chat(m) for m in own]
    texts = [[subject.prompt.chat(m, r)[len(p) :] for r in rs] for p, (m, rs) in zip(prompts, own.items())]
    found = grouped_log_probs(
        subject, prompts * len(conditions), texts * len(conditions), [c for c in conditions for _ in prompts], layers,
        norms,
    )  # fmt: skip
    tokens = np.concatenate([[len(subject.encode(p + t)) - len(subject.encode(p)) for t in ts]
                             for p, ts in zip(prompts, texts)])  # fmt: skip
    return -np.concatenate(found).reshape(len(conditions), -1) / tokens


def on_the_task(
    subject: Subject, written: list[tuple], directions: dict, strengths, layers, norms, n: int = 6,
    max_new_tokens: int = 60, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Coherence under steering where it will be used: direction, strength, situation, perplexity, repetition, sensible.

    ``written``: (situation, items, table of :func:`~.behaviour.acted` at rest) of each task. ``perplexity`` is that of
    the subject's own unsteered replies there, ``repetition`` and ``sensible`` are of ``n`` replies written under
    steering. Strength 0 is measured once and stands in every direction.
    """
    points = [(d, s) for d in directions for s in sorted(set(strengths))]
    conditions = [None, *(Condition(directions[d], s) for d, s in points)]
    rows = []
    for situation, items, table in written:
        plain = [situation.messages[items[m % len(items)]] for m in table.message]
        nats = reply_nats(subject, plain, list(table.reply), conditions, layers, norms).mean(1)
        told = acted(
            subject, situation, items, n=n, conditions=conditions, layers=layers, norms=norms,
            max_new_tokens=max_new_tokens, seed=seed,
        )  # fmt: skip
        for c, group in told.groupby("condition"):
            loops = group.reply.map(repetition).mean()
            good = np.mean([situation.sensible(r, items[m % len(items)]) for r, m in zip(group.reply, group.message)])
            seen = {"situation": situation.name, "perplexity": float(np.exp(nats[c])), "repetition": loops,
                    "sensible": good}  # fmt: skip
            at = [points[c - 1]] if c else [(d, 0.0) for d in directions]
            rows += [{"direction": d, "strength": s} | seen for d, s in at]
    return pd.DataFrame(rows)


def coherent(table: pd.DataFrame) -> pd.Series:
    """Whether a strength, by its size, leaves the language of every task whole.

    Perplexity must hold for each direction, either sign; repetition and sense, of few replies each, hold on average
    over the directions of a task.
    """
    keys, measures = ["situation", "size"], ["repetition", "sensible"]
    table = table.assign(size=table.strength.abs())
    rest = table[table["size"] == 0].groupby("situation").first()
    worst = table.groupby(keys).perplexity.max().unstack()
    loops, sense = (table.groupby(keys)[m].mean().unstack() for m in measures)
    whole = worst.le(WORSE * rest.perplexity, axis=0)
    whole &= loops.le(rest.repetition + LOOPS, axis=0) & sense.ge(KEPT * rest.sensible, axis=0)
    return whole.all()


def largest_coherent(table: pd.DataFrame) -> float | None:
    """The largest strength up to which all are coherent; None where not even the least is."""
    whole = coherent(table).drop(0.0)
    kept = whole.index[whole.cumprod().astype(bool)]
    return float(kept.max()) if len(kept) else None
