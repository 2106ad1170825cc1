"""Whole pages, one of each kind and each live page, against WCAG 2.2 AA: axe-core finds nothing.

The rules are all of axe-core's that belong to WCAG 2.0, 2.1 and 2.2, levels A and AA, on everything
the page holds, the theme's own parts included. There are no exceptions.
"""

from __future__ import annotations

import pytest

from tests.book.browsing import AXE, violations, visit

pytestmark = [
    pytest.mark.browser,
    pytest.mark.book,
    pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: make setup, with npm"),
]
KINDS = {
    "the first page": "index.html",
    "a chapter with formulas, tables and folded solutions": "dcgan.html",
    "a chapter with films and wide figures": "thousand-pictures.html",
    "the page of a part": "principles.html",
    "a page of text": "history.html",
    "a page in two languages": "article.html",
    "claims": "claims.html",
    "exercises": "exercises.html",
    "results": "results.html",
    "the package": "api.html",
    "bibliography": "bibliography.html",
    "glossary": "glossary.html",
    "explorer": "explorer.html",
    "quiz": "real-or-generated.html",
    "laboratory": "live-laboratory.html",
    "portrait": "live-dirac.html",
    "scrubber": "live-training.html",
    "search": "search.html?q=generator",
    "index of terms": "genindex.html",
}


@pytest.mark.parametrize(("size", "dark"), [("desktop", False), ("phone", True)])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_on_the_whole_page(browser, site, kind, size, dark):
    page, _, _ = visit(browser, f"{site}{KINDS[kind]}", size=size, dark=dark)
    try:
        if kind == "search":
            page.wait_for_selector("#search-results li a")
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        page.wait_for_timeout(300)
        assert violations(page) == []
    finally:
        page.context.close()


def test_wide_formulas_are_reached_by_tab_and_moved_by_arrow_keys(browser, site):
    page, _, _ = visit(browser, f"{site}dcgan.html", size="phone")
    try:
        boxes = page.locator("[data-scrolls]")
        boxes.first.wait_for(state="attached")
        formula = page.locator("div.math[data-scrolls]").first
        formula.focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        page.wait_for_timeout(400)
        assert formula.evaluate("node => node.scrollLeft") > 0
        named = boxes.evaluate_all(
            "nodes => nodes.every(node => node.ariaLabel.includes('sideways'))"
        )
        assert named
        many = page.locator("div.math[data-scrolls]").count()
        page.set_viewport_size({"width": 1280, "height": 740})  # what fits is no stop
        fewer = "many => document.querySelectorAll('div.math[data-scrolls]').length < many"
        page.wait_for_function(fewer, arg=many)
        assert page.locator("div.math[tabindex]:not([data-scrolls])").count() == 0
    finally:
        page.context.close()
