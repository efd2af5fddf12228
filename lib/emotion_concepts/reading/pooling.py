"""Rules that say which tokens of a text are averaged; a rule's ``repr`` names it in stamps and keys.

Token 0 is the beginning-of-text token where there is one.
"""

from dataclasses import dataclass

import numpy as np

from emotion_concepts.errors import UserError
from emotion_concepts.lm.subject import Subject


@dataclass(frozen=True)
class MeanFrom:
    """Mean over the tokens from index ``skip`` on (paper, section 1: from the 50th)."""

    skip: int = 50

    def weights(self, index: int, n_tokens: int) -> np.ndarray:
        """Weight of each of the text's tokens, (n_tokens,), sum 1; :class:`UserError` for a text too short."""
        if n_tokens <= self.skip:
            raise UserError(
                f"text {index} has {n_tokens} tokens, no more than the {self.skip} to skip; drop it or lower the skip"
            )
        w = np.zeros(n_tokens)
        w[self.skip :] = 1 / (n_tokens - self.skip)
        return w


@dataclass(frozen=True)
class Last:
    """The last token, such as that of a generation prompt."""

    def weights(self, index: int, n_tokens: int) -> np.ndarray:
        """1 on the last token."""
        w = np.zeros(n_tokens)
        w[-1] = 1
        return w


@dataclass(frozen=True)
class Spans:
    """Mean over the tokens of one span a text, ``spans[i] = (start, end)``, end excluded, or of several such."""

    spans: tuple[tuple, ...]

    def weights(self, index: int, n_tokens: int) -> np.ndarray:
        """Equal weights inside the text's spans."""
        w = np.zeros(n_tokens)
        for start, end in np.reshape(self.spans[index], (-1, 2)):
            if not 0 <= start < end <= n_tokens:
                raise UserError(f"text {index}: span {start}..{end} does not lie inside its {n_tokens} tokens")
            w[start:end] = 1
        if not w.any():
            raise UserError(f"text {index} has no span to average; give it one, or drop it")
        return w / w.sum()


def span_of(subject: Subject, text: str, part: str, occurrence: int = 0) -> tuple[int, int]:
    """Token span (start, end) of the ``occurrence``-th appearance of ``part`` in ``subject.encode(text)``.

    White space at the part's ends does not count: templates may trim it. :class:`UserError` if it does not occur.
    """
    at, part = -1, part.strip()
    for _ in range(occurrence + 1):
        at = text.find(part, at + 1)
        if at < 0:
            raise UserError(f"{part!r} does not occur {occurrence + 1} times in {text[:60]!r}...")
    return span_at(subject, text, at, at + len(part))


def span_at(subject: Subject, text: str, lo: int, hi: int) -> tuple[int, int]:
    """Token span (start, end) of the characters ``lo`` to ``hi``, white space at its ends left out."""
    if not getattr(subject.tokenizer, "is_fast", False):
        raise UserError(f"{subject.name} has a slow tokenizer, which does not say where its tokens lie; use a fast one")
    enc = subject.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    shift = len(subject.encode(text)) - len(enc["input_ids"])
    inside = [
        k
        for k, (s, e) in enumerate(enc["offset_mapping"])
        if s < hi and e > lo and text[max(s, lo) : min(e, hi)].strip()
    ]
    if not inside:
        raise UserError(f"{text[lo:hi]!r} covers no token of {text[:60]!r}...")
    return inside[0] + shift, inside[-1] + 1 + shift


def spans_in_turn(subject: Subject, text: str, parts: list[str] | tuple[str, ...]) -> list[tuple[int, int]]:
    """Token span of each of ``parts``, every one looked for behind the one before it.

    Templates may trim what is said, so white space at a part's ends does not count. :class:`UserError` if one is
    missing.
    """
    spans, at = [], 0
    for part in map(str.strip, parts):
        at = text.find(part, at)
        if at < 0:
            raise UserError(f"{part[:40]!r} does not stand in {text[:60]!r}... where it was expected")
        spans.append(span_at(subject, text, at, at + len(part)))
        at += len(part)
    return spans
