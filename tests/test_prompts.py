"""Chat templates: thoughts, dates and system prompts; tokenizers with other beginnings."""

import copy
from datetime import datetime

import numpy as np
import pytest
import torch
from conftest import make_tokenizer, plain_log_probs
from tiny_tokenizers import sentencepiece, with_prefix, without_bos

from emotion_concepts.errors import UserError
from emotion_concepts.lm import prompts
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.prompts import PromptFormat, strip_reasoning
from emotion_concepts.lm.scoring import next_logits
from emotion_concepts.lm.shared_prefix import Prompt, grouped_log_probs, grouped_logits
from emotion_concepts.lm.subject import wrap
from emotion_concepts.reading.activations import at_reply, per_token

TURNS = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
ASK = "{% if add_generation_prompt %}<assistant>|{% endif %}"


def chat_format(template: str, system: str | None = None) -> PromptFormat:
    """A prompt format of a tokenizer with this chat template; ``|`` in it stands for a line's end."""
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template.replace("|", "\n").replace("¦", "|")
    return PromptFormat(tokenizer, system)


THINKING = {
    "always open": (
        TURNS + ASK + "{% if add_generation_prompt %}<think>|{% endif %}",
        "<assistant>\n<think>\n\n</think>\n\n",
    ),
    "enable_thinking": (
        TURNS + ASK + "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}"
        "<think>||</think>||{% endif %}",
        "<assistant>\n<think>\n\n</think>\n\n",
    ),
    "thinking": (
        TURNS + ASK + "{% if add_generation_prompt %}{% if thinking is defined and not thinking %}</think>"
        "{% else %}<think>{% endif %}{% endif %}",
        "<assistant>\n</think>",
    ),
    "thinking_budget": (
        TURNS + ASK + "{% if add_generation_prompt and thinking_budget == 0 %}<seed:think></seed:think>{% endif %}",
        "<assistant>\n<seed:think></seed:think>",
    ),
    "another tag": (TURNS + ASK + "{% if add_generation_prompt %}<thought>|{% endif %}", "<thought>\n\n</thought>\n\n"),
    "channels": (TURNS + "{# <¦channel¦> #}{% if add_generation_prompt %}<¦start¦>assistant{% endif %}",
                 "<|start|>assistant<|channel|>final<|message|>"),
    "an open channel": (
        TURNS + "{% if add_generation_prompt %}<¦start¦>assistant<¦channel¦>analysis<¦message¦>{% endif %}",
        "<|start|>assistant<|channel|>final<|message|>",
    ),
    "an empty thought block": (
        TURNS + "{% if add_generation_prompt %}<¦turn>model|{% if not enable_thinking %}<¦channel>thought|<channel¦>"
        "{% endif %}{% endif %}",
        "<|turn>model\n<|channel>thought\n<channel|>",
    ),
    "an open thought block": (
        TURNS + "{% if add_generation_prompt %}<¦turn>model|<¦channel>thought|{% endif %}",
        "<|turn>model\n<|channel>thought\n<channel|>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", THINKING)
def test_the_reply_comes_right_after_the_prompt(kind, tiny_llama):
    """Else the choice between A and B is read inside a thought, and the reply position is the thought's first token."""
    template, ending = THINKING[kind]
    form = chat_format(template)
    assert form.chat("Hi.").endswith(ending) and form.chat("Hi.", "Yes") == form.chat("Hi.") + "Yes"
    subject = wrap(tiny_llama.model, form.tokenizer, "t")
    got = at_reply(subject, ["Hi."], [1], progress=False)[0, 0]
    assert np.allclose(got, per_token(subject, form.chat("Hi."), [1])[1][-1, 0], atol=1e-5)


def test_a_thought_that_is_closed_is_said_once(capsys):
    form = chat_format(THINKING["always open"][0])
    form.chat("Hi."), form.chat("Ho.")
    assert capsys.readouterr().out.count("opens a thought; it is closed before the reply") == 1


def test_channels_of_earlier_messages_stay_as_they_are():
    template = (
        "{% for m in messages %}<¦start¦>{{ m.role }}{% if m.role == 'assistant' %}<¦channel¦>final{% endif %}"
        "<¦message¦>{{ m.content }}<¦end¦>{% endfor %}{% if add_generation_prompt %}<¦start¦>assistant{% endif %}"
    )
    form = chat_format(template)
    text = form.turns([("user", "Hi."), ("assistant", "Ho."), ("user", "Hm?")], generation_prompt=True)
    assert "<|channel|>final<|message|>Ho.<|end|><|start|>user<|message|>Hm?" in text
    assert text.endswith("<|end|><|start|>assistant<|channel|>final<|message|>")


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("<think>\nShe is sad, and so am I.\n</think>\n\nHe laughed.", "He laughed."),
        ("She is sad, and so am I.\n</think>\n\nHe laughed.", "He laughed."),  # opened in the prompt
        ("<think>\nShe is sad, and so", ""),  # cut off before its end
        ("He laughed. <think>or not?</think>Then he left.", "He laughed. Then he left."),
        ("<seed:think>Sad.<seed:cot_budget_reflect>9 left</seed:cot_budget_reflect></seed:think>Ha.", "Ha."),
        ("[THINK]Sad.[/THINK]Ha.", "Ha."),
        ("<|channel>thought\nSad.<channel|>Ha.", "Ha."),
        ("<|channel|>analysis<|message|>Sad.<|end|><|start|>assistant<|channel|>final<|message|>Ha.", "Ha."),
        ("<|channel|>analysis<|message|>Sad, and the budget ends he", ""),
        ("5 < 6 and 7 > 3, I think.", "5 < 6 and 7 > 3, I think."),
    ],
)
def test_thoughts_are_cut_from_replies(reply, left):
    assert strip_reasoning(reply) == left


