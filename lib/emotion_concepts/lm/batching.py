"""Batches of texts of like length, padded on the right.

Right padding keeps positions and causal attention of the real tokens as they are for a text alone (hazards 1, 2).
"""

import numpy as np
import torch


def length_buckets(lengths, token_budget: int, max_rows: int = 256) -> list[list[int]]:
    """Indices grouped so that rows x longest <= ``token_budget``, longest texts first.

    Longest first: if memory does not suffice, the first batch says so.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    buckets, bucket = [], []
    for i in order.tolist():
        widest = lengths[bucket[0]] if bucket else lengths[i]
        if bucket and ((len(bucket) + 1) * widest > token_budget or len(bucket) >= max_rows):
            buckets.append(bucket)
            bucket = []
        bucket.append(i)
    return buckets + [bucket] if bucket else buckets


def pad_right(rows: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (rows, longest) and a bool mask of the real tokens, same shape."""
    width = max(map(len, rows))
    ids = np.full((len(rows), width), pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = True
    return torch.from_numpy(ids), torch.from_numpy(mask)


def pad_left(rows: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, mask and position ids (rows, longest) for generation, where every row must end in the last column."""
    ids, mask = pad_right([row[::-1] for row in rows], pad)
    ids, mask = ids.flip(1), mask.flip(1)
    return ids, mask, (mask.long().cumsum(1) - 1).clamp(min=0)
