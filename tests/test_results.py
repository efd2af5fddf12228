"""Figures are saved with their numbers, to the same bytes; runs are compared by those numbers."""

import json
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from emotion_concepts.errors import UserError  # noqa: E402
from emotion_concepts.report.plots import curves  # noqa: E402
from emotion_concepts.report.results import compare_figures, load_figure, main, plain, save_figure  # noqa: E402


def save(out, y, name="03-curve", **kw):
    fig = curves([1, 2, 3], {"a": y}, title="T")
    return save_figure(fig, name, {"x": [1, 2, 3], "y": y}, out, "A curve.", **kw)


def test_three_files_and_the_same_bytes_twice(tmp_path):
    path = save(tmp_path / "a", [0.1234567, 2e-9, np.nan], paper_figure=4)
    save(tmp_path / "b", [0.1234567, 2e-9, np.nan], paper_figure=4)
    assert path.name == "03-curve.png" and path.stat().st_size > 1000
    for suffix in ("svg", "json", "png"):
        name = f"figures/03-curve.{suffix}"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    record = load_figure(path.with_suffix(".json"))
    assert record["data"] == {"x": [1, 2, 3], "y": [0.12346, 2e-9, None]}
    assert record["paper_figure"] == 4 and record["caption"] == "A curve."
    assert not plt.get_fignums()  # closed


def test_plain_takes_tables_and_numpy_and_refuses_objects():
    table = pd.DataFrame({"r": np.float32([0.5, 1 / 3])}, index=pd.Index(["joy", "woe"], name="emotion"))
    assert plain(table) == {"emotion": ["joy", "woe"], "r": [0.5, 0.33333]}
    assert plain(pd.DataFrame({"r": [1]})) == {"r": [1]}
    assert plain({1: np.arange(3), "b": np.bool_(True), "s": pd.Series({"k": 2.0})}) == {
        "1": [0, 1, 2], "b": True, "s": {"k": 2.0},
    }  # fmt: skip
    assert plain([np.inf, None, "t", 123456.7, {3, 1}]) == [None, None, "t", 123460.0, [1, 3]]
    with pytest.raises(UserError, match="object"):
        plain({"x": object()})


def test_comparison_by_number_with_tolerance(tmp_path):
    save(tmp_path / "a", [0.5, 0.6, 0.7])
    save(tmp_path / "b", [0.5001, 0.6, 0.7])
    a, b = tmp_path / "a/figures", tmp_path / "b/figures"
    assert compare_figures(a, b) == []
    assert compare_figures(a, b, rtol=0, atol=1e-6) == ["03-curve.y[0]: 0.5 against 0.5001"]
    save(tmp_path / "b", [0.8, 0.6, None])
    found = compare_figures(a, b)
    assert len(found) == 2 and found[0].startswith("03-curve.y[0]") and "None" in found[1]
    save(tmp_path / "a", [0.5, 0.6, 0.7], tolerance={"atol": 0.5})
    save(tmp_path / "b", [0.8, 0.6, 0.5])
    assert compare_figures(a, b) == []  # the reference's own tolerance
    save(tmp_path / "b", [0.8, 0.6, 0.5], name="extra")
    assert compare_figures(a, b) == [f"extra: only in {b}"]
    own = ["03-curve.y[0]: 0.8 against 0.5", "03-curve.y[2]: 0.5 against 0.7"]
    assert compare_figures(b, a) == [f"extra: only in {b}", *own]


def test_words_kinds_and_shapes_are_compared_too(tmp_path):
    for folder, data in (
        ("a", {"k": ["sad", "calm"], "v": [1, 2], "t": True}),
        ("b", {"k": ["sad", "glad"], "v": [1], "t": 1, "z": 0}),
    ):
        save_figure(curves([1, 2, 3], {"a": [1, 2, 3]}), "f", data, tmp_path / folder, "")
    found = compare_figures(tmp_path / "a/figures", tmp_path / "b/figures")
    assert sorted(d.split(":")[0] for d in found) == ["f", "f.k[1]", "f.t", "f.v"]


def test_nondeterministic_parts_are_compared_by_shape_only(tmp_path):
    save(tmp_path / "a", [1.0, 2.0, 3.0], nondeterministic=["y"])
    save(tmp_path / "b", [9.0, 8.0, 7.0], nondeterministic=["y"])
    a, b = tmp_path / "a/figures", tmp_path / "b/figures"
    assert compare_figures(a, b) == []
    record = json.loads((b / "03-curve.json").read_text())
    record["data"]["y"].pop()
    record["data"]["x"][0] = 5
    (b / "03-curve.json").write_text(json.dumps(record))
    assert compare_figures(a, b) == ["03-curve.x[0]: 1 against 5", "03-curve.y: 3 values against 2"]
    save(tmp_path / "a", [1.0, 2.0, 3.0], nondeterministic=True)
    assert compare_figures(a, b) == ["03-curve.y: 3 values against 2"]
    with pytest.raises(UserError, match="no data called"):
        save(tmp_path / "a", [1.0, 2.0, 3.0], nondeterministic=["z"])


def test_command_line(tmp_path, capsys):
    save(tmp_path / "a", [0.5, 0.6, 0.7])
    save(tmp_path / "b", [0.9, 0.6, 0.7])
    a, b = str(tmp_path / "a/figures"), str(tmp_path / "b/figures")
    assert main(["compare", a, a]) == 0 and "agree" in capsys.readouterr().out
    run = subprocess.run(
        [sys.executable, "-m", "emotion_concepts.report.results", "compare", a, b], capture_output=True, text=True
    )
    assert run.returncode == 1 and run.stdout.strip() == "03-curve.y[0]: 0.5 against 0.9"
    assert main(["compare", a, str(tmp_path / "none")]) == 2 and "not a folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["compare", str(tmp_path / "empty"), str(tmp_path / "empty")]) == 2


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="one word"):
        save(tmp_path, [1, 2, 3], name="a/b")
    with pytest.raises(UserError, match="rtol"):
        save(tmp_path, [1, 2, 3], tolerance={"tol": 1})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        save(tmp_path / "file", [1, 2, 3])
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(UserError, match="run its notebook again"):
        load_figure(tmp_path / "bad.json")


def test_on_another_kind_of_cpu_most_numbers_must_be_near(tmp_path):
    """Sampled texts part there: a few far numbers are no difference, many are, and so is a part that is missing."""

    def saved(where, y, cpu, **more):
        folder = tmp_path / where / "figures"
        folder.mkdir(parents=True, exist_ok=True)
        record = {"name": "03-curve", "cpu": cpu, "data": {"y": y, "word": where} | more}
        (folder / "03-curve.json").write_text(json.dumps(record))
        return folder

    here = saved("a", [1.0] * 20, "AVX2")
    assert compare_figures(here, saved("b", [1.2] * 18 + [9.0] * 2, "AVX512")) == []
    assert len(compare_figures(here, saved("c", [1.2] * 20, "AVX2"))) == 21  # one kind of CPU: every number and word
    assert "5 of 20 numbers are far" in compare_figures(here, saved("d", [1.0] * 15 + [9.0] * 5, "AVX512"))[0]
    assert "only in one of them: z" in compare_figures(here, saved("e", [1.0] * 20, "AVX512", z=1))[0]
