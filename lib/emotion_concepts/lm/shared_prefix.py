"""Logits and log probabilities after many prompts that begin alike: the common beginning is read once.

Prompts of a group share their longest common run of tokens. The groups' beginnings go through the model first and
leave their keys and values; the endings follow, every ending of every group whose beginning has the same length in
common batches, so that one batch holds many prompts and many steering conditions.
"""

import os
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_right
from emotion_concepts.lm.models import Subject
from emotion_concepts.lm.scoring import _final_hidden, _logits, continued, nats_by_row
from emotion_concepts.lm.steering import Condition, stack, steer

TOKEN_BUDGET = 4096


@dataclass
class Prompt:
    """A prompt, the group whose beginning it shares, and the token spans that its group's condition steers."""

    text: str
    group: int
    spans: tuple[tuple[int, int], ...] = ()


def _filled(conditions, n: int, layers) -> list[Condition | None]:
    """The conditions, or ``n`` times None; :class:`UserError` if one steers and no layers are named."""
    if layers is None and any(c and c.strength for c in conditions or ()):
        raise UserError("conditions need layers to be steered in; name at least one")
    return conditions or [None] * n


def _steering(subject, conditions, rows_spans, lengths, offset, layers, norms):
    """A steering context for rows with ``conditions`` on those parts of their spans that lie in this pass."""
    width = max(lengths)
    mask = np.zeros((len(conditions), width), dtype=bool)
    for row, spans in zip(mask, rows_spans):
        for start, end in spans:
            row[max(0, start - offset) : max(0, end - offset)] = True
    if layers is None or not mask.any():
        return steer(subject, np.zeros(subject.width), 0.0, [0], np.ones(subject.n_layers))
    vector, strengths = stack(conditions, layers, subject.width)
    return steer(subject, vector, strengths, layers, norms, mask)


def _beginnings(subject: Subject, heads: list[list[int]], conditions, spans, layers, norms) -> DynamicCache | None:
    """Keys and values of beginnings of one length, each under its condition at its spans; None for empty ones."""
    n = len(heads[0])
    if not n:
        return None
    ids = torch.tensor(heads, device=subject.device)
    context = _steering(subject, conditions, spans, [n] * len(heads), 0, layers, norms)
    with torch.inference_mode(), context:
        return subject.model.base_model(input_ids=ids, use_cache=True, past_key_values=DynamicCache()).past_key_values


def _take(cache, rows: torch.Tensor) -> DynamicCache:
    """Keys and values of chosen rows (which may repeat) as a new cache."""
    out = DynamicCache()
    for i, layer in enumerate(cache.layers):
        out.update(layer.keys[rows], layer.values[rows], i)
    return out


