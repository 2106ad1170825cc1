"""Sphinx extension: what a page costs, when it was last verified, and how to open it.

Writes a slim card below each title, from the notebook itself: the cost from its `gb.setup("...")`
cell, the date and the versions from `metadata.gan_book`, which `tests/tools/stamp.py` writes when
it has run the notebook. Pages without code get their reading time and, where their front matter
has `verified: 2026-11-22`, that date. Above the title stands the part, from the table of contents.

Folds the cell that installs the package, names folded solutions by their `#@title`, sets checked
claims as text, and gives figures, tables and printed lines that are wider than the column of text
the width of the page.
"""

from __future__ import annotations

import html
import json
import re
import struct
from itertools import groupby
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

WORDS_PER_MINUTE, SIGNS_PER_MINUTE = 200, 300  # of prose; of Chinese
WIDE_PIXELS, WIDE_LINE, WIDE_TABLE = 700, 84, 5  # wider pictures, longer lines, more columns
COST = re.compile(r'^gb\.setup\("([^"\n]*)"\)\s*$', re.MULTILINE)
INSTALL = 'find_spec("gan_book") is None'
TITLE = re.compile(r"\A#@title\s+(.+)")
CLAIM = re.compile(r"(\d+\.\d+-\d+) holds: (.+)")  # what `gb.check` prints
# The title, and the promise in italics where one follows it.
HEAD = re.compile(r"(<h1>.*?</h1>)(\s*<p><em>(?:(?!</?p>).)*?</em></p>)?", re.DOTALL)


def facts_of(path: Path) -> dict[str, str]:
    """Return what a notebook's file says about it: cost, and date and versions where stamped."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for cell in notebook["cells"]:
        match = COST.search("".join(cell["source"])) if cell["cell_type"] == "code" else None
        if match:
            found["cost"] = match.group(1)
            break
    stamp = notebook.get("metadata", {}).get("gan_book", {})
    return found | {name: str(value) for name, value in stamp.items()}


def minutes_to_read(doctree: nodes.document) -> int:
    """Return how many minutes the prose of a page takes, code and formulas not counted."""
    skipped = (nodes.literal_block, nodes.raw, nodes.comment, nodes.math, nodes.math_block)
    text = " ".join(
        str(node)
        for node in doctree.findall(nodes.Text)
        if not any(isinstance(parent, skipped) for parent in ancestors(node))
    )
    signs = len(re.findall(r"[\u4e00-\u9fff]", text))
    words = len(re.findall(r"[^\W\d_\u4e00-\u9fff]+", text))
    return max(1, round(words / WORDS_PER_MINUTE + signs / SIGNS_PER_MINUTE))


def ancestors(node: nodes.Node) -> list[nodes.Node]:
    """Return the nodes around a node, the nearest first."""
    found = []
    while (node := node.parent) is not None:
        found.append(node)
    return found


def part_of(app: Sphinx, page: str) -> str:
    """Return the caption of the part a page stands in: "Part 4 · Applications"."""
    site = getattr(app.env, "external_site_map", None)
    for tree in site.root.subtrees if site is not None else ():
        if page in [str(item) for item in tree.items]:
            number, _, rest = (tree.caption or "").partition(" ")
            return f"Part {number} · {rest}" if number.isdigit() else tree.caption or ""
    return ""


def facts_of_all(app: Sphinx) -> tuple[list[str], str]:
    """Return what the first page says of all notebooks: how many, and the oldest date."""
    paths = [Path(app.env.doc2path(name)) for name in sorted(app.env.found_docs)]
    facts = [facts_of(path) for path in paths if path.suffix == ".ipynb"]
    dates = sorted(html.escape(fact.get("verified", "")) for fact in facts)
    said = (
        f'all verified since <time datetime="{dates[0]}">{dates[0]}</time>'
        if dates and all(dates)
        else ""
    )
    told = [f"{len(facts)} chapters that run, each in a minute or so", "no GPU needed"]
    return told, said


def card(app: Sphinx, page: str, doctree: nodes.document) -> str:
    """Return the card of a page as HTML."""
    source = Path(app.env.doc2path(page))
    reading = f"{minutes_to_read(doctree)} min to read"
    told: list[str] = []
    said = links = ""
    if page == app.config.root_doc:
        told, said = facts_of_all(app)
    elif source.suffix == ".ipynb":
        facts = facts_of(source)
        if "cost" in facts:
            told = [f"runs {facts['cost']}", "no GPU needed"]
        if "verified" in facts:
            date = html.escape(facts["verified"])
            said = f'last verified <time datetime="{date}">{date}</time> with Python '
            said += html.escape(f"{facts['python']}, torch {facts['torch']}")
        launch = app.config.html_theme_options["launch_buttons"].get("colab_url")
        settings = app.config.html_theme_options
        base = settings["repository_url"].removeprefix("https://github.com/")
        folder = settings["path_to_docs"].strip("/")
        place = f"{base}/blob/{settings['repository_branch']}/{folder}/{source.name}"
        links = f'<a class="gb-open" href="{launch}/github/{place}">Open in Colab</a>\n'
        links += f'<a href="_sources/{source.name}" download>Download notebook</a>'
    else:
        date = str(app.env.metadata.get(page, {}).get("verified", ""))
        if date:
            said = f'last checked <time datetime="{html.escape(date)}">{html.escape(date)}</time>'
    if page != app.config.root_doc:
        told.append(reading)
    items = [*map(html.escape, told), *([said] if said else [])]
    facts_line = "\n".join(f"<li>{item}</li>" for item in items)
    return (
        f'\n<aside class="gb-card" aria-label="About this page">\n<ul>\n{facts_line}\n</ul>'
        + (f'\n<p class="gb-links">{links}</p>' if links else "")
        + "\n</aside>\n"
    )


def add_card(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put part and card beside the title of a page."""
    if app.builder.format != "html" or doctree is None or not context.get("body"):
        return
    part = part_of(app, page)
    above = f'<p class="gb-part">{html.escape(part)}</p>\n' if part else ""

    def put(match: re.Match[str]) -> str:
        promise = (match.group(2) or "").replace("<p>", '<p class="gb-promise">')
        return above + match.group(1) + promise + card(app, page, doctree)

    context["body"] = HEAD.sub(put, context["body"], count=1)


