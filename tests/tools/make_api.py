"""Write book/api.md: the package's public names, from its docstrings, without importing it.

python tests/tools/make_api.py            says whether the page is current; status 1 if not
python tests/tools/make_api.py --write    writes it
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import notebooks

PACKAGE = notebooks.ROOT / "gan_book"
HEAD = """\
# The package

What `import gan_book as gb` offers, and where the rest lives. Collected from the docstrings by
`tests/tools/make_api.py`. In a notebook, `help(gb.train)` shows the same and `gb.train??` the code.

## Names on `gb`

Every notebook uses some of these, and imports more from the modules below. The module
behind each is given in brackets.
"""
ROOMS = """\
## Rooms

Every public module that defines functions or classes, with its first sentences and the public ones
by name.
`gb.losses.loss`, for example, is `loss` of the module `gan_book.losses`; modules are loaded when
they are first used.
"""
Defined = ast.FunctionDef | ast.ClassDef


def modules() -> dict[str, ast.Module]:
    """Return the package's modules by name, parsed, in the order of their names."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return dict(sorted(found.items()))


def public(tree: ast.Module) -> dict[str, Defined]:
    """Return the functions and classes that a module defines for others."""
    defined = {n.name: n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    return {name: node for name, node in defined.items() if not name.startswith("_")}


def home() -> dict[str, str]:
    """Return the names of `gb` with their modules, read from the table in the package."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOME":
            return dict(ast.literal_eval(node.value))
    raise ValueError("gan_book/__init__.py has no table _HOME any more")


def signature(node: Defined) -> str:
    """Return the call as one would write it; of a class, that of its constructor or its fields."""
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not made:
            fields = [n.target.id for n in node.body if isinstance(n, ast.AnnAssign)]  # type: ignore[union-attr]
            return f"{node.name}({', '.join(fields)})" if fields else node.name
        arguments = ast.unparse(made[0].args).removeprefix("self").removeprefix(", ")
        return f"{node.name}({arguments})"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({ast.unparse(node.args)}){returns}"


def text(docstring: str) -> str:
    """Turn the docstrings' markup into Markdown: literals, references to modules and methods."""
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", inspect.cleandoc(docstring))
    return plain.replace("``", "`")


def first(node: ast.Module | Defined) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join(text(ast.get_docstring(node) or "").split("\n\n")[0].split())


def find(name: str, module: str, everything: dict[str, ast.Module]) -> Defined:
    """Return the definition of a name that a module offers: its own, of its room, or imported."""
    inside = [where for where in everything if where.startswith(f"{module}.")]
    for where in (module, *inside, *everything):
        if name in public(everything[where]):
            return public(everything[where])[name]
    raise ValueError(f"{module} defines no {name}")


def on_gb(everything: dict[str, ast.Module]) -> Iterator[str]:
    """Yield the section of each name of `gb`, with its whole docstring."""
    for name, module in sorted(home().items(), key=lambda item: item[0].lower()):
        node = find(name, module, everything)
        yield f"### `gb.{name}` (`{module}`)\n"
        yield f"```python\n{signature(node)}\n```\n"
        yield f"```text\n{inspect.cleandoc(ast.get_docstring(node) or '')}\n```\n"


def rooms(everything: dict[str, ast.Module]) -> Iterator[str]:
    """Yield the section of each module: what it is for, and its names in a table."""
    for module, tree in everything.items():
        names = public(tree)
        if not module or module.startswith("_") or "._" in module or not names:
            continue
        yield f"### `gan_book.{module}`\n"
        yield f"{first(tree)}\n"
        yield "| name | what it is |\n| --- | --- |"
        for name, node in names.items():
            cell = first(node).replace("|", "\\|")
            yield f"| `{name}` | {cell} |"
        yield ""


def page() -> str:
    """Return the whole page."""
    everything = modules()
    lines = [HEAD, *on_gb(everything), ROOMS, *rooms(everything)]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Check or write the page; return the exit status."""
    return notebooks.keep_page("api", page(), [], __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
