"""Laboratory, phase portrait and scrubber in a browser: they load, change, and answer everyone."""

from __future__ import annotations

import pytest

import gan_book as gb
from tests.book.browsing import AXE, violations, visit
from tests.book.pages import BUILT
from tests.tiny import pictures, tiny

pytestmark = [pytest.mark.browser, pytest.mark.book]
PAGES = {
    "live-laboratory": "#live-laboratory",
    "live-dirac": "#live-dirac",
    "live-training": "#live-training",
}
PIXELS = """selector => {
    const node = document.querySelector(selector + " canvas");
    const data = node.getContext("2d").getImageData(0, 0, node.width, node.height).data;
    let sum = 0;
    for (let i = 0; i < data.length; i += 1) sum = (sum * 31 + data[i]) >>> 0;
    return sum;
}"""


def read(page, selector):
    """A figure's readout: {term: text}."""
    return page.evaluate(
        """selector => Object.fromEntries([...document.querySelectorAll(selector + " dt")]
            .map(node => [node.textContent, node.nextElementSibling.textContent]))""",
        selector,
    )


@pytest.fixture(params=["desktop", "phone"])
def size(request):
    return request.param


@pytest.mark.parametrize("kind", ["http", "file"])
@pytest.mark.parametrize("name", PAGES)
def test_a_figure_starts_from_a_server_and_from_a_folder(browser, site, name, kind):
    base = site if kind == "http" else BUILT.as_uri() + "/"
    page, requests, messages = visit(browser, f"{base}{name}.html")
    try:
        assert page.locator(f"{PAGES[name]}[data-ready]").count() == 1
        assert page.locator(f"{PAGES[name]} .gb-live-still").count() == 0
        page.context.set_offline(True)  # nothing more is loaded by anything a reader does
        before = len(requests)
        for button in page.locator(f"{PAGES[name]} button:enabled:visible").all()[:2]:
            button.click()
        page.wait_for_timeout(300)
        assert len(requests) == before
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_without_javascript_there_is_a_picture_and_a_sentence(browser, site, name):
    page, _, _ = visit(browser, f"{site}{name}.html", script=False)
    try:
        still = page.locator(f"{PAGES[name]} .gb-live-still")
        picture = still.locator("img")
        assert picture.bounding_box()["height"] > 200
        assert len(picture.get_attribute("alt")) > 80
        assert "JavaScript" in still.locator("p").inner_text()
    finally:
        page.context.close()


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: make setup, with npm")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser, site, name, dark, size):
    page, _, _ = visit(browser, f"{site}{name}.html", dark=dark, size=size)
    try:
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        assert violations(page, PAGES[name]) == []
        if name == "live-laboratory":
            page.select_option("#lab-set", "drawn")
            assert violations(page, PAGES[name]) == []
    finally:
        page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_name_and_fits_a_finger(browser, site, name):
    page, _, _ = visit(browser, f"{site}{name}.html", size="phone")
    try:
        page.evaluate("document.querySelectorAll('details').forEach(node => node.open = true)")
        controls = page.locator(f"{PAGES[name]} :is(input, select, button, canvas):visible")
        assert controls.count() > 10
        for control in controls.all():
            named = control.evaluate(
                "node => node.getAttribute('aria-label') || [...node.labels ?? []]"
                ".map(label => label.textContent).join('') || node.textContent"
            )
            assert named.strip(), control.evaluate("node => node.outerHTML")
            kind = control.evaluate("node => node.type ?? node.tagName")
            box = control.bounding_box()
            if kind in ("radio", "checkbox"):
                box = control.locator("xpath=..").bounding_box()  # its label is touched as well
            assert min(box["width"], box["height"]) >= 24, named
    finally:
        page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_figure_changes_with_the_theme(browser, site, name):
    page, _, _ = visit(browser, f"{site}{name}.html")
    try:
        light = page.evaluate(PIXELS, PAGES[name])
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.wait_for_timeout(200)
        assert page.evaluate(PIXELS, PAGES[name]) != light
    finally:
        page.context.close()


def test_the_portrait_by_keyboard_alone(browser, site):
    page, _, messages = visit(browser, f"{site}live-dirac.html")
    try:
        handle = page.locator("#dirac-start")
        page.locator("#live-dirac a, #live-dirac button").first.focus()
        first = read(page, "#live-dirac")
        assert first["Largest |μ|"] == "1.0112"
        for _ in range(40):  # the ring can be reached by Tab
            if handle.evaluate("node => node === document.activeElement"):
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("ArrowUp")
        assert handle.get_attribute("aria-label") == "Start: theta 1.25, psi 0.05"
        assert page.input_value("#dirac-theta") == "1.25"
        assert read(page, "#live-dirac")["Distance at the end"] != first["Distance at the end"]
        page.locator("#dirac-gamma").focus()
        for _ in range(50):
            page.keyboard.press("ArrowRight")
        assert page.locator("#dirac-gamma").get_attribute("aria-valuetext") == "0.50"
        assert "arrive" in page.locator("#live-dirac [role=status]").inner_text()
        page.locator("#dirac-rule-simultaneous").focus()
        page.keyboard.press("ArrowDown")
        assert page.locator("#dirac-rule-alternating").is_checked()
        assert messages == []
    finally:
        page.context.close()


