"""Training batches: documents of like length side by side, so that little is padding and none leaks into another."""

from collections.abc import Iterator

import numpy as np
import torch

from .grammar import Dice
from .world import Document

POOL = 64  # batches drawn together, sorted by length, then shuffled
WIDTH_STEP = 16  # widths are multiples of this, so that few shapes occur


def batches(
    docs: Iterator[Document], tokenizer, tokens_per_batch: int, seed: int, longest: int
) -> Iterator[torch.Tensor]:
    """Endless int64 tensors (documents, width), right-padded with the pad token; labels follow from the ids.

    Documents longer than ``longest`` tokens are cut. Each ends with the end-of-text token.
    """
    shuffle = Dice(f"{seed}/batches").random
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    while True:
        rows, n = [], 0
        while n < POOL * tokens_per_batch:
            texts = [next(docs).text for _ in range(512)]
            for ids in tokenizer(texts)["input_ids"]:
                rows.append([*ids, eos][:longest])
                n += len(rows[-1])
        rows.sort(key=len)
        groups, group, width = [], [], 0
        for row in rows:
            width = -(-len(row) // WIDTH_STEP) * WIDTH_STEP
            if group and (len(group) + 1) * width > tokens_per_batch:
                groups.append(group)
                group = []
            group.append(row)
        shuffle.shuffle(groups)  # the last, incomplete group is dropped
        for g in groups:
            width = -(-max(map(len, g)) // WIDTH_STEP) * WIDTH_STEP
            ids = np.full((len(g), width), pad, dtype=np.int64)
            for i, row in enumerate(g):
                ids[i, : len(row)] = row
            yield torch.from_numpy(ids)
