"""Write the notebooks without solutions, for students: exercises with places for the answers.

    python tests/tools/make_student.py [--out _build/student] [NOTEBOOK ...]

Out go the section "## Solutions", `<details>` whose summary names a solution, and the code cells
`#@title Solution of ...`. Each exercise is followed by cells for the answer, chosen by its label
(*By hand*, *To predict*, *To code*, *To explore*). A notebook that would not work without its
solutions is named and not written.
"""

from __future__ import annotations

import argparse
import copy
import json
import posixpath
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import address, bindings, lint_notebooks, notebooks

KINDS = {"by hand": "by hand", "predict": "to predict", "code": "to code", "explore": "to explore"}
HEADING = re.compile(r"(#{1,3}) +(.+?)\s*$")
EXERCISE = re.compile(r"### Exercise (\d+(?:\.\d+)+)[.:]?\s*(.*)")
SOLUTIONS = re.compile(r"## Solutions?\s*")
LABEL = re.compile(r"\s*[*_]{1,2}([^*_]+)[*_]{1,2}")
NUMBER = re.compile(r"(?<![\d.])\d+(?:\.\d+)+(?![\d.]*\d)")
# What stays of the metadata. Times of execution, and whatever else a program left there, do not.
OF_NOTEBOOK, OF_CELL = ("kernelspec", "language_info"), ("cellView", "mystnb", "tags")
LINK = re.compile(
    r"(?P<before>(?P<picture>!?)\[(?:[^\[\]]|\[[^\]]*\])*\]\(|(?P<html><(?:a|img)\b[^>]*?\b(?:href|src)=[\"']))"
    r"(?P<target>[^)\s\"']+)"
)
SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//|#")
HINT = "*Write your answers into the cells beneath each exercise.*"


class Piece(NamedTuple):
    """A code cell, or the part of a Markdown cell from one heading to the next."""

    cell: dict[str, Any]
    number: int  # the cell's place in the notebook
    text: str
    heading: str | None  # "## Exercises", where the piece begins with one of level 1 to 3
    solution: bool


class Student(NamedTuple):
    """A notebook for students, or what keeps it from being one."""

    notebook: dict[str, Any]
    exercises: list[str]
    pictures: list[Path]  # files beside the book's notebooks that the text shows
    problems: list[str]


def parts(text: str) -> Iterator[tuple[str | None, str]]:
    """Split Markdown at headings of level 1 to 3, not at those inside of fences and <details>."""
    heading: str | None = None
    lines: list[str] = []
    fence, folded = "", 0
    for line in text.splitlines(keepends=True):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and (not fence or mark.group(1).startswith(fence)):
            fence = "" if fence else mark.group(1)
        elif not fence:
            folded += line.count("<details") - line.count("</details>")
            found = HEADING.match(line)
            if found and folded <= 0:
                if "".join(lines).strip():
                    yield heading, "".join(lines)
                heading, lines = f"{found.group(1)} {found.group(2)}", []
        lines.append(line)
    if "".join(lines).strip():
        yield heading, "".join(lines)