def test_the_start_is_dragged_by_mouse(browser, site):
    page, _, _ = visit(browser, f"{site}live-dirac.html")
    try:
        handle, plane = page.locator("#dirac-start"), page.locator("#live-dirac canvas").first
        plane.scroll_into_view_if_needed()
        box, at = plane.bounding_box(), handle.bounding_box()
        # the ring lies where the plane shows theta 1, psi 0, of 2.5 to each side
        assert abs(at["x"] + 22 - (box["x"] + box["width"] * 0.7)) < 1.5
        assert abs(at["y"] + 22 - (box["y"] + box["height"] / 2)) < 1.5
        before = page.evaluate(PIXELS, "#live-dirac")
        page.mouse.move(at["x"] + 22, at["y"] + 22)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3, steps=5)
        page.mouse.up()
        page.mouse.move(box["x"] + 5, box["y"] + 5)  # the button is up: nothing moves
        assert page.input_value("#dirac-theta") == "-1"
        assert page.input_value("#dirac-psi") == "1"
        assert page.evaluate(PIXELS, "#live-dirac") != before
    finally:
        page.context.close()


def test_a_tap_moves_the_start_and_a_finger_starts_a_training(browser, site):
    page, _, _ = visit(browser, f"{site}live-dirac.html", size="phone")
    try:
        plane = page.locator("#live-dirac canvas").first
        plane.scroll_into_view_if_needed()
        box = plane.bounding_box()
        plane.tap(position={"x": box["width"] * 0.7, "y": box["height"] * 0.3})
        assert abs(float(page.input_value("#dirac-theta")) - 1) < 0.05
        assert abs(float(page.input_value("#dirac-psi")) - 1) < 0.05
        page.goto(f"{site}live-laboratory.html")
        page.get_by_role("button", name="Run").tap()
        page.wait_for_function(
            "document.querySelector('#live-laboratory dd').textContent > 40", timeout=20_000
        )
        page.get_by_role("button", name="Pause").tap()
        assert "places" in page.locator("#live-laboratory [role=status]").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        page.context.close()


def test_the_laboratory_repeats_itself_and_obeys(browser, site):
    page, _, messages = visit(browser, f"{site}live-laboratory.html")
    try:
        step = page.get_by_role("button", name="One step")
        seen = []
        for _ in range(2):
            for _ in range(3):
                step.press("Enter")
            seen.append((read(page, "#live-laboratory"), page.evaluate(PIXELS, "#live-laboratory")))
            page.get_by_role("button", name="Start anew").press("Enter")
            assert read(page, "#live-laboratory")["Steps"] == "0"
        assert seen[0] == seen[1]  # one seed, one training
        page.fill("#lab-seed", "2")
        page.locator("#lab-seed").press("Enter")
        step.press("Enter")
        assert page.evaluate(PIXELS, "#live-laboratory") != seen[0][1]
        for control, value in (("#lab-loss", "wasserstein"), ("#lab-beta1", "0")):
            page.select_option(control, value)
        for slider in ("#lab-r1", "#lab-r2", "#lab-gp"):
            page.locator(slider).press("ArrowRight")
        page.locator("#lab-spectral").press("Space")
        page.locator("#lab-order-simultaneous").press("Space")
        step.press("Enter")
        assert read(page, "#live-laboratory")["Steps"] == "1"
        for name, modes in (("grid", "25"), ("spiral", "16"), ("moons", "16")):
            page.select_option("#lab-set", name)
            step.press("Enter")
            assert read(page, "#live-laboratory")["Places visited"].endswith(f"of {modes}")
        assert messages == []
    finally:
        page.context.close()


def test_a_set_is_drawn_by_mouse_and_by_keyboard(browser, site):
    page, _, messages = visit(browser, f"{site}live-laboratory.html")
    try:
        page.select_option("#lab-set", "drawn")
        run = page.get_by_role("button", name="Run")
        assert run.is_disabled()
        plane = page.locator("#live-laboratory canvas").first
        plane.scroll_into_view_if_needed()
        box = plane.bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 150)
        page.mouse.down()
        page.mouse.move(box["x"] + 300, box["y"] + 150, steps=20)
        page.mouse.up()
        painted = int(read(page, "#live-laboratory")["Places visited"].split(" of ")[1])
        assert 5 < painted < 12  # a line of dots, a quarter apart
        plane.focus()
        for key in ["ArrowDown"] * 10 + ["Space"]:
            page.keyboard.press(key)
        assert read(page, "#live-laboratory")["Places visited"].endswith(f" of {painted + 1}")
        assert run.is_enabled()
        page.get_by_role("button", name="Erase the drawing").click()
        assert read(page, "#live-laboratory")["Places visited"] == "–"
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize(("name", "control"), [("live-laboratory", "#lab-r2"),
                                               ("live-dirac", "#dirac-noise"),
                                               ("live-training", "#replay-run")])  # fmt: skip
