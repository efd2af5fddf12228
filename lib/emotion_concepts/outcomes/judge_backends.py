"""Who judges: a server that speaks the chat-completions protocol, or a model loaded here; an answer, or why none."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from emotion_concepts.errors import UserError
from emotion_concepts.lm.generation import generate
from emotion_concepts.lm.models import load_model

ANSWER_TOKENS = 24  # room for one word in any tokenizer, and for seeing that it was not one word
LARGEST = 1 << 20  # bytes of an answer; a verdict is one word


class Unjudged(Exception):
    """Why an item has no answer; ``unreachable`` if the judge itself could not be had."""

    def __init__(self, reason: str, unreachable: bool = False):
        super().__init__(" ".join(reason.split())[:300])
        self.unreachable = unreachable


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would turn the question into another one and carry the key to another place."""

    def redirect_request(self, *_):
        return None


def _key() -> str:
    """The key in ``JUDGE_API_KEY``; :class:`UserError`, which does not show it, if no header can carry it."""
    key = os.environ.get("JUDGE_API_KEY", "").strip()  # a file's end of line comes along easily
    if not (key.isascii() and key.isprintable()):
        raise UserError("JUDGE_API_KEY holds a character that is not printable ASCII; set it to the bare key")
    return key


class UrlJudge:
    """A chat-completions endpoint at ``url`` (its base such as ``http://localhost:8000/v1``, or the whole)."""

    batch = 8  # questions that are under way at once
    lost = 0  # answers that could not be had one after another, because it could not be reached

    def __init__(self, url: str, model: str = "", timeout: float = 60.0):
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            good = good and not (parts.query or parts.fragment or parts.username)  # the address is written down
        except ValueError:
            good = False
        if not good or any(c.isspace() or not c.isprintable() for c in url) or not url.isascii():
            raise UserError(f"{url!r} is no URL of a judge; give one such as http://localhost:8000/v1")
        if not timeout > 0:
            raise UserError(f"a timeout of {timeout} s leaves no time to answer; give seconds above 0")
        end = "/chat/completions"
        self.url = url.rstrip("/") if url.rstrip("/").endswith(end) else url.rstrip("/") + end
        self.model, self.timeout, self.key = model, timeout, _key()
        self.name = model or self.url  # a model may move to another address
        self.opener = urllib.request.build_opener(_Stay)

    def answers(self, prompts: list[str]) -> list:
        """One answer, or :class:`Unjudged`, a prompt."""
        with ThreadPoolExecutor(self.batch) as pool:
            return list(pool.map(self._answer, prompts))

    def _answer(self, prompt: str):
        body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": ANSWER_TOKENS}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        if self.model:
            body["model"] = self.model
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with self.opener.open(request, timeout=self.timeout) as response:
                text = self._read(response)
        except urllib.error.HTTPError as e:
            with e:
                return Unjudged(f"HTTP {e.code} {e.reason}", e.code in (401, 403, 404, 429) or e.code >= 500)
        except TimeoutError:
            return Unjudged(f"no answer within {self.timeout:g} s", True)
        except urllib.error.URLError as e:
            slow = isinstance(e.reason, TimeoutError)
            return Unjudged(f"no answer within {self.timeout:g} s" if slow else f"cannot reach it: {e.reason}", True)
        except (OSError, http.client.HTTPException) as e:
            return Unjudged(f"the connection broke: {type(e).__name__} {e}", True)
        try:
            answer = json.loads(text)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            return Unjudged(f"out of form: not a chat completion: {text[:80].decode(errors='replace')!r}")
        return answer if isinstance(answer, str) else Unjudged("out of form: a chat completion without text")

    def _read(self, response) -> bytes:
        """The body, at most :data:`LARGEST` bytes; the time limit holds for all of it, even if it comes in drops."""
        end, parts, size = time.monotonic() + self.timeout, [], 0
        while size <= LARGEST and (part := response.read1(1 << 16)):
            parts.append(part)
            size += len(part)
            if time.monotonic() > end:
                raise TimeoutError
        return b"".join(parts)


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
