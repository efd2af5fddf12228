"""Probabilities that a subject gives to texts: only the positions asked for pass through the output embedding."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_right
from emotion_concepts.lm.subject import Subject

TOKEN_BUDGET = 8192
LOGITS_BUDGET = 2**27  # logits held at once: half a gigabyte in float32


def next_logits(
    subject: Subject,
    prompts: list[str],
    token_ids: list[int] | None = None,
    steering: Callable | None = None,
    token_budget: int = TOKEN_BUDGET,
) -> np.ndarray:
    """Logits of the token after each prompt, float32 (prompts, chosen tokens or vocabulary).

    Read at each text's own last token, whatever the padding (hazard 1). ``steering(rows, lengths, width)`` may return
    a context in which the batch with those prompt numbers runs.
    """
    rows = subject.encode_all(prompts, prompts=True)
    n = len(token_ids) if token_ids is not None else subject.vocabulary
    out = np.empty((len(prompts), n), dtype=np.float32)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, mask = pad_right([rows[i] for i in bucket], subject.pad)
        lengths = mask.sum(1)
        context = steering(bucket, lengths.tolist(), ids.shape[1]) if steering else contextlib.nullcontext()
        with torch.inference_mode(), context:
            h = subject.final_hidden(ids).last_hidden_state
            last = h[torch.arange(len(bucket)), (lengths - 1).to(h.device)]
            out[bucket] = subject.head(last, token_ids).cpu().numpy()
    return out


def nats_by_row(subject: Subject, h: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Negative log probability in nats of each row's masked tokens after the first, from final hidden states ``h``."""
    part = mask[:, 1:].to(h.device)
    states, targets = h[:, :-1][part], ids.to(h.device)[:, 1:][part]
    size = max(1, LOGITS_BUDGET // subject.vocabulary)
    nats = [
        torch.nn.functional.cross_entropy(subject.head(s), t, reduction="none")
        for s, t in zip(states.split(size), targets.split(size))
    ]
    return torch.split(torch.cat(nats).cpu(), part.sum(1).tolist())


def continued(subject: Subject, prompt: str, head: list[int], continuation: str) -> list[int]:
    """Tokens of prompt and continuation together; :class:`UserError` if they change ``head``, the prompt's own."""
    whole = subject.encode(prompt + continuation)
    if whole[: len(head)] != head or len(whole) == len(head):
        raise UserError(
            f"the continuation {continuation[:30]!r} merges with its prompt's last token; begin it with a space"
        )
    return whole


def token_nats(
    subject: Subject, texts: list[str], token_budget: int = TOKEN_BUDGET, steering: Callable | None = None
) -> list[np.ndarray]:
    """Negative log probability in nats of each text's tokens after the first, one array a text.

    ``steering`` as in :func:`next_logits`.
    """
    rows = subject.encode_all(texts)
    subject.check_room(max(map(len, rows), default=0))
    out: list = [None] * len(rows)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, mask = pad_right([rows[i] for i in bucket], subject.pad)
        context = steering(bucket, mask.sum(1).tolist(), ids.shape[1]) if steering else contextlib.nullcontext()
        with torch.inference_mode(), context:
            nats = nats_by_row(subject, subject.final_hidden(ids).last_hidden_state, ids, mask)
        for i, part in zip(bucket, nats):
            out[i] = part.numpy()
    return out


def perplexity(subject: Subject, texts: list[str], steering: Callable | None = None) -> np.ndarray:
    """Perplexity of each text under the subject, (texts,); ``steering`` as in :func:`next_logits`."""
    return np.array([float(np.exp(x.mean())) for x in token_nats(subject, texts, steering=steering)])
