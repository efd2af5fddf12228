"""Probabilities that a subject gives to texts: only the positions asked for pass through the output embedding."""

import contextlib
from collections.abc import Callable

import numpy as np
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_right
from emotion_concepts.lm.models import Subject

TOKEN_BUDGET = 8192
LOGITS_BUDGET = 2**27  # logits held at once: half a gigabyte in float32


def _logits(subject: Subject, h: torch.Tensor) -> torch.Tensor:
    """Logits float32 of final hidden states (..., width), as the model's own head gives them."""
    out = subject.model.get_output_embeddings()(h).float()
    cap = getattr(subject.model.config.get_text_config(), "final_logit_softcapping", None)
    return cap * torch.tanh(out / cap) if cap else out


def _final_hidden(subject: Subject, ids: torch.Tensor) -> torch.Tensor:
    """Hidden states after the last norm, (rows, tokens, width), without the LM head."""
    return subject.model.base_model(input_ids=ids.to(subject.device), use_cache=False).last_hidden_state


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
    rows = [subject.encode(p) for p in prompts]
    n = len(token_ids) if token_ids is not None else subject.unembedding.shape[0]
    out = np.empty((len(prompts), n), dtype=np.float32)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, mask = pad_right([rows[i] for i in bucket], subject.tokenizer.pad_token_id)
        lengths = mask.sum(1)
        context = steering(bucket, lengths.tolist(), ids.shape[1]) if steering else contextlib.nullcontext()
        with torch.inference_mode(), context:
            h = _final_hidden(subject, ids)
            last = h[torch.arange(len(bucket)), (lengths - 1).to(h.device)]
            logits = _logits(subject, last)
        out[bucket] = (logits if token_ids is None else logits[:, token_ids]).cpu().numpy()
    return out


def nats_by_row(subject: Subject, h: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Negative log probability in nats of each row's masked tokens after the first, from final hidden states ``h``."""
    part = mask[:, 1:].to(h.device)
    states, targets = h[:, :-1][part], ids.to(h.device)[:, 1:][part]
    size = max(1, LOGITS_BUDGET // subject.unembedding.shape[0])
    nats = [
        torch.nn.functional.cross_entropy(_logits(subject, s), t, reduction="none")
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
    rows = [subject.encode(t) for t in texts]
    out: list = [None] * len(rows)
    for bucket in length_buckets([len(r) for r in rows], token_budget):
        ids, mask = pad_right([rows[i] for i in bucket], subject.tokenizer.pad_token_id)
        context = steering(bucket, mask.sum(1).tolist(), ids.shape[1]) if steering else contextlib.nullcontext()
        with torch.inference_mode(), context:
            nats = nats_by_row(subject, _final_hidden(subject, ids), ids, mask)
        for i, part in zip(bucket, nats):
            out[i] = part.numpy()
    return out


def log_probs(subject: Subject, prompts: list[str], continuations: list[str], steering=None) -> np.ndarray:
    """Summed log probability in nats of each continuation after its prompt, (n,).

    Prompt and continuation are tokenised together; :class:`UserError` if that changes the prompt's tokens.
    """
    rows, starts = [], []
    for p, c in zip(prompts, continuations, strict=True):
        head = subject.encode(p)
        rows.append(continued(subject, p, head, c))
        starts.append(len(head))
    out = np.empty(len(rows))
    for bucket in length_buckets([len(r) for r in rows], TOKEN_BUDGET):
        ids, mask = pad_right([rows[i] for i in bucket], subject.tokenizer.pad_token_id)
        for row, i in zip(mask, bucket):
            row[: starts[i]] = False
        lengths = [len(rows[i]) for i in bucket]
        context = steering(bucket, lengths, ids.shape[1]) if steering else contextlib.nullcontext()
        with torch.inference_mode(), context:
            nats = nats_by_row(subject, _final_hidden(subject, ids), ids, mask)
        for i, x in zip(bucket, nats):
            out[i] = -x.double().sum().item()
    return out


def perplexity(subject: Subject, texts: list[str], steering: Callable | None = None) -> np.ndarray:
    """Perplexity of each text under the subject, (texts,); ``steering`` as in :func:`next_logits`."""
    return np.array([float(np.exp(x.mean())) for x in token_nats(subject, texts, steering=steering)])
