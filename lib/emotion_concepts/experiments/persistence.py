"""How long a reading lasts after the words that raised it: a stored mood, or one that is read anew."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.activations import each_token
from emotion_concepts.reading.pooling import spans_in_turn

WINDOWS = ((0, 4), (4, 8), (8, 16), (16, 32))  # tokens of the last turn, end excluded


@dataclass(frozen=True)
class Told:
    """A chat as it was read: token states (tokens, width) at one layer, and the token span of each turn's words."""

    acts: np.ndarray
    spans: list[tuple[int, int]]


def chat_of(subject: Subject, turns: list[str]) -> str:
    """A chat of user and assistant in turn, as text."""
    return subject.prompt.turns([(("user", "assistant")[k % 2], words) for k, words in enumerate(turns)])


def tell(subject: Subject, chats: list[tuple[list[str], list[str]]], layer: int) -> list[tuple[Told, Told]]:
    """Both chats of each pair, read at a layer."""
    turns = [list(side) for pair in chats for side in pair]
    texts = [chat_of(subject, t) for t in turns]
    spans = [spans_in_turn(subject, text, t) for text, t in zip(texts, turns)]
    read: list = [None] * len(texts)
    for i, acts in each_token(subject, texts, [layer]):
        read[i] = Told(acts[:, 0], spans[i])
    return list(zip(read[::2], read[1::2]))


def story_turns(chats: list[tuple[list[str], list[str]]]) -> list[int]:
    """The last turn in which the two chats of each pair differ; :class:`UserError` where none does, or the last one."""
    out = []
    for one, other in chats:
        differ = [k for k, (x, y) in enumerate(zip(one, other)) if x != y]
        if not differ or len(one) - 1 in differ:
            raise UserError("the two chats of a pair must differ in a turn before the last, and end alike")
        out.append(differ[-1])
    return out


def carried_over(told: list[tuple[Told, Told]], stories: list[int], read: Callable) -> tuple[np.ndarray, np.ndarray]:
    """Difference of the readings of each pair's chats over the story and over the last turn, (chats, ...) each.

    ``read`` makes readings (n, ...) of states (n, width); a turn is read as the mean of its tokens. The last turn is
    word for word the same: there nothing but a memory of the story can differ.
    """

    def means(turns, side):
        spans = [pair[side].spans[k] for pair, k in zip(told, turns)]
        return read(np.stack([pair[side].acts[a:b].mean(0) for pair, (a, b) in zip(told, spans)]))

    last = [-1] * len(told)
    return means(stories, 0) - means(stories, 1), means(last, 0) - means(last, 1)


def by_turn(told: list[tuple[Told, Told]], read: Callable, bins: int = 6) -> np.ndarray:
    """The reading along the chats with every turn stretched to ``bins`` parts: (chats, 2, turns * bins).

    So turns of different lengths stand above each other; a turn of fewer tokens than bins repeats some.
    """

    def stretched(chat):
        score = read(chat.acts)
        cuts = [np.linspace(a, b, bins + 1).astype(int) for a, b in chat.spans]
        return [score[lo : max(hi, lo + 1)].mean() for c in cuts for lo, hi in zip(c, c[1:])]

    return np.array([[stretched(chat) for chat in pair] for pair in told])


def share_left(told: list[tuple[Told, Told]], stories: list[int], directions, windows=WINDOWS) -> np.ndarray:
    """How much of the difference over the story is left some tokens into the last turn, (directions, windows).

    Root mean squares over chats of the difference of the projections in each window of tokens, over that of the story:
    a number for any direction, whichever way it was moved. NaN for a window that some last turn does not reach.
    """
    directions = np.atleast_2d(directions)
    during = carried_over(told, stories, lambda acts: acts @ directions.T)[0]
    out = np.full((len(directions), len(windows)), np.nan)
    for k, (lo, hi) in enumerate(windows):
        if all(chat.spans[-1][0] + hi <= chat.spans[-1][1] for pair in told for chat in pair):
            one, other = (
                np.stack([c.acts[c.spans[-1][0] :][lo:hi].mean(0) for c in side]) @ directions.T for side in zip(*told)
            )
            out[:, k] = np.sqrt(((one - other) ** 2).mean(0) / (during**2).mean(0))
    return out


def autocorrelation(states: Iterable[np.ndarray], directions: np.ndarray, lags) -> np.ndarray:
    """Correlation of a projection with itself ``lag`` tokens later, in each text: (texts, directions, lags).

    ``states``: (tokens, width) of each text, at one layer and without the first token, which holds no word. A text's
    own mean is taken out: in a text of one mood throughout, that mood is all mean and cannot be seen. NaN where a text
    is too short.
    """
    lags, directions, out = list(lags), np.asarray(directions), []
    for acts in states:
        x = acts @ directions.T
        x = x - x.mean(0)
        row = np.full((len(directions), len(lags)), np.nan)
        for k, lag in enumerate(lags):
            if len(x) > lag + 1:
                a, b = x[:-lag], x[lag:]
                norm = np.sqrt((a * a).sum(0) * (b * b).sum(0))
                row[:, k] = np.divide((a * b).sum(0), norm, out=np.full(len(norm), np.nan), where=norm > 0)
        out.append(row)
    return np.stack(out)
