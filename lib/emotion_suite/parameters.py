"""What may be set in a notebook: its ``parameters`` cell, and values for it from the command line.

papermill itself only warns of an unknown parameter and exits 0 (hazard 11), so names and types are checked before
anything runs.
"""

import ast
import difflib
import math
from pathlib import Path

import nbformat

from emotion_concepts.errors import UserError

# the runner has an option for each; never through --param
OWN_OPTIONS = ("model", "base", "dtype", "device", "system", "profile", "out")


def read(path) -> nbformat.NotebookNode:
    """A notebook; :class:`UserError` if it is damaged."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, KeyError, AttributeError) as e:
        raise UserError(f"{path} is not a readable notebook; restore it with git") from e


def declared(path) -> dict:
    """Names and default values in the notebook's one cell tagged ``parameters``: lines ``name = literal`` only."""
    name = Path(path).name
    cells = [c for c in read(path).cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"{name} has {len(cells)} cells tagged 'parameters'; tag exactly one")
    try:
        body = ast.parse(cells[0].source).body
    except SyntaxError as e:
        raise UserError(f"{name}: its parameters cell is not Python (line {e.lineno}); write seed = 0") from e
    found = {}
    for line in body:
        try:
            (target,) = line.targets
            found[target.id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError) as e:
            raise UserError(f"{name}: {ast.unparse(line)!r} in its parameters cell is not 'name = literal'") from e
    return found


def typed(name: str, text: str, default):
    """The value that ``text`` means for a parameter with this default; :class:`UserError` for another type.

    A default of None takes any literal; an int is taken where a float is expected, nothing else is converted.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if isinstance(default, str):
        return value if isinstance(value, str) else text
    value = _fit(value, default)
    if value is None and default is not None:
        raise UserError(f"parameter {name} must be of type {type(default).__name__}, such as {default!r}, not {text!r}")
    return value


def _fit(value, default):
    """``value`` as the type of ``default``, elements of lists as the type of its first; None where it does not fit."""
    if default is None:
        return value
    if isinstance(default, float) and type(value) in (int, float):
        return float(value) if math.isfinite(value) else None
    if type(value) is not type(default):
        return None
    if isinstance(value, (list, tuple)) and default:
        items = [_fit(v, default[0]) for v in value]
        return None if None in items else type(default)(items)
    return value


def parse(pairs: list[str], notebooks: list[Path]) -> dict[Path, dict]:
    """What ``name=value`` pairs set in each notebook that declares the name.

    :class:`UserError` for a name that none of them declares, for another type, or for what has its own option.
    """
    takes = {path: declared(path) for path in notebooks}
    known = sorted(set().union(*takes.values()) - set(OWN_OPTIONS))
    out: dict[Path, dict] = {path: {} for path in notebooks}
    for pair in pairs:
        name, eq, text = pair.partition("=")
        if not eq:
            raise UserError(f"--param {pair!r} is not of the form name=value")
        if name in OWN_OPTIONS:
            raise UserError(f"set {name} by --{name}, not by --param")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"the chosen notebooks take {', '.join(known) or 'none'}"
            raise UserError(f"unknown parameter {name!r}; {hint}")
        for path, defaults in takes.items():
            if name in defaults:
                out[path][name] = typed(name, text, defaults[name])
    return out
