"""Minutes are told before a long step, from a speed measured here."""

import ast
import types

from emotion_suite import estimate, notebook, parameters, runner


def test_short_steps_are_silent_and_unmeasured(tiny_llama, capfd):
    assert estimate.announce(tiny_llama, "reading", read=1000) == 0
    assert capfd.readouterr().err == "" and not hasattr(tiny_llama, "_speeds")


def test_long_steps_are_told_in_proportion(organism, capfd):
    once = estimate.announce(organism, "reading stories", read=2_000_000_000)
    assert "reading stories: about " in capfd.readouterr().err and once > 60
    assert estimate.seconds(organism, read=4_000_000_000) == 2 * once
    reading, writing = estimate.speeds(organism)
    assert 0 < writing < reading
    assert abs(estimate.seconds(organism, written=10_000_000) * writing - 10_000_000) < 1


def calls(path) -> list[str]:
    """What each function call of a notebook's code names, such as ``run.expect``."""
    cells = [c.source for c in parameters.read(path).cells if c.cell_type == "code"]
    return [ast.unparse(n.func) for c in cells for n in ast.walk(ast.parse(c)) if isinstance(n, ast.Call)]


def test_every_notebook_that_works_for_minutes_says_so():
    found = {path.name[:2]: calls(path) for path in runner.notebooks()}
    with_model = {nb for nb, called in found.items() if "open_run" in called}
    silent = {nb for nb in with_model if "run.expect" not in found[nb]}
    assert len(with_model) == 13 and silent <= {"03", "10"}  # read what 01 kept; the shipped models alone


def test_tokens_are_those_that_the_subject_reads(tiny_llama):
    subject = types.SimpleNamespace(subject=tiny_llama)
    texts = ["the cat", "a dog sat"]
    assert notebook.Run.tokens(subject, texts) == sum(len(tiny_llama.encode(t)) for t in texts)
    chats = [tiny_llama.prompt.chat(t) for t in texts]
    assert notebook.Run.tokens(subject, texts, chat=True) == sum(len(tiny_llama.encode(t)) for t in chats)
