"""The first page's cover, painted anew by a network on a click."""

from __future__ import annotations

import pytest

from tests.book.browsing import AXE, violations, visit
from tests.book.pages import BUILT
from tests.book.test_explorer import MEGABYTE, PATIENCE, changes, compressed, settled

pytestmark = [pytest.mark.browser, pytest.mark.book]
WALL = ".gb-cover-wall"


def start(page, touch=False):
    button = page.get_by_role("button", name="Let the network paint here")
    button.tap() if touch else button.click()
    page.wait_for_selector("#cover[data-started]", timeout=PATIENCE)
    settled(page, WALL)


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_click_paints_and_three_controls_change_it(browser, site, facts, size):
    page, requests, messages = visit(browser, f"{site}index.html", size=size)
    try:
        assert page.locator("article img").first.is_visible()
        assert [url for url in requests if url.endswith((".onnx", ".wasm"))] == []
        start(page, touch=size == "phone")
        assert page.locator("article img[src$='cover.png']").count() == 0
        assert page.locator(WALL).get_attribute("aria-label").endswith("along the first direction")
        many = 56 if size == "phone" else 96
        caption = page.get_by_text("Painted just now, in this page")
        assert f"the first {many} pictures of seed 0" in caption.inner_text()
        page.context.set_offline(True)
        first = settled(page, WALL)
        other = page.get_by_role("button", name="Other pictures")
        assert other.evaluate("node => node === document.activeElement")
        changes(page, lambda: other.press("Enter"), WALL)
        assert (
            page.locator("#cover [role=status]").inner_text() == f"Seed 1: {many} other pictures."
        )
        for control, key, back in (("psi", "Home", 1), ("way", "End", 0)):
            before = settled(page, WALL)
            changes(page, lambda c=control, k=key: page.locator(f"#cover-{c}").press(k), WALL)
            page.locator(f"#cover-{control}").fill(str(back))
            page.wait_for_timeout(500)
            assert settled(page, WALL) == before
        assert settled(page, WALL) != first
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        outside = [url for url in requests if not url.startswith((site, "data:", "blob:"))]
        assert outside == []
        assert messages == []
        files = {BUILT / url.removeprefix(site).partition("?")[0] for url in requests
                 if url.startswith(site)}  # fmt: skip
        assert sum(map(compressed, files)) <= 6 * MEGABYTE
    finally:
        page.context.close()


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: make setup, with npm")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_when_it_is_painted(browser, site, facts, dark):
    page, _, _ = visit(browser, f"{site}index.html", dark=dark)
    try:
        start(page)
        assert violations(page) == []
    finally:
        page.context.close()


@pytest.mark.parametrize("reason", ["script", "file", "runtime"])
def test_otherwise_the_cover_stays_and_a_sentence_says_why(browser, site, reason):
    base = BUILT.as_uri() + "/" if reason == "file" else site
    page, _, messages = visit(browser, "about:blank", script=reason != "script")
    try:
        if reason == "runtime":
            stub = '{"why": "npm was not there", "models": []}'
            page.route("**/models.json", lambda route: route.fulfill(body=stub))
        page.goto(f"{base}index.html")
        words = {"script": "JavaScript", "file": "server", "runtime": "npm was not there"}[reason]
        if reason != "script":
            page.wait_for_function("w => document.body.innerText.includes(w)", arg=words)
            assert messages == []
        assert words in page.locator("#cover").inner_text()
        assert page.locator("article img").first.is_visible()
        assert page.locator("#cover button").count() == 0
    finally:
        page.context.close()
