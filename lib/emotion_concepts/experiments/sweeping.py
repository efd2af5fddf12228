"""Which passages of a large body of texts raise a vector most (paper, section 1)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import per_token
from emotion_concepts.reading.vectors import EmotionVectors
from emotion_concepts.texts.materials import load, natural
from emotion_concepts.texts.published import cluster_of
from emotion_concepts.texts.shared import shared_stories, shared_topics

PIECE = 150  # words of a text that is swept as one


@dataclass
class Swept:
    """Texts, the emotion that each was written for (None: for none), and a sentence on where they come from."""

    texts: list[str]
    emotions: list[str | None]
    note: str


def texts_for(subject: Subject, n: int, built_on=(), folder: str = "", seed: int = 0) -> Swept:
    """At most ``n`` texts to sweep: those of a folder, of the subject's world, or passages and shared stories.

    ``built_on``: topics that the vectors were made of; shared stories on these would be found for that reason.
    """
    rng = np.random.default_rng(seed)
    if folder:
        pieces = folder_texts(folder)
        texts = [pieces[i] for i in sorted(rng.permutation(len(pieces))[:n])]
        return Swept(texts, [None] * len(texts), f"{len(texts)} of {len(pieces)} pieces of the files in {folder}")
    if subject.world:
        texts = load(subject, "sweep")[:n]
        return Swept(texts, [None] * len(texts), f"{len(texts)} texts of the subject's world")
    passages = natural("sweep")[: max(1, n // 2)]
    free = [t for t in shared_topics() if t not in set(built_on)]
    texts, told = [], []
    if free:
        stories = shared_stories(topics=free)
        rows = sorted(rng.permutation(len(stories))[: n - len(passages)])
        texts, told = [stories.texts[i] for i in rows], [stories.emotions[i] for i in rows]
    note = f"{len(passages)} passages of many kinds and {len(texts)} shared stories on topics that built no vector"
    return Swept(passages + texts, [None] * len(passages) + told, note)


def folder_texts(folder) -> list[str]:
    """Pieces of all ``.txt`` files in a folder and below: paragraphs, long ones cut after :data:`PIECE` words.

    :class:`UserError` for a folder without such a file.
    """
    files = sorted(Path(folder).expanduser().rglob("*.txt"))
    if not files:
        raise UserError(f"{folder} holds no .txt file; give a folder of texts, or leave it empty for the corpus")
    pieces = []
    for path in files:
        for paragraph in path.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            words = paragraph.split()
            pieces += [" ".join(words[i : i + PIECE]) for i in range(0, len(words), PIECE)]
    return [p for p in pieces if len(p.split()) > 3]


def sweep(
    subject: Subject, vectors: EmotionVectors, layer: int, texts: list[str], emotions, window: int = 24, top: int = 5
):
    """The snippets that activate each vector most: emotion, score, text number, tokens, token scores.

    A text enters a vector's list once, by its highest window mean of token cosines.
    """
    best: dict[str, list] = {e: [] for e in emotions}
    columns = [vectors.emotions.index(e) for e in emotions]
    for number, text in enumerate(texts):
        tokens, acts = per_token(subject, text, [layer])
        scores = vectors.scores(acts[:, 0], layer)[:, columns]
        scores[0] = 0  # the beginning-of-text token says nothing
        w = min(window, len(scores))
        means = np.stack([np.convolve(s, np.ones(w) / w, "valid") for s in scores.T])
        for k, e in enumerate(emotions):
            at = int(means[k].argmax())
            best[e].append((means[k, at], number, tokens[at : at + w], scores[at : at + w, k]))
    rows = []
    for e in emotions:
        for score, number, tokens, s in sorted(best[e], key=lambda r: -r[0])[:top]:
            rows.append({"emotion": e, "score": score, "text": number, "tokens": tokens, "token_scores": s})
    return pd.DataFrame(rows)


def from_its_cluster(found: pd.DataFrame, emotions: list[str | None]) -> tuple[int, int, float] | None:
    """How many snippets that came from stories are of the probe's cluster, of how many, and the share by chance.

    Chance: the probes' mean share of stories of their cluster among all stories swept. None without any story.
    """
    told = [e for e in emotions if e is not None]
    pairs = [(p, emotions[i]) for p, i in zip(found.emotion, found.text) if emotions[i] is not None]
    if not pairs:
        return None
    chance = np.mean([[cluster_of(e) == cluster_of(p) for e in told] for p in dict.fromkeys(found.emotion)])
    return sum(cluster_of(p) == cluster_of(e) for p, e in pairs), len(pairs), float(chance)
