"""Committed notebooks: the same from run to run, without a machine's traces, small."""

import copy

import nbformat
import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.report.claims import collect
from emotion_suite.publish import README_MARKS, publish_claims, publish_notebooks
from emotion_suite.strip import commit_copy, strip

NEW = nbformat.v4


def executed(root="/home/someone/clone", styler="T_0a1b2", second=7):
    """A notebook as papermill leaves it; the arguments are what differs between two runs."""
    cell = NEW.new_code_cell("show()", execution_count=second)
    cell.metadata = nbformat.from_dict(
        {"execution": {"iopub.status.busy": "2026"}, "papermill": {"duration": second}, "tags": ["x"]}
    )
    cell.outputs = [
        NEW.new_output("stream", name="stdout", text="a "),
        NEW.new_output("stream", name="stderr", text="50%|###"),
        NEW.new_output("stream", name="stdout", text=f"b {root}/runs\n"),
        NEW.new_output("display_data", data={"text/html": f'<style>#{styler}_row0 {{}}</style><table id="{styler}">'}),
        NEW.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "bar"}),
        NEW.new_output("execute_result", data={"text/plain": "<Axes at 0x7f00>"}, execution_count=second),
    ]
    injected = NEW.new_code_cell("seed = 1", metadata={"tags": ["injected-parameters"]})
    nb = NEW.new_notebook(cells=[NEW.new_markdown_cell("# T"), injected, cell])
    nb.metadata["papermill"] = {"duration": second}
    nb.metadata["language_info"] = {"name": "python", "version": f"3.1{second}"}
    return nb


def test_what_differs_between_runs_is_dropped():
    a = strip(executed(), "/home/someone/clone")
    b = strip(executed("/tmp/x", "T_fffff", 9), "/tmp/x")
    assert nbformat.writes(a) == nbformat.writes(b)
    nbformat.validate(a)


def test_what_matters_is_kept():
    out = strip(executed(), "/home/someone/clone").cells
    assert [c.source for c in out] == ["# T", "show()"] and out[1].metadata == {"tags": ["x"]}
    assert [o.output_type for o in out[1].outputs] == ["stream", "display_data", "execute_result"]
    assert out[1].outputs[0].text == "a b runs\n"
    assert out[1].outputs[1].data["text/html"] == '<style>#T_00000_row0 {}</style><table id="T_00000">'
    assert out[1].execution_count == out[1].outputs[2].execution_count == 1


def test_stripping_twice_changes_nothing():
    once = strip(executed())
    assert nbformat.writes(strip(copy.deepcopy(once))) == nbformat.writes(once)


def test_a_failed_notebook_is_refused():
    nb = executed()
    nb.cells[2].outputs = [NEW.new_output("error", ename="ValueError", evalue="", traceback=[])]
    with pytest.raises(UserError, match="ended in ValueError"):
        strip(nb)


def test_a_large_notebook_is_refused_and_the_others_are_written(tmp_path):
    nb, out, folder = executed(), tmp_path / "out", tmp_path / "notebooks"
    out.mkdir()
    folder.mkdir()
    nbformat.write(nb, out / "02-small.ipynb")
    nb.cells[2].outputs = [NEW.new_output("stream", name="stdout", text="x" * 300_000)]
    nbformat.write(nb, out / "01-large.ipynb")
    with pytest.raises(UserError, match="01-large.ipynb would hold 30.* show less"):
        publish_notebooks(out, [folder / "01-large.ipynb", folder / "02-small.ipynb"], tmp_path, {"01", "02"})
    assert not (folder / "01-large.ipynb").exists() and (folder / "02-small.ipynb").exists()
    stamp = (folder / "02-small.ipynb").stat().st_mtime_ns
    commit_copy(out / "02-small.ipynb", folder / "02-small.ipynb", tmp_path)
    assert (folder / "02-small.ipynb").stat().st_mtime_ns == stamp  # equal content is not written again


def test_the_readme_holds_every_claim_once_and_keeps_the_rest(tmp_path):
    readme, begin_end = tmp_path / "README.md", "\n".join(README_MARKS)
    readme.write_text(f"# Before\n{begin_end}\n# After\n")
    for _ in range(2):
        publish_claims(collect(tmp_path), readme)
    text = readme.read_text()
    assert text.startswith("# Before\n") and text.endswith("\n# After\n") and text.count("| 01.top1 |") == 1
    readme.write_text("# No marks\n")
    with pytest.raises(UserError, match="needs the lines"):
        publish_claims(collect(tmp_path), readme)
