"""Five things a newcomer wants, done from the pages alone: by what is written on them.

Each begins on the first page and follows its links; controls are found by the words that a reader
sees. What was in the way when they were first tried, and was put right, stands beside each.
"""

from __future__ import annotations

import re

import pytest

from tests.book.browsing import visit
from tests.book.test_explorer import LARGE, PATIENCE, SUM, settled

pytestmark = [pytest.mark.browser, pytest.mark.book]


@pytest.fixture(params=["desktop", "phone"])
def page(request, browser, site):
    """The first page of the book, on a large and on a small screen."""
    opened, _, messages = visit(browser, f"{site}index.html", size=request.param)
    yield opened
    assert messages == []
    opened.context.close()


def follow(page, name):
    """Follow a link of the book's contents; on a phone they lie behind a button."""
    link = page.locator(".bd-sidebar-primary nav").get_by_role("link", name=name, exact=True)
    if page.viewport_size["width"] < 900:
        page.get_by_role("button", name="Toggle primary sidebar").click()
    link.click()
    page.wait_for_load_state("load")
    page.wait_for_selector(".gb-live")


def slide(page, label, reached):
    """Move a slider by arrow keys, up or down, until what it says satisfies `reached`."""
    slider = page.get_by_role("slider", name=label, exact=True)
    slider.scroll_into_view_if_needed()
    start = float(slider.get_attribute("aria-valuetext").replace("\u2212", "-"))
    key = "ArrowRight" if reached(start) == "more" else "ArrowLeft"
    for _ in range(500):
        if reached(float(slider.get_attribute("aria-valuetext").replace("\u2212", "-"))) == "there":
            return
        slider.press(key)
    raise AssertionError(f"{label} never gets there")


def goal(value):
    """A wish for `slide`: to come to a value, upward or downward."""
    return lambda now: "there" if abs(now - value) < 1e-9 else "more" if now < value else "less"


def said(page):
    """What the figure says in its line of words."""
    return page.locator(".gb-live [role=status]").first.inner_text()


def test_find_a_sun_over_red_dunes(page, facts):
    """In the way: beside the text, the page's contents covered the explorer."""
    follow(page, "Generator explorer")
    page.get_by_role("button", name="Start the explorer").click()
    page.wait_for_selector("#explorer[data-started]", timeout=PATIENCE)
    before = settled(page)
    page.get_by_label("Model", exact=True).select_option("atelier-32-pairs")
    page.get_by_label("Style", exact=True).select_option(label="dunes")
    page.get_by_label("Palette", exact=True).select_option(label="siena")
    page.wait_for_timeout(500)
    assert settled(page) != before
    # warm ground, and above it a disc of light: the rows' mean colors, and the sky's brightest spot
    red, green, blue, sky, spot = page.evaluate(
        """selector => {
            const node = document.querySelector(selector);
            const [w, h] = [node.width, node.height];
            const { data } = node.getContext("2d").getImageData(0, 0, w, h);
            const mean = (from, to) => [0, 1, 2].map(c => {
                let sum = 0;
                for (let p = from * w; p < to * w; p++) sum += data[4 * p + c];
                return sum / ((to - from) * w);
            });
            const light = p => (data[4 * p] + data[4 * p + 1] + data[4 * p + 2]) / 3;
            const above = Array.from({ length: w * Math.floor(0.6 * h) }, (_, p) => light(p));
            const ground = mean(Math.floor(0.75 * h), h);
            const average = above.reduce((a, b) => a + b) / above.length;
            return [...ground, average, Math.max(...above)];
        }""",
        LARGE,
    )
    assert red > green > blue, "the ground is not red"
    assert spot > sky + 25, "there is no sun"


def test_make_a_plain_gan_collapse_then_cure_it(page):
    """In the way: 500 steps had to be counted by eye, where now a button plays them and stops; and
    on a phone the sliders lay two screens below the plane, which now stays in sight."""
    follow(page, "A GAN you can watch")

    def places():
        page.get_by_role("button", name="500 steps").click()
        page.wait_for_function(
            "document.querySelector('.gb-live dd').textContent === '500'", timeout=3 * PATIENCE
        )
        page.wait_for_timeout(200)
        return int(re.search(r"visits (\d) of 8", said(page))[1])

    assert places() >= 6
    slide(page, "Learning rate of D", goal(0.0005))
    page.get_by_role("button", name="Start anew").click()
    assert places() <= 2, "no collapse"
    page.locator("summary", has_text="More settings").click()
    page.get_by_label("Steps of D for each of G").select_option(label="5 steps")
    page.get_by_role("button", name="Start anew").click()
    assert places() >= 7, "no cure"


def test_find_the_rate_at_which_the_dirac_gan_with_r1_diverges(page):
    """In the way: on a phone, as above. (A slider for each rate, and both move together.)"""
    follow(page, "A game of two numbers")
    page.get_by_label("Loss", exact=True).select_option(label="non-saturating")
    slide(page, "Penalty \u03b3 of R1 or R2", goal(0.5))
    assert "the players arrive" in said(page)
    slide(page, "Learning rate of G", lambda _: "there" if "arrive" not in said(page) else "more")
    rate = page.get_by_role("slider", name="Learning rate of G", exact=True)
    assert rate.get_attribute("aria-valuetext") == "2.00"


def test_find_the_moment_at_which_the_training_on_few_pictures_should_have_ended(page):
    """In the way: the menu of runs stood below the words that change, where it moved about."""
    follow(page, "A training to wind back")
    page.get_by_label("Run", exact=True).select_option(label="100 pictures, weak penalties")
    time = page.get_by_role("slider", name="Images that D has seen")
    time.press("Home")
    lowest, moment = 9.0, ""
    for _ in range(400):
        page.get_by_role("button", name="A moment on").press("Enter")
        found = re.search(r"KID ([\d.]+)", said(page))
        if found and float(found[1]) < lowest:
            lowest, moment = float(found[1]), time.get_attribute("aria-valuetext")
        if time.input_value() == time.get_attribute("max"):
            break
    last = float(re.search(r"KID ([\d.]+)", said(page))[1])
    assert last > lowest
    assert moment == "115,200 images"


def test_make_new_pictures_on_the_first_page_and_save_one(page, facts):
    """In the way: the caption still told of the old cover when the new one was painted."""
    page.get_by_role("button", name="Let the network paint here").click()
    page.wait_for_selector("#cover[data-started]", timeout=PATIENCE)
    before = settled(page, ".gb-cover-wall")
    page.get_by_role("button", name="Other pictures").click()
    page.wait_for_timeout(800)
    assert page.evaluate(SUM, ".gb-cover-wall") != before
    page.locator("#cover").get_by_role("link", name="generator explorer").click()
    page.get_by_role("button", name="Start the explorer").click()
    page.wait_for_selector("#explorer[data-started]", timeout=PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    assert download.value.suggested_filename == "atelier-32-seed-0-1.png"
