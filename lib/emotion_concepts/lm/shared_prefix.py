"""Logits and log probabilities after many prompts that begin alike: the common beginning is read once.

Prompts of a group share their longest common run of tokens. The groups' beginnings go through the model first and
leave their keys and values; the endings follow, every ending of every group whose beginning has the same length in
common batches, so that one batch holds many prompts and many steering conditions. Where a model cannot go on from a
beginning (:attr:`Subject.cache_use`), prompts are read whole.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_right
from emotion_concepts.lm.kv_cache import fork
from emotion_concepts.lm.scoring import LOGITS_BUDGET, continued
from emotion_concepts.lm.steering import Condition, stack, steer
from emotion_concepts.lm.subject import Subject

TOKEN_BUDGET = 4096


@dataclass
class Prompt:
    """A prompt, the group whose beginning it shares, and the token spans that its group's condition steers."""

    text: str
    group: int
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Ending:
    """What follows a group's beginning: its tokens, and the spans (counted from the prompt's start) to be steered."""

    group: int
    ids: list[int]
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Plan:
    """How each group is steered: its condition or None, in the same layers."""

    subject: Subject
    conditions: list[Condition | None]
    layers: list[int] | None
    norms: np.ndarray | None

    def __post_init__(self):
        if self.layers is None and any(c and c.strength for c in self.conditions):
            raise UserError("conditions need layers to be steered in; name at least one")

    def context(self, groups, spans, lengths, offset: int):
        """Steering for rows of ``groups`` on those parts of their spans that lie in a pass from ``offset`` on."""
        mask = np.zeros((len(groups), max(lengths)), dtype=bool)
        for row, own in zip(mask, spans):
            for start, end in own:
                row[max(0, start - offset) : max(0, end - offset)] = True
        s = self.subject
        if self.layers is None or not mask.any():
            return steer(s, np.zeros(s.width), 0.0, [0], np.ones(s.n_layers))
        vector, strengths = stack([self.conditions[g] for g in groups], self.layers, s.width)
        return steer(s, vector, strengths, self.layers, self.norms, mask)


