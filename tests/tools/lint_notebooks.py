"""What a notebook has to keep (design: a chapter), each rule as a line that says what to do.

python tests/tools/lint_notebooks.py [NOTEBOOK ...]      status 1 if a rule is broken
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import install_cell, notebooks

KILOBYTE = 1024
LARGEST = 1024 * KILOBYTE
AVERAGE = 400 * KILOBYTE
FILM = 600 * KILOBYTE
EXERCISES = 4
# Fenced directives, roles, targets and colon fences: only the book would render them.
MYST = re.compile(
    r"(?m)^\s*(?:`{3,}|:{3,}|~{3,})\s*\{[\w:-]+\}|(?<![\w`])\{[a-z][\w:-]*\}`[^`]+`|^\([\w-]+\)=\s*$|^%\s"
)
EXERCISE = re.compile(r"(?m)^### Exercise (\d+(?:\.\d+)+)")
HEAD = re.compile(r"(?m)^### Exercise (.+)\n+(.*)")
KIND = re.compile(r"\*(?:By hand|To (?:predict|code|explore))\b")
# What is no prose: code, comments, mathematics, and where a link leads.
OTHER = re.compile(
    r"(?ms)^```.*?^```|`[^`\n]*`|<!--.*?-->|<pre.*?</pre>|\$\$.*?\$\$|\$[^$\n]+\$|(?<=\])\([^()\s]*\)"
)
VOICE = {
    "American spelling": re.compile(
        r"\b(?:(?:to|up|down|in|out|back|for|after)wards|for ever|whilst|amongst"
        r"|learnt|grey\w*|licences?"
        r"|(?:colo|behavio|neighbo|favo|hono)ur\w*|centre[sd]?|(?:model|label|cancel|travel)l(?:ed|ing)"
        r"|(?:real|organ|normal|optim|general|initial|minim|maxim|memor|recogn)is(?:e[sd]?|ing|ation))\b",
        re.IGNORECASE,
    ),
    "twice the same word": re.compile(r"\b([a-z]+) \1\b", re.IGNORECASE),
    "write a size as 32 × 32": re.compile(r"\b\d+ ?x ?\d+\b"),
    "write 5 %": re.compile(r"\d(?:%|(?: per cent| percent)\b)"),
    "a proof ends with $\\square$": re.compile("[∎□]|Q\\.E\\.D"),
    "link a chapter by its title": re.compile(r"\[(?:chapter )?\d+\.\d+\](?=\([a-z-]+\.)"),
}
DETAILS = re.compile(r"<details>.*?<summary>(.*?)</summary>.*?</details>", re.DOTALL)
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
REMOTE = re.compile(
    r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)\s*=\s*[\\\"']+(?:https?:)?//", re.IGNORECASE
)


def problems(path: Path) -> list[str]:
    """Return a line for each rule that a notebook breaks."""
    notebook = notebooks.read(path)
    every = notebook["cells"]
    lines = [*size(path), *form(notebook), *first_cell(every), *markdown(every), *exercises(every)]
    for number, cell in enumerate(c for c in every if c["cell_type"] == "code"):
        lines += [f"code cell {number}: {line}" for line in code(cell)]
    return [f"{path.name}: {line}" for line in lines]


def size(path: Path) -> Iterator[str]:
    """Check the size of the file."""
    total = path.stat().st_size
    if total > LARGEST:
        yield f"{total / KILOBYTE:.0f} KB; at most {LARGEST // KILOBYTE} KB"


def form(notebook: dict[str, Any]) -> Iterator[str]:
    """Check the notebook's own metadata: a kernel that every machine has, cell ids, one title."""
    kernel = notebook.get("metadata", {}).get("kernelspec", {}).get("name")
    if kernel != "python3":
        yield f"its kernel is {kernel!r}; it should be python3, which Colab and Kaggle have"
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0)) < (4, 5):
        yield "its format is older than 4.5; cell ids keep differences small"
    ids = [cell.get("id") for cell in notebook["cells"]]
    if len(set(ids)) != len(ids):
        yield "two cells have the same id"
    titles = re.findall(r"(?m)^# .+", "\n".join(prose(notebook["cells"])))
    if len(titles) != 1:
        yield f"{len(titles)} headings of the first level; a chapter has one title"
    if any("widgets" in str(key) for key in notebook.get("metadata", {})):
        yield "widget state is stored; a stored notebook shows a still picture"


def prose(every: list[dict[str, Any]]) -> list[str]:
    """Return the Markdown cells without their code."""
    texts = [cell["source"] for cell in every if cell["cell_type"] == "markdown"]
    return [re.sub(r"(?ms)^```[\w ]*\n.*?^```|``.*?``|`[^`\n]*`", "", text) for text in texts]


def voice(text: str) -> Iterator[str]:
    """Yield what is not the book's way of writing: spelling, sizes, shares, names of chapters."""
    for rule, pattern in VOICE.items():
        # The link's target tells a chapter from a claim, so only that rule may see it.
        plain = text if "link" in rule else OTHER.sub(" … ", text)
        for found in pattern.finditer(plain):
            yield f"{rule}: {found[0]!r}"


def first_cell(every: list[dict[str, Any]]) -> Iterator[str]:
    """Check the install cell."""
    code_cells = [cell for cell in every if cell["cell_type"] == "code"]
    if not code_cells or not install_cell.matches(code_cells[0]["source"]):
        yield "the first code cell is not the one that tests/tools/install_cell.py prints"


