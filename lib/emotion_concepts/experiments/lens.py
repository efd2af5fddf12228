"""What a vector says in words: the logit lens, and the words it makes likelier when steered (paper, section 1)."""

from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch

from emotion_concepts.lm.scoring import LOGITS_BUDGET
from emotion_concepts.lm.shared_prefix import grouped_log_probs
from emotion_concepts.lm.steering import Condition
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.texts.published import emotion_words, kin, ratings

_TOKENS: WeakKeyDictionary = WeakKeyDictionary()  # tokenizer -> word -> the tokens that are this word


def word_tokens(subject: Subject, words) -> dict[str, frozenset[int]]:
    """For each word the tokens that are this word as a whole, small or capital, in running text or at its start.

    None for a word that the tokenizer cuts: its first piece ("an", "dis") would stand for many others.
    """
    known, words = _TOKENS.setdefault(subject.tokenizer, {}), list(words)
    new = [w for w in dict.fromkeys(words) if w not in known]
    forms = [f for w in new for f in (w, w.capitalize())]
    if forms:
        n, lead = len(subject.encode("It is")), len(subject.encode(""))
        running, bare = subject.encode_all([f"It is {f}" for f in forms]), subject.encode_all(forms)
        ends = [(r[n:], b[lead:]) for r, b in zip(running, bare)]
        whole = [{tokens[0] for tokens in end if len(tokens) == 1} for end in ends]
        unknown = {subject.tokenizer.unk_token_id}
        known |= {w: frozenset((whole[2 * i] | whole[2 * i + 1]) - unknown) for i, w in enumerate(new)}
    return {w: known[w] for w in words}


def lens_logits(subject: Subject, directions, token_ids=None) -> torch.Tensor:
    """What directions (n, width) add to the logits of tokens, float32 (n, tokens or vocabulary), up to a factor each.

    Read as the model reads its last layer: through the last norm with its gain, and the head. The norm's own centre
    and offset cancel between the direction and its opposite.
    """
    v = torch.as_tensor(np.asarray(directions), dtype=torch.float32)
    v = v / v.norm(dim=-1, keepdim=True) * subject.width**0.5
    norm = subject.architecture.norm
    weights = next(iter(norm.parameters()), None) if norm else None
    v = v[None].to(subject.head.embedding.weight.device) if weights is None else v[None].to(weights)
    with torch.inference_mode():
        up, down = (subject.head(norm(x) if norm else x, token_ids) for x in (v, -v))
    return (up - down)[0] / 2


