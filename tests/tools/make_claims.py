"""Write book/claims.md: every claim of the book, collected from the notebooks' stored outputs.

python tests/tools/make_claims.py            says whether the page is current; status 1 if not
python tests/tools/make_claims.py --write    writes it
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import bindings, notebooks

LINE = re.compile(r"^((?:\d+(?:\.\d+)*|[A-Z])-\d{2}) holds: (.+)$")
HEAD = """\
# Claims

Each line below is a statement of the book that a cell of a notebook checks: `gb.check` prints it
when it holds and stops the notebook when it does not. `pytest --nbval` runs all of them again, on
every change. This page is collected from the notebooks by `tests/tools/make_claims.py`.
"""


class Claim(NamedTuple):
    """One line of the page."""

    id: str
    text: str


def stored(path: Path) -> list[Claim]:
    """Return the claims that a notebook printed, in its order."""
    found = []
    for cell in notebooks.cells(path, "code"):
        for line in notebooks.printed(cell).splitlines():
            match = LINE.match(line)
            if match:
                found.append(Claim(*match.groups()))
    return found


def called(path: Path) -> list[str]:
    """Return the ids of the calls of `gb.check` in a notebook's code, in its order."""
    ids = []
    for cell in notebooks.cells(path, "code"):
        if {"nbval-skip", "raises-exception"} & set(notebooks.tags(cell)):
            continue
        source = bindings.python(cell["source"])
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "check"
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                ids.append(node.args[0].value)
    return ids


def problems(paths: list[Path]) -> list[str]:
    """Return what is wrong with the claims: ids used twice, calls whose line is not stored."""
    lines = []
    everywhere = [claim.id for path in paths for claim in stored(path)]
    lines += [f"{id} is claimed {n} times" for id, n in Counter(everywhere).items() if n > 1]
    for path in paths:
        printed = {claim.id for claim in stored(path)}
        lines += [
            f"{path.name}: {id} is checked, but its line is not among the stored outputs"
            for id in called(path)
            if id not in printed
        ]
    return lines


def page(paths: list[Path]) -> str:
    """Return the text of claims.md."""
    parts = [HEAD]
    count = 0
    for path in paths:
        claims = stored(path)
        if not claims:
            continue
        count += len(claims)
        # Links end in .md or .ipynb in the source; the book turns them into pages.
        parts.append(f"\n## [{notebooks.title(path)}]({path.name})\n")
        parts.append("\n| claim | what holds |\n| --- | --- |\n")
        parts += [f"| {claim.id} | {cell_text(claim.text)} |\n" for claim in claims]
    chapters = sum(1 for path in paths if stored(path))
    parts.insert(
        1, f"\n{count} claims in {chapters} {'chapter' if chapters == 1 else 'chapters'}.\n"
    )
    return "".join(parts)


def cell_text(text: str) -> str:
    """Return a claim as a cell of a Markdown table: taken literally, except for code and math."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def main(arguments: list[str] | None = None) -> int:
    """Check or write the page; return the exit status."""
    paths = notebooks.notebook_files()
    return notebooks.keep_page("claims", page(paths), problems(paths), __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
