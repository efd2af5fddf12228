"""Emotion vectors from stories: whose stories, how they are split, and the same on a network that learnt nothing."""

from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.experiments.emergence import untrained
from emotion_concepts.lm.subject import Subject
from emotion_concepts.lm.tracing import hidden
from emotion_concepts.reading.activations import per_token, pooled, streamed_covariance
from emotion_concepts.reading.class_sums import ClassSums, streamed_sums
from emotion_concepts.reading.pooling import MeanFrom, spans_in_turn
from emotion_concepts.reading.vectors import EmotionVectors, emotion_vectors
from emotion_concepts.texts.corpus import Corpus, split_by_topic
from emotion_concepts.texts.neutral import Neutral
from emotion_concepts.texts.published import emotion_words
from emotion_concepts.texts.shared import shared_stories, shared_topics
from emotion_concepts.texts.writer import write_by_server
from emotion_concepts.texts.writing import write

AUTHORS = ("auto", "own", "shared")
WRITES = 1e9  # parameters from which an instruct model is trusted to write stories
TWICE = 2e9  # parameters up to which a second network of the same shape is read beside the subject
SHORT_SKIP = 30  # for paragraphs of about 120 words; the paper skips 50 tokens of its longer stories


def author(subject: Subject, stories: str) -> tuple[str, str]:
    """Whose stories are read, ``("own" | "shared" | a path, why)``; ``stories``: one of these, or "auto".

    :class:`UserError` for what is neither a known word nor a file.
    """
    if stories not in AUTHORS:
        if not Path(stories).is_file():
            raise UserError(f"stories = {stories!r} is not a file; give a corpus file, or one of {', '.join(AUTHORS)}")
        return stories, "the file that was asked for"
    if stories != "auto":
        return stories, "as asked for"
    if subject.world:
        return "own", "its world's stories are its own"
    size = f"{subject.parameters / 1e6:,.0f}M parameters"
    if not subject.prompt.has_template:
        return "shared", "a model without chat template cannot be asked for stories"
    if subject.parameters < WRITES:
        return "shared", f"{size} are too few to write stories that show a feeling without its word"
    return "own", f"an instruct model of {size} writes its own, as in the paper"


def gather(
    subject: Subject, wanted: str, material: dict, per_emotion: int, path, seed: int = 0, writer: str = "",
    writer_model: str = "",
) -> tuple[Corpus, int]:  # fmt: skip
    """The stories that a run reads, and how many tokens of each are skipped; says in one line which and why.

    ``wanted``: see :func:`author`; ``per_emotion`` topics, the same for all emotions. Own stories are kept at ``path``
    (JSON Lines) as they are written, by the subject, or by the model ``writer_model`` of a server ``writer`` (its URL).
    """
    kind, why = ("own", f"written by {writer}") if writer else author(subject, wanted)
    emotions = list(emotion_words())
    if kind == "own":
        skip = material["skip"]
        if writer:
            made = write_by_server(writer, emotions, material, per_emotion, path, seed, writer_model)
        else:
            made = write(subject, emotions, material, per_emotion, path, seed)
    elif kind == "shared":
        topics = np.random.default_rng(seed).permutation(shared_topics())[:per_emotion]
        made, skip = shared_stories(topics=topics.tolist()), SHORT_SKIP
    else:
        made, skip = Corpus.read(kind), SHORT_SKIP
    print(f"stories: {kind} ({why}); {len(made)} texts on {len(set(made.topics))} topics, {skip} tokens skipped")
    return made, skip