def top_words(subject: Subject, vectors: np.ndarray, k: int = 10) -> list[list[tuple[int, str]]]:
    """For each direction (n, width), the k tokens whose logits it raises most: (id, text); see :func:`lens_logits`."""
    real = min(len(subject.tokenizer), subject.vocabulary)  # rows beyond were never trained
    size = max(1, LOGITS_BUDGET // subject.vocabulary)
    vectors = np.asarray(vectors)
    starts = range(0, len(vectors), size)
    parts = [lens_logits(subject, vectors[i : i + size])[:, :real].topk(k).indices for i in starts]
    return [[(i, subject.tokenizer.decode([i])) for i in row] for part in parts for row in part.tolist()]


def word_scores(subject: Subject, vectors: np.ndarray, words=None) -> pd.DataFrame:
    """What directions (n, width) add to the words' logits, the mean over a word's tokens: (n, words that are tokens).

    ``words``: those looked at (default: the 171). Words that the tokenizer cuts are left out.
    """
    tokens = {w: sorted(ids) for w, ids in word_tokens(subject, words or emotion_words()).items() if ids}
    every = np.array(sorted({i for ids in tokens.values() for i in ids}), dtype=np.int64)  # none, for some tokenizers
    logits = lens_logits(subject, vectors, every).cpu().numpy()
    each = {w: logits[:, np.searchsorted(every, ids)].mean(1) for w, ids in tokens.items()}
    return pd.DataFrame(each, range(len(logits)))


def logit_lens(subject: Subject, vectors: EmotionVectors, layer: int, emotions, k: int = 10) -> pd.DataFrame:
    """Per emotion: its top tokens, and what they say.

    ``word``, ``kin``: whether its own word, or that of a kin, is among them; ``rank``: its word's place there.
    ``readable``: whether its word or a kin's is one token at all; where not, it cannot be found among tokens.
    ``place``: its word's place among the ``words`` of the 171 that are tokens (1 is best; missing where it is none).
    ``valence``: mean rating (-1..1) of the k of these words that are raised most.
    """
    directions = np.stack([vectors.of(e, layer) for e in emotions])
    scores, valence, rows = word_scores(subject, directions), ratings().valence, []
    for i, (e, top) in enumerate(zip(emotions, top_words(subject, directions, k))):
        ids, own, family = [i for i, _ in top], *_families(subject, e)
        rank = next((n for n, i in enumerate(ids, 1) if i in own), None)
        order = scores.iloc[i].sort_values(ascending=False).index
        rows.append(
            {
                "emotion": e,
                "top": " ".join(t.strip() for _, t in top),
                "word": rank is not None,
                "rank": rank,
                "kin": any(i in family for i in ids),
                "readable": bool(own | family),
                "place": order.get_loc(e) + 1 if e in order else np.nan,
                "words": len(order),
                "valence": float(valence[order[:k]].mean()),
            }  # fmt: skip
        )
    table = pd.DataFrame(rows)
    table["word or kin"] = table.word | table.kin
    return table


def _families(subject: Subject, emotion: str) -> tuple[frozenset[int], frozenset[int]]:
    """Tokens of the emotion's word, and of its kin's."""
    tokens = word_tokens(subject, [emotion, *kin(emotion)])
    return tokens[emotion], frozenset().union(*(tokens[w] for w in kin(emotion)))


def random_lens_rate(subject: Subject, directions: np.ndarray, emotions, k: int = 10) -> np.ndarray:
    """Null, (directions,): share of emotions whose word or kin is among a random direction's top tokens."""
    families = [frozenset().union(*_families(subject, e)) for e in emotions]
    return np.array(
        [np.mean([bool(f & {i for i, _ in top}) for f in families]) for top in top_words(subject, directions, k)]
    )


def _word_probabilities(subject: Subject, prompts, words, conditions: list, layers, norms) -> np.ndarray:
    """Probability of each word after each prompt under each condition (None: none), (conditions, prompts, words).

    A word is all its tokens, however many; its small and its capital form count. All are read in common batches.
    """
    prompts, words = list(prompts), list(words)
    forms = {w: [w, w.capitalize()] for w in words}
    if subject.encode(" a") == subject.encode(" A"):  # a tokenizer that knows no capitals
        forms = {w: [w] for w in words}
    texts = [[("" if p[-1:].isspace() else " ") + f for w in words for f in forms[w]] for p in prompts]
    each = [c for c in conditions for _ in prompts]
    steered = list(layers) if any(each) else None
    found = grouped_log_probs(subject, prompts * len(conditions), texts * len(conditions), each, steered, norms)
    return np.exp(np.stack(found)).reshape(len(conditions), len(prompts), len(words), -1).sum(-1)


def word_steering(
    subject: Subject, vectors: EmotionVectors, emotions, prompts, strength: float, layers, norms, directions
) -> tuple:
    """Log2 ratio of each word's probability steered against not, averaged over prompts.

    Returns a table steered emotion (rows) x word (columns), and (directions, words) for norm-matched random directions
    (n, width). ``layers`` are steered together, each with its own vector.
    """
    pushes = [{layer: vectors.of(e, layer) for layer in layers} for e in emotions] + list(directions)
    conditions = [None, *(Condition(v, strength) for v in pushes)]
    bits = np.log2(_word_probabilities(subject, prompts, emotions, conditions, layers, norms)).mean(1)
    change = bits[1:] - bits[0]
    return pd.DataFrame(change[: len(emotions)], list(emotions), list(emotions)), change[len(emotions) :]
