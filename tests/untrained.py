"""A small pair of networks of random weights, and the shared stories with their labels dealt anew: nothing to be found.

``python tests/untrained.py FOLDER`` writes the pair, for a run that shows what the suite says of such a model:
``./run_all.sh --model FOLDER/untrained --base FOLDER/untrained-base --profile quick --keep``.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from conftest import make_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig

from emotion_concepts.texts.corpus import Corpus
from emotion_concepts.texts.shared import shared_stories

SHAPE = dict(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, intermediate_size=128)


def write_pair(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """Write a network and its pretrained partner, each of other random weights, and return their folders."""
    tokenizer = make_tokenizer(texts=shared_stories().texts, words=2000)
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    config = LlamaConfig(**SHAPE, **special, vocab_size=len(tokenizer), max_position_embeddings=8192)
    paths = folder / "untrained", folder / "untrained-base"
    for k, path in enumerate(paths):
        torch.manual_seed(2 * seed + k)
        model = AutoModelForCausalLM.from_config(config)
        for p in model.parameters():  # random models are nearly linear at their usual scale
            if p.ndim == 2:
                torch.nn.init.normal_(p, std=0.2)
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return paths


def dealt_stories(seed: int = 0) -> Corpus:
    """The shared stories with the emotions of each topic dealt among its stories."""
    stories = shared_stories()
    emotions, topics = np.array(stories.emotions, dtype=object), np.array(stories.topics)
    rng = np.random.default_rng(seed)
    for topic in dict.fromkeys(stories.topics):
        at = np.flatnonzero(topics == topic)
        emotions[at] = rng.permutation(emotions[at])
    return Corpus(stories.texts, list(emotions), list(stories.topics))


if __name__ == "__main__":
    print(*write_pair(Path(sys.argv[1])))
