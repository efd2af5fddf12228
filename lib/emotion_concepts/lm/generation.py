"""Batched sampling with a key-value cache.

In float32 a text depends on its prompt, the seed and its number, not on its batch; in half precision the rounding of
a batch may turn a close draw. Prompts that are alike are read once, however many texts are sampled after them. Models
without a cache read the whole text anew for every token.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from tqdm.auto import tqdm

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_left
from emotion_concepts.lm.kv_cache import growing
from emotion_concepts.lm.subject import Subject

BLOCK = 512  # probabilities summed before the sums go on in float64


def stop_tokens(subject: Subject) -> set[int]:
    """Token ids that end a reply."""
    stops = {subject.tokenizer.eos_token_id}
    config = getattr(subject.model, "generation_config", None)
    extra = getattr(config, "eos_token_id", None)
    stops.update(extra if isinstance(extra, (list, tuple)) else [extra])
    return stops - {None}


def _index(cumulative: torch.Tensor, goal: torch.Tensor) -> torch.Tensor:
    """Where a cumulative sum (rows, n) first exceeds ``goal`` (rows, 1); never an entry that adds nothing."""
    total = cumulative[:, -1:]
    goal = torch.minimum(goal, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, goal, right=True).clamp(max=cumulative.shape[-1] - 1)


def _pick(logits: torch.Tensor, u: np.ndarray, temperature: float, sums: torch.dtype) -> torch.Tensor:
    """One token a row by inverting the cumulative distribution at ``u`` (rows,); greedy at temperature 0.

    Long sums are taken in ``sums``. -1 where the logits are NaN or infinite.
    """
    if temperature == 0:
        token = logits.argmax(-1, keepdim=True)
        return token.masked_fill(~logits.gather(-1, token).isfinite(), -1).squeeze(-1)
    p = torch.softmax(logits.float() / temperature, -1)
    # First the block, then the token in it: long sums need float64, which is slow over a whole vocabulary.
    blocks = torch.nn.functional.pad(p, (0, -p.shape[-1] % BLOCK)).view(len(p), -1, BLOCK)
    ends = blocks.sum(-1, dtype=sums).cumsum(-1)
    goal = torch.as_tensor(u, dtype=sums).to(ends.device).unsqueeze(-1) * ends[:, -1:]
    at = _index(ends, goal)
    before = torch.where(at > 0, ends.gather(-1, (at - 1).clamp(min=0)), torch.zeros_like(goal))
    inside = blocks[torch.arange(len(p), device=p.device), at.squeeze(-1)].to(sums).cumsum(-1)
    token = at * BLOCK + _index(inside, goal - before)
    return token.masked_fill_(ends[:, -1:].isnan(), -1).squeeze(-1)


def _decode_batch(subject, rows, numbers, same, draws, max_new, temperature, stops, context) -> list[list[int]]:
    """New token ids of each row; finished rows leave the batch once they are the half of it.

    ``numbers`` are the rows' prompt numbers, for :class:`UserError` when a row's logits are no numbers.
    ``same[k]`` is the first row that row k is like: only such firsts pass through the model as prompts.
    """
    firsts = sorted(set(same))
    heads = [rows[k] for k in firsts]
    ids, mask, positions = (x.to(subject.device) for x in pad_left(heads, subject.pad))
    out: list[list[int]] = [[] for _ in rows]
    live = list(range(len(rows)))
    done = torch.zeros(len(rows), dtype=torch.bool)
    cache, steering = None, contextlib.ExitStack()
    with steering:
        steering.enter_context(context(firsts, [len(r) for r in heads], ids.shape[1]))
        for step in range(max_new):
            step_out = subject.final_hidden(
                ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
            )
            cache, logits = step_out.past_key_values, subject.head(step_out.last_hidden_state[:, -1])
            if step == 0:
                cache = growing(cache)
                if len(firsts) < len(rows):
                    spread = torch.tensor([firsts.index(k) for k in same])
                    cache.reorder_cache(spread.to(subject.device))
                    logits, mask, positions = logits[spread], mask[spread], positions[spread]
                    steering.close()
                    steering.enter_context(context(live, None, None))
            token = _pick(logits, draws[live, step], temperature, subject.sums)
            for k, t in enumerate(token.tolist()):
                if not done[k]:
                    out[live[k]].append(_number(t, numbers[live[k]]))
                    done[k] = t in stops
            if done.all():
                break
            if done.sum() * 2 >= len(done):
                keep = torch.nonzero(~done).squeeze(1)
                cache.reorder_cache(keep.to(subject.device))
                live = [live[k] for k in keep.tolist()]
                token, mask, positions = token[keep.to(token.device)], mask[keep], positions[keep]
                done = done[keep]
                steering.close()
                steering.enter_context(context(live, None, None))
            ids = token.clamp(min=0).unsqueeze(1)  # a finished row's token may be the -1 of logits that are no numbers
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return out


def _decode_whole(subject, rows, numbers, same, draws, max_new, temperature, stops, context) -> list[list[int]]:
    """As :func:`_decode_batch` without a cache: the whole text is read anew for every token, by rows of one length."""
    out: list[list[int]] = [[] for _ in rows]
    for n in sorted(set(map(len, rows))):
        live = [k for k, row in enumerate(rows) if len(row) == n]
        for step in range(max_new):
            ids = torch.tensor([[*rows[k], *out[k]] for k in live])
            with context(live, [n + step] * len(live), n + step):
                h = subject.final_hidden(ids).last_hidden_state[:, -1]
            token = _pick(subject.head(h), draws[live, step], temperature, subject.sums).tolist()
            for k, t in zip(live, token):
                out[k].append(_number(t, numbers[k]))
            live = [k for k in live if out[k][-1] not in stops]
            if not live:
                break
    return out


def _number(token: int, prompt: int) -> int:
    """The token; :class:`UserError` for the -1 of logits that are no numbers."""
    if token < 0:
        raise UserError(
            f"the model gives NaN or infinite logits after prompt {prompt}; load the model in float32 or bfloat16"
        )
    return token


def generate(
    subject: Subject,
    prompts: list[str],
    max_new_tokens: int,
    temperature: float = 1.0,
    seed: int = 0,
    batch: int = 128,
    steering: Callable | None = None,
    alike: list | None = None,
    progress: bool = True,
    streams: list[int] | None = None,
) -> list[str]:
    """Continue each prompt (a full prompt text, see :class:`PromptFormat`) by up to ``max_new_tokens`` tokens.

    ``steering(rows, lengths, width)`` may return a context for the batch of those prompt numbers; ``lengths`` and
    ``width`` describe the left-padded prompt and are None when the batch has changed after it (where texts are read
    anew for every token, they describe the text so far). Equal prompts are read once: without ``steering`` all of
    them, with it those whose entries of ``alike`` (any hashable) are equal, for which ``steering`` must do the same.
    Text ``i`` uses the random stream ``(seed, streams[i])``, by default ``(seed, i)``. :class:`UserError` if a prompt
    leaves no room, or the logits are no numbers.
    """
    if not prompts:
        raise UserError("there are no prompts to continue; give at least one")
    rows = subject.encode_all(prompts, prompts=True)
    subject.check_room(max(map(len, rows)), max_new_tokens)
    streams = range(len(rows)) if streams is None else streams
    draws = np.stack([np.random.default_rng([seed, i]).random(max_new_tokens) for i in streams])
    stops, texts = stop_tokens(subject), [""] * len(rows)
    if alike is None:
        alike = [0] * len(rows) if steering is None else list(range(len(rows)))
    widest = max(map(len, rows))
    bar = tqdm(total=len(rows), desc="writing", unit="text", leave=False, disable=not progress)
    for bucket in length_buckets([len(r) for r in rows], batch * widest, batch):

        def context(live, lengths, width, bucket=bucket):
            if steering is None:
                return contextlib.nullcontext()
            return steering([bucket[k] for k in live], lengths, width)

        seen: dict = {}
        same = [seen.setdefault((tuple(rows[i]), alike[i]), k) for k, i in enumerate(bucket)]
        decode = _decode_batch if subject.cache_use.steps else _decode_whole
        with torch.inference_mode():
            new = decode(
                subject, [rows[i] for i in bucket], bucket, same, draws[bucket], max_new_tokens, temperature, stops,
                context,
            )  # fmt: skip
        for i, tokens in zip(bucket, new):
            texts[i] = subject.prompt.reply([t for t in tokens if t not in stops])
        bar.update(len(bucket))
    bar.close()
    return texts
