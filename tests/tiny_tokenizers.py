"""Small tokenizers of the kinds that models come with, beside the byte-level one of the other tests."""

from conftest import TEXTS, make_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

WORDS = "he feels afraid, she feels calm and they are happy; nervous at first, then calm. " * 9


def sentencepiece(prepends: bool = True) -> PreTrainedTokenizerFast:
    """Pieces that carry their space in front, bytes for what is unknown, ``<s>`` before every text.

    ``prepends``: a text's first word gets a space, too (Llama 2, Mistral), or not (Gemma).
    """
    tok = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tok.train_from_iterator(
        [*TEXTS, WORDS], trainers.BpeTrainer(vocab_size=400, special_tokens=specials, show_progress=False)
    )
    spaces = normalizers.Replace(" ", "\u2581")
    decode = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    if prepends:
        tok.normalizer, tok.pre_tokenizer = normalizers.Sequence([normalizers.Prepend("\u2581"), spaces]), None
        decode.append(decoders.Strip(" ", 1, 0))
    else:
        tok.normalizer, tok.pre_tokenizer = spaces, pre_tokenizers.Split(" ", "merged_with_previous")
    tok.decoder = decoders.Sequence(decode)
    tok.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tok, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def with_prefix() -> PreTrainedTokenizerFast:
    """Two special tokens before every text, none of which is the beginning-of-text token (GLM)."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["[gMASK]", "<sop>"]})
    ids = tokenizer.convert_tokens_to_ids(["[gMASK]", "<sop>"])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[gMASK] <sop> $A", special_tokens=list(zip(["[gMASK]", "<sop>"], ids))
    )
    tokenizer.bos_token = None
    return tokenizer


def without_bos() -> PreTrainedTokenizerFast:
    """No beginning of text, and none to pad with (Qwen)."""
    tokenizer = make_tokenizer()
    tokenizer.bos_token = tokenizer.pad_token = None
    return tokenizer
