"""Sphinx extension: what built pages have that readers should not meet, put right in their HTML.

Most entries of REPAIRS are faults of the theme's own markup that axe-core finds (WCAG 2.2 AA); each
says why the repair is right. What depends on the width of the window, boxes that scroll sideways,
is done in the browser by scrolling.js.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

REPAIRS = (
    # Its text is "Search Ctrl + K": who speaks to the machine says what stands there, and the
    # label would hide it. The text is a name by itself.
    (re.compile(r'(<button\b[^>]*\bsearch-button-field\b[^>]*?) aria-label="Search"'), r"\1"),
    # All folded cells had the same name, which said nothing; each has a text of its own.
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    # A role that DPUB-ARIA 1.1 took back; the list's children are then plain text and anchors.
    (re.compile(r' role="doc-biblioentry"'), ""),
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # The key of a number's result, which the sources hold and the tests compare, with the space
    # before it: of `0.197 <!-- peers/summary/kid -->.` a reader would see "0.197 .".
    (re.compile(r"[ \n]?<!--\s*(?:[\w.-]+/[^\s<>]+\s*)+-->"), ""),
    # A line must not end between a number and its percent sign (in text, not in attributes).
    (re.compile(r"(?<=\d)[ \n]%(?![^<]*>)"), "\u00a0%"),
)


def repair(text: str) -> str:
    """Return a page's HTML with all repairs made."""
    for fault, right in REPAIRS:
        text = fault.sub(right, text)
    return text


def write(app: Sphinx, exception: Exception | None) -> None:
    """Repair the built pages."""
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).glob("*.html"):
        text = path.read_text(encoding="utf-8")
        better = repair(text)
        if better != text:
            path.write_text(better, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect; the script of the boxes that scroll goes on every page."""
    app.add_js_file("scrolling.js", loading_method="defer")
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
