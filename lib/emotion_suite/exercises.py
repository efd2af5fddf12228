"""The exercises that end a notebook: question, collapsed answer, and the answer's code, which the tests run.

1. **Warm-up.** Question?

<details><summary>Answer</summary>

```python
table.head()
```

What one sees.
</details>
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from emotion_concepts.errors import UserError
from emotion_suite.parameters import read

HEADING = "## Exercises"
LEAST, MOST = 3, 5
OPENING, CLOSING = "<details><summary>Answer</summary>", "</details>"


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook; ``code``: its answer's fences, which run in the notebook's namespace."""

    number: int
    question: str
    answer: str
    code: str


def of_notebook(path: Path) -> list[Exercise]:
    """A notebook's exercises in order; :class:`UserError` unless there are three to five, each with code as answer."""
    name, text = Path(path).name, _section(read(path))
    if text is None:
        raise UserError(f"{name} has no cell with the heading {HEADING!r}; end it with {LEAST} to {MOST} exercises")
    parts = _numbered(text)
    if not LEAST <= len(parts) <= MOST:
        raise UserError(f"{name} has {len(parts)} exercises; give it {LEAST} to {MOST}")
    return [_exercise(number, part, f"{name}, exercise {number}") for number, part in enumerate(parts, 1)]


def append_answers(nb: nbformat.NotebookNode, exercises: list[Exercise]) -> None:
    """Add each answer's code to the end of a notebook as a cell of its own, in place."""
    for e in exercises:
        cell = nbformat.v4.new_code_cell(e.code, id=f"answer-{e.number}", metadata={"tags": ["answer"]})
        nb.cells.append(cell)


def _section(nb: nbformat.NotebookNode) -> str | None:
    """The markdown from the heading on to the next heading of its rank, over all cells; None without the heading."""
    found: list[str] | None = None
    for cell in nb.cells:
        if cell.cell_type != "markdown":
            continue
        fenced = False
        for line in cell.source.split("\n"):
            fenced ^= line.startswith("```")
            if not fenced and line.startswith("## "):
                if found is not None and line.strip() != HEADING:
                    return "\n".join(found)
                found = [] if line.strip() == HEADING else found
            elif found is not None:
                found.append(line)
    return None if found is None else "\n".join(found)


def _numbered(text: str) -> list[str]:
    """The parts that begin with ``1.``, ``2.``, ...; numbers inside an answer begin none."""
    parts: list[list[str]] = []
    answering = False
    for line in text.split("\n"):
        answering = (answering or line.startswith("<details")) and line.strip() != CLOSING
        if not answering and re.match(r"\d+\. ", line):
            parts.append([])
        if parts:
            parts[-1].append(line)
    return ["\n".join(p).strip() for p in parts]


def _exercise(number: int, text: str, where: str) -> Exercise:
    """One part taken to pieces; :class:`UserError` where a piece is missing."""
    if not text.startswith(f"{number}. "):
        raise UserError(f"{where} is numbered {text.split('.')[0]}; number the exercises 1, 2, 3 ...")
    question, opening, rest = text.partition(OPENING)
    answer, closing, after = rest.partition(f"\n{CLOSING}")
    if not (opening and closing and answer.strip()) or after.strip() or OPENING in answer:
        raise UserError(f"{where} needs one answer between {OPENING!r} and a line {CLOSING!r}, and nothing after it")
    if not (question.endswith("\n\n") and answer.startswith("\n\n")):
        raise UserError(f"{where}: leave a blank line before and after {OPENING!r}, or the answer is not shown as text")
    code = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", answer, flags=re.M | re.S)).strip()
    if not code:
        raise UserError(f"{where} has an answer without code that runs; put some between ```python and ```")
    try:
        ast.parse(code)
    except SyntaxError as e:
        raise UserError(f"{where}: the code of its answer is not Python ({e.msg}, line {e.lineno}); mend it") from e
    return Exercise(number, question.strip(), answer.strip(), code)