def test_on_a_phone_the_stage_stays_in_sight_of_every_control(browser, site, name, control):
    """And what gets the focus is not hidden behind it (WCAG 2.4.11)."""
    page, _, _ = visit(browser, f"{site}{name}.html", size="phone")
    try:
        page.emulate_media(reduced_motion="reduce")  # no smooth scrolling
        page.evaluate("document.querySelectorAll('.gb-live details').forEach(d => d.open = true)")
        stage = page.locator(f"{PAGES[name]} .gb-stage")
        picture = page.locator(f"{PAGES[name]} .gb-stage canvas")
        below = page.locator(f"{PAGES[name]} .gb-desk > :not(.gb-stage) :is(input, select)")
        assert below.count() >= 1
        page.locator(control).scroll_into_view_if_needed()
        for where in ("down", "up"):
            order = below.all() if where == "down" else list(reversed(below.all()))
            for node in order:
                node.focus()
                edge = stage.bounding_box()
                box, seen = node.bounding_box(), picture.bounding_box()
                assert box["y"] >= edge["y"] + edge["height"] - 1, "behind the stage"
                assert box["y"] + box["height"] <= 740
                assert seen["y"] >= 40, "the picture is hidden by the page's bar"
                assert seen["y"] + seen["height"] <= 740 - 200
    finally:
        page.context.close()


def moment(page):
    return page.locator("#replay-time").get_attribute("aria-valuetext")


def test_a_training_is_wound_back_by_keyboard_alone(browser, site):
    page, _, messages = visit(browser, f"{site}live-training.html")
    try:
        page.wait_for_load_state("networkidle")
        assert moment(page) == "160,000 images"
        first = page.evaluate(PIXELS, "#live-training")
        page.locator("#replay-time").focus()
        page.keyboard.press("Home")
        assert moment(page) == "1,600 images"
        assert "No pictures" in page.locator("#live-training .gb-words small").inner_text()
        page.keyboard.press("PageUp")
        page.wait_for_timeout(200)
        early = page.evaluate(PIXELS, "#live-training")
        assert early != first
        said = page.locator("#live-training [role=status]").first
        assert said.inner_text().startswith(f"At {moment(page)}: D's mean logit")
        assert "KID" in said.inner_text()
        before = moment(page)
        page.get_by_role("button", name="A moment on").press("Enter")
        assert moment(page) != before
        page.get_by_role("button", name="A moment back").press("Enter")
        assert moment(page) == before
        page.select_option("#replay-run", label="1,000 pictures, without penalties")
        page.wait_for_timeout(300)
        assert moment(page) == before  # one moment, two runs
        assert page.evaluate(PIXELS, "#live-training") != early
        page.get_by_role("button", name="Play").press("Enter")
        page.wait_for_timeout(1_000)
        page.get_by_role("button", name="Pause").press("Enter")
        assert moment(page) != before
        assert messages == []
    finally:
        page.context.close()


def test_a_training_is_wound_back_by_touch(browser, site):
    page, _, messages = visit(browser, f"{site}live-training.html", size="phone")
    try:
        slider = page.locator("#replay-time")
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert 70_000 < int(moment(page).split()[0].replace(",", "")) < 90_000
        page.get_by_role("button", name="Play").tap()
        page.wait_for_timeout(1_000)
        page.get_by_role("button", name="Pause").tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize("kind", ["http", "file"])
def test_a_run_of_ones_own_is_wound_back(browser, site, kind, tmp_path):
    """The folder of a real training, opened from the disk; nothing is sent."""
    run = gb.train(
        tiny(sample_every=80, log_every=40), pictures(120), tmp_path / "mine", steps=30,
        select=True, progress=False,
    )  # fmt: skip
    base = site if kind == "http" else BUILT.as_uri() + "/"
    page, requests, messages = visit(browser, f"{base}live-training.html")
    try:
        page.wait_for_load_state("networkidle")
        page.context.set_offline(True)
        before = len(requests)
        page.locator("#live-training summary").click()
        answer = page.locator("#live-training .gb-replay-own [role=status]")
        (tmp_path / "holiday").mkdir()
        (tmp_path / "holiday" / "beach.txt").write_text("sun")
        page.locator("#replay-files").set_input_files(tmp_path / "holiday")
        page.wait_for_function("document.body.innerText.includes('there is no log.jsonl')")
        page.locator("#replay-files").set_input_files(tmp_path / "mine")
        page.wait_for_function("document.body.innerText.includes('Opened: your run mine')")
        assert "6 records, 3 sample grids, 3 measurements" in answer.inner_text()
        assert page.locator("#replay-run option:checked").inner_text() == "your run mine"
        page.locator("#replay-time").focus()
        page.keyboard.press("End")
        assert moment(page) == "240 images"
        loss = run.log[-1]["d_loss"]
        assert (
            f"D's loss {loss:.3g}"
            in page.locator("#live-training [role=status]").first.inner_text()
        )
        page.wait_for_timeout(300)
        late = page.evaluate(PIXELS, "#live-training")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(300)
        assert page.evaluate(PIXELS, "#live-training") != late
        asked = [url for url in requests[before:] if not url.startswith(("blob:", "data:"))]
        assert asked == []
        assert messages == []
    finally:
        page.context.close()
