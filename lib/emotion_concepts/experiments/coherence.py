"""Whether a steered model still speaks its language: perplexity and repetition at each strength."""

import numpy as np
import pandas as pd

from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.scoring import perplexity
from emotion_concepts.lm.steering import Condition, stack, steer
from emotion_concepts.lm.subject import Subject
from emotion_concepts.outcomes.graders import repetition


def coherence(
    subject: Subject, directions: dict, strengths, layers, norms, texts: list[str], prompts: list[str], seed: int = 0,
    max_new_tokens: int = 60,
) -> pd.DataFrame:  # fmt: skip
    """Median perplexity of ``texts`` and mean repetition of replies to ``prompts``, steered on all tokens.

    ``directions``: name -> vector as in :func:`~emotion_concepts.lm.steering.steer`; ``strengths``: shares of the mean
    residual norm, either sign. One row for each direction and strength, the unsteered model (strength 0) among them.
    Conditions share batches.
    """
    points = [(name, s) for name in directions for s in dict.fromkeys([0.0, *strengths])]
    conditions = [Condition(directions[name], s) if s else None for name, s in points]

    def under(items):
        """Steering for a list that holds ``items`` once for each point, one point after the other."""

        def context(rows, lengths, width):
            chosen = [conditions[i // len(items)] for i in rows]
            return steer(subject, *stack(chosen, layers, subject.width), layers, norms)

        return context

    seen = perplexity(subject, texts * len(points), under(texts)).reshape(len(points), -1)
    middle = np.exp(np.median(np.log(seen), 1)).tolist()
    same = [k for k in range(len(points)) for _ in prompts]
    replies = generate(
        subject, prompts * len(points), max_new_tokens, seed=seed, steering=under(prompts), alike=same, progress=False
    )
    loops = np.array([repetition(r) for r in replies]).reshape(len(points), -1)
    return pd.DataFrame(
        [
            {"direction": name, "strength": s, "perplexity": p, "repetition": float(r.mean())}
            for (name, s), p, r in zip(points, middle, loops)
        ]
    )