def markdown(every: list[dict[str, Any]]) -> Iterator[str]:
    """Check that every reader's program renders the text."""
    for cell in every:
        yield from (line for alt in alt_texts(cell) for line in voice(alt))
        if cell["cell_type"] != "markdown":
            continue
        yield from voice(cell["source"])
        # Fences with a language are code; those with {name} are directives.
        text = re.sub(r"(?ms)^```[\w ]*\n.*?^```$", "", cell["source"])
        found = MYST.search(text)
        if found:
            yield f"only the book renders {found.group().strip()!r}; use plain Markdown"
        for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", text):
            if not alt.strip():
                yield f"the picture {target} has no alt text"
            if re.match(r"(?:https?:)?//", target):
                yield f"the picture {target} comes from another host"
        for image in re.findall(r"<img\b[^>]*>", text):
            if not re.search(r"\balt\s*=\s*[\"'][^\"']+", image):
                yield f"{image} has no alt text"
        if "attachment:" in text:
            yield "an attached picture is lost in Colab; put it into book/_assets"


def exercises(every: list[dict[str, Any]]) -> Iterator[str]:
    """Check that there are enough exercises and that each has a solution that names it."""
    text = "\n\n".join(cell["source"] for cell in every if cell["cell_type"] == "markdown")
    names = EXERCISE.findall(text)
    if len(names) < EXERCISES:
        yield f"{len(names)} exercises (### Exercise 2.4.1); at least {EXERCISES}"
    if len(set(names)) != len(names):
        yield "two exercises have the same number"
    for head, first in HEAD.findall(text):
        if not re.fullmatch(r"[\d.]+", head) or not KIND.match(first):
            yield f"exercise {head}: its heading is the number alone, its first word the kind"
    solved = " ".join(DETAILS.findall(text))
    solved += " ".join(
        cell["source"].splitlines()[0]
        for cell in every
        if cell["cell_type"] == "code"
        and cell["source"].startswith("#@title")
        and "hide-cell" in notebooks.tags(cell)
    )
    for name in names:
        if not re.search(rf"(?<![\d.]){re.escape(name)}(?!\d|\.\d)", solved):
            yield (
                f"exercise {name} has no solution: <details> whose <summary> names it, or a code "
                "cell tagged hide-cell whose first line is #@title and names it"
            )


def code(cell: dict[str, Any]) -> Iterator[str]:
    """Check one code cell and its outputs."""
    tags = notebooks.tags(cell)
    outputs = cell.get("outputs", [])
    if "nbval-skip" in tags:
        yield "nbval-skip: no cell of the book stays unchecked; tag it nbval-ignore-output"
    if "#@title" in cell["source"] and not cell["source"].startswith("#@title"):
        yield "#@title folds a cell in Colab only on its first line"
    if "#@title" in cell["source"] and "hide-cell" not in tags:
        yield "a cell with #@title folds in Colab; tag it hide-cell, so that it folds in the book"
    if cell.get("execution_count") is None and cell["source"].strip():
        yield "it was never run; store its outputs"
    alts = alt_texts(cell)
    pictures = 0
    for output in outputs:
        if output.get("output_type") == "error" and "raises-exception" not in tags:
            yield f"the stored output is an error ({output.get('ename')})"
        if output.get("output_type") == "stream" and output.get("name") == "stderr":
            text = notebooks.joined(output["text"]).strip()
            if "Warning" in text or "Error" in text:
                yield f"stored warning: {text.splitlines()[0][:100]}"
        data = output.get("data", {})
        pictures += any(kind in data for kind in PICTURES)
        page = notebooks.joined(data.get("text/html", ""))
        if REMOTE.search(page):
            yield "its output would load something from another host"
        if len(page) > FILM:
            yield f"an output of {len(page) / KILOBYTE:.0f} KB; a film has {FILM // KILOBYTE} KB"
        if any("widget" in kind for kind in data):
            yield "a widget is stored; show a still picture"
    if pictures and not alts:
        yield 'a picture without alt text; metadata: {"mystnb": {"image": {"alt": "..."}}}'
    if any(len(alt.split()) < 3 for alt in alts):
        yield "its alt text says too little: what does the picture show?"


def alt_texts(cell: dict[str, Any]) -> list[str]:
    """Return the alt text of a cell's pictures."""
    image = cell.get("metadata", {}).get("mystnb", {}).get("image", {})
    return [image["alt"]] if image.get("alt") else []


def pages() -> list[Path]:
    """Return the book's pages that are written by hand."""
    made = {"api", "claims", "exercises", "results"}
    return [path for path in sorted(notebooks.BOOK.glob("*.md")) if path.stem not in made]


def across(paths: list[Path]) -> list[str]:
    """Return what is wrong with the notebooks together: their average size, equal alt texts."""
    lines = []
    if paths:
        mean = sum(path.stat().st_size for path in paths) / len(paths)
        if mean > AVERAGE:
            lines.append(
                f"{mean / KILOBYTE:.0f} KB a notebook on average; at most {AVERAGE // KILOBYTE} KB"
            )
    seen: dict[str, str] = {}
    for path in paths:
        for cell in notebooks.cells(path, "code"):
            for alt in alt_texts(cell):
                if alt in seen:
                    lines.append(f"{path.name}: the alt text {alt!r} is also in {seen[alt]}")
                seen[alt] = path.name
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Check notebooks; return the exit status."""
    named = [Path(name) for name in (sys.argv[1:] if arguments is None else arguments)]
    paths = named or notebooks.notebook_files()
    lines = [line for path in paths for line in problems(path)] + across(paths)
    if not named:
        lines += [
            f"{path.name}: {line}" for path in pages() for line in voice(path.read_text("utf-8"))
        ]
    for line in lines:
        print(line)
    return 1 if lines else 0


def as_text(notebook: dict[str, Any]) -> str:
    """Return a notebook as its file holds it."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
