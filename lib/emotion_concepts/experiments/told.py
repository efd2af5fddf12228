"""Feelings told in words before a message: the positive control of steering.

Where words do not move an act, a vector that fails to move it shows nothing about vectors.
"""

import numpy as np
import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.behaviour import Scenario, act_probabilities, acted, did, rate
from emotion_concepts.lm.subject import Subject
from emotion_concepts.statistics import Estimate, bootstrap_ci

REST = "(none)"  # the feeling of a message in which none is told


def told_responses(
    subject: Subject, situation, feelings: list[str], items: list[int], rest: pd.DataFrame | None = None, n: int = 200,
    seed: int = 0, max_new_tokens: int = 600,
) -> pd.DataFrame:  # fmt: skip
    """Rate of every act when a feeling is told in words: act, feeling, p, lo, hi, items (one value an item).

    The feeling "(none)" is the message alone. Over the messages ``items``: exact where the subject's world is known,
    else from ``n`` replies a feeling; ``rest`` are then replies to the plain messages (of
    :func:`~.behaviour.acted`) that are already there.
    """
    versions = {REST: situation.messages} | {e: situation.told[e] for e in feelings}
    if situation.scenarios is not None:
        told = [Scenario(texts[i], situation.scenarios[i].acts) for texts in versions.values() for i in items]
        acts, p, _ = act_probabilities(subject, told)
        done = {a: np.split(p[0, :, k], len(versions)) for k, a in enumerate(acts)}
        found = {a: [bootstrap_ci(x) for x in xs] for a, xs in done.items()}
    else:
        new = list(versions)[1 if rest is not None else 0 :]
        messages = [versions[e][i] for e in new for i in items]
        table = acted(
            subject, situation, items, messages, n=n * len(new), max_new_tokens=max_new_tokens, seed=seed
        )  # fmt: skip
        parts = [rest] if rest is not None else []
        parts += [part for _, part in table.groupby(table.message // len(items))]
        done = {a: [did(part, a) for part in parts] for a in (*situation.acts, *situation.marks)}
        found = {a: [rate(x) for x in xs] for a, xs in done.items()}
    return pd.DataFrame(
        [
            {"act": a, "feeling": f, "p": e.value, "lo": e.lo, "hi": e.hi, "items": x}
            for a in done for f, e, x in zip(versions, found[a], done[a])
        ]
    )  # fmt: skip


def told_contrast(table: pd.DataFrame, act: str, more: str, less: str) -> Estimate:
    """Rate of an act under one feeling told minus that under another, with interval over items.

    Paired by message; replies that a judge left open go. :class:`UserError` where none is left.
    """
    items = table[table.act == act].set_index("feeling")["items"]
    n = min(len(items[more]), len(items[less]))
    pairs = np.stack([items[more][:n], items[less][:n]], 1)
    pairs = pairs[~np.isnan(pairs).any(1)]
    if not len(pairs):
        raise UserError(f"no pair of replies under {more} and {less} could be judged; see the judge's table")
    return bootstrap_ci(pairs, lambda x: x[:, 0].mean() - x[:, 1].mean())