def grouped_logits(
    subject: Subject,
    prompts: list[Prompt],
    token_ids: list[int],
    conditions: list[Condition | None] | None = None,
    layers=None,
    norms=None,
    token_budget: int = TOKEN_BUDGET,
) -> np.ndarray:
    """Logits of ``token_ids`` after each prompt, float32 (prompts, tokens).

    ``conditions[group]`` steers the group's prompts at their spans in ``layers``; None leaves a group as it is.
    """
    if not prompts:
        raise UserError("no prompts to read")
    conditions = _filled(conditions, max(p.group for p in prompts) + 1, layers)
    cache_of_text: dict[str, list[int]] = {}
    rows = [cache_of_text.setdefault(p.text, subject.encode(p.text)) for p in prompts]
    members = defaultdict(list)
    for i, p in enumerate(prompts):
        members[p.group].append(i)
    # at least one token must remain for the ending, so that its logits are computed
    common = {
        g: min(len(os.path.commonprefix([rows[i] for i in ids])), min(len(rows[i]) for i in ids) - 1)
        for g, ids in members.items()
    }
    by_length = defaultdict(list)
    for g, n in common.items():
        by_length[n].append(g)
    out = np.empty((len(prompts), len(token_ids)), dtype=np.float32)
    for n, groups in sorted(by_length.items()):
        per_pass = max(1, token_budget // max(n, 1))
        for k in range(0, len(groups), per_pass):
            _pass(
                subject,
                prompts,
                rows,
                groups[k : k + per_pass],
                members,
                n,
                conditions,
                layers,
                norms,
                token_ids,
                token_budget,
                out,
            )
    return out


def _pass(subject, prompts, rows, groups, members, n, conditions, layers, norms, token_ids, token_budget, out):
    """Read the beginnings (length ``n``) of ``groups``, then all their endings, into ``out``."""
    heads = [rows[members[g][0]][:n] for g in groups]
    spans = [[s for s in prompts[members[g][0]].spans if s[0] < n] for g in groups]
    cache = _beginnings(subject, heads, [conditions[g] for g in groups], spans, layers, norms)
    place = {g: k for k, g in enumerate(groups)}
    items = [i for g in groups for i in members[g]]
    endings = [rows[i][n:] for i in items]
    for bucket in length_buckets([len(e) for e in endings], token_budget):
        chosen = [items[b] for b in bucket]
        ids, mask = pad_right([endings[b] for b in bucket], subject.tokenizer.pad_token_id)
        lengths = mask.sum(1)
        conds = [conditions[prompts[i].group] for i in chosen]
        context = _steering(subject, conds, [prompts[i].spans for i in chosen], lengths.tolist(), n, layers, norms)
        with torch.inference_mode(), context:
            h = _after(subject, ids, cache, [place[prompts[i].group] for i in chosen], n)
            last = h[torch.arange(len(chosen)), (lengths - 1).to(h.device)]
            out[chosen] = _logits(subject, last)[:, token_ids].cpu().numpy()


def grouped_log_probs(
    subject: Subject,
    prompts: list[str],
    continuations: list[list[str]],
    conditions: list[Condition | None] | None = None,
    layers=None,
    norms=None,
    token_budget: int = TOKEN_BUDGET,
) -> list[np.ndarray]:
    """Summed log probability in nats of every continuation of every prompt, one array a prompt.

    Each prompt is read once, all its continuations after it. ``conditions[i]`` steers every token of prompt i and its
    continuations. :class:`UserError` if a continuation changes its prompt's tokens.
    """
    conditions = _filled(conditions, len(prompts), layers)
    everything = ((0, subject.max_length),)
    heads, tails = [subject.encode(p) for p in prompts], []
    for p, head, texts in zip(prompts, heads, continuations, strict=True):
        wholes = [continued(subject, p, head, c) for c in texts]
        tails.append([whole[len(head) - 1 :] for whole in wholes])  # the last prompt token predicts the first new one
    out = [np.empty(len(t)) for t in tails]
    by_length = defaultdict(list)
    for i, head in enumerate(heads):
        by_length[len(head) - 1].append(i)
    for n, group in sorted(by_length.items()):
        per_pass = max(1, token_budget // max(n, 1))
        for k in range(0, len(group), per_pass):
            chosen = group[k : k + per_pass]
            cache = _beginnings(
                subject, [heads[i][:n] for i in chosen], [conditions[i] for i in chosen], [everything] * len(chosen),
                layers, norms,
            )  # fmt: skip
            items = [(row, i, j) for row, i in enumerate(chosen) for j in range(len(tails[i]))]
            for bucket in length_buckets([len(tails[i][j]) for _, i, j in items], token_budget):
                part = [items[b] for b in bucket]
                ids, mask = pad_right([tails[i][j] for _, i, j in part], subject.tokenizer.pad_token_id)
                steering = _steering(
                    subject, [conditions[i] for _, i, _ in part], [everything] * len(part), mask.sum(1).tolist(), n,
                    layers, norms,
                )  # fmt: skip
                with torch.inference_mode(), steering:
                    h = _after(subject, ids, cache, [row for row, _, _ in part], n)
                    nats = nats_by_row(subject, h, ids, mask)
                for (_, i, j), x in zip(part, nats):
                    out[i][j] = -x.double().sum().item()
    return out


def _after(subject: Subject, ids: torch.Tensor, cache, rows: list[int], n: int) -> torch.Tensor:
    """Hidden states after the last norm of endings whose beginnings (length ``n``) are ``rows`` of ``cache``."""
    if cache is None:
        return _final_hidden(subject, ids)
    positions = torch.arange(n, n + ids.shape[1], device=subject.device).unsqueeze(0)
    return subject.model.base_model(
        input_ids=ids.to(subject.device),
        position_ids=positions,
        past_key_values=_take(cache, torch.tensor(rows, device=subject.device)),
        use_cache=True,
    ).last_hidden_state
