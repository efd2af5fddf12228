"""How a subject is spoken to: its chat template, or the plain Human/Assistant format where it has none."""

import re
from datetime import datetime

from jinja2 import TemplateError

from emotion_concepts.errors import UserError

PLAIN = {"system": "System", "user": "Human", "assistant": "Assistant"}
TODAY = datetime(2026, 4, 2)  # what templates that tell the date are told, so that prompts do not change from day to day
# Ways in which a generation prompt opens a thought -> what closes it, so that the reply comes next.
OPENED = {
    r"<think>\s*\Z": "\n</think>\n\n",
    r"<thought>\s*\Z": "\n</thought>\n\n",
    r"<\|channel\|>analysis(<\|message\|>)?\Z": None,  # gpt-oss: the channel itself is exchanged, below
}
CHANNEL = "<|channel|>final<|message|>"  # where a template with channels wants its reply
# What a reply may still hold of a thought: tagged, or a channel before the final one.
REASONING = re.compile(
    r"\A.*?</(think|thinking|thought|reasoning)>\s*|<(think|thinking|thought|reasoning)>.*?(</\2>|\Z)\s*"
    r"|\A.*<\|channel\|>final<\|message\|>|<\|channel\|>(analysis|commentary).*?(<\|end\|>|\Z)",
    re.S,
)


def strip_reasoning(text: str) -> str:
    """A reply without the thought that a model may put before it (tags, or channels other than the final one)."""
    return REASONING.sub("", text).strip()


class PromptFormat:
    """Renders chats as text; the read-out position is the last token of the generation prompt (hazard 14).

    ``system``: the system prompt of every chat; None: the template's own, "": none. ``thinks``: whether the template
    opens a thought, which is then closed before the reply.
    """

    def __init__(self, tokenizer, system: str | None = None):
        self.tokenizer, self.system, self.thinks = tokenizer, system, False
        template = getattr(tokenizer, "chat_template", None)
        self.has_template = bool(template)
        text = " ".join(template.values()) if isinstance(template, dict) else str(template or "")
        self._channels = "<|channel|>" in text
        self._reasons = self._channels or bool(re.search(r"<think>|</think>|<thought>|reasoning", text))
        if not self.has_template:
            print("notice: this tokenizer has no chat template; using the plain 'Human: ... Assistant:' format")

    def turns(self, messages: list[tuple[str, str]], generation_prompt: bool = False) -> str:
        """A conversation of ``(role, text)`` pairs, roles ``system``, ``user`` and ``assistant``, as text."""
        if self.system is not None and messages[0][0] != "system":
            messages = [("system", self.system), *messages]
        if not self.has_template:
            text = "\n\n".join(f"{PLAIN[role]}: {words}" for role, words in messages if words or role != "system")
            return text + "\n\nAssistant:" if generation_prompt else text
        try:
            text = self._render(messages, generation_prompt)
        except TemplateError:  # no system role there: its words open the first message, as such templates advise
            if messages[0][0] != "system":
                raise
            (_, told), (role, words), *rest = messages
            text = self._render([(role, f"{told}\n\n{words}".strip()), *rest], generation_prompt)
        return self._close_thought(text) if generation_prompt else text

    def _render(self, messages, generation_prompt: bool) -> str:
        chat = [{"role": role, "content": words} for role, words in messages]
        try:
            return self.tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=generation_prompt,
                # thinking modes would put tokens between the prompt and the reply; templates ignore what is not theirs
                enable_thinking=False, thinking=False, reasoning_effort="low",
                date_string=TODAY.strftime("%d %b %Y"), strftime_now=TODAY.strftime,
            )  # fmt: skip
        except (ValueError, TypeError) as e:
            raise UserError(f"this model's chat template cannot be used: {str(e).splitlines()[0]}") from e

    def _close_thought(self, text: str) -> str:
        """A generation prompt after which the reply itself comes."""
        if self._channels and text.endswith("<|start|>assistant"):
            self._say()
            return text + CHANNEL
        for opened, closing in OPENED.items():
            if re.search(opened, text):
                self._say()
                return text + closing if closing else re.sub(opened, CHANNEL, text)
        return text

    def _say(self) -> None:
        if not self.thinks:
            self.thinks = True
            print("notice: this model's template opens a thought; it is closed before the reply")

    def chat(self, user: str, prefill: str = "") -> str:
        """A one-turn prompt up to the generation prompt, continued by the first words of the reply if given."""
        text = self.turns([("user", user)], generation_prompt=True)
        # after "Assistant:" a word is written with its space; templates that end in white space bring their own
        return text + (" " if prefill and not text[-1].isspace() else "") + prefill

    def reply(self, ids: list[int]) -> str:
        """New tokens as the reply's text, without special tokens and without a thought."""
        if not self._reasons:
            return self.tokenizer.decode(ids, skip_special_tokens=True).strip()
        text = strip_reasoning(self.tokenizer.decode(ids, skip_special_tokens=False))
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, "")
        return text.strip()
