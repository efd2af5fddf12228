"""The organism's tokenizer: byte-level BPE learnt from its own texts, digits one by one, a plain chat template."""

from collections.abc import Iterable
from itertools import chain

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from emotion_concepts.texts.published import emotion_words

BOS, EOS, PAD = "<bos>", "<eos>", "<pad>"
WHOLE_WORD_COUNT = 2000
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if not loop.first %}{{ '\n\n' }}{% endif %}"
    "{{ 'Assistant' if m['role'] == 'assistant' else 'Human' }}: {{ m['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '\n\nAssistant:' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A fast tokenizer of ``vocab_size`` tokens whose chat template writes ``Human:`` and ``Assistant:`` turns."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The emotion words count often enough to be tokens of their own, as they are in large models.
    words = (f" {form}" * WHOLE_WORD_COUNT for word in emotion_words() for form in (word, word.capitalize()))
    tok.train_from_iterator(chain(texts, words), trainer)
    tok.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, tok.token_to_id(BOS))])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tok, bos_token=BOS, eos_token=EOS, pad_token=PAD, padding_side="right"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
