"""The code of a reply: which blocks it holds, and what of them can be run against tests."""

import ast
import re

FENCED = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+.#-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.M | re.S)
KEPT = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)


def blocks(reply: str) -> list[str]:
    """The fenced blocks of a reply in their order, whatever the fence calls its language; one may lack its end."""
    return [found[3] for found in FENCED.finditer(reply)]


def prose(reply: str) -> str:
    """A reply without its fenced blocks."""
    return FENCED.sub("\n", reply)


def asked_names(signature: str) -> list[str]:
    """The functions that a task's signature asks for."""
    return re.findall(r"def (\w+)", signature)


def defines(code: str, name: str) -> bool:
    """Whether a text holds the beginning of the function ``name``."""
    return re.search(rf"^[ \t]*def {re.escape(name)}[ \t]*\(", code, re.M) is not None


def code_of(reply: str, names: list[str]) -> str | None:
    """The code that answers: the last block that defines all functions asked for, else those that define some.

    The usage, output or second language that often follows in blocks of its own is not it. Without such a block the
    reply itself is taken, if it defines one of the functions; None where nothing does.
    """
    texts = blocks(reply)
    if whole := [t for t in texts if all(defines(t, n) for n in names)]:
        return whole[-1]
    some = [t for t in texts if any(defines(t, n) for n in names)]
    if not some and any(defines(reply, n) for n in names):
        return reply
    return "\n".join(some) or None


def definitions(code: str, names: list[str]) -> str:
    """Imports, functions, classes and assignments at the top level of a text; calls, asserts and prose are left out.

    Examples of use stand in the same block as the function more often than not, and would run before any test. A
    statement that is no Python is left out unless it is one of the functions asked for: then it stays, and fails.
    """
    kept = []
    for part in re.split(r"^(?=[^\s#)\]}])", _outdented(code), flags=re.M):
        try:
            kept += [ast.unparse(x) for x in ast.parse(part).body if isinstance(x, KEPT)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            kept += [part] if any(defines(part, n) for n in names) else []
    return "\n\n".join(kept)


def is_empty(code: str, names: list[str]) -> bool:
    """Whether a text of :func:`definitions` has a function asked for whose body does nothing at all."""
    try:
        made = {x.name: x.body for x in ast.parse(code).body if isinstance(x, ast.FunctionDef)}
    except (SyntaxError, ValueError):
        return False
    idle = (ast.Pass, ast.Expr)
    return any(all(isinstance(x, idle) for x in made[n]) for n in names if n in made)


def _outdented(code: str) -> str:
    """A text whose first function stands at the margin, as in a block inside a list."""
    first = re.search(r"^([ \t]+)def ", code, re.M)
    if first is None or re.search(r"^(def|class) ", code, re.M):
        return code
    return re.sub(rf"^{first[1]}", "", code, flags=re.M)
