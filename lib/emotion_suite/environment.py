"""Whether this Python has what the suite needs; ``run_all.sh`` asks before it makes an environment of its own.

python lib/emotion_suite/environment.py     exit status 1 and one line a package where something is missing
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def unmet(project: Path = PROJECT) -> list[str]:
    """Dependencies in ``pyproject.toml`` that are not installed, or in a version out of their range; one line each."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging is not installed"]
    found = []
    for text in tomllib.loads(project.read_text())["project"]["dependencies"]:
        need = Requirement(text)
        try:
            have = version(need.name)
        except PackageNotFoundError:
            found.append(f"{need.name} is not installed")
            continue
        if not need.specifier.contains(have, prereleases=True):
            found.append(f"{need.name} {have} is not {need.specifier}")
    return found


if __name__ == "__main__":
    problems = unmet()
    print("\n".join(problems))
    sys.exit(bool(problems))
