"""Reading the book: its table of contents, notebooks and pages. Shared by the tools in here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"


def toc_files(book: Path = BOOK) -> list[str]:
    """Return the names of all pages in the order of the book, without endings."""
    content = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    names = [content["root"]]

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        elif isinstance(node, dict):
            if "file" in node:
                names.append(node["file"])
            for key in ("parts", "chapters", "sections"):
                walk(node.get(key))

    walk({key: content.get(key) for key in ("parts", "chapters")})
    return names


def notebook_files(book: Path = BOOK) -> list[Path]:
    """Return the notebooks, in the order of the book, those outside of it last."""
    order = (
        {name: i for i, name in enumerate(toc_files(book))} if (book / "_toc.yml").exists() else {}
    )
    return sorted(book.glob("*.ipynb"), key=lambda p: (order.get(p.stem, len(order)), p.stem))


def markdown_files(root: Path = ROOT) -> list[Path]:
    """Return the Markdown pages of the book and those at the top of the repository."""
    return sorted((root / "book").glob("*.md")) + sorted(root.glob("*.md"))


def read(path: Path) -> dict[str, Any]:
    """Return a notebook as JSON holds it, cell sources joined to texts."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = joined(cell["source"])
    return notebook


def joined(text: str | list[str]) -> str:
    """Return a multiline string of the notebook format as one text."""
    return text if isinstance(text, str) else "".join(text)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    """Return the cells of one kind, "code" or "markdown"."""
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == kind]


def tags(cell: dict[str, Any]) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def printed(cell: dict[str, Any]) -> str:
    """Return what a code cell printed to standard output, as stored."""
    return "".join(
        joined(output["text"])
        for output in cell.get("outputs", [])
        if output.get("output_type") == "stream" and output.get("name") == "stdout"
    )


def title(path: Path) -> str:
    """Return the first heading of a notebook or page."""
    if path.suffix == ".ipynb":
        text = "\n".join(cell["source"] for cell in cells(path, "markdown"))
    else:
        text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    return path.stem


def keep_page(
    name: str, text: str, problems: list[str], doc: str | None, arguments: list[str] | None
) -> int:
    """Check or, with --write, write a page that a tool collects; return the exit status."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the page")
    options = parser.parse_args(arguments)
    target, lines = BOOK / f"{name}.md", list(problems)
    if options.write:
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        lines.append(f"book/{name}.md is not current: python tests/tools/make_{name}.py --write")
    for line in lines:
        print(line)
    return 1 if lines else 0
