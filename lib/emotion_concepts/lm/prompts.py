"""How a subject is spoken to: its chat template, or the plain Human/Assistant format where it has none."""

import re
from datetime import datetime

from jinja2 import TemplateError

from emotion_concepts.errors import UserError

PLAIN = {"system": "System", "user": "Human", "assistant": "Assistant"}
TODAY = datetime(2026, 4, 2)  # told to templates that tell the date, so that prompts do not change from day to day
# What opens a thought -> what an empty one goes on with, up to where the reply begins. Without white space: its end.
THOUGHTS = {
    "<think>": "\n\n</think>\n\n",
    "<thinking>": "\n\n</thinking>\n\n",
    "<thought>": "\n\n</thought>\n\n",
    "<reasoning>": "\n\n</reasoning>\n\n",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<|inner_prefix|>": "<|inner_suffix|>",
    "<|channel>thought": "\n<channel|>",
}
# Templates with channels name one before each message; the reply stands in the final one.
CHANNEL, FINAL = "<|channel|>", "<|channel|>final<|message|>"
# Ask every template not to think in its own words; templates ignore what is not theirs.
UNTHINKING = {"enable_thinking": False, "thinking": False, "reasoning": False, "thinking_budget": 0}
MARK = "0f3e9c"  # a text that no template holds


def _dated(template: str) -> str:
    """A template in which ``strftime_now``, where it is used, tells :data:`TODAY`."""
    if "strftime_now" not in template:
        return template
    codes = "".join(f"|replace({c!r}, {TODAY.strftime(c)!r})" for c in sorted(set(re.findall("%-?[A-Za-z]", template))))
    return "{%- macro strftime_now(format) -%}{{ format" + codes + " }}{%- endmacro %}{{ '' }}" + template


def strip_reasoning(text: str, thoughts: dict[str, str] = THOUGHTS) -> str:
    """A reply without what a model thought before it: marked by one of ``thoughts``, or outside the final channel.

    A thought that was opened in the prompt is known by its end; where one does not end, the reply is empty.
    """
    for opened, rest in thoughts.items():
        closed = rest.strip()
        before, end, after = text.partition(closed)
        if end and opened not in before:
            text = after
        text = re.sub(f"{re.escape(opened)}.*?({re.escape(closed)}|\\Z)", "", text, flags=re.S)
    if CHANNEL in text:
        text = text.rpartition(FINAL)[2] if FINAL in text else text.partition(CHANNEL)[0]
    return text.strip()


class PromptFormat:
    """Renders chats as text; the read-out position is the last token of the generation prompt (hazard 14).

    ``system``: the system prompt of every chat; None: the template's own, "": none. Thoughts are asked off, closed
    where the template opens one before the reply, and cut from replies.
    """

    def __init__(self, tokenizer, system: str | None = None):
        self.tokenizer, self.system = tokenizer, system
        self._said: set[str] = set()
        template = getattr(tokenizer, "chat_template", None)
        self.has_template = bool(template)
        template = " ".join(template.values()) if isinstance(template, dict) else str(template or "")
        self._effort = "none" if re.search(r"""["']none["']""", template) else "low"
        self._channels = CHANNEL in template
        marks = template + " ".join(map(str, getattr(tokenizer, "get_added_vocab", dict)()))
        self._thoughts = {opened: rest for opened, rest in THOUGHTS.items() if opened in marks or rest.strip() in marks}
        if not self.has_template:
            self._say("this tokenizer has no chat template; using the plain 'Human: ... Assistant:' format")

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            print(f"notice: {what}")

    def turns(self, messages: list[tuple[str, str]], generation_prompt: bool = False) -> str:
        """A conversation of ``(role, text)`` pairs, roles ``system``, ``user`` and ``assistant``, as text."""
        messages = list(messages)
        if self.system is not None and messages[0][0] != "system":
            messages = [("system", self.system), *messages]
        if not self.has_template:
            text = "\n\n".join(f"{PLAIN[role]}: {words}" for role, words in messages if words or role != "system")
            return text + "\n\nAssistant:" if generation_prompt else text
        (first, told), *rest = messages
        system = first == "system"
        text = self._under(told, rest, generation_prompt) if system else self._render(messages, generation_prompt)
        return self._close_thought(text) if generation_prompt else text

    def _under(self, told: str, rest, generation_prompt: bool) -> str:
        """A conversation under a system prompt, however the template takes it: as such, or before the first message."""
        try:
            text = self._render([("system", told), *rest], generation_prompt)
        except UserError:  # as of templates that have no such role; any other fault shows below
            text = None
        if told and text is not None and told.strip() in text:
            return text
        if told:
            (role, words), *more = rest
            return self._render([(role, f"{told}\n\n{words}"), *more], generation_prompt)
        # a template with a system prompt of its own drops it for an empty one; the others are shorter without any
        plain = self._render(rest, generation_prompt)
        return plain if text is None else min(plain, text, key=len)

    def _render(self, messages, generation_prompt: bool) -> str:
        chat = [{"role": role, "content": words} for role, words in messages]
        try:
            return self.tokenizer.apply_chat_template(
                chat, chat_template=_dated(self.tokenizer.get_chat_template()), tokenize=False,
                add_generation_prompt=generation_prompt, reasoning_effort=self._effort,
                date_string=TODAY.strftime("%d %b %Y"), **UNTHINKING,
            )  # fmt: skip
        except (ValueError, TypeError, TemplateError) as e:
            raise UserError(f"this model's chat template cannot be used: {str(e).splitlines()[0]}") from e

    def _close_thought(self, text: str) -> str:
        """A generation prompt after which the reply itself comes."""
        bare = text.rstrip()
        for opened, rest in self._thoughts.items():
            if bare.endswith(opened):
                self._say("this model's template opens a thought; it is closed before the reply")
                return bare + rest
        if self._channels:
            head, channel, name = bare.rpartition(CHANNEL)
            if not channel or "<|message|>" in name.removesuffix("<|message|>"):
                head = bare  # the last channel is that of an earlier message
            self._say("this model's template has channels; the reply is asked for in the final one")
            return head + FINAL
        return text

    def chat(self, user: str, prefill: str = "") -> str:
        """A one-turn prompt up to the generation prompt, continued by the first words of the reply if given."""
        text = self.turns([("user", user)], generation_prompt=True)
        return text + (" " if prefill and not text[-1].isspace() and self._spaced() else "") + prefill

    def _spaced(self) -> bool:
        """Whether replies begin with a space, as after "Assistant:"."""
        text = self.turns([("user", MARK), ("assistant", MARK)])
        return text[: text.rindex(MARK)].endswith(" ")

    def reply(self, ids: list[int]) -> str:
        """New tokens as the reply's text, without special tokens and without a thought."""
        plain = self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        if not (self._thoughts or self._channels):
            return plain
        whole = self.tokenizer.decode(ids, skip_special_tokens=False)  # the marks of a thought may be special tokens
        text = strip_reasoning(whole, self._thoughts)
        if text == whole.strip():
            return plain
        self._say("this model thinks before it replies; its thoughts are cut from the replies")
        for token in self.tokenizer.added_tokens_decoder.values():
            text = text.replace(token.content, "") if token.special else text
        return text.strip()
