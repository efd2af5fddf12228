"""Batched sampling with a key-value cache. A text depends on its prompt, the seed and its number, not on its batch.

Prompts that are alike are read once, however many texts are sampled after them.
"""

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from tqdm.auto import tqdm

from emotion_concepts.errors import UserError
from emotion_concepts.lm.batching import length_buckets, pad_left
from emotion_concepts.lm.kv_cache import growing
from emotion_concepts.lm.models import Subject


def stop_tokens(subject: Subject) -> set[int]:
    """Token ids that end a reply."""
    stops = {subject.tokenizer.eos_token_id}
    config = getattr(subject.model, "generation_config", None)
    extra = getattr(config, "eos_token_id", None)
    stops.update(extra if isinstance(extra, (list, tuple)) else [extra])
    return stops - {None}


def _pick(logits: torch.Tensor, u: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """One token a row by inverting the cumulative distribution at ``u`` (rows,); greedy at temperature 0.

    -1 where the logits are NaN or infinite.
    """
    if temperature == 0:
        token = logits.argmax(-1, keepdim=True)
        return token.masked_fill(~logits.gather(-1, token).isfinite(), -1).squeeze(-1)
    p = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        sorted_p, order = p.sort(-1, descending=True)
        keep = sorted_p.cumsum(-1) - sorted_p < top_p
        p = torch.zeros_like(p).scatter(-1, order, sorted_p * keep)
    cumulative = p.double().cumsum(-1)
    total = cumulative[:, -1:]
    token = torch.searchsorted(cumulative, u.to(cumulative).unsqueeze(-1) * total, right=True)
    return token.clamp(max=p.shape[-1] - 1).masked_fill_(total.isnan(), -1).squeeze(-1)


def _decode_batch(subject, rows, numbers, same, draws, max_new, temperature, top_p, stops, context) -> list[list[int]]:
    """New token ids of each row; finished rows leave the batch once they are the half of it.

    ``numbers`` are the rows' prompt numbers, for :class:`UserError` when a row's logits are no numbers.
    ``same[k]`` is the first row that row k is like: only such firsts pass through the model as prompts.
    """
    firsts = sorted(set(same))
    heads = [rows[k] for k in firsts]
    ids, mask, positions = (x.to(subject.device) for x in pad_left(heads, subject.tokenizer.pad_token_id))
    out: list[list[int]] = [[] for _ in rows]
    live = list(range(len(rows)))
    done = torch.zeros(len(rows), dtype=torch.bool)
    cache, steering = None, contextlib.ExitStack()
    with steering:
        steering.enter_context(context(firsts, [len(r) for r in heads], ids.shape[1]))
        for step in range(max_new):
            step_out = subject.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits = step_out.past_key_values, step_out.logits[:, -1]
            if step == 0:
                cache = growing(cache)
                if len(firsts) < len(rows):
                    spread = torch.tensor([firsts.index(k) for k in same], device=subject.device)
                    cache.batch_select_indices(spread)
                    logits, mask, positions = logits[spread], mask[spread], positions[spread]
                    steering.close()
                    steering.enter_context(context(live, None, None))
            token = _pick(logits, torch.from_numpy(draws[live, step]), temperature, top_p)
            for k, t in enumerate(token.tolist()):
                if not done[k]:
                    if t < 0:
                        raise UserError(
                            f"the model gives NaN or infinite logits after prompt {numbers[live[k]]}; "
                            "load the model in float32 or bfloat16"
                        )
                    out[live[k]].append(t)
                    done[k] = t in stops
            if done.all():
                break
            if done.sum() * 2 >= len(done):
                keep = torch.nonzero(~done).squeeze(1)
                cache.batch_select_indices(keep.to(subject.device))
                live = [live[k] for k in keep.tolist()]
                token, mask, positions = token[keep.to(token.device)], mask[keep], positions[keep]
                done = done[keep]
                steering.close()
                steering.enter_context(context(live, None, None))
            ids = token.clamp(min=0).unsqueeze(1)  # a finished row's token may be the -1 of logits that are no numbers
            positions = positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return out


def generate(
    subject: Subject,
    prompts: list[str],
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch: int = 128,
    steering: Callable | None = None,
    alike: list | None = None,
    progress: bool = True,
) -> list[str]:
    """Continue each prompt (a full prompt text, see :class:`PromptFormat`) by up to ``max_new_tokens`` tokens.

    ``steering(rows, lengths, width)`` may return a context for the batch of those prompt numbers; ``lengths`` and
    ``width`` describe the left-padded prompt and are None when the batch has changed after it. Equal prompts are read
    once: without ``steering`` all of them, with it those whose entries of ``alike`` (any hashable) are equal, for
    which ``steering`` must do the same. Text ``i`` uses the random stream ``(seed, i)``. :class:`UserError` if a
    prompt leaves no room, or the logits are no numbers.
    """
    if not prompts:
        raise UserError("there are no prompts to continue; give at least one")
    rows = [subject.encode(p) for p in prompts]
    for i, row in enumerate(rows):
        if len(row) + max_new_tokens > subject.max_length:
            raise UserError(
                f"prompt {i} with {len(row)} tokens leaves no room for {max_new_tokens} more; shorten either"
            )
    draws = np.stack([np.random.default_rng([seed, i]).random(max_new_tokens) for i in range(len(rows))])
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
        with torch.inference_mode():
            new = _decode_batch(
                subject, [rows[i] for i in bucket], bucket, same, draws[bucket], max_new_tokens, temperature, top_p,
                stops, context,
            )  # fmt: skip
        for i, tokens in zip(bucket, new):
            texts[i] = subject.tokenizer.decode([t for t in tokens if t not in stops], skip_special_tokens=True).strip()
        bar.update(len(bucket))
    bar.close()
    return texts
