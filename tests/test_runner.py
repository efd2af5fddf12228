import nbformat
import pytest

from emotion_concepts import runner
from emotion_concepts.errors import UserError
from emotion_concepts.strip import commit_copy, strip


def notebook(path, *cells, parameters="model = 'organism'\nprofile = 'quick'\nout = '.'\nseed = 0\nstrength = 0.5"):
    nb = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}})
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nb.cells = [first, *map(nbformat.v4.new_code_cell, cells)]
    nbformat.write(nb, path)
    return path


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """Three notebooks: the second counts its runs, the third fails."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    count = tmp_path / "count.txt"
    notebook(folder / "01-first.ipynb", "print(seed)")
    notebook(folder / "02-second.ipynb", f"open({str(count)!r}, 'a').write(str(seed))")
    notebook(folder / "03-third.ipynb", "x = 1", "raise RuntimeError('no such luck')")
    real = runner.notebooks
    monkeypatch.setattr(runner, "notebooks", lambda: real(folder))
    monkeypatch.setattr(runner, "library_hash", lambda: "0")
    return tmp_path


def go(chain, *options):
    return runner.main(["--profile", "quick", "--out", str(chain / "out"), *options])


def test_unchanged_notebooks_are_not_run_again(chain, capsys):
    assert go(chain, "--only", "02") == 0 and go(chain, "--only", "02") == 0
    assert (chain / "count.txt").read_text() == "0"
    assert "unchanged" in capsys.readouterr().out
    assert go(chain, "--only", "02", "--param", "seed=7") == 0
    assert (chain / "count.txt").read_text() == "07"
    assert go(chain, "--only", "02", "--param", "seed=7", "--fresh") == 0
    assert (chain / "count.txt").read_text() == "077"


def test_a_failure_names_notebook_cell_and_error(chain, capsys):
    assert go(chain, "--only", "03") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: 03-third.ipynb, cell 3: RuntimeError: no such luck") and err.count("\n") == 1
    assert go(chain, "--only", "03") == 1  # a failure is never taken for done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--param", "sede=1"], "unknown parameter 'sede'"),  # hazard 11: papermill only warns
        (["--param", "seed=soon"], "parameter seed takes a int"),
        (["--param", "seed"], "not of the form name=value"),
        (["--param", "model=x"], "set model by --model"),
        (["--only", "09"], "unknown notebook '09'"),
        (["--from", "x"], "unknown notebook 'x'"),
        (["--profile", "huge"], "unknown profile 'huge'; choose one of quick, default, paper"),
        (["--model", "./nowhere"], "no folder nowhere"),
    ],
)
def test_a_mistyped_parameter_or_option_is_refused_before_anything_runs(chain, capsys, options, message):
    assert go(chain, *options) == 1
    assert message in capsys.readouterr().err
    assert not (chain / "count.txt").exists()


def test_parameter_types_are_those_of_the_notebook(chain):
    chosen = runner.notebooks()
    assert runner.parse_parameters(["strength=1", "seed=3"], chosen) == {"strength": 1.0, "seed": 3}


def test_unwritable_folder(chain, capsys):
    (chain / "file").write_text("")
    assert runner.main(["--profile", "quick", "--out", str(chain / "file" / "x")]) == 1
    assert "cannot write to" in capsys.readouterr().err


def test_committed_copies_do_not_change_from_run_to_run(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "1")
    nb = nbformat.read(path, 4)
    nb.metadata["papermill"] = {"duration": 3.2}
    nb.cells[1].metadata["execution"] = {"iopub.status.busy": "2026"}
    nb.cells[1].outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="50%"),
        nbformat.v4.new_output("execute_result", data={"text/plain": "<Axes at 0x7f00>"}, execution_count=4),
    ]
    injected = nbformat.v4.new_code_cell("seed = 1", metadata={"tags": ["injected-parameters"]})
    nb.cells.insert(1, injected)
    out = strip(nb)
    assert "papermill" not in out.metadata and len(out.cells) == 2
    assert out.cells[1].metadata == {} and [o.output_type for o in out.cells[1].outputs] == ["execute_result"]
    assert "0x" not in str(out.cells[1].outputs)
    nbformat.validate(out)


def test_a_large_notebook_is_refused(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "1")
    nb = nbformat.read(path, 4)
    nb.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="x" * 300_000)]
    nbformat.write(nb, path)
    with pytest.raises(UserError, match="show less"):
        commit_copy(path, tmp_path / "b.ipynb")
    assert not (tmp_path / "b.ipynb").exists()
