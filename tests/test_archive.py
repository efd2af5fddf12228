"""Results that are kept: what a later run replaces, what it leaves as it stands, and runs side by side."""

import json
import re

import pandas as pd
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.report.claims import COLUMNS, Ledger, collect
from emotion_suite import archive, runner

ABOUT = {"model": "tiny", "profile": "quick", "minutes": {"01-vector-discovery": 5.0, "02-validation": 3.0}}


def ran(out, values: dict, notes=None, figures=None):
    """A run folder with judged claims (id -> value) and figures (name -> numbers)."""
    for nb in sorted({id[:2] for id in values}):
        ledger = Ledger(nb, "tiny:0", out)
        for id in (i for i in values if i[:2] == nb):
            ledger.judge(id, values[id], note=(notes or {}).get(id, ""))
        ledger.save()
    for name, numbers in (figures or {}).items():
        (out / "figures").mkdir(exist_ok=True)
        record = {"name": name, "caption": "", "cpu": "one", "data": {"y": numbers}}
        (out / "figures" / f"{name}.json").write_text(json.dumps(record))
    return out


def row(table: pd.DataFrame, id: str) -> pd.Series:
    return table.set_index("id").loc[id]


def test_what_was_not_run_anew_stands_as_it_was_unless_its_mark_has_changed(tmp_path):
    before = collect(ran(tmp_path / "a", {"01.top1": 0.6, "02.logit_lens": 9, "02.intensity": 12}))
    assert row(before, "02.logit_lens").mark == ">= 8"  # the mark of models whose texts others wrote
    before.loc[before.id == "02.intensity", "mark"] = ">= 3"  # measured under another mark
    again = ran(tmp_path / "b", {"01.top1": 0.4})
    table = archive.merged(before, again)
    assert list(table.columns) == COLUMNS and table.id.tolist() == before.id.tolist()
    assert row(table, "01.top1").value == 0.4 and row(table, "01.top1").verdict == "missed"
    assert row(table, "02.logit_lens").value == 9 and row(table, "02.logit_lens").verdict == "met"
    assert row(table, "02.intensity").verdict == "not judged" and pd.isna(row(table, "02.intensity").value)
    assert row(table, "02.intensity").note == "notebook not run"
    alone = archive.merged(None, again)
    assert (alone.verdict != "not judged").sum() == 1 and row(alone, "01.top1").value == 0.4


def test_a_claim_that_the_new_run_left_open_is_open(tmp_path):
    """A notebook that was run speaks for all of its claims: an earlier outcome does not fill in."""
    before = collect(ran(tmp_path / "a", {"01.top1": 0.6, "01.top5": 0.9}))
    table = archive.merged(before, ran(tmp_path / "b", {"01.top1": 0.6}))
    assert row(table, "01.top5").verdict == "not judged" and pd.isna(row(table, "01.top5").value)


@pytest.mark.parametrize(
    ("id", "column", "value", "same"),
    [
        ("01.top1", "value", 0.604, True),  # within the tolerance
        ("01.top1", "value", 0.62, False),
        ("01.top1", "value", None, False),
        ("01.top1", "verdict", "missed", False),
        ("01.top1", "mark", ">= 0.55", False),
        ("01.top1", "note", "chosen: layer 7 (-0.3), 5e-05 of 40 stories", True),
        ("01.top1", "note", "chosen: layer 5 (0.25), 12 of 40 texts", False),
        ("01.top1", "note", None, False),
        ("09.cost", "value", 0.049, True),
        ("09.cost", "verdict", "missed", False),
        ("01.top5", "id", "01.top6", False),
    ],
)
def test_two_tables_agree_but_for_speeds_and_numbers_in_notes(tmp_path, id, column, value, same):
    notes = {"01.top1": "chosen: layer 5 (0.25), 12 of 40 stories"}
    old = collect(ran(tmp_path, {"01.top1": 0.6, "01.top5": 0.9, "09.cost": 0.01}, notes))
    new = old.astype(object).copy()
    assert archive.agree(old, new)
    new.loc[new.id == id, column] = value
    assert archive.agree(old, new) == same == archive.agree(new, old)


def test_no_table_agrees_with_none_or_with_a_shorter_one(tmp_path):
    table = collect(ran(tmp_path, {"01.top1": 0.6}))
    assert not archive.agree(None, table) and not archive.agree(table, table[:-1])


def test_a_second_run_with_the_same_numbers_changes_no_file(tmp_path):
    kept, values = tmp_path / "results", {"01.top1": 0.6, "02.logit_lens": 11, "09.cost": 0.01}
    archive.keep(ran(tmp_path / "a", values, figures={"01-map": [0.5, 0.6]}), kept, ABOUT)
    assert archive.load_run(kept) == ABOUT and archive.agree(archive.load_claims(kept), collect(tmp_path / "a"))
    assert archive.load_numbers(kept, "01-map") == {"y": [0.5, 0.6]} and archive.load_numbers(kept, "01-none") is None
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in kept.rglob("*.json")}
    near = {"01.top1": 0.601, "02.logit_lens": 11, "09.cost": 0.03}
    archive.keep(ran(tmp_path / "b", near, figures={"01-map": [0.5001, 0.6]}), kept, ABOUT | {"minutes": {}})
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in kept.rglob("*.json")} and len(before) == 3


