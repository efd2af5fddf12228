"""Stories by a server: the same requests, kept as they come, and a server that fails told in one line."""

import json
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.texts import writer
from emotion_concepts.texts.writer import write_by_server

MATERIAL = {
    "requests": ["Tell me about {topic}. Someone feels {e}.", "A story of {topic} and a person who is {e}."],
    "topics": ["the sea", "a lamp", "bread"],
    "max_new_tokens": 40,
    "skip": 3,
}
GOOD = "Mara looked at the sea and waited for the boat to come home."


class Handler(BaseHTTPRequestHandler):
    """Lists ``server.models``; ``server.answer(message, number of the question)`` gives a reply, or a status."""

    def do_GET(self):
        names = self.server.models
        self.send("no list" if names is None else {"data": [{"id": name} for name in names]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(body)
            n = len(self.server.asked)
        message = body["messages"][0]["content"]
        answer = self.server.answer(message, n - 1)
        if answer == "stall":
            self.server.over.wait(10)
        elif isinstance(answer, int):
            self.send_error(answer)
        else:
            text, why = answer if isinstance(answer, tuple) else (answer, "stop")
            self.send({"choices": [{"message": {"content": text}, "finish_reason": why}]})

    def send(self, data):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data.encode() if isinstance(data, str) else json.dumps(data).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(writer, "WAITS", (0.01,))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        s.models, s.asked, s.lock, s.over, s.daemon_threads = ["m"], [], threading.Lock(), threading.Event(), True
        s.answer = lambda message, n: f"{GOOD} {message}".replace("calm", "").replace("sad", "")
        s.handle_error = lambda *_: None
        s.url = f"http://127.0.0.1:{s.server_port}/v1"
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield s
        s.over.set()
        s.shutdown()


def test_the_same_requests_go_to_the_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv("WRITER_API_KEY", "my-secret")
    path = tmp_path / "s.jsonl"
    made = write_by_server(server.url, ["calm", "sad"], MATERIAL, 4, path, seed=1)
    assert made.emotions == ["calm"] * 4 + ["sad"] * 4 and made.topics[:4] == made.topics[4:]
    assert made.report["author"] == "m" and {b["model"] for b in server.asked} == {"m"}
    assert {(b["temperature"], b["max_tokens"]) for b in server.asked} == {(1.0, 40)}
    assert len({b["seed"] for b in server.asked}) == 8 and all(0 <= b["seed"] < 2**31 for b in server.asked)
    assert all(t in text for t, text in zip(made.topics, made.texts)) and "my-secret" not in path.read_text()
    asked = len(server.asked)
    assert write_by_server(server.url, ["calm", "sad"], MATERIAL, 4, path, seed=1) == made
    assert len(server.asked) == asked  # nothing is asked twice
    other = write_by_server(server.url, ["calm", "sad"], MATERIAL, 4, path, seed=1, model="n")
    assert other.report["author"] == "n" and len(server.asked) == 2 * asked


def test_a_thought_is_no_part_of_a_story_and_bad_ones_are_asked_for_again(server, tmp_path):
    said = {0: f"<think>The word is calm.</think>\n\n{GOOD}", 1: "Too short.", 2: f"{GOOD} Calm.", 3: (None, "length"),
            4: (f"{GOOD} And", "length"), 5: "<think>Someone is calm, so", 6: f"{GOOD} And"}  # fmt: skip
    server.answer = lambda message, n: said.get(n, GOOD)
    made = write_by_server(server.url, ["calm"], MATERIAL, 7, tmp_path / "s.jsonl")
    assert Counter(made.texts) == {GOOD: 6, f"{GOOD} And": 1}
    assert made.report["refused"] == {"short": 3, "word": 1, "unfinished": 1}


@pytest.mark.parametrize(
    ("failure", "told"),
    [(500, "HTTP 500 Internal Server Error"), (400, "HTTP 400 Bad Request"), ("stall", "no answer within 0.5 s")],
)
def test_a_server_that_fails_is_told_and_what_it_wrote_is_kept(server, tmp_path, failure, told):
    path, good = tmp_path / "s.jsonl", server.answer
    server.answer = lambda message, n: good(message, n) if n < 5 else failure
    arguments = server.url, ["calm", "sad"], MATERIAL, 30, path
    with pytest.raises(UserError, match=f"chat/completions: {told}; what it wrote is kept in .*: run the same") as e:
        write_by_server(*arguments, timeout=0.5)
    assert "\n" not in str(e.value) and len(path.read_text().splitlines()) == 1 + 5
    assert len(server.asked) < 60  # the rest was not tried
    kept = {json.loads(line)["text"] for line in path.read_text().splitlines()[1:]}
    server.answer, before = good, len(server.asked)
    made = write_by_server(*arguments, timeout=5)
    assert len(made) == 60 and kept <= set(made.texts) and len(server.asked) == before + 55


def test_an_answer_out_of_form_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(Handler, "do_POST", lambda self: self.send("<html>"))
    with pytest.raises(UserError, match="out of form: not JSON: '<html>'; what it wrote is kept in"):
        write_by_server(server.url, ["calm", "sad"], MATERIAL, 2, tmp_path / "s.jsonl")


def test_one_failure_that_passes_is_no_failure(server, tmp_path):
    server.answer = lambda message, n: 503 if n in (0, 3) else GOOD
    assert len(write_by_server(server.url, ["calm", "sad"], MATERIAL, 3, tmp_path / "s.jsonl")) == 6


def test_which_model_writes_must_be_clear(server, tmp_path):
    arguments = ["calm", "sad"], MATERIAL, 1, tmp_path / "s.jsonl"
    server.models = ["a", "b"]
    with pytest.raises(UserError, match="lists 2 models .a, b.; name the one to write"):
        write_by_server(server.url, *arguments)
    assert not server.asked
    assert write_by_server(server.url, *arguments, model="b").report["author"] == "b"
    server.models = []
    assert write_by_server(server.url, *arguments).report["author"] == server.url and "model" not in server.asked[-1]
    server.models = None  # its list is an error
    assert write_by_server(server.url, *arguments).report["author"] == server.url


def test_a_server_that_cannot_be_used_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(writer, "WAITS", ())
    arguments = ["calm", "sad"], MATERIAL, 1, tmp_path / "s.jsonl"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
    with pytest.raises(UserError, match="cannot reach it: .*; what it wrote is kept in .*: run the same"):
        write_by_server(nobody, *arguments)
    with pytest.raises(UserError, match="'host:80/v1' is no URL of a writer; give one such as"):
        write_by_server("host:80/v1", *arguments)
