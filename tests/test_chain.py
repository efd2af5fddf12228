"""Notebooks side by side: who waits for whom, how many at a time, and whose file is whose."""

import os
import re
import threading
import time

import nbformat
import pytest
from test_runner import chain, go, notebook  # noqa: F401

from emotion_concepts.errors import UserError
from emotion_suite import reruns, runner
from emotion_suite.chain import THREADS, lanes, shared_cores, side_by_side, waits_for

NUMBERS = [p.stem[:2] for p in runner.notebooks()]


def test_every_notebook_waits_for_those_whose_results_it_reads():
    reads = waits_for(NUMBERS)
    assert reads["00"] == reads["01"] == set() and reads["13"] == set(NUMBERS) - {"13"}
    for path in runner.notebooks():
        source = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code")
        named = set(re.findall(r'value\["(\d\d)\.\w+"\]', source))
        named |= set(re.findall(r'needs\([^)]*, "(\d\d)"\)', source))
        if re.search(r"run\.(vectors|stories|neutral|needs)\w*\(", source):
            named |= {"01"}
        assert named - {path.stem[:2]} <= reads[path.stem[:2]], path.name
    assert waits_for(["02", "07"]) == {"02": set(), "07": set()}  # what is not run now is not waited for


def test_a_step_begins_when_what_it_reads_is_through_and_the_longest_first():
    began, ended, both, lock = [], [], threading.Event(), threading.Lock()

    def step(n):
        with lock:
            began.append(n)
            assert reads[n] <= set(ended)
            if len(began) - len(ended) == 2:
                both.set()
        if n == "02":
            assert both.wait(5)  # 04 is at work meanwhile
        time.sleep(0.01)
        with lock:
            ended.append(n)

    reads = {"01": set(), "02": {"01"}, "03": {"01"}, "04": {"01"}, "13": {"01", "02", "03", "04"}}
    side_by_side(step, reads, 2, {"02": 1.0, "03": 2.0, "04": 3.0})
    assert began[0] == "01" and set(began[1:3]) == {"04", "03"} and began[3:] == ["02", "13"]


def test_one_at_a_time_they_run_in_their_order():
    began = []
    side_by_side(began.append, waits_for(NUMBERS), 1, {"12": 9.0, "05": 8.0})
    assert began == NUMBERS


def test_an_error_in_a_step_is_not_lost():
    with pytest.raises(UserError, match="no room"):
        side_by_side(lambda n: (_ for _ in ()).throw(UserError("no room")), {"01": set()}, 2, {})


def test_how_many_at_a_time(monkeypatch):
    monkeypatch.setattr("emotion_suite.chain.cores", lambda: 8)
    assert lanes(0, 1e7, "cpu") == 4 and lanes(0, 1e10, "cpu") == 1 and lanes(3, 1e10, "cpu") == 3
    assert lanes(0, float("inf"), "cpu") == 1  # still to be fetched
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert lanes(0, 1e7, "auto") == 1 and lanes(0, 1e7, "cpu") == 4


def test_kernels_share_the_cores_and_this_process_is_afterwards_as_it_was(monkeypatch):
    monkeypatch.setattr("emotion_suite.chain.cores", lambda: 8)
    monkeypatch.delenv(THREADS, raising=False)
    with shared_cores(3):
        assert os.environ[THREADS] == "2"
    with shared_cores(1):
        assert THREADS not in os.environ
    assert THREADS not in os.environ
    monkeypatch.setenv(THREADS, "5")  # the user's own word
    with shared_cores(3):
        assert os.environ[THREADS] == "5"
    assert os.environ[THREADS] == "5"


def test_weights_are_counted_in_bytes(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for name, size in (("model.safetensors", 30), ("old.bin", 12), ("notes.md", 7)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert reruns.weights(str(tmp_path)) == 42 and reruns.weights("some/name") == float("inf")


def test_two_at_once_keep_their_files_apart(chain, monkeypatch, capsys):  # noqa: F811
    """02 and 03 wait for each other's file, so that they can only end side by side."""
    meet = (
        "import time, pathlib\npathlib.Path(out, '{0}-mine.json').write_text('1')\n"
        "while not pathlib.Path(out, '{1}-mine.json').exists(): time.sleep(.05)\ntime.sleep(.3)"
    )
    notebook(chain / "notebooks" / "02-second.ipynb", meet.format("02", "03"))
    notebook(chain / "notebooks" / "03-third.ipynb", meet.format("03", "02"))
    assert go(chain, "--jobs", "2") == 0
    records = {n: reruns.Record.load(chain / "out", n) for n in ("01-first", "02-second", "03-third")}
    assert {n: list(r.artefacts()) for n, r in records.items()} == {
        "01-first": ["thing.json"],
        "02-second": ["02-mine.json"],
        "03-third": ["03-mine.json"],
    }
    capsys.readouterr()
    assert go(chain, "--jobs", "2") == 0 and capsys.readouterr().out.count("unchanged (") == 3
    with pytest.raises(SystemExit):
        go(chain, "--jobs", "0")
    assert "1 or more" in capsys.readouterr().err


def test_files_that_vanish_meanwhile_are_no_error(tmp_path, monkeypatch):
    for name in ("01-a.json", "02-b.part"):
        (tmp_path / name).write_text("1")
    listed = list(reruns.os.walk(tmp_path))
    (tmp_path / "02-b.part").unlink()  # as by a notebook beside, between listing and looking
    monkeypatch.setattr(reruns.os, "walk", lambda out: listed)
    assert list(reruns.files_of(tmp_path)) == ["01-a.json"]