def test_other_numbers_replace_those_of_the_notebooks_that_ran(tmp_path):
    kept = tmp_path / "results"
    figures = {"01-map": [0.5], "01-gone": [1.0], "02-lens": [2.0]}
    archive.keep(ran(tmp_path / "a", {"01.top1": 0.6, "02.logit_lens": 11}, figures=figures), kept, ABOUT)
    about = ABOUT | {"profile": "default", "minutes": {"01-vector-discovery": 9.0}}
    archive.keep(ran(tmp_path / "b", {"01.top1": 0.7}, figures={"01-map": [0.8]}), kept, about)
    assert {p.stem: archive.load_numbers(kept, p.stem)["y"] for p in (kept / "figures").iterdir()} == {
        "01-map": [0.8], "02-lens": [2.0],
    }  # fmt: skip
    table = archive.load_claims(kept)
    assert row(table, "01.top1").value == 0.7 and row(table, "02.logit_lens").value == 11
    run = archive.load_run(kept)
    assert run["profile"] == "default" and run["minutes"] == {"01-vector-discovery": 9.0, "02-validation": 3.0}


def test_minutes_of_notebooks_that_were_not_run_anew_are_those_of_before():
    before = {"dtype": "float32", "model": "old", "minutes": {"03": 1.0, "02": 2.0}}
    joined = archive.joined(before, {"model": "new", "minutes": {"02": 5.0, "01": 4.0}})
    assert joined == {"dtype": "float32", "model": "new", "minutes": {"01": 4.0, "02": 5.0, "03": 1.0}}
    assert list(joined["minutes"]) == ["01", "02", "03"] and before["minutes"]["02"] == 2.0
    assert archive.joined({}, ABOUT) == ABOUT


def test_a_record_names_no_folder_of_this_machine(tmp_path):
    (tmp_path / "partner").mkdir()
    ran(tmp_path / "out", {"01.top1": 0.6})
    options = {"base": str(tmp_path / "partner"), "dtype": "float32", "system": "", "param": [], "seed": 3}
    told = archive.record(tmp_path / "out", "tiny", "quick", options)
    assert told["options"] == {"base": "partner", "dtype": "float32"} and told["model_id"] == "tiny:0"
    assert str(tmp_path) not in json.dumps(told)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two kept runs, one of them of a profile that is not the default."""
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    root = tmp_path / "results"
    archive.keep(ran(tmp_path / "a", {"01.top1": 0.6, "02.logit_lens": 11}), root / "tiny" / "default", ABOUT)
    archive.keep(ran(tmp_path / "b", {"01.top1": 0.4}), root / "other-1b" / "quick", ABOUT)
    (root / "empty" / "default").mkdir(parents=True)
    return root


def test_runs_are_called_by_model_and_profile(results):
    assert archive.title("tiny", "default") == "tiny" and archive.title("a/b/tiny-Q8.gguf", "paper") == "tiny-Q8/paper"
    assert archive.folders(results) == {
        "tiny": results / "tiny" / "default", "other-1b/quick": results / "other-1b" / "quick",
    }  # fmt: skip
    assert archive.load_claims(results / "empty" / "default") is None and archive.load_run(results / "empty") == {}
    (results / "tiny" / "default" / "claims.json").write_text("[{")
    with pytest.raises(UserError, match="claims.json cannot be read; restore it with git"):
        archive.load_claims(results / "tiny" / "default")


def cells(printed: str) -> dict[str, dict[str, str]]:
    """The last table printed, that of all claims: id -> column -> cell."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in printed.strip().split("\n\n")[-1].splitlines()]
    head, _, *lines = [[c.strip() for c in row] for row in rows]
    return {line[0]: dict(zip(head, line, strict=True)) for line in lines}


def test_compare_puts_kept_runs_and_run_folders_side_by_side(results, capsys):
    third = ran(results.parent / "c", {"01.top1": 0.55, "09.cost": 0.2})
    assert runner.main(["compare", "tiny", "other-1b/quick", str(third)]) == 0
    table = cells(capsys.readouterr().out)
    top = table["01.top1"]
    assert (top["tiny"], top["other-1b/quick"], top[str(third)]) == ("0.6 met", "0.4 missed", "0.55 met")
    assert top["mark"] == ">= 0.50"
    assert table["02.logit_lens"]["tiny"] == "11 met"
    assert table["02.logit_lens"]["other-1b/quick"] == "– notebook not run"
    assert table["09.cost"][str(third)] == "0.2 missed"


def test_compare_without_names_shows_all_and_refuses_an_unknown_one(results, capsys):
    assert runner.main(["compare"]) == 0
    assert {"tiny", "other-1b/quick"} <= cells(capsys.readouterr().out)["01.top1"].keys()
    assert runner.main(["compare", "tiny", "nobody"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: no results called 'nobody'; there is other-1b/quick, tiny") and err.count("\n") == 1


def test_a_notebook_that_reads_results_alone_does_not_make_a_known_world_unknown(tmp_path, organism):
    """It is opened without a model; the marks of the shipped one must stand all the same."""
    for nb, subject in (("02", organism), ("13", organism.model_id)):
        Ledger(nb, subject, tmp_path).save()
    first = Ledger("02", organism, tmp_path)
    first.judge("02.logit_lens", 9)
    first.save()
    told = row(collect(tmp_path), "02.logit_lens")
    assert told.mark == ">= 10" and told.verdict == "missed"
    assert archive.record(tmp_path, "organism", "quick", {})["world"] is True
