"""The built pages in a browser: desktop and phone, light and dark, over http and from files."""

from __future__ import annotations

import re

import pytest

from tests.book.browsing import SIZES, visit
from tests.book.pages import BUILT
from tests.tools import notebooks

pytestmark = [pytest.mark.browser, pytest.mark.book]
NAMES = [*notebooks.toc_files(), "genindex", "search"]
HAS_MATH = re.compile(r'class="math[ "]')


@pytest.fixture(params=["http", "file"])
def base(request, site):
    """The two ways of reading the book: from a server and from a folder."""
    return site if request.param == "http" else BUILT.as_uri() + "/"


@pytest.mark.parametrize("name", NAMES)
def test_no_request_leaves_the_site_and_the_console_is_clean(browser, base, name):
    page, requests, messages = visit(browser, f"{base}{name}.html")
    try:
        outside = [url for url in requests if not url.startswith((base, "data:", "blob:"))]
        assert outside == []
        if base.startswith("file:") and name in ("search",):
            messages = []  # search snippets are read by a request, which files do not allow
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_phone_width_does_not_scroll_sideways(browser, site, name, dark):
    page, _, messages = visit(browser, f"{site}{name}.html", size="phone", dark=dark)
    try:
        wide = page.evaluate(
            """() => {
                const limit = document.documentElement.clientWidth;
                const inBox = element => {
                    let e = element;
                    // drawers beside the page
                    if (getComputedStyle(e).position === 'fixed') return true;
                    while ((e = e.parentElement) && e !== document.body) {
                        const style = getComputedStyle(e);
                        if (['auto', 'scroll', 'hidden'].includes(style.overflowX)
                            && e.getBoundingClientRect().right <= limit + 1) return true;
                        if (style.position === 'fixed') return true;
                    }
                    return false;
                };
                return [...document.querySelectorAll('main *')]
                    .filter(e => e.getBoundingClientRect().right > limit + 1 && !inBox(e))
                    .map(e => e.tagName + '.' + e.className + ': '
                        + Math.round(e.getBoundingClientRect().right) + ' px').slice(0, 5);
            }"""
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0], wide
        assert wide == []
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize("name", notebooks.toc_files())
def test_math_is_typeset(browser, base, name):
    if not HAS_MATH.search((BUILT / f"{name}.html").read_text(encoding="utf-8")):
        return  # a page without formulas loads no MathJax
    page, requests, _ = visit(browser, f"{base}{name}.html")
    try:
        assert any("vendor/mathjax" in url for url in requests)
        formulas = page.locator(".math mjx-container")
        assert formulas.count() >= page.locator(".math").count()
        assert page.locator("mjx-merror").count() == 0, page.locator("mjx-merror").all_inner_texts()
        shown = page.locator(".math").filter(visible=True)  # the first may lie in a closed box
        assert shown.first.bounding_box()["height"] > 5
    finally:
        page.context.close()


@pytest.mark.parametrize("name", notebooks.toc_files())
def test_wide_formulas_can_be_scrolled_to_their_beginning(browser, site, name):
    page, _, _ = visit(browser, f"{site}{name}.html", size="phone")
    try:
        hidden = page.evaluate(
            """() => [...document.querySelectorAll('div.math')].filter(box =>
                [...box.querySelectorAll('mjx-container')].some(inner =>
                    inner.getBoundingClientRect().left < box.getBoundingClientRect().left - 1)
            ).map(box => box.id || box.textContent.slice(0, 40))"""
        )
        assert hidden == []
    finally:
        page.context.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", notebooks.toc_files())
def test_text_can_be_read_in_light_and_dark(browser, site, name, dark):
    """Contrast of paragraphs, links and code with their background: WCAG AA asks for 4.5."""
    page, _, _ = visit(browser, f"{site}{name}.html", dark=dark)
    try:
        assert page.locator("html").get_attribute("data-theme") == ("dark" if dark else "light")
        poor = page.evaluate(
            """() => {
                const parse = text => text.match(/[\\d.]+/g).map(Number);
                const lum = rgb => rgb.slice(0, 3).map(v => v / 255)
                    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
                const ground = element => {
                    for (let e = element; e; e = e.parentElement) {
                        const color = parse(getComputedStyle(e).backgroundColor);
                        if (color.length === 3 || color[3] > 0.5) return color;
                    }
                    return [255, 255, 255];
                };
                const found = [];
                const what = 'article p, article li, article a, article td, article th, ' +
                    'article h1, article h2, article h3, article pre span, article code';
                for (const element of document.querySelectorAll(what)) {
                    const own = [...element.childNodes]
                        .some(n => n.nodeType === 3 && n.data.trim());
                    if (!own || !element.offsetParent || element.closest('.headerlink')) continue;
                    if (element.classList.contains('headerlink')) continue;
                    const a = lum(parse(getComputedStyle(element).color)), b = lum(ground(element));
                    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                    if (ratio < 4.5) found.push(element.tagName + '.' + element.className + ' '
                        + JSON.stringify(element.textContent.slice(0, 30))
                        + ' ' + ratio.toFixed(2));
                }
                return [...new Set(found)].slice(0, 8);
            }"""
        )
        assert poor == []
    finally:
        page.context.close()


def test_the_theme_can_be_switched_by_keyboard(browser, site):
    page, _, _ = visit(browser, f"{site}index.html")
    try:
        html = page.locator("html")
        seen = {html.get_attribute("data-theme")}
        button = page.locator("button.theme-switch-button:visible").first
        for _ in range(3):
            button.focus()
            page.keyboard.press("Enter")
            page.wait_for_timeout(50)
            seen.add(html.get_attribute("data-theme"))
        assert seen == {"light", "dark"}
    finally:
        page.context.close()


def test_search_finds_a_word_of_the_book(browser, site):
    page, requests, _ = visit(browser, f"{site}search.html?q=book")
    try:
        page.wait_for_selector("#search-results li a", timeout=10_000)
        assert page.locator("#search-results li a").count() >= 1
        assert all(url.startswith((site, "data:")) for url in requests)
    finally:
        page.context.close()
