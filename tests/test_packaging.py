"""The three lists of packages agree, and the shape of the repository is the documented one."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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


@pytest.mark.parametrize("name", ["torch", "transformers", "numpy", "papermill", "scikit-learn"])
def test_this_environment_is_the_pinned_one(name):
    assert version(name).split("+")[0] == pins()[name]


def test_conda_environment_is_the_same():
    env = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [d for d in env["dependencies"] if isinstance(d, str)]
    pip = next(d["pip"] for d in env["dependencies"] if isinstance(d, dict))
    assert "python" + PROJECT["requires-python"] in conda
    assert "-c constraints.txt" in pip and "-e ." in pip  # the pins, and the ranges of pyproject.toml
    extra = PROJECT["optional-dependencies"]["baukit"]
    assert [d for d in pip if d.startswith("baukit")] == extra and COMMIT in extra[0]


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