def details(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where the outermost <details> of a text begin and end, and their summaries."""
    depth, start = 0, 0
    for tag in re.finditer(r"<(/?)details\b[^>]*>", text):
        depth += -1 if tag.group(1) else 1
        if depth == 1 and not tag.group(1):
            start = tag.start()
        elif depth == 0:
            summary = re.search(r"<summary>(.*?)</summary>", text[start : tag.end()], re.DOTALL)
            yield start, tag.end(), summary.group(1) if summary else ""


def is_solution(title: str) -> bool:
    """Return whether the title of a folded box or cell says that it solves an exercise."""
    return bool(re.search(r"(?i)\bsolutions?\b", title) and NUMBER.search(title))


def unfolded(text: str) -> str:
    """Return Markdown without the folded solutions in it."""
    for start, end, summary in reversed(list(details(text))):
        if is_solution(summary):
            text = text[:start].rstrip() + "\n\n" + text[end:].lstrip()
    return text


def pieces(path: Path) -> Iterator[Piece]:
    """Yield a notebook in pieces, each marked whether it belongs to a solution."""
    inside = False
    for number, cell in enumerate(notebooks.read(path)["cells"]):
        text = cell["source"]
        if cell["cell_type"] != "markdown":
            first = text.splitlines()[0] if text.strip() else ""
            titled = first.startswith("#@title") and is_solution(first)
            yield Piece(cell, number, text, None, inside or titled)
            continue
        for heading, part in parts(text):
            if heading and not heading.startswith("###"):
                inside = bool(SOLUTIONS.fullmatch(heading))
            yield Piece(cell, number, part, heading, inside)


def kinds(text: str) -> list[str]:
    """Return the kinds of an exercise, as its label under the heading says."""
    label = LABEL.match(text.partition("\n")[2])
    said = label.group(1).lower() if label else ""
    return [name for word, name in KINDS.items() if re.search(rf"\b{word}\b", said)]


def solved_in_code(found: list[Piece]) -> set[str]:
    """Return the numbers of the exercises that have a solution in code."""
    titles = [p.text.splitlines()[0] for p in found if p.solution and p.heading is None and p.text]
    return {n for title in titles if title.startswith("#@title") for n in NUMBER.findall(title)}


def answer_cells(number: str, sorts: list[str], in_code: bool) -> list[dict[str, Any]]:
    """Return the empty cells that follow an exercise."""
    prose = {"cell_type": "markdown", "metadata": {}, "source": "**Your answer:**\n\n"}
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}}
    code |= {"outputs": [], "source": f"# Your code for exercise {number}\n"}
    predict, words = "to predict" in sorts, set(sorts) != {"to code"}
    program = bool({"to code", "to explore"} & set(sorts)) or (predict and in_code)
    first_words = predict or "by hand" in sorts  # a prediction is written down before the run
    cells = (
        [prose] * words + [code] * program if first_words else [code] * program + [prose] * words
    )
    return [
        {"id": f"answer-{number.replace('.', '-')}-{cell['cell_type']}"} | copy.deepcopy(cell)
        for cell in cells
    ]


def relinked(
    text: str, book: Path, written: set[str], pictures: list[Path]
) -> tuple[str, list[str]]:
    """Return a text whose links work in another folder, and what is wrong with them."""
    wrong: list[str] = []

    def put(match: re.Match[str]) -> str:
        target = match.group("target")
        if SCHEME.match(target):
            return match.group(0)
        name, mark, anchor = target.partition("#")
        if not (book / name).exists():
            wrong.append(f"the link {target} leads nowhere")
        elif match.group("picture") or (match.group("html") or "").startswith("<img"):
            pictures.append(Path(name))
            if ".." in Path(name).parts:
                wrong.append(f"the picture {name} lies outside of the book's folder")
        elif name not in written:
            place = posixpath.normpath(posixpath.join("book", name))
            target = f"{address.repository()}/blob/{address.BRANCH}/{place}{mark}{anchor}"
        return match.group("before") + target

    # Code is left as it is: every second part of the split is some.
    split = re.split(r"(?ms)(^```.*?^```|``.*?``|`[^`\n]*`)", text)
    return "".join(s if i % 2 else LINK.sub(put, s) for i, s in enumerate(split)), wrong


def dependencies(found: list[Piece]) -> list[str]:
    """Return what remaining cells use of what solutions define or change."""
    code = [p for p in found if p.cell["cell_type"] == "code"]
    cells = [bindings.Cell(p.text, p.text.splitlines()[0] if p.solution else "") for p in code]
    return [
        f"cell {code[i].number} uses {name!r}, which the cell {title!r} defines or changes"
        for i, name, title in bindings.taken_from_removed(cells)
    ]


def student(path: Path, written: set[str] | None = None) -> Student:
    """Return a notebook of the book for students."""
    notebook, found = notebooks.read(path), list(pieces(path))
    wrong, numbers = dependencies(found), []
    pictures: list[Path] = []
    cells: list[dict[str, Any]] = []
    in_code = solved_in_code(found)
    waiting: list[dict[str, Any]] = []  # the answer cells of the exercise that is being read
    last = -1  # the Markdown cell that may go on
    for piece in found:
        if piece.heading:
            cells += waiting
            waiting = []
        if piece.solution:
            continue
        text = piece.text
        if piece.cell["cell_type"] == "markdown":
            text, lines = relinked(unfolded(text), path.parent, written or set(), pictures)
            wrong += lines
            if not text.strip():
                continue
        exercise = EXERCISE.match(piece.heading or "")
        if exercise:
            number = exercise.group(1)
            numbers.append(number)
            sorts = kinds(piece.text)
            if not sorts:
                wrong.append(
                    f"exercise {number} has no label; write *By hand.*, *To predict.*, *To code.* "
                    "or *To explore.* first"
                )
            text = re.sub(r"\brun the solution\b", "check by a run of your own", text)
            waiting = answer_cells(number, sorts or ["by hand"], number in in_code)
        if piece.heading == "## Exercises":
            text = text.rstrip() + f"\n\n{HINT}\n"
        if piece.number == last and not exercise:
            cells[-1]["source"] = cells[-1]["source"].rstrip() + f"\n\n{text}"
        else:
            cells.append(kept(piece, text, {cell["id"] for cell in cells}))
        last = -1 if exercise else piece.number
    notebook["cells"] = [*cells, *waiting]
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].strip("\n").splitlines(keepends=True)
    notebook["metadata"] = {k: v for k, v in notebook["metadata"].items() if k in OF_NOTEBOOK}
    wrong += leaks(found, lint_notebooks.as_text(notebook))
    return Student(notebook, numbers, pictures, [f"{path.name}: {line}" for line in wrong])


def kept(piece: Piece, text: str, used: set[str]) -> dict[str, Any]:
    """Return the cell of a piece that stays."""
    cell: dict[str, Any] = copy.deepcopy(piece.cell)
    cell["source"] = text
    cell["metadata"] = {k: v for k, v in cell["metadata"].items() if k in OF_CELL}
    first = cell.get("id", f"cell-{piece.number}")
    names = [first, *(f"{first}-{i}" for i in range(2, 100))]
    cell["id"] = next(name for name in names if name not in used)
    return cell


def leaks(found: list[Piece], written: str) -> list[str]:
    """Return the lines of solutions that the written notebook still has somewhere."""
    stay = {s.strip() for p in found if not p.solution for s in unfolded(p.text).splitlines()}
    gone = [s.strip() for p in found for s in p.text.splitlines() if p.solution]
    gone += [s.strip() for p in found for s in p.text.splitlines() if s not in unfolded(p.text)]
    long = {s for s in gone if len(s) >= 30 and s not in stay}
    lines = [
        f"still has a line of a solution: {s[:70]}" for s in sorted(long) if quoted(s) in written
    ]
    if re.search(r"(?i)solutions? of \d+\.\d", written):
        lines.append("still has the title of a solution")
    return lines


def quoted(text: str) -> str:
    """Return a text as JSON writes it inside of quotes."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def main(arguments: list[str] | None = None) -> int:
    """Write the notebooks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=notebooks.ROOT / "_build" / "student")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    options = parser.parse_args(arguments)
    paths: list[Path] = options.notebooks or notebooks.notebook_files()
    out: Path = options.out
    if out.resolve() in {path.parent.resolve() for path in paths}:
        print(f"{out} holds the notebooks with solutions; --out names another folder")
        return 1
    status = exercises = count = 0
    written = {path.name for path in paths}
    for path in paths:
        made = student(path, written)
        for line in made.problems:
            print(line)
        if made.problems:
            status = 1
            continue
        for name in made.pictures:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path.parent / name, out / name)
        out.mkdir(parents=True, exist_ok=True)
        text = lint_notebooks.as_text(made.notebook)
        (out / path.name).write_text(text, encoding="utf-8")
        exercises, count = exercises + len(made.exercises), count + 1
    print(f"{out}: {count} notebooks without solutions, {exercises} exercises")
    return status


if __name__ == "__main__":
    sys.exit(main())
