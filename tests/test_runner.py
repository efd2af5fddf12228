"""The chain of notebooks: what is refused before it runs, what is run again, and how a failure is told."""

import json

import nbformat
import pytest
import torch
from safetensors.torch import save_file

from emotion_concepts.errors import UserError
from emotion_concepts.lm.zoo import Source
from emotion_suite import parameters, reruns, runner
from emotion_suite.publish import README_MARKS

PARAMETERS = "model = 'organism'\ndtype = 'float32'\nprofile = 'quick'\nout = '.'\nseed = 0\nstrength = 0.5"


def notebook(path, *cells, parameters=PARAMETERS):
    nb = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}}
    )
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nb.cells = [nbformat.v4.new_markdown_cell("# Title"), first, *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(nb, path)
    return path


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """01 writes an artefact and counts its runs; 02 reads it and counts its own; 03 fails. The model: a mere folder."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    count = f"open({str(tmp_path / 'count.txt')!r}, 'a').write"
    notebook(folder / "01-first.ipynb", f"open(out + '/thing.json', 'w').write(str(seed)); {count}('a')", "print(seed)")
    notebook(folder / "02-second.ipynb", f"text = open(out + '/thing.json').read(); {count}('b')")
    notebook(
        folder / "03-third.ipynb",
        "x = 1",
        "raise RuntimeError('no such luck\\nand more')",
        parameters=PARAMETERS + "\nextra = 1",
    )
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    save_file({"x": torch.zeros(3)}, model / "model.safetensors")
    monkeypatch.setattr(runner, "NOTEBOOKS", folder)
    monkeypatch.setattr(runner, "library_hash", lambda: "0")
    return tmp_path


def go(chain, *options):
    return runner.main(
        ["run", "--model", str(chain / "model"), "--profile", "quick", "--out", str(chain / "out"), *options]
    )


def count(chain):
    return (chain / "count.txt").read_text() if (chain / "count.txt").exists() else ""


def test_the_number_format_reaches_the_notebooks_and_is_run_anew(chain, capsys):
    assert go(chain, "--only", "01") == 0 == go(chain, "--only", "01", "--dtype", "bfloat16")
    assert count(chain) == "aa" and "bfloat16" in (chain / "out" / "01-first.ipynb").read_text()
    with pytest.raises(SystemExit):
        go(chain, "--dtype", "int3")
    assert "choose from" in capsys.readouterr().err
    assert go(chain, "--param", "dtype=float16") == 1 and "--dtype" in capsys.readouterr().err


def test_only_what_changed_is_run_again(chain, capsys):
    both = ("--only", "01,02")
    assert go(chain, *both) == 0 and count(chain) == "ab"
    assert "minutes" in capsys.readouterr().out
    assert go(chain, *both) == 0 and count(chain) == "ab"
    assert capsys.readouterr().out.count("unchanged (") == 2
    assert go(chain, *both, "--fresh") == 0 and count(chain) == "abab"
    assert go(chain, "--only", "02", "--param", "strength=2") == 0 and count(chain) == "ababb"
    # 02 reads what 01 wrote: another seed changes that, and with it 02
    assert go(chain, "--only", "01", "--param", "seed=7") == 0 and (chain / "out" / "thing.json").read_text() == "7"
    assert go(chain, "--only", "02", "--param", "strength=2") == 0 and count(chain) == "ababbab"


def test_a_changed_source_model_or_lost_result_is_run_again(chain):
    only = ("--only", "01")
    assert go(chain, *only) == 0 and go(chain, *only) == 0 and count(chain) == "a"
    (chain / "out" / "thing.json").unlink()
    assert go(chain, *only) == 0 and count(chain) == "aa"
    save_file({"x": torch.ones(3)}, chain / "model" / "model.safetensors")
    assert go(chain, *only) == 0 and count(chain) == "aaa"
    path = chain / "notebooks" / "01-first.ipynb"
    nb = nbformat.read(path, 4)
    nb.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="an output is not the source")]
    nbformat.write(nb, path)
    assert go(chain, *only) == 0 and count(chain) == "aaa"
    nb.cells[2].source += " # changed"
    nbformat.write(nb, path)
    assert go(chain, *only) == 0 and count(chain) == "aaaa"


def test_fresh_deletes_only_what_the_chosen_notebooks_wrote(chain):
    out = chain / "out"
    assert go(chain, "--only", "01,02") == 0
    (out / "mine.txt").write_text("a user's own file")
    (out / "stores" / "02" / "acts").mkdir(parents=True)
    assert go(chain, "--only", "02", "--fresh") == 0
    assert (out / "mine.txt").exists() and (out / "thing.json").exists() and not (out / "stores" / "02").exists()


def test_a_failure_names_notebook_cell_and_error(chain, capsys):
    assert go(chain, "--from", "02", "--only", "03") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: 03-third.ipynb, cell 4: RuntimeError: no such luck (see ") and err.count("\n") == 1
    assert not json.loads((chain / "out" / ".records" / "03-third.json").read_text())["done"]
    assert go(chain, "--only", "03") == 1  # a failure is never taken for done


def test_a_failure_does_not_stop_what_does_not_need_it(chain, capsys):
    notebook(chain / "notebooks" / "02-second.ipynb", "1 / 0")
    notebook(chain / "notebooks" / "04-fourth.ipynb", "print('reached')")
    assert go(chain) == 1 and count(chain) == "a"
    said = capsys.readouterr()
    first, second = said.err.splitlines()
    assert first.startswith("error: 02-second.ipynb, cell 3: ZeroDivisionError: division by zero (see ")
    assert second.startswith("error: 03-third.ipynb, cell 4: RuntimeError: no such luck (see ")
    table = said.out.split("\nminutes\n")[1]
    assert table.count("   failed\n") == 2 and "| 02.logit_lens |" in table and "notebook failed" in table
    assert "02.logit_lens" in (chain / "out" / "claims.md").read_text()
    assert go(chain) == 1 and capsys.readouterr().out.count("unchanged (") == 2  # 01 and 04 stand


def test_what_needs_discovery_waits_for_it(chain, capsys):
    assert go(chain, "--only", "01,02") == 0 and count(chain) == "ab"
    notebook(chain / "notebooks" / "00-before.ipynb", "1 + 1")
    notebook(chain / "notebooks" / "01-first.ipynb", "1 / 0")
    capsys.readouterr()
    assert go(chain, "--fresh") == 1 and count(chain) == "ab"
    said = capsys.readouterr()
    assert said.err.startswith("error: 01-first.ipynb") and said.err.count("\n") == 1
    assert said.out.count("not run: it needs notebook 01\n") == 2 and "00-before" in said.out
    assert (chain / "out" / "02-second.ipynb").exists()


def test_a_failed_notebook_and_another_model_leave_no_claims_behind(chain, capsys):
    save = "from emotion_concepts.report.claims import Ledger; from safetensors.torch import load_file\n"
    save += "name = str(load_file(model + '/model.safetensors')['x'].tolist())\n"
    source = save + "ledger = Ledger('{0}', name, out); ledger.judge('{1}', 1.0); ledger.save()"
    notebook(chain / "notebooks" / "01-first.ipynb", source.format("01", "01.top1"))
    notebook(chain / "notebooks" / "02-second.ipynb", source.format("02", "02.word_steering") + "\nseed / seed")
    verdict = lambda id: next(  # noqa: E731
        line for line in (chain / "out" / "claims.md").read_text().splitlines() if line.startswith(f"| {id} |")
    )
    both = ("--only", "01,02", "--param")
    assert go(chain, *both, "seed=1") == 0 and "| met |" in verdict("01.top1")
    assert "missed" in verdict("02.word_steering")
    assert go(chain, *both, "seed=0") == 1 and "| met |" in verdict("01.top1")
    assert "not judged | notebook failed" in verdict("02.word_steering")
    assert go(chain, *both, "seed=1") == 0 and "missed" in verdict("02.word_steering")
    save_file({"x": torch.ones(3)}, chain / "model" / "model.safetensors")
    assert go(chain, "--only", "01") == 0 and "| met |" in verdict("01.top1")
    assert "not judged | of another model; run this notebook again" in verdict("02.word_steering")
    save_file({"x": torch.ones(3) * 2}, chain / "model" / "model.safetensors")
    assert go(chain, "--only", "03") == 1 and "of another model" in verdict("01.top1")


def test_a_notebook_that_ends_early_has_not_failed(chain, capsys):
    cells = ("print('no partner is named')\nraise SystemExit(0)", "raise RuntimeError('not to be reached')")
    notebook(chain / "notebooks" / "02-second.ipynb", *cells)
    assert go(chain, "--only", "02") == 0 and capsys.readouterr().err == ""
    assert go(chain, "--only", "02") == 0 and "unchanged (" in capsys.readouterr().out


def test_a_notebook_without_kernelspec_runs(chain, capsys):
    path = chain / "notebooks" / "02-second.ipynb"
    nb = nbformat.read(path, as_version=4)
    nb.metadata = nbformat.from_dict({})
    nbformat.write(nb, path)
    assert go(chain, "--only", "01", "--only", "02") == 0 and count(chain) == "ab"


def test_a_notebook_over_results_is_run_again_when_they_change(chain, monkeypatch):
    extra = PARAMETERS + "\nresults = 'results'"
    cell = f"open({str(chain / 'count.txt')!r}, 'a').write('b')"
    notebook(chain / "notebooks" / "02-second.ipynb", cell, parameters=extra)
    monkeypatch.setattr(runner, "ROOT", chain)
    (chain / "results").mkdir()
    for kept in ("one", "one", "two"):
        (chain / "results" / "claims.json").write_text(kept)
        assert go(chain, "--only", "01", "--only", "02") == 0
    assert count(chain) == "abb"


def test_a_dead_kernel_is_one_line(chain, capsys):
    notebook(chain / "notebooks" / "04-dies.ipynb", "import os; os._exit(1)")
    assert go(chain, "--only", "04") == 1
    err = capsys.readouterr().err
    assert "04-dies.ipynb, cell 3: the kernel died" in err and err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--param", "sede=1"], "unknown parameter 'sede'; did you mean seed?"),  # hazard 11: papermill only warns
        (["--param", "extra=2", "--only", "01"], "unknown parameter 'extra'"),  # another notebook's
        (["--param", "seed=soon"], "parameter seed must be of type int, such as 0, not 'soon'"),
        (["--param", "seed=1.5"], "parameter seed must be of type int"),
        (["--param", "seed=True"], "parameter seed must be of type int"),
        (["--param", "strength=much"], "parameter strength must be of type float"),
        (["--param", "seed"], "not of the form name=value"),
        (["--param", "model=x"], "set model by --model"),
        (["--only", "09"], "unknown notebook '09'; there is 01, 02, 03"),
        (["--from", "x"], "unknown notebook 'x'"),
        (["--profile", "huge"], "unknown profile 'huge'; choose one of sample, quick"),
        (["--model", "./nowhere"], "no folder ./nowhere"),
        (["--base", "./nowhere"], "no folder ./nowhere"),
    ],
)
def test_bad_options_are_refused_before_anything_runs(chain, capsys, options, message):
    assert go(chain, *options) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert count(chain) == "" and not (chain / "out" / "01-first.ipynb").exists()


def test_a_folder_without_weights_is_refused(chain, capsys):
    (chain / "model" / "model.safetensors").unlink()
    assert go(chain) == 1 and "holds no weights" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["file/x", "file"])
def test_unwritable_folder(chain, capsys, out):
    (chain / "file").write_text("")
    assert go(chain, "--out", str(chain / "file")) == 1
    err = capsys.readouterr().err
    assert "cannot write to" in err and "choose another --out" in err and err.count("\n") == 1


def test_parameter_types_are_those_of_the_notebook(tmp_path):
    path = notebook(
        tmp_path / "01-a.ipynb", parameters="n = 3\nx = .5\nword = 'a'\nlayers = [1]\nnames = None\nok = True"
    )
    given = parameters.parse(["n=4", "x=1", "word=12", "layers=[2, 3]", "names=['a']", "ok=False"], [path])[path]
    assert given == {"n": 4, "x": 1.0, "word": "12", "layers": [2, 3], "names": ["a"], "ok": False}
    assert isinstance(given["x"], float)
    for wrong in ("layers=['a']", "layers=3", "ok=0", "x=1e999", "n=None"):
        with pytest.raises(UserError, match=f"parameter {wrong.split('=')[0]} must be of type"):
            parameters.parse([wrong], [path])


@pytest.mark.parametrize("cell", ["x = f(1)", "x, y = 1, 2", "x = y = 1", "import os", "x ="])
def test_a_parameters_cell_holds_literals_only(tmp_path, cell):
    with pytest.raises(UserError, match="parameters cell"):
        parameters.declared(notebook(tmp_path / "01-a.ipynb", parameters=cell))


def test_a_parameters_cell_is_needed(tmp_path):
    path = tmp_path / "01-a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(UserError, match="0 cells tagged 'parameters'"):
        parameters.declared(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not a readable notebook"):
        parameters.declared(path)


def test_the_real_notebooks_take_the_runners_options():
    for path in runner.notebooks():
        assert set(parameters.OWN_OPTIONS) <= set(parameters.declared(path)), path.name


@pytest.mark.parametrize("path", runner.notebooks(), ids=lambda p: p.stem)
def test_the_real_notebooks_keep_their_claims_and_say_where_numbers_come_from(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [c.source.strip() for c in cells if c.cell_type == "code"]
    assert sum("run.ledger.save()" in c for c in code) == 1 and "footer(run)" in code[-1]


def test_the_library_hash_sees_sources_and_data_but_not_the_runner(tmp_path):
    for name in (
        "emotion_concepts/a.py",
        "emotion_concepts/data/x.csv",
        "emotion_suite/runner.py",
        "organism/b.yaml",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    seen = [reruns.library_hash(tmp_path)]
    for name in (
        "emotion_suite/runner.py",
        "emotion_concepts/a.py",
        "emotion_concepts/data/x.csv",
        "organism/b.yaml",
    ):
        (tmp_path / name).write_text("2")
        seen.append(reruns.library_hash(tmp_path))
    assert seen[0] == seen[1] and len(set(seen)) == 4


def test_the_default_run_refreshes_figures_and_notebooks(chain, monkeypatch):
    """As the default run, with a root of its own; a second run changes no committed byte."""
    monkeypatch.setattr(runner, "ROOT", chain)
    monkeypatch.setattr(reruns, "locate", lambda name: Source(str(chain / "model")))
    source = "import os, json; os.makedirs(out + '/figures', exist_ok=True); print(out, os.getcwd())\n"
    source += "record = dict(name='01-a', caption='', cpu=cpu, data=dict(x=[value] * 9))\n"
    source += "[open(f'{out}/figures/01-a.{s}', 'w').write(json.dumps(record)) for s in ('png', 'svg', 'json')]"
    source = "from pathlib import Path\ncpu, value = json.loads(Path(out, '../numbers.json').read_text())\n" + source
    source = "import json\n" + source
    numbers = chain / "runs" / "organism" / "numbers.json"
    numbers.parent.mkdir(parents=True)
    numbers.write_text(json.dumps(["one", 1.0]))
    path = notebook(chain / "notebooks" / "01-first.ipynb", source)
    (chain / "notebooks" / "03-third.ipynb").unlink()
    notebook(chain / "notebooks" / "02-second.ipynb", "1 + 1")
    (chain / "figures").mkdir()
    (chain / "figures" / "01-gone.png").write_text("of an earlier version")
    (chain / "README.md").write_text("\n".join(README_MARKS))
    assert runner.main([]) == 0
    assert "| 01.top1 |" in (chain / "README.md").read_text()
    names = {p.name for p in (chain / "figures").iterdir()}
    assert names == {"01-a.png", "01-a.svg", "01-a.json", "claims.md"}
    text = path.read_text()
    assert "../runs/organism/default notebooks" in text and str(chain) not in text and "injected" not in text
    assert runner.main(["--fresh"]) == 0 and path.read_text() == text
    assert runner.main([]) == 0 and path.read_text() == text
    kept = {p: p.read_bytes() for p in chain.rglob("*") if p.is_file() and "runs" not in p.parts}
    numbers.write_text(json.dumps(["another", 1.1]))  # another CPU rounds otherwise: the checkout stays clean
    assert runner.main(["--fresh"]) == 0 and kept == {p: p.read_bytes() for p in kept}
    numbers.write_text(json.dumps(["one", 1.1]))
    assert runner.main(["--fresh"]) == 0
    assert all("1.1" in (chain / "figures" / f"01-a.{s}").read_text() for s in ("json", "png"))


def test_tests_run_over_copies_of_the_notebooks(chain, monkeypatch):
    """``test`` hands pytest copies set to the quick profile, and leaves the notebooks as they are."""
    monkeypatch.setattr(runner, "ROOT", chain)
    called = []
    monkeypatch.setattr(runner.subprocess, "call", lambda command, cwd: called.append(command) or 0)
    answer = "\n\n<details><summary>Answer</summary>\n\n```python\nseed + {}\n```\n\nA number.\n</details>"
    asked = "## Exercises\n\n" + "\n\n".join(f"{k}. **Add.** What is it?{answer.format(k)}" for k in (1, 2, 3))
    for path in (chain / "notebooks").iterdir():
        nb = nbformat.read(path, 4)
        nb.cells.append(nbformat.v4.new_markdown_cell(asked))
        nbformat.write(nb, path)
    before = (chain / "notebooks" / "01-first.ipynb").read_bytes()
    assert runner.main(["test", "-x"]) == 0
    assert "--nbval-lax" in called[0] and called[0][-1] == "-x"
    copies = [c for c in called[0] if c.endswith(".ipynb")]
    assert len(copies) == 3
    cells = nbformat.read(copies[0], 4).cells
    injected = [c.source for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert [c.source for c in cells[-3:]] == ["seed + 1", "seed + 2", "seed + 3"] and cells[-4].cell_type == "markdown"
    assert "quick" in injected[0] and (chain / "notebooks" / "01-first.ipynb").read_bytes() == before


def test_a_notebook_without_exercises_is_not_tested_silently(chain, monkeypatch, capsys):
    monkeypatch.setattr(runner, "ROOT", chain)
    assert runner.main(["test"]) == 1
    assert "01-first.ipynb has no cell with the heading '## Exercises'" in capsys.readouterr().err


def test_a_large_weight_file_counts_as_a_whole(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    weights = torch.zeros(1 << 19)  # 2 MiB
    save_file({"x": weights}, tmp_path / "model.safetensors")
    seen = [reruns.model_fingerprint(str(tmp_path)), reruns.model_fingerprint(str(tmp_path))]
    weights[1 << 17] = 1.0  # neither at the head, nor in the middle, nor at the tail
    save_file({"x": weights}, tmp_path / "model.safetensors")
    assert seen[0] == seen[1] != reruns.model_fingerprint(str(tmp_path))


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    save_file({"x": torch.zeros(3)}, tmp_path / "model.safetensors")
    first = reruns.model_fingerprint(str(tmp_path))
    monkeypatch.setattr(reruns.hashlib, "file_digest", None)
    assert reruns.model_fingerprint(str(tmp_path)) == first
