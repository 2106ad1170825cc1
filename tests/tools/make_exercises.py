"""Write book/exercises.md: every exercise of the book, collected from the notebooks.

python tests/tools/make_exercises.py            says whether the page is current; status 1 if not
python tests/tools/make_exercises.py --write    writes it
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import make_student, notebooks

HEAD = """\
# Exercises

{counts}

The labels: *by hand*, with paper; *to predict*, a guess that is written down before the run; *to
code*, a program that a check compares with the package's; *to explore*, a question with more than
one good answer.

**For teachers.** `make student` writes the notebooks without solutions, with an empty place after
each exercise, into `_build/student`. Solutions in code are cells of the chapters, so CI runs them
on every change of the book; where the table says *checked*, a `gb.check` stops the run when the
result is wrong. Solutions in prose are read, not run.
"""
SHORT, LONG = 90, 200  # characters: another sentence is added to a short one, a long one is cut
# A sentence ends before a space and a capital, a formula or a bracket.
END = re.compile(r"(?<=[.?!])\s+(?=[A-Z($*\"“])")


class Exercise(NamedTuple):
    """One line of the page."""

    number: str
    heading: str
    kinds: list[str]
    task: str
    solutions: list[str]


def exercises(path: Path) -> list[Exercise]:
    """Return the exercises of a notebook, in its order."""
    found = list(make_student.pieces(path))
    how: dict[str, list[str]] = {}
    for piece in found:
        for name, titles in solved(piece).items():
            for number in (n for title in titles for n in make_student.NUMBER.findall(title)):
                if name not in how.setdefault(number, []):
                    how[number].append(name)
    lines = []
    for piece in found:
        match = make_student.EXERCISE.match(piece.heading or "")
        if match:
            number, title = match.groups()
            names = sorted(how.get(number, []))
            if "code, checked" in names and "code" in names:
                names.remove("code")
            sorts = make_student.kinds(piece.text)
            heading = (piece.heading or "").lstrip("# ")
            lines.append(Exercise(number, heading, sorts, title or task(piece.text), names))
    return lines


def solved(piece: make_student.Piece) -> dict[str, list[str]]:
    """Return the kind of solution that a piece holds, with the titles that say of what."""
    if piece.cell["cell_type"] == "code":
        first = piece.text.partition("\n")[0]
        if not piece.solution or not first.startswith("#@title"):
            return {}
        return {"code, checked" if "gb.check(" in piece.text else "code": [first]}
    titles = [title for *_, title in make_student.details(piece.text)]
    return {"prose": [title for title in titles if make_student.is_solution(title)]}


def task(text: str) -> str:
    """Return the first sentence of an exercise, two where the first is short."""
    body = text.partition("\n")[2].strip()
    body = make_student.LABEL.sub("", body, count=1).strip().partition("\n\n")[0]
    body = re.sub(r"\s+", " ", body)
    # Formulas stay whole.
    formulas = re.findall(r"\$[^$]+\$", body)
    body = re.sub(r"\$[^$]+\$", "$", body)
    first, *more = END.split(body)
    while more and len(first) < SHORT and len(first) + len(more[0]) < LONG:
        first += " " + more.pop(0)
    if len(first) > LONG:
        first = first[:LONG].rpartition(" ")[0].rstrip(",;:") + " ..."
    if "(b)" not in first:  # one part alone needs no letter
        first = first.removeprefix("(a) ")
    parts = first.split("$")
    return "".join(a + b for a, b in zip(parts, [*formulas[: len(parts) - 1], ""], strict=True))


def problems(paths: list[Path]) -> list[str]:
    """Return what is wrong: exercises without a label or a solution, numbers used twice."""
    lines = []
    every = [(path, one) for path in paths for one in exercises(path)]
    count = Counter(one.number for _, one in every)
    lines += [f"exercise {number} stands in {n} places" for number, n in count.items() if n > 1]
    for path, one in every:
        if not one.kinds:
            lines.append(f"{path.name}: exercise {one.number} has no label (*By hand.* and so on)")
        if not one.solutions:
            lines.append(f"{path.name}: exercise {one.number} has no solution that says so")
    return lines


def page(paths: list[Path]) -> str:
    """Return the text of exercises.md."""
    parts = []
    every: list[Exercise] = []
    for path in paths:
        found = exercises(path)
        if not found:
            continue
        every += found
        parts.append(f"\n## [{notebooks.title(path)}]({path.name})\n")
        parts.append("\n| no. | kind | task | solution |\n| --- | --- | --- | --- |\n")
        for one in found:
            link = f"[{one.number}]({path.name}#{anchor(one)})"
            kind, solution = " and ".join(one.kinds), "; ".join(one.solutions)
            parts.append(f"| {link} | {kind} | {cell_text(one.task)} | {solution} |\n")
    chapters = sum(part.startswith("\n## ") for part in parts)
    return "".join([HEAD.format(counts=counts(every, chapters)), *parts])


def counts(every: list[Exercise], chapters: int) -> str:
    """Return the sentence that counts."""
    kinds = Counter(kind for one in every for kind in one.kinds)
    named = ", ".join(f"{kinds[kind]} {kind}" for kind in make_student.KINDS.values())
    twice = sum(len(one.kinds) > 1 for one in every)
    named += f" ({twice} of them counted twice)" if twice else ""
    code = sum(any(name.startswith("code") for name in one.solutions) for one in every)
    checked = sum("code, checked" in one.solutions for one in every)
    return (
        f"{len(every)} exercises in {chapters} {'chapter' if chapters == 1 else 'chapters'}: "
        f"{named}. Each has a solution at\nthe end of its chapter; {code} of the solutions "
        f"run as code, {checked} of these with checks."
    )


def anchor(one: Exercise) -> str:
    """Return the name of an exercise's heading in a link, which the book takes as GitHub does."""
    return re.sub(r"[^\w\- ]", "", one.heading.lower()).replace(" ", "-")


def cell_text(text: str) -> str:
    """Return a task as a cell of a Markdown table."""
    parts = re.split(r"(\$[^$]+\$|`[^`]+`)", text)  # every second one is a formula or code
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts).replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    """Check or write the page; return the exit status."""
    paths = notebooks.notebook_files()
    return notebooks.keep_page("exercises", page(paths), problems(paths), __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