def png_width(head: bytes) -> int:
    """Return the width of a PNG picture from its first 24 bytes, 0 for other files."""
    return int(struct.unpack(">I", head[16:20])[0]) if head[:8] == b"\x89PNG\r\n\x1a\n" else 0


def is_wide(app: Sphinx, cell: nodes.container) -> bool:
    """Return whether a cell asks for more width, or its pictures and printed lines need it."""
    if "tag_wide" in cell["classes"]:
        return True
    for image in cell.findall(nodes.image):
        path = Path(app.srcdir) / image["uri"]
        if path.is_file():
            with path.open("rb") as file:
                if png_width(file.read(24)) > WIDE_PIXELS:
                    return True
    for block in cell.findall(nodes.literal_block):
        if max(map(len, block.astext().splitlines()), default=0) > WIDE_LINE:
            return True
    return False


def set_claims(cell: nodes.container) -> None:
    """Take checked claims out of what a cell prints: sentences, which wrap where lines scroll."""
    for block in list(cell.findall(nodes.literal_block)):
        lines = block.astext().splitlines()
        if "output" not in block["classes"] or not any(map(CLAIM.fullmatch, lines)):
            continue
        pieces: list[nodes.Element] = []
        for is_claim, group in groupby(lines, key=lambda line: bool(CLAIM.fullmatch(line))):
            if not is_claim:
                text = "\n".join(group)
                if text.strip():
                    pieces.append(nodes.literal_block(text, text, **block.attributes))
                continue
            for line in group:
                number, claim = CLAIM.fullmatch(line).groups()  # type: ignore[union-attr]
                held = nodes.strong(number, number)
                pieces.append(nodes.paragraph("", "", held, nodes.Text(f" holds: {claim}")))
                pieces[-1]["classes"] = ["gb-claim"]
        block.parent.replace(block, pieces)


def arrange(app: Sphinx, doctree: nodes.document) -> None:
    """Fold the set-up, name folded solutions, set claims as text, mark what is wide."""
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code":
            continue
        set_claims(cell)
        first = next(iter(cell.findall(nodes.literal_block)), None)
        source = first.astext() if first is not None else ""
        title = TITLE.match(source)
        if INSTALL in source:
            cell["hide_mode"] = "input"
            cell["prompt_show"] = "Set-up: installs the package where it is missing"
            cell["prompt_hide"] = "Set-up"
            cell["classes"].append("gb-setup")
        elif title and cell.get("hide_mode"):
            cell["prompt_show"] = cell["prompt_hide"] = title.group(1).strip()
        elif cell.get("hide_mode") == "input":
            cell["prompt_show"], cell["prompt_hide"] = "Show the code", "Hide the code"
        if INSTALL not in source and is_wide(app, cell):
            cell["classes"].append("full-width")
    for table in doctree.findall(nodes.table):
        groups = list(table.findall(nodes.tgroup))
        if groups and int(groups[0].get("cols", 0)) >= WIDE_TABLE:
            table["classes"].append("gb-wide")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect: the doctree once read, the page before book_offline looks at it."""
    app.connect("doctree-read", arrange)
    app.connect("html-page-context", add_card, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
