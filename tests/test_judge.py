"""A second opinion on replies: a server that answers well, badly, late or not at all, and a small model as judge."""

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from emotion_concepts.errors import UserError
from emotion_concepts.experiments import situations
from emotion_concepts.experiments.behaviour import rollouts
from emotion_concepts.outcomes import graders
from emotion_concepts.outcomes import judge as judging
from emotion_concepts.outcomes.judge import Item, items_of, judge, kappa, summary, verdicts
from emotion_concepts.texts.materials import natural

OUTCOMES = ("comply", "blackmail", "neither")


def items(*replies, by_rules=None):
    told = enumerate(zip(replies, by_rules or [None] * len(replies)))
    return [Item(f"a/{k}", "Deal with it.", r, OUTCOMES, "- comply: it works", o) for k, (r, o) in told]


class Handler(BaseHTTPRequestHandler):
    """Does what the reply to be judged says: ``say X``, ``500``, ``stall``, ``drip``, ``hang up``, ``redirect`` ..."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        told = next(line for line in prompt.split("\n") if line.startswith("do: "))[4:]
        self.server.seen.append({"path": self.path, "auth": self.headers["Authorization"], "told": told, "body": body})
        told = self.server.mended.get(told, told)
        if told == "500":
            return self.send_error(500)
        if told == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            return self.end_headers()
        if told == "hang up":
            return self.connection.close()
        if told == "stall":
            return self.server.over.wait(10)
        content = None if told == "no text" else told.removeprefix("say ")
        answer = json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})
        text = {"not json": "{", "no choices": "{}"}.get(told, answer)
        self.send_response(200)
        self.end_headers()
        for part in text if told == "drip" else [text]:
            self.wfile.write(part.encode())
            if told == "drip" and self.server.over.wait(0.1):
                return None
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        s.seen, s.mended, s.over, s.daemon_threads = [], {}, threading.Event(), True
        s.handle_error = lambda *_: None  # a client that hung up is no news here
        s.url = f"http://127.0.0.1:{s.server_port}/v1"
        thread = threading.Thread(target=s.serve_forever, daemon=True)
        thread.start()
        yield s
        s.over.set()
        s.shutdown()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_answers_in_form_become_verdicts_and_nothing_else_does(server, tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_API_KEY", "my-secret")
    told = ["say comply", "say \"Blackmail\".", "say I think comply", "say complying", "say 0", "say ", "no text",
            "no choices", "not json", "500", "hang up", "redirect"]  # fmt: skip
    asked = items(*[f"do: {t}" for t in told])
    path = tmp_path / "new" / "judged.jsonl"
    table = judge(asked, server.url, path, model="m", timeout=5, progress=False)
    assert list(table.verdict) == ["comply", "blackmail"] + [None] * 10
    errors = dict(zip(told, table.error))
    assert errors["say comply"] is None and "out of form: 'I think comply' is none of comply, bl" in errors[told[2]]
    assert all("out of form" in errors[t] for t in told[2:9])
    assert errors["500"] == "HTTP 500 Internal Server Error" and errors["redirect"].startswith("HTTP 302")
    assert "the connection broke" in errors["hang up"]
    rows = lines(path)
    assert [r["id"] for r in rows] == [i.id for i in asked] and {r["judge"] for r in rows} == {"m"}
    assert {s["path"] for s in server.seen} == {"/v1/chat/completions"}  # no redirect was followed
    assert {s["auth"] for s in server.seen} == {"Bearer my-secret"} and "my-secret" not in path.read_text()
    assert server.seen[0]["body"]["model"] == "m" and server.seen[0]["body"]["temperature"] == 0
    got = summary(asked, path)
    assert got.counts == {"comply": 1, "blackmail": 1, "neither": 0} and got.unjudged == 10 and got.kappa is None
    assert str(got) == "comply 1, blackmail 1, neither 0; unjudged 10"


@pytest.mark.parametrize("way", ["stall", "drip"])
def test_a_judge_that_is_late_is_given_up(server, tmp_path, way):
    start = time.monotonic()
    table = judge(items(f"do: {way}", "do: say comply"), server.url, tmp_path / "j.jsonl", timeout=0.5, progress=False)
    assert list(table.verdict) == [None, "comply"] and table.error[0] == "no answer within 0.5 s"
    assert time.monotonic() - start < 5


def test_a_second_call_asks_only_for_what_is_missing(server, tmp_path):
    path, asked = tmp_path / "j.jsonl", items("do: say comply", "do: 500", "do: say perhaps", "do: say neither")
    judge(asked[:3], server.url, path, progress=False)
    server.seen.clear()
    server.mended = {"500": "say blackmail"}
    table = judge(asked, server.url, path, progress=False)
    assert sorted(s["told"] for s in server.seen) == ["500", "say neither", "say perhaps"]
    assert list(table.verdict) == ["comply", "blackmail", None, "neither"]
    assert len(lines(path)) == 4  # one line an item, however often it was asked
    server.seen.clear()
    judge(asked[:1], server.url, path, progress=False)
    assert not server.seen and len(lines(path)) == 4  # items that are not of this call keep their lines
    with path.open("a") as f:
        f.write('{"id": "a/9", "verd')  # a run that was killed while it wrote
    judge(asked[:1], server.url, path, progress=False)
    assert len(lines(path)) == 4
    assert list(verdicts(items("x", "y", "z", "w", "new"), path).error)[-1] == "not asked yet"


def test_a_judge_that_cannot_be_reached_is_not_tried_for_ever(tmp_path, monkeypatch, server):
    monkeypatch.setattr(judging, "PATIENCE", 8)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
    path, asked = tmp_path / "j.jsonl", items(*[f"do: say comply\n{k}" for k in range(20)])
    table = judge(asked, nobody, path, model="m", progress=False)
    assert table.verdict.isna().all() and table.error[:8].str.contains("cannot reach it").all()
    assert table.error[8:].str.contains("not asked: the judge could not be reached 8 times").all()
    assert summary(asked, path).unjudged == 20 and not any(summary(asked, path).counts.values())
    assert (judge(asked, server.url, path, model="m", progress=False).verdict == "comply").all()  # it moved here


def test_a_small_model_as_judge_is_out_of_form(tiny_llama, tmp_path):
    folder = tmp_path / "model"
    tiny_llama.model.save_pretrained(folder)
    tiny_llama.tokenizer.save_pretrained(folder)
    asked = items("I will do it.", "word " * 3000, "No.")
    table = judge(asked, str(folder), tmp_path / "j.jsonl", progress=False)
    assert table.verdict.isna().all()
    assert "out of form" in table.error[0] and "out of form" in table.error[2] and "too long" in table.error[1]
    assert summary(asked, tmp_path / "j.jsonl").unjudged == 3
    assert lines(tmp_path / "j.jsonl")[0]["judge"] == f"model:{tiny_llama.model_id.split(':')[1]}"


def test_agreement_with_the_rules_and_kappa(server, tmp_path):
    said = ["comply"] * 12 + ["blackmail"] * 8
    rules = ["comply"] * 10 + ["blackmail"] * 9 + [None]
    asked = items(*[f"do: say {o}\n{k}" for k, o in enumerate(said)], "do: 500", by_rules=[*rules, "neither"])
    judge(asked, server.url, tmp_path / "j.jsonl", progress=False)
    got = summary(asked, tmp_path / "j.jsonl")
    assert got.n == 19 and got.unjudged == 1 and got.agreement.value == pytest.approx(17 / 19)
    assert got.kappa.value == pytest.approx(cohen_kappa_score(rules[:19], said[:19]))
    assert got.kappa.lo < got.kappa.value < got.kappa.hi <= 1 and "kappa 0.787" in str(got)
    agreed = items("do: say comply", "do: say comply\n2", by_rules=["comply"] * 2)
    judge(agreed, server.url, tmp_path / "k.jsonl", progress=False)
    assert summary(agreed, tmp_path / "k.jsonl").kappa is None and summary(agreed, tmp_path / "k.jsonl").n == 2


def test_kappa_is_that_of_scikit_learn():
    pairs = np.random.default_rng(0).integers(0, 3, (60, 2))
    assert kappa(pairs) == pytest.approx(cohen_kappa_score(*pairs.T))
    assert kappa(np.array([[0, 0], [1, 1]])) == 1 and kappa(np.array([[0, 1], [1, 0]])) == -1
    assert np.isnan(kappa(np.zeros((3, 2))))


@pytest.mark.parametrize(
    "url",
    ["host:80/v1", "ftp://h/v1", "http://", "http://h:port/v1", "http://a b/v1", "https://u:p@h/v1", "http://h/?k=1"],
)
def test_bad_urls(tmp_path, url):
    with pytest.raises(UserError, match="is no URL of a judge; give one such as http"):
        judge(items("x"), url, tmp_path / "j.jsonl")
    assert not (tmp_path / "j.jsonl").exists()


def test_bad_items(tmp_path):
    path, url, (one,) = tmp_path / "j.jsonl", "http://localhost/v1", items("x")
    for bad, message in [
        ([], "nothing to judge"),
        ([one, one], "given twice .first: 'a/0'"),
        ([Item("i", "q", "r", (), "")], "two different words or more"),
        ([Item("i", "q", "r", ("yes", "Yes"), "")], "two different words or more"),
        ([Item("i", "q", "r", ("yes", "not at all"), "")], "two different words or more"),
        ([Item("i", "q", "r", ("yes", "no"), "", "maybe")], "the rules said 'maybe'"),
        ([Item(3, "q", "r", ("yes", "no"), "")], "the id 3 is no text"),
    ]:
        with pytest.raises(UserError, match=message):
            judge(bad, url, path)
    with pytest.raises(UserError, match="leaves no time"):
        judge([one], url, path, timeout=0)
    with pytest.raises(UserError, match="no folder ./nowhere"):
        judge([one], "./nowhere", path)
    with pytest.raises(UserError, match="leave it out"):
        judge([one], "./nowhere", path, model="m")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot"):
        judge([one], url, tmp_path / "file" / "j.jsonl")
    assert not path.exists()


def test_a_damaged_or_foreign_results_file_is_refused(server, tmp_path):
    path, asked = tmp_path / "j.jsonl", items("do: say comply", "do: say neither")
    judge(asked, server.url, path, progress=False)
    whole = path.read_text()
    first, second = whole.splitlines(keepends=True)
    for text, message in [
        ("{\n" + second, "line 1, is damaged"),
        (first + '{"id": "a/1"}\n', "line 2, is damaged"),
        (first + second.replace('"error": null', '"error": "both"'), "line 2, is damaged"),
        (first + first, "two lines for 'a/0'"),
        (whole.replace('"verdict": "comply"', '"verdict": "obey"'), "verdict on another text or rubric for 'a/0'"),
    ]:
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            judge(asked, server.url, path, progress=False)
        assert path.read_text() == text
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(UserError, match="cannot be read"):
        summary(asked, path)
    path.write_text(whole)
    with pytest.raises(UserError, match="another text"):
        judge(items("do: say blackmail"), server.url, path, progress=False)
    with pytest.raises(UserError, match="was judged by http.*not m;"):
        judge(asked, server.url, path, model="m", progress=False)
    assert path.read_text() == whole


def test_rollouts_become_items(tiny_llama):
    told = {"long": "it is long", "short": "it is short"}
    messages = ["count the loaves", "paint"]
    read = lambda replies, ms: ["long" if len(r) > 12 else "short" for r in replies]  # noqa: E731
    table = rollouts(tiny_llama, messages, 3, read, [None, None], max_new_tokens=6, progress=False)
    made = items_of(table, messages, told, "paint")
    assert [i.id for i in made] == [f"paint/{c}/{k}" for c in (0, 1) for k in range(3)]
    assert [i.question for i in made] == ["count the loaves", "paint", "count the loaves"] * 2
    assert [i.reply for i in made] == list(table.reply) and [i.by_rules for i in made] == list(table.outcome)
    assert made[0].outcomes == ("long", "short") and made[0].rubric == "- long: it is long\n- short: it is short"
    prompt = made[0].prompt()
    assert all(part in prompt for part in (messages[0], table.reply[0], "- short: it is short", "else: long, short."))
    assert prompt.count(f"=== {made[0].asked} ===") == 5 and made[0].asked != made[1].asked
    with pytest.raises(UserError, match="no column outcome"):
        items_of(table.drop(columns="outcome"), messages, told)
    with pytest.raises(UserError, match="knows message 1"):
        items_of(table, messages[:1], told)


class NoWorld:
    world = None


def test_the_judge_reads_what_the_rules_leave_open_and_nothing_else(server, tmp_path):
    path = tmp_path / "judged.jsonl"
    flattery = situations.situation(NoWorld, "flattery", server.url, path, "m")
    assert str(flattery.opinion) == "nothing was asked of the judge" and flattery.opinion.table().empty
    by_rules = {"It is brilliant!": "flatter", "What a stupid plan.": "harsh", "do: say harsh " * 9: "neither",
                "": "neither", "do: 5 5 5 5 5 5 5 5": "neither"}  # fmt: skip
    assert [flattery.read(reply, 0) for reply in by_rules] == list(by_rules.values()) and not server.seen
    told = ["do: say harsh", "do: say honest", "do: say perhaps", "do: hang up"]
    assert [flattery.read(reply, k) for k, reply in enumerate(told)] == ["harsh", "honest", None, None]
    shown = [s["body"]["messages"][0]["content"] for s in server.seen]
    assert {s["body"]["model"] for s in server.seen} == {"m"}
    assert all(flattery.messages[k] in prompt and told[k] in prompt for k, prompt in enumerate(shown))
    assert [re.search("graded as (.*).", p)[1] for p in shown] == ["poor", *["wrong or harmful"] * 2, "poor"]
    table = flattery.opinion.table()
    assert list(table.verdict) == ["harsh", "honest", None, None] and "out of form" in table.error[2]
    assert "the connection broke" in table.error[3] and table.by_rules.isna().all()
    assert str(flattery.opinion) == "flatter 0, honest 1, harsh 1, neither 0; unjudged 2"
    assert [r["id"] for r in lines(path)] == list(table.id) and table.id[0].startswith("flattery/0/")


def test_a_judged_situation_is_resumed_from_its_file(server, tmp_path):
    told = ["do: say honest", "do: say perhaps", "do: say harsh"]

    def read():
        flattery = situations.situation(NoWorld, "flattery", server.url, tmp_path / "j.jsonl")
        return flattery.outcomes([*told, told[0]], [1] * 4)[:3]  # an equal reply is asked for once

    assert read() == ["honest", None, "harsh"] and len(server.seen) == 3
    server.mended = {"say perhaps": "say flatter"}
    assert read() == ["honest", "flatter", "harsh"] and len(server.seen) == 4
    assert read() == ["honest", "flatter", "harsh"] and len(server.seen) == 4
    assert len(lines(tmp_path / "j.jsonl")) == 3


def test_situations_share_a_judge_and_code_is_never_judged(server, tmp_path):
    blackmail = situations.situation(NoWorld, "blackmail", server.url, tmp_path / "j.jsonl")
    coding = situations.situation(NoWorld, "coding", blackmail.opinion)
    assert blackmail.read("do: say blackmail", 0) == "blackmail" and coding.read("do: say honest", 6) == "honest"
    assert coding.read("do: say honest\n```python\ndef longest(words: return\n```", 6) == "neither"
    assert coding.read("It is impossible, as the list has more words.", 6) == "honest"
    assert blackmail.read("TO: Dana\nSUBJECT: berth\nBerth 4 is closed.\nEND", 0) == "comply"
    assert [s["told"] for s in server.seen] == ["say blackmail", "say honest"]
    assert [i.split("/")[0] for i in coding.opinion.table().id] == ["blackmail", "coding"]


def test_rollouts_with_a_reply_that_was_not_judged(server, tmp_path):
    flattery = situations.situation(NoWorld, "flattery", server.url, tmp_path / "j.jsonl")
    table = pd.DataFrame({"condition": 0, "message": [0, 1], "reply": ["do: say harsh", "do: stay silent"]})
    table["outcome"] = flattery.outcomes(list(table.reply), list(table.message))
    made = items_of(table, flattery.messages, natural("rubrics")["flattery"])
    assert [i.by_rules for i in made] == ["harsh", None]


def test_a_judge_that_cannot_be_reached_stops_the_reading(tmp_path, monkeypatch, server):
    monkeypatch.setattr(judging, "PATIENCE", 3)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
    path, told = tmp_path / "j.jsonl", [f"do: say honest\nof {word}" for word in ("bread", "fish", "soup", "cake")]
    away = situations.situation(NoWorld, "flattery", nobody, path, "m")
    assert [away.read(reply, 0) for reply in told[:2]] == [None, None]
    with pytest.raises(UserError, match="m could not be reached 3 times in a row .*; run the same cell again"):
        away.read(told[2], 0)
    assert away.read(told[3], 0) is None  # it is tried anew
    assert away.opinion.table().error.str.contains("cannot reach it").all()
    there = situations.situation(NoWorld, "flattery", server.url, path, "m")
    assert [there.read(reply, 0) for reply in told] == ["honest"] * 4 and len(lines(path)) == 4


def test_a_judge_that_cannot_be_used_is_refused_before_anything_is_read(tmp_path):
    class Known:
        world = object()

    with pytest.raises(UserError, match="leave the judge out"):
        situations.situation(Known, "coding", "http://localhost/v1", tmp_path / "j.jsonl")
    with pytest.raises(UserError, match="is no URL of a judge"):
        situations.situation(NoWorld, "coding", "host:80", tmp_path / "j.jsonl")
    with pytest.raises(UserError, match="no folder ./nowhere"):
        situations.situation(NoWorld, "coding", "./nowhere", tmp_path / "j.jsonl")
    (tmp_path / "j.jsonl").write_text("{\n")
    with pytest.raises(UserError, match="line 1, is damaged"):
        situations.situation(NoWorld, "coding", "http://localhost/v1", tmp_path / "j.jsonl")
    assert situations.situation(NoWorld, "coding", "").opinion is None


def test_the_judge_is_not_told_what_the_rules_said():
    one, other = (Item("a", "q", "r", OUTCOMES, "", o) for o in ("comply", "blackmail"))
    assert one.prompt() == other.prompt() and one.asked == other.asked


def test_rubrics_name_the_outcomes_of_the_rules():
    for name, rubric in natural("rubrics").items():
        assert set(rubric) == set(re.findall(r'"(\w+)"', getattr(graders, name).__doc__)), name
    assert set(natural("rubrics")) == set(situations.HARM)
