"""Where in a text the tokens of a part lie, whatever the template and the tokenizer do with white space."""

from types import SimpleNamespace

import pytest
from conftest import make_tokenizer
from tiny_tokenizers import sentencepiece, with_prefix

from emotion_concepts.errors import UserError
from emotion_concepts.lm.prompts import PromptFormat
from emotion_concepts.lm.subject import Subject
from emotion_concepts.reading.pooling import Spans, span_at, span_of, spans_in_turn

TRIMS = "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{% endfor %}"
TOKENIZERS = {"bytes": make_tokenizer, "pieces": sentencepiece, "pieces as they are": lambda: sentencepiece(False),
              "two tokens first": with_prefix}  # fmt: skip


class Reader(SimpleNamespace):
    """A tokenizer with what a subject does with it; no model is needed to find spans."""

    encode, encode_all = Subject.encode, Subject.encode_all

    @property
    def _prefix(self):
        return Subject._prefix.func(self)


@pytest.fixture(params=TOKENIZERS)
def reader(request):
    tokenizer = TOKENIZERS[request.param]()
    tokenizer.chat_template = TRIMS
    return Reader(tokenizer=tokenizer, prompt=PromptFormat(tokenizer), name="r")


def said(reader, text, span):
    return reader.tokenizer.decode(reader.encode(text)[slice(*span)]).strip()


def test_turns_are_found_in_order_though_the_template_trims_them(reader):
    turns = ["Nobody slept.\n", " The rain fell. ", "Nobody slept. "]
    text = reader.prompt.turns(list(zip(("user", "assistant", "user"), turns)))
    spans = spans_in_turn(reader, text, turns)
    assert [said(reader, text, s) for s in spans] == [t.strip() for t in turns]
    assert spans[0][1] <= spans[1][0] and spans[1][1] <= spans[2][0]
    with pytest.raises(UserError, match="'A letter came.' does not stand in .* where it was expected"):
        spans_in_turn(reader, text, ["The rain fell.", "A letter came."])


def test_a_part_is_its_tokens_without_the_white_space_around(reader):
    text = "He said nothing. Then he laughed and the room laughed with him."
    for part, nth in (("laughed", 0), ("laughed", 1), (" laughed with him.\n", 0), ("He said", 0)):
        assert said(reader, text, span_of(reader, text, part, nth)) == part.strip()
    first, second = (span_of(reader, text, "laughed", n) for n in (0, 1))
    assert first[1] <= second[0]
    with pytest.raises(UserError, match="'laughed' does not occur 3 times"):
        span_of(reader, text, "laughed", 2)
    with pytest.raises(UserError, match="covers no token"):
        span_at(reader, text, 16, 17)


def test_a_slow_tokenizer_is_told(reader):
    slow = Reader(tokenizer=SimpleNamespace(is_fast=False), name="old")
    with pytest.raises(UserError, match="old has a slow tokenizer, which does not say where its tokens lie"):
        span_of(slow, "A letter came.", "letter")


def test_one_span_is_the_special_case_of_several():
    rule = Spans(((1, 3), ((1, 3),), ((0, 2), (4, 5), (1, 2)), ()))
    assert rule.weights(0, 4).tolist() == rule.weights(1, 4).tolist() == [0, 0.5, 0.5, 0]
    assert rule.weights(2, 6) == pytest.approx([1 / 3, 1 / 3, 0, 0, 1 / 3, 0])  # a token in two spans counts once
    with pytest.raises(UserError, match=r"text 2: span 4..5 does not lie inside its 4 tokens"):
        rule.weights(2, 4)
    with pytest.raises(UserError, match="text 3 has no span to average"):
        rule.weights(3, 4)
