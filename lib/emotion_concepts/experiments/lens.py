"""What a vector says in words: the logit lens, and the words it makes likelier when steered (paper, section 1)."""

import numpy as np
import pandas as pd

from emotion_concepts.lm.scoring import next_logits
from emotion_concepts.lm.steering import steer
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.texts.published import kin


def first_tokens(subject: Subject, word: str) -> set[int]:
    """First token ids of a word as it stands in running text or at a sentence's start."""
    head = subject.encode("It is")
    forms = (" " + word, " " + word.capitalize(), word, word.capitalize())
    ids = {subject.tokenizer(f, add_special_tokens=False)["input_ids"][0] for f in forms[2:]}
    return ids | {subject.encode("It is" + f)[len(head)] for f in forms[:2]}


def top_words(subject: Subject, vectors: np.ndarray, k: int = 10) -> list[list[tuple[int, str]]]:
    """For each direction (n, width), the k tokens whose unembedding it raises most: (id, text)."""
    table = subject.unembedding.detach().float().cpu().numpy()
    scores = vectors @ (table - table.mean(0)).T
    order = np.argsort(-scores, axis=1)[:, :k]
    return [[(int(i), subject.tokenizer.decode([int(i)])) for i in row] for row in order]


def logit_lens(subject: Subject, vectors: EmotionVectors, layer: int, emotions, k: int = 10) -> pd.DataFrame:
    """Per emotion: its top tokens, whether its own word's first token is among them, or that of a kin's word."""
    rows = []
    every = top_words(subject, np.stack([vectors.of(e, layer) for e in emotions]), k)
    for e, top in zip(emotions, every):
        ids = [i for i, _ in top]
        own = first_tokens(subject, e)
        family = set().union(*(first_tokens(subject, w) for w in kin(e)))
        rank = next((n for n, i in enumerate(ids) if i in own), None)
        rows.append(
            {
                "emotion": e,
                "top": " ".join(t.strip() for _, t in top),
                "word": rank is not None,
                "rank": None if rank is None else rank + 1,
                "kin": any(i in family for i in ids),
            }  # fmt: skip
        )
    table = pd.DataFrame(rows)
    table["word or kin"] = table.word | table.kin
    return table


def random_lens_rate(subject: Subject, directions: np.ndarray, emotions, k: int = 10) -> np.ndarray:
    """Null, (directions,): share of emotions whose word or kin is among a random direction's top tokens."""
    families = [first_tokens(subject, e).union(*(first_tokens(subject, w) for w in kin(e))) for e in emotions]
    return np.array(
        [np.mean([bool(f & {i for i, _ in top}) for f in families]) for top in top_words(subject, directions, k)]
    )


def word_probabilities(
    subject: Subject, prompts, words, vector=None, strength=0.0, layers=(), norms=None
) -> np.ndarray:
    """Probability of each word's first token after each prompt, (prompts, words), under steering on all tokens."""
    ids = [sorted(first_tokens(subject, w)) for w in words]
    steering = (lambda *_: steer(subject, vector, strength, layers, norms)) if strength else None
    logits = next_logits(subject, list(prompts), steering=steering).astype(np.float64)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return np.stack([p[:, i].sum(1) for i in ids], 1)


def word_steering(
    subject: Subject, vectors: EmotionVectors, emotions, prompts, strength: float, layers, norms, directions
) -> tuple:
    """Log2 ratio of each word's probability steered against not, averaged over prompts.

    Returns a table steered emotion (rows) x word (columns), and (directions, words) for norm-matched random directions
    (n, width). ``layers`` are steered together, each with its own vector.
    """
    base = np.log2(word_probabilities(subject, prompts, emotions)).mean(0)

    def change(vector):
        return np.log2(word_probabilities(subject, prompts, emotions, vector, strength, layers, norms)).mean(0) - base

    table = np.stack([change({layer: vectors.of(e, layer) for layer in layers}) for e in emotions])
    null = np.stack([change(d) for d in directions])
    return pd.DataFrame(table, index=list(emotions), columns=list(emotions)), null
