"""The three lists of packages agree, and the shape of the repository is the documented one."""

import functools
import os
import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distributions, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from emotion_suite import environment

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMIT = "9d51abd51ebf29769aecc38c4cbef459b731a36e"


def pins():
    rows = [r for r in (ROOT / "constraints.txt").read_text().splitlines() if r and not r.startswith("#")]
    return {name.lower().replace("_", "-"): v for name, v in (r.split("==") for r in rows)}


def test_every_dependency_is_pinned_inside_its_range():
    for text in PROJECT["dependencies"]:
        r = Requirement(text)
        assert r.specifier.contains(pins()[r.name.lower()]), text
    assert pins()["torch"] == "2.13.0"
    assert not any("+" in v for v in pins().values())


@pytest.mark.parametrize("name", ["torch", "transformers", "gguf", "numpy", "papermill", "scikit-learn"])
def test_this_environment_is_the_pinned_one(name):
    assert version(name).split("+")[0] == pins()[name]


def test_conda_environment_is_the_same():
    env = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in env["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in env["dependencies"] if isinstance(d, dict))
    assert "python" + PROJECT["requires-python"] in conda
    assert "-c constraints.txt" in pip and "-e ." in pip  # the pins of what is not named, and this repository
    extra = PROJECT["optional-dependencies"]["baukit"]
    assert [d for d in pip if d.startswith("baukit")] == extra and COMMIT in extra[0]
    named = dict(d.lower().split("==") for d in pip if "==" in d)
    assert set(named) == {Requirement(d).name.lower() for d in PROJECT["dependencies"]}
    assert all(pins()[name] == v for name, v in named.items())


def test_pins_are_exact_and_name_no_place():
    rows = [r for r in (ROOT / "constraints.txt").read_text().splitlines() if not r.startswith("#")]
    for row in rows:
        assert re.fullmatch(r"[\w.-]+==[\w.]+", row), row
    assert len(pins()) == len(rows)  # none twice


def test_what_the_dependencies_need_is_pinned_too():
    todo, seen = [Requirement(d).name for d in PROJECT["dependencies"]], set()
    while todo:
        name = todo.pop().lower().replace("_", "-").replace(".", "-")
        if name in seen:
            continue
        seen.add(name)
        assert name in pins(), f"{name} is needed, but not pinned"
        needs = [Requirement(r) for r in requires(name) or []]
        todo += [r.name for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]


def test_heavy_packages_are_extras():
    extras = PROJECT["optional-dependencies"]
    assert {"baukit", "ray", "bench", "serve", "dev"} <= set(extras)
    names = {Requirement(d).name for d in PROJECT["dependencies"]}
    assert not names & {Requirement(d).name for e in extras.values() for d in e}


def test_two_packages_with_their_data_are_found():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert tool["packages"]["find"] == {"where": ["lib"], "namespaces": False}
    assert (
        {p.parent.name for p in (ROOT / "lib").glob("*/__init__.py")}
        == {"emotion_concepts", "emotion_suite", "organism"}
        == set(tool["package-data"])
    )
    for package, patterns in tool["package-data"].items():
        folder = ROOT / "lib" / package
        shipped = {f for p in patterns for f in folder.glob(p)}
        for path in folder.rglob("*"):
            if path.suffix in {".yaml", ".json", ".csv", ".txt", ".safetensors", ".jinja"}:
                assert path in shipped, f"{path} is not installed with {package}"


def test_unmet_dependencies_are_named(tmp_path):
    assert environment.unmet() == []
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\ndependencies = ["no-such-package>=1", "numpy>=999", "pytest"]')
    first, second = environment.unmet(project)
    assert first == "no-such-package is not installed" and second.endswith("is not >=999")


def sandbox(tmp_path, python):
    """A copy of the script with a stand-in for Python, and what it was called with."""
    shutil.copy(ROOT / "run_all.sh", tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    fake = tmp_path / "bin" / "python3"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\n" + python)
    fake.chmod(0o755)
    env = {"PATH": f"{fake.parent}:/usr/bin:/bin", "PYTHON": str(fake), "LOG": str(tmp_path / "log")}
    call = functools.partial(subprocess.run, capture_output=True, text=True, env=env)
    return lambda *options: call(["bash", str(tmp_path / "run_all.sh"), *options])


def test_an_old_python_is_refused_clearly(tmp_path):
    done = sandbox(tmp_path, "exit 1")("test")
    assert done.returncode == 1 and done.stderr.startswith("error: Python 3.11 or newer is needed")
    assert not (tmp_path / ".venv").exists()


def test_the_environment_is_made_once_and_again_when_the_pins_change(tmp_path):
    make = 'if [ "$2" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi; echo "$@" >> "$LOG"'
    go = sandbox(tmp_path, make)
    log = tmp_path / "log"
    assert go("--only", "03").returncode == 0
    first = log.read_text()
    assert f"pip install --quiet --disable-pip-version-check -c {tmp_path}/constraints.txt -e {tmp_path}" in first
    assert first.splitlines()[-1] == "-m emotion_suite.runner run --only 03"
    log.write_text("")
    assert go("test", "-x").returncode == 0
    assert log.read_text().splitlines() == ["-m emotion_suite.runner test -x"]
    (tmp_path / "constraints.txt").write_text("torch==2.13.0")
    assert (
        go("lab").returncode == 0 and "pip install" in log.read_text() and "venv" not in log.read_text().split("-c")[0]
    )


def test_a_failed_installation_is_told_and_tried_again(tmp_path):
    make = 'if [ "$2" = venv ]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi; [ "$3" != install ]'
    go = sandbox(tmp_path, make)
    for _ in range(2):
        done = go()
        assert done.returncode == 1 and "error: the packages could not be installed" in done.stderr


def test_help_installs_nothing(tmp_path):
    for options in (["--help"], ["run", "--help"]):
        done = subprocess.run(["bash", str(ROOT / "run_all.sh"), *options], capture_output=True, text=True)
        assert done.returncode == 0 and "--profile" in done.stdout


def test_scripts_can_be_run():
    for name in ("run_all.sh", ".ci/run"):
        assert os.access(ROOT / name, os.X_OK), name
        assert subprocess.run(["bash", "-n", str(ROOT / name)]).returncode == 0


def test_top_level():
    for name in (
        "notebooks", "lib", "environment.yml", "tests", "figures", "README.md", "run_all.sh", "pyproject.toml",
        "constraints.txt", "LICENSE", "CITATION.cff", ".ci/run", ".gitignore",
    ):  # fmt: skip
        assert (ROOT / name).exists(), name


def test_modules_keep_to_one_concept():
    for path in (ROOT / "lib").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 310, path


def test_readme_commands_exist():
    text = (ROOT / "README.md").read_text()
    assert "./run_all.sh" in text and "./run_all.sh test" in text
    for command in re.findall(r"python -m ([\w.]+)", text):
        assert (ROOT / "lib" / (command.replace(".", "/") + ".py")).exists(), command


def test_every_pin_installs_on_the_oldest_python():
    """A pin that wants a later micro release of Python (3.11.5) would stop a bare Debian machine (3.11.2)."""
    installed = {canonicalize_name(d.name): d for d in distributions()}
    wants = {n: installed[n].metadata["Requires-Python"] for n in map(canonicalize_name, pins()) if n in installed}
    assert len(wants) > 50
    assert {n: w for n, w in wants.items() if w and "3.11.0" not in SpecifierSet(w)} == {}
