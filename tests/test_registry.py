"""The registry accounts for every figure and table of the paper, and what it calls done exists."""

import json
from pathlib import Path

import pytest
import yaml

from emotion_concepts.errors import UserError
from emotion_concepts.texts.published import paper_figures
from emotion_suite.registry import entries, figure, misnamed, missing, parse, resolve, summary, table

COMMITTED = Path(__file__).parents[1]  # its figures/ are those of the committed run


def test_all_figures_and_tables_are_listed():
    counts = summary().sum(axis=1)
    assert counts["figure"] == 86 and counts["table"] == 17
    assert len(table()) == len(entries())


def test_every_function_named_exists():
    for entry in entries():
        if entry.function:
            assert callable(resolve(entry)), entry.name


def test_every_figure_whose_numbers_we_hold_points_to_them():
    for key in paper_figures():
        if key.startswith("fig"):
            number = key[3:].split("_")[0]
            assert (figure(number).numbers or "").startswith(f"fig{number}"), key


def test_the_committed_figures_hold_all_that_is_called_done():
    assert missing(COMMITTED, {e.notebook for e in entries()}) == []


def test_the_committed_figures_name_what_the_registry_says_of_them():
    assert misnamed(COMMITTED) == []


def test_panels_count_as_their_figure():
    assert figure("4b") is figure(4)
    for wrong in (0, 87, "x", "4bc"):
        with pytest.raises(UserError, match="no figure"):
            figure(wrong)


def test_missing_figures_of_a_run(tmp_path):
    due = [e.number for e in entries() if e.kind == "figure" and e.status == "done" and e.notebook == "03"]
    assert due and len(missing(tmp_path, ["03"])) == len(due) and missing(tmp_path, []) == []
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/a.json").write_text(json.dumps({"paper_figure": due[0]}))
    (tmp_path / "figures/b.json").write_text(json.dumps({"paper_figure": [f"{n}a" for n in due[1:]]}))
    (tmp_path / "figures/c.json").write_text(json.dumps({"paper_figure": None}))
    assert missing(tmp_path, ["03"]) == []
    (tmp_path / "figures/c.json").write_text(json.dumps({"paper_figure": 99}))
    with pytest.raises(UserError, match="no figure"):
        missing(tmp_path, ["03"])


def test_misnamed_figures_of_a_run(tmp_path):
    (tmp_path / "figures").mkdir()
    out = next(e.number for e in entries() if e.kind == "figure" and e.status == "out")
    for name, number in (("03-right", 5), ("04-elsewhere", 5), ("03-out", out), ("03-own", None)):
        (tmp_path / f"figures/{name}.json").write_text(json.dumps({"paper_figure": number}))
    assert [line.split()[0] for line in misnamed(tmp_path)] == ["03-out", "04-elsewhere"]


def full() -> dict:
    figures, tables = {n: "c" for n in range(1, 87)}, {n: "c" for n in range(1, 18)}
    groups = [{"why": "w", "figures": figures}, {"why": "w", "tables": tables}]
    return {"figures": {}, "tables": {}, "results": [], "out": groups}


@pytest.mark.parametrize(
    "row, word",
    [
        ({"content": "c", "status": "finished"}, "status"),
        ({"content": "c", "status": "done", "notebook": "01"}, "function"),
        ({"content": "c", "status": "planned"}, "notebook"),
        ({"content": "c", "status": "other form"}, "why"),
        ({"content": "c", "status": "out"}, "why"),
        ({"content": "c", "status": "out", "why": "w", "numbers": "fig999"}, "fig999"),
        ({"status": "out"}, "faulty"),
    ],
)
def test_faulty_entries_are_refused(row, word):
    raw = full()
    del raw["out"][0]["figures"][5]
    raw["figures"][5] = row
    with pytest.raises(UserError, match=word):
        parse(yaml.safe_dump(raw))


def test_gaps_and_doubles_are_refused():
    assert len(parse(yaml.safe_dump(full()))) == 103
    for change in (lambda f, out: f.pop(7), lambda f, out: out.append({"why": "w", "figures": {7: "c"}}),
                   lambda f, out: f.update({87: "c"})):  # fmt: skip
        raw = full()
        change(raw["out"][0]["figures"], raw["out"])
        with pytest.raises(UserError, match="each figure"):
            parse(yaml.safe_dump(raw))
