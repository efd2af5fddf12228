"""The plan of the house: few rooms, arrows in one direction, no library that knows its subjects or its runner."""

import ast
from pathlib import Path

import emotion_concepts

LIB = Path(emotion_concepts.__file__).parent
ORDER = ["errors", "statistics", "lm", "texts", "reading", "outcomes", "experiments", "report"]


def imports(path: Path) -> set[str]:
    """Dotted names of all that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return found


def room(dotted: str) -> str:
    return dotted.split(".")[1]


def test_the_library_has_at_most_eight_entries_at_its_top():
    entries = {p.name.removesuffix(".py") for p in LIB.iterdir() if not p.name.startswith("__")}
    assert entries == set(ORDER) and len(entries) <= 8


def test_arrows_point_in_one_direction():
    for path in LIB.rglob("*.py"):
        if path == LIB / "__init__.py":
            continue
        own = path.relative_to(LIB).parts[0].removesuffix(".py")
        for name in imports(path):
            top = name.split(".")[0]
            assert top not in ("organism", "emotion_suite"), f"{path} imports {name}"
            if top == "emotion_concepts":
                assert ORDER.index(room(name)) <= ORDER.index(own), f"{path} imports {name}"


def test_no_module_of_the_library_is_long():
    long = {p.relative_to(LIB).as_posix(): n for p in LIB.rglob("*.py") if (n := len(p.read_text().splitlines())) > 320}
    assert not long


def test_the_short_interface_is_what_the_readme_shows():
    shown = (LIB.parents[1] / "README.md").read_text()
    for name in ("load_model", "at_reply", "steer", "generate", "EmotionVectors"):
        assert hasattr(emotion_concepts, name) and f"ec.{name}" in shown
