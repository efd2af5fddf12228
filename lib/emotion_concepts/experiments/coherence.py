"""Whether a steered model still speaks its language: perplexity and repetition at each strength."""

from collections import Counter

import numpy as np
import pandas as pd

from ..generation import generate
from ..models import Subject
from ..scoring import perplexity
from ..steering import steer

GRAM = 4  # words; a loop of any length repeats its own four-word pieces


def repetition(text: str, n: int = GRAM) -> float:
    """Share of a text's n-word pieces that it already held, 0..1; 0 where the text is shorter."""
    words = text.split()
    pieces = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return 1 - len(pieces) / pieces.total() if pieces else 0.0


def coherence(
    subject: Subject, directions: dict, strengths, layers, norms, texts: list[str], prompts: list[str], seed: int = 0,
    max_new_tokens: int = 60,
) -> pd.DataFrame:  # fmt: skip
    """Median perplexity of ``texts`` and mean repetition of replies to ``prompts``, steered on all tokens.

    ``directions``: name -> vector as in :func:`~emotion_concepts.steering.steer`; ``strengths``: fractions of the mean
    residual norm. One row for each direction and strength, the unsteered model (strength 0) among them.
    """
    rows = []
    for name, vector in directions.items():
        for strength in dict.fromkeys([0.0, *strengths]):

            def context(*_, vector=vector, strength=strength):
                return steer(subject, vector, strength, layers, norms)

            with context():
                nats = np.log(perplexity(subject, texts))
            replies = generate(subject, prompts, max_new_tokens, seed=seed, steering=context, progress=False)
            rows.append(
                {
                    "direction": name,
                    "strength": strength,
                    "perplexity": float(np.exp(np.median(nats))),
                    "repetition": float(np.mean([repetition(r) for r in replies])),
                }
            )
    return pd.DataFrame(rows)