def three_parts(stories: Corpus, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Story numbers of three parts without a common topic: half to build vectors, the rest to choose on and to report.

    Stories of an emotion that has none in the first part are left out of the others.
    """
    train, rest = split_by_topic(stories, 0.5, seed)
    choose, report = (rest[rows] for rows in split_by_topic(stories.subset(rest), 0.5, seed + 1))
    labels = np.array(stories.emotions)
    known = np.isin(labels, labels[train])
    return train, choose[known[choose]], report[known[report]]


@dataclass
class StoriesRead:
    """What is kept of all stories once they are read.

    ``stories`` with their activations ``acts`` (stories, layers, width) and, as numbers among them, the parts that
    build vectors (``train``), choose and report; of the stories beyond these the sums of those that build
    (``building``) and of all (``others``), or None; ``train_texts``: all stories that build, for readers of words.
    """

    stories: Corpus
    acts: np.ndarray
    train: np.ndarray
    choose: np.ndarray
    report: np.ndarray
    building: ClassSums | None
    others: ClassSums | None
    train_texts: Corpus


def kept_whole(stories: Corpus, parts, each: int, seed: int = 0) -> np.ndarray:
    """Numbers of the stories whose activations are kept: at most ``each`` of an emotion, half of them to build on.

    ``parts``: those of :func:`three_parts`; a quarter each comes from the second and the third. The topics are drawn
    once, in an order that all emotions share, and a topic gives its second story only after every one gave its first.
    """
    labels, topics = np.array(stories.emotions), np.array(stories.topics)
    emotions = np.unique(labels)
    if len(stories) <= each * len(emotions):
        return np.arange(len(stories))
    names = np.unique(topics)
    drawn, rank = [], dict(zip(names, np.random.default_rng(seed).permutation(len(names))))
    for part, share in zip(parts, (2, 4, 4)):
        for e in emotions:
            of = part[labels[part] == e]
            nth = pd.Series(topics[of]).groupby(topics[of]).cumcount()
            order = np.lexsort(([rank[t] for t in topics[of]], nth))
            drawn.append(of[order[: max(1, each // share)]])
    return np.sort(np.concatenate(drawn))


def read_stories(subject: Subject, stories: Corpus, rule, each: int, store, seed: int = 0) -> StoriesRead:
    """Read all stories at all layers, and keep ``each`` of an emotion whole, of the others the sums by emotion.

    ``store``: a folder; a killed run goes on there. Up to ``each`` stories an emotion nothing is summed.
    """
    parts = three_parts(stories, seed)
    kept = kept_whole(stories, parts, each, seed)
    acts = pooled(subject, stories.subset(kept).texts, rule, store=store)

    def summed(rows):
        if not len(rows):
            return None
        more = stories.subset(rows)
        return streamed_sums(subject, more.texts, more.emotions, rule, store)

    rest = np.setdiff1d(np.arange(len(stories)), kept)
    builds = np.isin(rest, parts[0])
    building, beside = summed(rest[builds]), summed(rest[~builds])
    parts_summed = [sums for sums in (building, beside) if sums is not None]
    others = reduce(add, parts_summed) if parts_summed else None
    inside = [np.searchsorted(kept, np.intersect1d(part, kept)) for part in parts]
    return StoriesRead(stories.subset(kept), acts, *inside, building, others, stories.subset(parts[0]))


def neutral_covariance(subject: Subject, neutral: Neutral, layers=None) -> np.ndarray:
    """Covariance (layers, width, width) over the tokens of the neutral chats' replies, without their templates."""
    spans = [spans_in_turn(subject, text, [reply]) for text, reply in zip(neutral.texts, neutral.replies)]
    return streamed_covariance(subject, neutral.texts, layers, spans=spans)[2]


def without_training(
    subject: Subject, stories: Corpus, skip: int, train: np.ndarray, neutral: Neutral, depth: float, seed: int = 0
) -> tuple[np.ndarray, EmotionVectors] | None:
    """Activations (stories, layers, width) and vectors of a network of the subject's shape with random weights.

    What a read-out finds there stands in the texts alone. Blocks are read up to a share ``depth``, 0..1, of the
    network. None for a subject too large to hold twice.
    """
    if subject.parameters > TWICE:
        return None
    blank = untrained(subject, seed)
    layers = list(range(max(1, round(depth * subject.n_layers))))
    acts = pooled(blank, stories.texts, MeanFrom(skip), layers)
    labels = [stories.emotions[i] for i in train]
    return acts, emotion_vectors(acts, labels, layers, neutral_covariance(blank, neutral, layers), rows=train)


def hook_gap(subject: Subject, text: str) -> float:
    """Largest difference between what the hooks read and what the model itself reports as its hidden states.

    Models report the embeddings first, so that block ``i`` is number ``i + 1`` (hazard 4); some, such as Mamba, begin
    with block 0. The last block is left out: what is reported of it has passed the final norm.
    """
    ids = torch.tensor([subject.encode(text)]).to(subject.device)
    with torch.no_grad():
        states = subject.model(ids, output_hidden_states=True).hidden_states
        embedded = subject.model.get_input_embeddings()(ids)
    states = [hidden(s, subject.architecture.stream) for s in states]
    acts = torch.from_numpy(per_token(subject, text)[1])

    def gap(block, state):
        return float((acts[:, block] - state[0].float().cpu()).abs().max())

    near = 1e-3 * float(acts[:, 0].abs().max())
    first = int(gap(0, states[0]) > near or torch.allclose(states[0], embedded))
    return max(gap(i, states[i + first]) for i in range(subject.n_layers - 1))
