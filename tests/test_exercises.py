"""Exercises: what their form is, what is refused, and that every notebook's follow it."""

import nbformat
import pytest

from emotion_concepts.errors import UserError
from emotion_suite import exercises, runner

ONE = """{n}. **Warm-up.** What is 1 + {n}?

<details><summary>Answer</summary>

```python
1 + {n}
```

1. A list of remarks,
2. which are no exercises.
</details>"""
TWO_FENCES = """4. **Harder.** And then?

<details><summary>Answer</summary>

```python
x = 1  # a comment
```

The next cell shows it; `## Exercises` and ```text``` are words here.

```python
## a comment that looks like a heading
x + 1
```
</details>"""


def notebook(tmp_path, *texts, code=True):
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_code_cell("## Exercises\n1 + 1")] if code else []
    nb.cells += [nbformat.v4.new_markdown_cell(t) for t in texts]
    nbformat.write(nb, tmp_path / "01-a.ipynb")
    return tmp_path / "01-a.ipynb"


def three(*more, heading="## Exercises"):
    return "\n\n".join([heading, *(ONE.format(n=n) for n in (1, 2, 3)), *more])


def test_questions_answers_and_code_in_order(tmp_path):
    path = notebook(tmp_path, "## Limits\n\nNone.\n\n" + three(TWO_FENCES), "## After\n\n5. **No** exercise.")
    found = exercises.of_notebook(path)
    assert [e.number for e in found] == [1, 2, 3, 4] and found[0].question == "1. **Warm-up.** What is 1 + 1?"
    assert [e.code for e in found[:3]] == ["1 + 1", "1 + 2", "1 + 3"] and "2. which are no exercises." in found[
        1
    ].answer
    assert found[3].code == "x = 1  # a comment\n\n\n## a comment that looks like a heading\nx + 1"


def test_exercises_may_go_on_in_further_cells(tmp_path):
    path = notebook(tmp_path, three(), TWO_FENCES)
    assert len(exercises.of_notebook(path)) == 4


def test_answers_become_cells_at_the_end(tmp_path):
    nb = nbformat.read(notebook(tmp_path, three()), 4)
    exercises.append_answers(nb, exercises.of_notebook(tmp_path / "01-a.ipynb"))
    nbformat.validate(nb)
    assert [c.source for c in nb.cells[-3:]] == ["1 + 1", "1 + 2", "1 + 3"] and len(nb.cells) == 5
    assert all(c.cell_type == "code" and c.metadata.tags == ["answer"] for c in nb.cells[-3:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Nothing.", "has no cell with the heading"),
        (three(heading="### Exercises"), "has no cell with the heading"),
        ("## Exercises\n\n" + ONE.format(n=1) + "\n\n" + ONE.format(n=2), "has 2 exercises; give it 3 to 5"),
        (three(*(ONE.format(n=n) for n in (4, 5, 6))), "has 6 exercises; give it 3 to 5"),
        (three(ONE.format(n=5)), "exercise 4 is numbered 5"),
        (three("4. **Open.** Why?"), "exercise 4 needs one answer between"),
        (three("4. **Open.** Why?\n\n<details><summary>Answer</summary>\n\n</details>"), "exercise 4 needs one answer"),
        (three(ONE.format(n=4).replace("</details>", "")), "exercise 4 needs one answer"),
        (three(ONE.format(n=4) + "\n\nA last word."), "exercise 4 needs one answer"),
        (three(ONE.format(n=4) + ONE.format(n=4)[3:]), "exercise 4 needs one answer"),
        (three(ONE.format(n=4).replace("?\n\n", "?\n")), "leave a blank line"),
        (three(ONE.format(n=4).replace("</summary>\n\n", "</summary>\n")), "leave a blank line"),
        (three(ONE.format(n=4).replace("```python", "```text")), "exercise 4 has an answer without code that runs"),
        (three(ONE.format(n=4).replace("1 + 4\n```", "\n```")), "exercise 4 has an answer without code that runs"),
        (three(ONE.format(n=4).replace("1 + 4\n```", "1 +\n```")), "exercise 4: the code of its answer is not Python"),
    ],
)
def test_what_has_another_form_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match="01-a.ipynb.*" + message):
        exercises.of_notebook(notebook(tmp_path, text))


@pytest.mark.parametrize("path", runner.notebooks(), ids=lambda p: p.stem)
def test_every_notebook_ends_with_exercises_whose_answers_run(path):
    """Their code itself runs with the notebook's copy: ``./run_all.sh test``."""
    assert exercises.LEAST <= len(exercises.of_notebook(path)) <= exercises.MOST
