"""The client of a chat-completions server: keys, retries, and every way not to answer told in a line."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.outcomes.judge_backends import UrlJudge
from emotion_concepts.texts import server as servers
from emotion_concepts.texts.server import NoAnswer, Server

URL = "http://localhost/v1"


def completion(content, why="stop"):
    return 200, {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": why}]}


@pytest.fixture
def stub(monkeypatch):
    """A server: ``stub.script`` gives the answers in turn, (status, body), the last one for good; ``stub.seen``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(servers.time, "sleep", lambda s: None)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            self.server.seen.append((self.command, self.path, self.headers["Authorization"], body))
            script = self.server.script
            status, told = script.pop(0) if len(script) > 1 else script[0]
            if status == "stall":
                return self.server.over.wait(10)
            if status == "hang up":
                return self.connection.close()
            self.send_response(status)
            if status == 307:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(told.encode() if isinstance(told, str) else json.dumps(told).encode())

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        s.seen, s.script, s.over, s.daemon_threads = [], [completion("yes")], threading.Event(), True
        s.handle_error = lambda *_: None
        s.url = f"http://127.0.0.1:{s.server_port}/v1"
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield s
        s.over.set()
        s.shutdown()


@pytest.mark.parametrize(
    ("name", "make"), [("JUDGE_API_KEY", UrlJudge), ("SOME_KEY", lambda url: Server(url, key_in="SOME_KEY"))]
)
def test_a_key_is_stripped(monkeypatch, name, make):
    monkeypatch.setenv(name, " my-secret\r\n")
    assert make(URL).key == "my-secret"
    monkeypatch.delenv(name)
    assert make(URL).key == ""


@pytest.mark.parametrize("key", ["my\rsecret", "my\nsecret", "my-sécret", "my\x7fsecret", "“my-secret”"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("JUDGE_API_KEY", key)
    with pytest.raises(UserError, match="set it to the bare key") as e:
        UrlJudge(URL)
    assert "cret" not in str(e.value)


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
def test_a_question_and_its_answer(stub, monkeypatch, end):
    monkeypatch.setenv("SOME_KEY", "k")
    server = Server(stub.url + end, "m", key_in="SOME_KEY")
    assert server.complete("Well?", temperature=0.5) == ("yes", False)
    asked = {"messages": [{"role": "user", "content": "Well?"}], "temperature": 0.5, "model": "m"}
    assert stub.seen == [("POST", "/v1/chat/completions", "Bearer k", asked)]
    stub.script = [completion("y", "length"), completion(None), completion([{"type": "text"}])]
    assert [server.complete("Well?") for _ in range(3)] == [("y", True), (None, False), (None, False)]
    Server(stub.url).complete("Well?")
    _, _, key, body = stub.seen[-1]
    assert key is None and "model" not in body


def test_the_models_of_a_server(stub):
    stub.script = [(200, {"data": [{"id": "a"}, {"id": "b"}]}), (200, {"models": []}), (404, "")]
    server = Server(stub.url)
    assert server.models() == ["a", "b"] and stub.seen[0][:2] == ("GET", "/v1/models")
    for told in ("not a list of models", "HTTP 404 Not Found"):
        with pytest.raises(NoAnswer, match=told):
            server.models()


@pytest.mark.parametrize(
    ("status", "body", "told", "unreachable", "passing"),
    [
        (500, "<html>", "HTTP 500 Internal Server Error", True, True),
        (429, {"error": {"message": "slow down"}}, "HTTP 429 Too Many Requests: slow down", True, True),
        (400, {"error": "no such\nmodel"}, "HTTP 400 Bad Request: no such model", False, False),
        (422, {"detail": "bad seed"}, "HTTP 422 .*: bad seed", False, False),
        (401, [1], "HTTP 401 Unauthorized", True, False),
        (307, "", "HTTP 307 Temporary Redirect", False, False),
        ("hang up", "", "the connection broke", True, True),
        (200, "{", "out of form: not JSON", False, False),
        (200, "[]", "out of form: not a chat completion", False, False),
        (200, {"choices": []}, "out of form: not a chat completion", False, False),
        (200, {"choices": [{"message": "x"}]}, "out of form: not a chat completion", False, False),
    ],
)
def test_no_answer_is_told_in_a_line(stub, status, body, told, unreachable, passing):
    stub.script = [(status, body)]
    with pytest.raises(NoAnswer, match=told) as e:
        Server(stub.url, waits=(1, 1)).complete("Well?")
    assert (e.value.unreachable, e.value.passing) == (unreachable, passing) and "\n" not in str(e.value)
    assert len(stub.seen) == (3 if passing else 1)  # only what may pass is asked again
    assert {path for _, path, _, _ in stub.seen} == {"/v1/chat/completions"}  # no redirect was followed


def test_a_question_is_put_again_until_it_is_answered(stub, monkeypatch):
    waited = []
    monkeypatch.setattr(servers.time, "sleep", waited.append)
    stub.script = [(503, ""), ("hang up", ""), completion("at last")]
    assert Server(stub.url, waits=(2, 10)).complete("Well?") == ("at last", False) and waited == [2, 10]


def test_a_server_that_stalls_or_is_away(stub):
    stub.script = [("stall", "")]
    start = time.monotonic()
    with pytest.raises(NoAnswer, match="no answer within 0.3 s"):
        Server(stub.url, timeout=0.3, waits=(1,)).complete("Well?")
    assert time.monotonic() - start < 5 and len(stub.seen) == 2
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
    with pytest.raises(NoAnswer, match="cannot reach it: .*refused"):
        Server(nobody).complete("Well?")
