"""Notebooks without solutions, and the index of exercises."""

from __future__ import annotations

import ast
import json

import nbformat
import pytest

from tests.tools import address, bindings, make_exercises, make_student, notebooks

NOTEBOOKS = notebooks.notebook_files()
SECRET = "The slope is one half, as the symmetry of the sigmoid tells."
EXERCISES = """\
## Exercises

### Exercise 9.1.1

*By hand.* Find the slope. Is it large?

### Exercise 9.1.2: A guess

*To predict.* Guess, then run the solution.

```
## Solutions
```
"""
SOLUTIONS = f"""\
### Exercise 9.1.3

*To explore.* See [the claims](claims.md#claims), [two](two.ipynb) and ![a dot](_assets/dot.png),
not `[this](claims.md)`.

## Solutions

<details>
<summary>Solution of 9.1.1</summary>

{SECRET}

</details>

The code for 9.1.2:
"""
READING = f"""\
<details>
<summary>Solution of 9.1.2, in words</summary>

{SECRET}

## Not a heading of the page

</details>

## Further reading

- A book.
"""


def write(path, *cells):
    """Write a notebook; a cell is its Markdown, or a pair of code and tags."""
    content = []
    for i, cell in enumerate(cells):
        text, tags = (cell, None) if isinstance(cell, str) else cell
        entry = {"id": f"c-{i}", "metadata": {"execution": {"time": SECRET}}, "source": text}
        entry["cell_type"] = "markdown" if tags is None else "code"
        if tags is not None:
            entry |= {"execution_count": 1, "outputs": []}
            entry["metadata"]["tags"] = tags
        content.append(entry)
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "teacher": SECRET}
    whole = {"cells": content, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


@pytest.fixture
def chapter(tmp_path):
    folder = tmp_path / "book"
    (folder / "_assets").mkdir(parents=True)
    (folder / "_assets" / "dot.png").write_bytes(b"dot")
    (folder / "claims.md").write_text("# Claims\n", encoding="utf-8")
    write(folder / "two.ipynb", "# Two")

    def make(solution="guess = 1", later="print(start)", last="print(start + 1)"):
        return write(
            folder / "one.ipynb",
            "# One\n\n## The question\n\nWhy?",
            ("start = 1\nguess = 0\nlog = []\n\n\ndef judge():\n    return guess", []),
            EXERCISES,
            SOLUTIONS,
            (f"#@title Solution of 9.1.2\n{solution}", ["hide-cell"]),
            READING,
            (later, []),
            (last, []),
        )

    return make


def sources(notebook, kind):
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def test_solutions_go_and_exercises_stay(chapter):
    made = make_student.student(chapter())
    assert made.problems == []
    assert made.exercises == ["9.1.1", "9.1.2", "9.1.3"]
    nbformat.validate(made.notebook)
    text = json.dumps(made.notebook, ensure_ascii=False)
    assert SECRET not in text
    assert "guess = 1" not in text
    assert "olution of" not in text
    assert "run the solution" not in text
    assert "- A book." in text
    assert "Why?" in text
    assert set(made.notebook["metadata"]) == {"kernelspec"}
    # The fence is no heading; nothing of the exercise is lost.
    assert any("Guess, then check by a run of your own" in s and "```\n## Solutions\n```" in s
               for s in sources(made.notebook, "markdown"))  # fmt: skip


def test_answer_places_follow_each_exercise(chapter):
    cells = make_student.student(chapter()).notebook["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids)
    order = [f"answer-9-1-1-{k}" for k in ("markdown",)]
    order += [f"answer-9-1-2-{k}" for k in ("markdown", "code")]  # its solution has code
    order += [f"answer-9-1-3-{k}" for k in ("code", "markdown")]
    assert [name for name in ids if name.startswith("answer")] == order
    for number in ("9.1.1", "9.1.2", "9.1.3"):
        head = next(i for i, c in enumerate(cells) if f"Exercise {number}" in "".join(c["source"]))
        assert cells[head + 1]["id"].startswith(f"answer-{number.replace('.', '-')}")


@pytest.mark.parametrize(
    "label, kinds",
    [
        ("*By hand.*", ["markdown"]),
        ("_To predict_:", ["markdown"]),
        ("*To code (with help).*", ["code"]),
        ("**To explore.**", ["code", "markdown"]),
        ("*To predict and to code.*", ["markdown", "code"]),
    ],
)
def test_the_label_decides(label, kinds):
    sorts = make_student.kinds(f"### Exercise 9.1.1\n\n{label} Do it, to code.")
    assert [c["cell_type"] for c in make_student.answer_cells("9.1.1", sorts, False)] == kinds


def test_an_exercise_without_a_label_is_reported(tmp_path):
    path = write(tmp_path / "one.ipynb", "# One\n\n### Exercise 9.1.1\n\nFind the slope.")
    assert any("9.1.1 has no label" in line for line in make_student.student(path).problems)
    assert any("9.1.1 has no label" in line for line in make_exercises.problems([path]))
    assert any("9.1.1 has no solution" in line for line in make_exercises.problems([path]))


@pytest.mark.parametrize(
    "solution, later, name",
    [
        ("helper = 2", "print(helper)", "helper"),
        ("def helper():\n    return 2", "for i in range(2):\n    x = helper()", "helper"),
        ("import math as m", "m.sqrt(2)", "m"),
        ("guess = 5", "print(guess)", "guess"),  # redefined: the later cell would print 0
        ("guess = 5", "print(judge())", "guess"),  # read by a function of an earlier cell
        ("log.append(3)", "print(log)", "log"),
        ("log[0] = 3", "print(len(log))", "log"),
        ("start += 1", "f = [s * start for s in (1, 2)]", "start"),
        ("with open('x') as helper:\n    pass", "helper.close()", "helper"),
    ],
)
def test_code_that_needs_a_solution_is_reported(chapter, tmp_path, capsys, solution, later, name):
    path = chapter(solution, later)
    found = make_student.student(path).problems
    assert any(f"{name!r}, which the cell '#@title Solution of 9.1.2'" in line for line in found)
    assert make_student.main(["--out", str(tmp_path / "out"), str(path)]) == 1
    assert not (tmp_path / "out" / "one.ipynb").exists()
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    "solution, later",
    [
        ("helper = 2", "helper = 3\nprint(helper)"),
        ("x = 2", "print([x for x in range(3)], (lambda x: x)(1))"),
        ("x = 2", "def f(x):\n    return x\n\n\nprint(f(1))"),
        ("x = 2", "for x in range(3):\n    print(x)"),
        ("import math", "%timeit 2\nimport math\nmath.sqrt(2)"),
        ("guess = 5", "guess = 4\nprint(judge())"),
    ],
)
def test_code_that_needs_no_solution_is_not(chapter, solution, later):
    assert make_student.student(chapter(solution, later)).problems == []


def test_names_are_read_in_order():
    cells = [bindings.Cell("a = 1", "gone"), bindings.Cell("b = a\na = 2", "")]
    assert bindings.taken_from_removed(cells) == [(1, "a", "gone")]


def test_links_work_from_another_folder(chapter, tmp_path):
    path, out = chapter(), tmp_path / "student"
    assert make_student.main(["--out", str(out), str(path)]) == 0
    text = (out / "one.ipynb").read_text(encoding="utf-8")
    base = f"{address.repository()}/blob/{address.BRANCH}/book"
    assert f"[the claims]({base}/claims.md#claims)" in text
    assert f"[two]({base}/two.ipynb)" in text
    assert "`[this](claims.md)`" in text
    assert "![a dot](_assets/dot.png)" in text
    assert (out / "_assets" / "dot.png").is_file()
    # Among notebooks that are written together, links stay.
    assert make_student.main(["--out", str(out), str(path), str(path.parent / "two.ipynb")]) == 0
    assert "[two](two.ipynb)" in (out / "one.ipynb").read_text(encoding="utf-8")


def test_a_dead_link_is_reported(tmp_path):
    path = write(tmp_path / "one.ipynb", "# One\n\n[here](nowhere.md)")
    assert any("nowhere.md" in line for line in make_student.student(path).problems)


def test_the_originals_are_not_overwritten(chapter, capsys):
    path = chapter()
    before = path.read_bytes()
    assert make_student.main(["--out", str(path.parent), str(path)]) == 1
    assert "holds the notebooks with solutions" in capsys.readouterr().out
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_each_notebook_of_the_book_has_a_student_edition(path):
    made = make_student.student(path, {p.name for p in NOTEBOOKS})
    assert made.problems == []
    assert made.exercises == [one.number for one in make_exercises.exercises(path)]
    nbformat.validate(made.notebook)
    for code in sources(made.notebook, "code"):
        ast.parse(bindings.python(code))
    # The install cell, and all outputs of the cells that stay.
    before = {c["id"]: c for c in notebooks.read(path)["cells"] if c["cell_type"] == "code"}
    code = [c for c in made.notebook["cells"] if c["cell_type"] == "code"]
    stay = [c for c in code if not c["id"].startswith("answer")]
    assert stay[0]["id"] == next(iter(before))
    assert all(c["outputs"] == before[c["id"]]["outputs"] for c in stay)
    # No line of a cell that went, here or in what is not shown.
    gone = [before[i]["source"] for i in before if i not in {c["id"] for c in stay}]
    text = json.dumps(made.notebook, ensure_ascii=False)
    assert not any(title.splitlines()[0] in text for title in gone)
    assert "<summary>Solution" not in text
    assert "## Solution" not in text


def test_the_index_of_exercises(chapter):
    path = chapter()
    first, second, third = make_exercises.exercises(path)
    assert (first.kinds, first.solutions) == (["by hand"], ["prose"])
    assert (second.task, second.solutions) == ("A guess", ["code", "prose"])
    assert third.solutions == []
    page = make_exercises.page([path])
    assert "3 exercises in 1 chapter: 1 by hand, 1 to predict, 0 to code, 1 to explore." in page
    assert (
        "| [9.1.1](one.ipynb#exercise-911) | by hand | Find the slope. Is it large? | prose |"
        in page
    )
    assert "(one.ipynb#exercise-912-a-guess)" in page


def test_solutions_with_checks_are_named(chapter):
    path = chapter('gb.check("9.1-01", True, "it holds")')
    assert make_exercises.exercises(path)[1].solutions == ["code, checked", "prose"]
    # The check may stand in another cell of the same solution.
    two = ("#@title Solution of 9.1.2, first", ["hide-cell"])
    check = ('#@title Solution of 9.1.2, checked\ngb.check("9.1-01", True, "it")', ["hide-cell"])
    path = write(path, EXERCISES, two, check)
    assert make_exercises.exercises(path)[1].solutions == ["code, checked"]


def test_the_task_of_an_exercise_is_short_and_formulas_stay_whole():
    long = "### Exercise 9.1.1\n\n*By hand.* (a) " + "Let $a. B$ be it. " + "word " * 60
    text = make_exercises.task(long)
    assert text.startswith("Let $a. B$ be it.")
    assert len(text) < 210
    assert make_exercises.cell_text("$|x|<1$ <b>") == "$\\|x\\|<1$ &lt;b>"
