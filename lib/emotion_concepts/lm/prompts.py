"""How a subject is spoken to: its chat template, or the plain Human/Assistant format where it has none."""

PLAIN = {"user": "Human", "assistant": "Assistant"}


class PromptFormat:
    """Renders chats as text; the read-out position is the last token of the generation prompt (hazard 14)."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.has_template = bool(getattr(tokenizer, "chat_template", None))
        if not self.has_template:
            print("notice: this tokenizer has no chat template; using the plain 'Human: ... Assistant:' format")

    def turns(self, messages: list[tuple[str, str]], generation_prompt: bool = False) -> str:
        """A conversation of ``(role, text)`` pairs, roles ``user`` and ``assistant``, as text."""
        if not self.has_template:
            text = "\n\n".join(f"{PLAIN[role]}: {words}" for role, words in messages)
            return text + "\n\nAssistant:" if generation_prompt else text
        chat = [{"role": role, "content": words} for role, words in messages]
        # enable_thinking: thinking modes would put tokens between the prompt and the reply; others ignore it
        return self.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=generation_prompt, enable_thinking=False
        )

    def chat(self, user: str, prefill: str = "") -> str:
        """A one-turn prompt up to the generation prompt, continued by the first words of the reply if given."""
        text = self.turns([("user", user)], generation_prompt=True)
        # after "Assistant:" a word is written with its space; templates that end in white space bring their own
        return text + (" " if prefill and not text[-1].isspace() else "") + prefill