def _passes(heads: list[list[int]], endings: list[_Ending], plan: _Plan, token_budget: int) -> Iterator[tuple]:
    """Yield ``(ending numbers, hidden states of their tokens (rows, tokens, width), ids, mask)``, batch by batch."""
    subject, members, by_length = plan.subject, defaultdict(list), defaultdict(list)
    for i, e in enumerate(endings):
        members[e.group].append(i)
    for g in members:
        by_length[len(heads[g])].append(g)
    for n, groups in sorted(by_length.items()):
        shared = n > 0 and subject.cache_use.shares
        per_pass = max(1, token_budget // max(n, 1)) if shared else len(groups)
        for k in range(0, len(groups), per_pass):
            chosen = groups[k : k + per_pass]
            place = {g: row for row, g in enumerate(chosen)}
            items = [i for g in chosen for i in members[g]]
            cache = None
            if shared:
                ids = torch.tensor([heads[g] for g in chosen])
                spans = [[s for s in endings[members[g][0]].spans if s[0] < n] for g in chosen]
                with torch.inference_mode(), plan.context(chosen, spans, [n] * len(chosen), 0):
                    cache = subject.final_hidden(ids, use_cache=True).past_key_values
            rows = [endings[i].ids if shared else heads[endings[i].group] + endings[i].ids for i in items]
            for bucket in length_buckets([len(r) for r in rows], token_budget):
                part = [items[b] for b in bucket]
                ids, mask = pad_right([rows[b] for b in bucket], subject.pad)
                lengths, offset = mask.sum(1).tolist(), n if shared else 0
                own = [endings[i].group for i in part]
                with torch.inference_mode(), plan.context(own, [endings[i].spans for i in part], lengths, offset):
                    h = _after(subject, ids, cache, [place[g] for g in own], n)
                skip = 0 if shared else n
                yield part, h[:, skip:], ids[:, skip:], mask[:, skip:]


def _after(subject: Subject, ids: torch.Tensor, cache, rows: list[int], n: int) -> torch.Tensor:
    """Hidden states after the last norm of endings whose beginnings (length ``n``) are ``rows`` of ``cache``."""
    if cache is None:
        return subject.final_hidden(ids).last_hidden_state
    return subject.final_hidden(
        ids,
        position_ids=torch.arange(n, n + ids.shape[1], device=subject.device).unsqueeze(0),
        past_key_values=fork(cache, torch.tensor(rows, device=subject.device)),
        use_cache=True,
    ).last_hidden_state


def grouped_logits(
    subject: Subject,
    prompts: list[Prompt],
    token_ids: list[int],
    conditions: list[Condition | None] | None = None,
    layers=None,
    norms=None,
    token_budget: int = TOKEN_BUDGET,
) -> np.ndarray:
    """Logits of ``token_ids`` after each prompt, float32 (prompts, tokens); with ``token_ids`` None of all tokens.

    ``conditions[group]`` steers the group's prompts at their spans in ``layers``; None leaves a group as it is.
    """
    if not prompts:
        raise UserError("no prompts to read")
    plan = _Plan(subject, conditions or [None] * (max(p.group for p in prompts) + 1), layers, norms)
    texts = list(dict.fromkeys(p.text for p in prompts))
    tokens = dict(zip(texts, subject.encode_all(texts, prompts=True)))
    rows, members = [tokens[p.text] for p in prompts], defaultdict(list)
    for i, p in enumerate(prompts):
        members[p.group].append(i)
    # at least one token must remain for the ending, so that its logits are computed
    common = {
        g: min(len(os.path.commonprefix([rows[i] for i in ids])), min(len(rows[i]) for i in ids) - 1)
        for g, ids in members.items()
    }
    heads = {g: rows[ids[0]][: common[g]] for g, ids in members.items()}
    endings = [_Ending(p.group, row[common[p.group] :], tuple(p.spans)) for p, row in zip(prompts, rows)]
    out = None
    for part, h, _, mask in _passes(heads, endings, plan, token_budget):
        last = h[torch.arange(len(part)), (mask.sum(1) - 1).to(h.device)]
        with torch.inference_mode():
            logits = subject.head(last, token_ids).cpu().numpy()
        out = np.empty((len(prompts), logits.shape[1]), dtype=np.float32) if out is None else out
        out[part] = logits
    return out


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
    plan = _Plan(subject, conditions or [None] * len(prompts), layers, norms)
    everything, endings, wanted = ((0, subject.max_length),), [], []
    heads = subject.encode_all(prompts, prompts=True)
    for i, (p, head, texts) in enumerate(zip(prompts, heads, continuations, strict=True)):
        # the last prompt token predicts the first new one; the last new one predicts nothing
        read = [continued(subject, p, head, c)[len(head) - 1 :] for c in texts]
        subject.check_room(len(head), max(map(len, read), default=1) - 1)
        owner: dict[tuple, int] = {}  # which ending holds the tokens read so far: equal beginnings are read once
        for ids in sorted((tuple(r[:-1]) for r in read), key=len, reverse=True):
            if ids not in owner:
                owner |= {ids[:k]: len(endings) for k in range(1, len(ids) + 1) if ids[:k] not in owner}
                endings.append(_Ending(i, list(ids), everything))
                wanted.append([])
        for j, r in enumerate(read):
            for k in range(1, len(r)):
                wanted[owner[tuple(r[:k])]].append((k - 1, r[k], i, j))
    out = [np.zeros(len(texts)) for texts in continuations]
    for part, h, _, _ in _passes([head[:-1] for head in heads], endings, plan, token_budget):
        asked = [(row, *w) for row, e in enumerate(part) for w in wanted[e]]
        for (_, _, _, i, j), value in zip(asked, _log_probs(subject, h, [a[:3] for a in asked])):
            out[i][j] += value
    return out


def _log_probs(subject: Subject, h: torch.Tensor, asked: list[tuple[int, int, int]]) -> list[float]:
    """Log probability in nats of each ``(row, position, token)``; a position passes through the head once."""
    places = list(dict.fromkeys(a[:2] for a in asked))
    number, size = {place: n for n, place in enumerate(places)}, max(1, LOGITS_BUDGET // subject.vocabulary)
    by_part, out = defaultdict(list), [0.0] * len(asked)
    for k, a in enumerate(asked):
        by_part[number[a[:2]] // size].append(k)
    rows, positions = (torch.tensor(x, device=h.device) for x in zip(*places))
    with torch.inference_mode():
        for n, members in by_part.items():
            some = slice(n * size, (n + 1) * size)
            logits = subject.head(h[rows[some], positions[some]]).log_softmax(-1)
            at = torch.tensor([number[asked[k][:2]] - n * size for k in members], device=logits.device)
            tokens = torch.tensor([asked[k][2] for k in members], device=logits.device)
            for k, value in zip(members, logits[at, tokens].double().tolist()):
                out[k] = value
    return out
