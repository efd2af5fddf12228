"""Tiny random models of real families, and the shipped pair."""

import contextlib

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from emotion_concepts.lm.models import load_model
from emotion_concepts.lm.subject import wrap
from emotion_concepts.reading.vectors import EmotionVectors

torch.set_num_threads(2)
TEXTS = [
    "Mara looked at the sea and waited for the boat to come home.",
    "The rain fell on the roof all night, and nobody slept.",
    "He said nothing. Then he laughed, and the whole room laughed with him until the lamps went out one by one.",
    "A letter came.",
    "Two dogs ran over the hill while the baker counted 1200 loaves of bread and put them into nine long rows.",
]
SHAPE = dict(vocab_size=400, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64)
CONFIGS = {
    "llama": LlamaConfig(**SHAPE, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SHAPE, num_key_value_heads=2, head_dim=8),
    "gemma3": Gemma3TextConfig(**SHAPE, num_key_value_heads=2, head_dim=8, sliding_window=16),
    "gpt2": GPT2Config(vocab_size=400, n_embd=32, n_layer=3, n_head=4, n_inner=64, n_positions=256),
    "gpt_neox": GPTNeoXConfig(**SHAPE, max_position_embeddings=256),
}


def make_tokenizer(pre_tokenizer=None, texts=TEXTS, words=400) -> PreTrainedTokenizerFast:
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizer or pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def make_subject(family: str):
    torch.manual_seed(0)
    config = CONFIGS[family]
    config.pad_token_id, config.bos_token_id, config.eos_token_id = 0, 1, 2
    model = AutoModelForCausalLM.from_config(config)
    for p in model.parameters():  # random models are nearly linear at their usual scale
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.2)
    return wrap(model, make_tokenizer(), family)


def plain_log_probs(subject, prompts, continuations, context=contextlib.nullcontext):
    """Summed log probability of each continuation by the model's own logits, one text a pass, nothing shared."""
    out = []
    for p, c in zip(prompts, continuations, strict=True):
        k, whole = len(subject.encode(p)), subject.encode(p + c)
        with torch.no_grad(), context():
            lp = torch.log_softmax(subject.model(torch.tensor([whole])).logits[0].float(), -1)
        out.append(sum(lp[j - 1, whole[j]].item() for j in range(k, len(whole))))
    return np.array(out)


@pytest.fixture(scope="session")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="session", params=list(CONFIGS))
def tiny(request):
    """A subject of each family."""
    return make_subject(request.param)


@pytest.fixture(scope="session")
def tiny_llama():
    """One subject where the family does not matter."""
    return make_subject("llama")


@pytest.fixture(scope="session")
def texts():
    return TEXTS


@pytest.fixture(scope="session")
def organism():
    """The shipped post-trained model."""
    return load_model("organism")


@pytest.fixture(scope="session")
def organism_base():
    """The shipped pretrained model."""
    return load_model("organism-base")


@pytest.fixture
def make_vectors():
    """Random unit vectors of named emotions at the tiny models' three layers, about a random or a zero origin."""

    def make(emotions, origin=True):
        rng, n = np.random.default_rng(0), len(emotions)
        v = rng.normal(size=(3, n, 32)).astype(np.float32)
        v /= np.linalg.norm(v, axis=-1, keepdims=True)
        mean = rng.normal(size=(3, 32)) if origin else np.zeros((3, 32))
        return EmotionVectors(list(emotions), v, np.ones((3, n)), mean.astype(np.float32), [0, 1, 2], {})

    return make
