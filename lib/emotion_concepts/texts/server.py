"""A model behind a server that speaks the chat-completions protocol: one question, one answer, or why none."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from emotion_concepts.errors import UserError

LARGEST = 1 << 20  # bytes of an answer
END = "/chat/completions"


class NoAnswer(Exception):
    """Why there is no answer; ``unreachable`` if the server itself could not be had, ``passing`` if it may be later."""

    def __init__(self, reason: str, unreachable: bool = False, passing: bool = False):
        super().__init__(" ".join(reason.split())[:300])
        self.unreachable, self.passing = unreachable, passing


class _AsIs(urllib.request.HTTPErrorProcessor):
    """Hands on every response: an error with its words, and a redirect, which would carry the key to another place."""

    def http_response(self, request, response):
        return response

    https_response = http_response


def _key(name: str) -> str:
    """The key in an environment variable; :class:`UserError`, which does not show it, if no header can carry it."""
    key = os.environ.get(name, "").strip()  # a file's end of line comes along easily
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"{name} holds a character that is not printable ASCII; set it to the bare key")
    return key


def _complaint(body: bytes) -> str:
    """What a server says of an error, from the usual places of its answer; empty where it says nothing there."""
    try:
        told = json.loads(body)
        told = told.get("error", told)
        told = told.get("message", told.get("detail", "")) if isinstance(told, dict) else told
    except (ValueError, AttributeError):
        return ""
    return f": {told}" if told else ""


class Server:
    """A chat-completions endpoint at ``url`` (its base such as ``http://localhost:8000/v1``, or the whole).

    ``key_in``: the environment variable whose value is sent as a bearer token. ``waits``: seconds before a question
    that found no way (no connection, too busy, late) is put again, once for each.
    """

    def __init__(self, url: str, model: str = "", timeout: float = 60.0, key_in: str = "", what="a server", waits=()):
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            good = good and not (parts.query or parts.fragment or parts.username)  # the address is written down
        except ValueError:
            good = False
        if not good or any(c.isspace() or not c.isprintable() for c in url) or not url.isascii():
            raise UserError(f"{url!r} is no URL of {what}; give one such as http://localhost:8000/v1")
        if not timeout > 0:
            raise UserError(f"a timeout of {timeout} s leaves no time to answer; give seconds above 0")
        self.base = url.rstrip("/").removesuffix(END)
        self.model, self.timeout, self.waits, self.key = model, timeout, waits, _key(key_in) if key_in else ""
        self.opener = urllib.request.build_opener(_AsIs)

    @property
    def url(self) -> str:
        """Where questions go."""
        return self.base + END

    def complete(self, prompt: str, **options) -> tuple[str | None, bool]:
        """The reply to a user message (None: one without text) and whether a length limit ended it.

        ``options``: fields of the request such as ``temperature`` and ``max_tokens``. Raises :class:`NoAnswer`.
        """
        body = {"messages": [{"role": "user", "content": prompt}]} | options
        if self.model:
            body["model"] = self.model
        data = self._patiently(self.url, json.dumps(body).encode())
        try:
            choice = data["choices"][0]
            text, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
        except (KeyError, IndexError, TypeError, AttributeError) as e:
            raise NoAnswer(f"out of form: not a chat completion: {json.dumps(data)[:80]!r}") from e
        return (text if isinstance(text, str) else None), cut

    def models(self) -> list[str]:
        """The names of the models that the server lists. Raises :class:`NoAnswer`."""
        data = self._patiently(self.base + "/models", None)
        try:
            return [str(row["id"]) for row in data["data"]]
        except (KeyError, TypeError) as e:
            raise NoAnswer(f"out of form: not a list of models: {json.dumps(data)[:80]!r}") from e

    def _patiently(self, url: str, body: bytes | None):
        for wait in self.waits:
            try:
                return self._once(url, body)
            except NoAnswer as e:
                if not e.passing:
                    raise
            time.sleep(wait)
        return self._once(url, body)

    def _once(self, url: str, body: bytes | None):
        """The answer's JSON; posted if there is a body."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        late = f"no answer within {self.timeout:g} s"
        try:
            with self.opener.open(urllib.request.Request(url, body, headers), timeout=self.timeout) as response:
                status, reason, text = response.status, response.reason, self._read(response)
        except TimeoutError as e:
            raise NoAnswer(late, True, True) from e
        except urllib.error.URLError as e:
            slow = isinstance(e.reason, TimeoutError)
            raise NoAnswer(late if slow else f"cannot reach it: {e.reason}", True, True) from e
        except (OSError, http.client.HTTPException) as e:
            raise NoAnswer(f"the connection broke: {type(e).__name__} {e}", True, True) from e
        if not 200 <= status < 300:
            passing = status == 429 or status >= 500
            told = f"HTTP {status} {reason}{_complaint(text)}"
            raise NoAnswer(told, passing or status in (401, 403, 404), passing)
        try:
            return json.loads(text)
        except ValueError as e:
            raise NoAnswer(f"out of form: not JSON: {text[:80].decode(errors='replace')!r}") from e

    def _read(self, response) -> bytes:
        """The body, at most :data:`LARGEST` bytes; the time limit holds for all of it, even if it comes in drops."""
        end, parts, size = time.monotonic() + self.timeout, [], 0
        while size <= LARGEST and (part := response.read1(1 << 16)):
            parts.append(part)
            size += len(part)
            if time.monotonic() > end:
                raise TimeoutError
        return b"".join(parts)