@pytest.mark.parametrize("special", [True, False])
def test_texts_hold_no_thought(tiny_llama, special, capsys):
    """Whether or not its marks are special tokens, which the decoder would drop, leaving the thought as text."""
    form = chat_format(TURNS + ASK + "{# </think> #}")
    form.tokenizer.add_tokens(["<think>", "</think>"], special_tokens=special)
    ids = form.tokenizer("<think>She is sad.</think>\nHe laughed.</s>")["input_ids"]
    assert form.reply(ids) == "He laughed." == form.reply(ids) and form.reply(ids[-4:]) != ""
    assert capsys.readouterr().out.count("its thoughts are cut from the replies") == 1
    plain = PromptFormat(make_tokenizer())  # no marks of thoughts: what is there stays
    assert plain.reply(plain.tokenizer("a <think> b</s>")["input_ids"]) == "a <think> b"


def test_effort_is_the_least_that_a_template_knows():
    known = "{% if reasoning_effort not in ['none', 'high'] %}{{ raise_exception('no such effort') }}{% endif %}"
    assert chat_format(known + "{{ reasoning_effort }}" + TURNS).chat("Hi.").startswith("none<user>")
    assert chat_format("{{ reasoning_effort }}" + TURNS).chat("Hi.").startswith("low<user>")


def test_templates_are_told_one_date(monkeypatch):
    """Prompts, what is read from them and the keys of stores would otherwise change from day to day."""
    told = "{% macro today() %}{{ strftime_now('%d %B %Y') }}{% endmacro %}"
    form = chat_format("|" + told + "{{ today() }}, {{ strftime_now('%Y-%m-%d') }}, {{ date_string }}: " + TURNS)
    assert form.chat("Hi.") == "\n02 April 2026, 2026-04-02, 02 Apr 2026: <user>Hi."
    assert prompts.TODAY.date() != datetime.now().date()


OWN = "{% if messages[0].role != 'system' %}<system>You are Qwen.{% endif %}" + TURNS
REFUSES = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + TURNS
DROPS = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "system", "text"),
    [
        (OWN, None, "<system>You are Qwen.<user>Hi. "),
        (OWN, "Be brief.", "<system>Be brief.<user>Hi. "),
        (OWN, "", "<system><user>Hi. "),
        (TURNS, "Be brief.", "<system>Be brief.<user>Hi. "),
        (TURNS, "", "<user>Hi. "),  # there is none to be emptied
        (REFUSES, None, "<user>Hi. "),
        (REFUSES, "Be brief.", "<user>Be brief.\n\nHi. "),
        (REFUSES, "", "<user>Hi. "),
        (DROPS, "Be brief.", "<user>Be brief.\n\nHi. "),
    ],
)
def test_a_system_prompt_is_given_emptied_or_told_before_the_message(template, system, text):
    assert chat_format(template, system).turns([("user", "Hi. ")]) == text


