"""Who judges: a server that speaks the chat-completions protocol, or a model loaded here; an answer, or why none."""

from concurrent.futures import ThreadPoolExecutor

from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.models import load_model
from emotion_concepts.texts.server import NoAnswer as Unjudged
from emotion_concepts.texts.server import Server

ANSWER_TOKENS = 24  # room for one word in any tokenizer, and for seeing that it was not one word


class UrlJudge(Server):
    """A chat-completions endpoint at ``url``; ``JUDGE_API_KEY`` in the environment is sent as a bearer token."""

    batch = 8  # questions that are under way at once
    lost = 0  # answers that could not be had one after another, because it could not be reached

    def __init__(self, url: str, model: str = "", timeout: float = 60.0):
        super().__init__(url, model, timeout, "JUDGE_API_KEY", "a judge")
        self.name = model or self.url  # a model may move to another address

    def answers(self, prompts: list[str]) -> list:
        """One answer, or :class:`Unjudged`, a prompt."""
        with ThreadPoolExecutor(self.batch) as pool:
            return list(pool.map(self._answer, prompts))

    def _answer(self, prompt: str):
        try:
            text, _ = self.complete(prompt, temperature=0, max_tokens=ANSWER_TOKENS)
        except Unjudged as e:
            return e
        return Unjudged("out of form: a chat completion without text") if text is None else text


class LocalJudge:
    """A model by name or folder, asked in its own chat format, greedily."""

    batch = 32  # questions that share a forward pass
    lost = 0  # as for UrlJudge: a model that was loaded can always be reached

    def __init__(self, name: str):
        self.subject = load_model(name)
        self.name = self.subject.model_id

    def answers(self, prompts: list[str]) -> list:
        """One answer, or :class:`Unjudged` (a prompt too long for the model), a prompt."""
        chats = [self.subject.prompt.chat(p) for p in prompts]
        room = self.subject.max_length - ANSWER_TOKENS
        fits = [len(self.subject.encode(c)) <= room for c in chats]
        short = [c for c, ok in zip(chats, fits) if ok]
        said = iter(generate(self.subject, short, ANSWER_TOKENS, temperature=0, progress=False) if short else [])
        return [next(said) if ok else Unjudged(f"too long for {self.name}: it takes {room} tokens") for ok in fits]