def test_the_plain_format_takes_a_system_prompt_and_leaves_an_empty_one_out():
    assert PromptFormat(make_tokenizer(), "Be brief.").chat("Hi.") == "System: Be brief.\n\nHuman: Hi.\n\nAssistant:"
    assert PromptFormat(make_tokenizer(), "").chat("Hi.") == "Human: Hi.\n\nAssistant:"


def test_templates_that_cannot_be_used_are_refused_in_one_line():
    broken = chat_format("{{ raise_exception('roles must\nalternate') }}")
    for messages in ([("user", "Hi.")], [("system", "Be brief."), ("user", "Hi.")]):
        with pytest.raises(UserError, match="template cannot be used: roles must$"):
            broken.turns(messages)


def test_a_prefill_has_the_space_that_the_template_writes():
    turns = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    spaced = turns + "{% if add_generation_prompt %}[assistant]{% endif %}"
    assert chat_format(spaced).chat("Hi.", "Yes") == "[user] Hi.[assistant] Yes"
    assert chat_format(spaced.replace("] {{", "]{{")).chat("Hi.", "Yes") == "[user]Hi.[assistant]Yes"


TOKENIZERS = {
    "spaces prepended": sentencepiece,
    "spaces kept": lambda: sentencepiece(False),
    "two tokens first": with_prefix,
    "nothing first": without_bos,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def other(request, tiny_llama):
    """The tiny model with another tokenizer."""
    tokenizer, model = TOKENIZERS[request.param](), copy.deepcopy(tiny_llama.model)
    if len(tokenizer) > 400:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return wrap(model, tokenizer, request.param)


def test_first_tokens_are_the_tokenizers_own_exactly_once(other):
    first = {"two tokens first": ["[gMASK]", "<sop>"], "nothing first": []}.get(other.name, ["<s>"])
    ids, tok = other.encode("He feels calm."), other.tokenizer
    assert ids == tok("He feels calm.")["input_ids"]
    assert tok.convert_ids_to_tokens(ids)[: len(first)] == first and len(ids) > len(first)
    brought = "".join(first) + "He feels calm."  # as templates do
    assert other.encode(brought)[: len(first) + 1].count(ids[0]) == 1
    assert tok.convert_ids_to_tokens(other.encode(brought))[: len(first)] == first


def test_scores_and_texts_are_the_plain_models(other):
    head, tails = "He feels", [" calm", " afraid and happy"]
    assert np.allclose(
        grouped_log_probs(other, [head], [tails])[0], plain_log_probs(other, [head] * 2, tails), atol=1e-4
    )
    texts = ["He feels calm", "She waited for the boat"]
    for text, got, alone in zip(
        texts, next_logits(other, texts), grouped_logits(other, [Prompt(t, 0) for t in texts], None)
    ):
        with torch.no_grad():
            want = other.model(torch.tensor([other.encode(text)])).logits[0, -1]
        assert np.allclose(got, want, atol=1e-3) and np.allclose(alone, want, atol=1e-3)
    assert generate(other, texts, 6, seed=1, progress=False) == [
        generate(other, [t], 6, seed=1, streams=[i], progress=False)[0] for i, t in enumerate(texts)
    ]


def test_a_prompt_without_tokens_is_refused(tiny_llama):
    bare = wrap(tiny_llama.model, without_bos(), "t")
    for ask in (
        lambda: next_logits(bare, ["A letter", ""]),
        lambda: generate(bare, ["A letter", ""], 3, progress=False),
        lambda: grouped_logits(bare, [Prompt("A letter", 0), Prompt("", 1)], [3]),
        lambda: grouped_log_probs(bare, ["A letter", ""], [[" came"], ["He"]]),
    ):
        with pytest.raises(UserError, match="prompt 1 has no tokens"):
            ask()


def test_pads_are_tokens_that_the_model_has(tiny_llama):
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})  # one more than the model's 400
    assert tokenizer.pad_token_id == 400 and wrap(tiny_llama.model, tokenizer, "t").pad == 2
