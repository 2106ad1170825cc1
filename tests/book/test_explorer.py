"""The explorer and "Real or generated?" in a browser: PyTorch's pictures, for everyone."""

from __future__ import annotations

import gzip
import time

import pytest
import torch

import gan_book as gb
from gan_book import latents, provenance
from gan_book import model as models
from tests.book.browsing import AXE, violations, visit
from tests.book.pages import BUILT

pytestmark = [pytest.mark.browser, pytest.mark.book]
MEGABYTE = 2**20
SEED = 11
PATIENCE = 60_000  # milliseconds; machines that test do other things, too
PAINT = """async ([name, n, seed, labels]) => {
    const { catalog, studio } = await import("./_static/live/generators.js");
    const facts = await catalog("_static/live/");
    const model = await studio("_static/live/", facts).open(name);
    const drawn = await model.drawn(n, seed);
    drawn.forEach((one, i) => { one.labels = model.labels(labels[i]); });
    const image = await model.paint(drawn);
    return { height: image.height, data: Array.from(image.data) };
}"""
SUM = """selector => {
    const node = document.querySelector(selector);
    const { data } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
    return data.reduce((sum, x) => (sum * 31 + x) >>> 0, 0);
}"""
LARGE, WALL = ".gb-ex-frame canvas", ".gb-ex-tile:last-child canvas"


@pytest.fixture
def started(browser, site, facts):
    """The explorer, started; what it asks for and says is collected."""
    page, requests, messages = visit(browser, f"{site}explorer.html")
    start(page)
    yield page, requests, messages
    page.context.close()


def start(page, touch=False):
    button = page.get_by_role("button", name="Start the explorer")
    button.tap() if touch else button.click()
    page.wait_for_selector("#explorer[data-started]", timeout=PATIENCE)
    settled(page)


def settled(page, selector=LARGE):
    """Wait until a picture stays as it is; return a number for its pixels."""
    before, end = None, time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        now = page.evaluate(SUM, selector)
        if now == before:
            return now
        before = now
        page.wait_for_timeout(150)
    raise AssertionError("the picture never rests")


def changes(page, action, selector=LARGE):
    """Do something; the picture must become another one."""
    before, end = settled(page, selector), time.monotonic() + PATIENCE / 1000
    action()
    while time.monotonic() < end:
        if page.evaluate(SUM, selector) != before:
            return settled(page, selector)
        page.wait_for_timeout(150)
    raise AssertionError("nothing changed")


def test_the_networks_paint_what_pytorch_paints(browser, site, facts):
    """On fixed latents, at most 0.001 on [-1, 1]: the bar of the book."""
    page, _, messages = visit(browser, f"{site}explorer.html")
    try:
        for about in facts["models"]:
            net = gb.load_model(about["name"], device="cpu").generator
            y = torch.arange(4) % net.num_classes if net.num_classes else None
            made = page.evaluate(PAINT, [about["name"], 4, SEED, [0, 1, 2, 3]])
            with torch.no_grad():
                expected = net(models.latents(4, net.z_dim, SEED), y).clamp(-1, 1)
            found = torch.tensor(made["data"]).view_as(expected)
            assert (found - expected).abs().max() <= 1e-3, about["name"]
        assert messages == []
    finally:
        page.context.close()


def test_directions_and_means_are_the_books(facts):
    by_name = {about["name"]: about for about in facts["models"]}
    net = gb.load_model("atelier-32", device="cpu").generator
    units = torch.tensor(by_name["atelier-32"]["directions"])
    torch.testing.assert_close(units, latents.sefa(latents.Space(net), 6)[0], rtol=0, atol=1e-5)
    styled = gb.load_model("stylegan-16", device="cpu").generator
    mean = torch.tensor(by_name["stylegan-16"]["mean"])
    torch.testing.assert_close(mean, styled.w_mean, rtol=0, atol=1e-5)
    for about in facts["models"]:
        rows = torch.tensor(about["directions"])
        torch.testing.assert_close(rows @ rows.T, torch.eye(len(rows)), rtol=0, atol=1e-4)


def test_the_first_picture_comes_soon_and_the_page_stays_light(browser, site, facts):
    waits = []
    for _ in range(3):  # the bar is 2 seconds; something else may run on the machine meanwhile
        page, _, _ = visit(browser, "about:blank")
        sizes: dict[str, int] = {}
        page.on(
            "response", lambda r, sizes=sizes: sizes.setdefault(r.url, len(r.body()) if r.ok else 0)
        )
        try:
            page.goto(f"{site}explorer.html", wait_until="load")
            page.wait_for_load_state("networkidle")
            assert sum(sizes.values()) <= 2 * MEGABYTE
            begin = time.perf_counter()
            page.get_by_role("button", name="Start the explorer").click()
            page.wait_for_selector("#explorer[data-started]", timeout=PATIENCE)
            waits.append(time.perf_counter() - begin)
            page.wait_for_load_state("networkidle")
            assert sum(sizes.values()) <= 20 * MEGABYTE
        finally:
            page.context.close()
        if waits[-1] <= 2:
            break
    assert min(waits) <= 2, waits
    # What a reader has loaded who started the figure: page, runtime and one model, no other.
    files = {BUILT / url.removeprefix(site).partition("?")[0] for url in sizes}
    folder = BUILT / "_static" / "live" / "models"
    networks = {folder / file for file in files_of(facts["models"][0])}
    assert {file for file in files if file.suffix == ".onnx"} == networks
    for about in facts["models"]:  # the same, had the reader begun with another one
        own = {folder / file for file in files_of(about)}
        packed = sum(map(compressed, (files - networks) | own))
        print(f"{about['name']:20} {packed / MEGABYTE:.2f} MB compressed")
        assert packed <= 6 * MEGABYTE, f"{about['name']}: {packed / MEGABYTE:.1f} MB"


def files_of(about):
    """The names of a model's files."""
    return [part["file"] for part in about["parts"].values()]


def compressed(path):
    """Bytes of a file as a server sends it that compresses with gzip at its usual level."""
    return len(gzip.compress(path.read_bytes(), 6))


def test_another_model_is_loaded_when_it_is_chosen_and_not_before(started, facts):
    page, requests, _ = started

    def loaded():
        return {url.rpartition("/")[2] for url in requests if url.endswith(".onnx")}

    first, *others = facts["models"]
    assert loaded() == set(files_of(first))
    changes(page, lambda: page.select_option("#ex-model", "landscapes-16"))
    (chosen,) = [about for about in others if about["name"] == "landscapes-16"]
    assert loaded() == {*files_of(first), *files_of(chosen)}


def test_everything_moves_by_keyboard_with_the_network_cut(started, site):
    page, requests, messages = started
    for name in ("stylegan-16", "atelier-32-pairs"):  # loaded before the network goes
        changes(page, lambda name=name: page.select_option("#ex-model", name))
    page.context.set_offline(True)
    before = len(requests)

    def press(selector, *keys):
        page.locator(selector).focus()
        for key in keys:
            page.keyboard.press(key)

    first = settled(page)
    changes(page, lambda: press("#ex-direction-1", "End"))
    changes(page, lambda: press("#ex-psi", "Home"), WALL)
    page.get_by_role("button", name="Back to the start").focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(600)
    assert settled(page) == first, "back is not back"
    changes(page, lambda: press("#ex-way", "PageUp"))
    changes(page, lambda: press("#ex-style", "ArrowDown"), WALL)
    changes(page, lambda: press("#ex-palette", "ArrowDown"), WALL)
    changes(page, lambda: page.get_by_role("button", name="Another seed").press("Enter"), WALL)
    press("input[name=ex-tile]:checked", "ArrowRight")
    assert page.locator("input[name=ex-tile]:checked").get_attribute("value") == "1"
    changes(page, lambda: page.select_option("#ex-model", "stylegan-16"))
    changes(page, lambda: press("#ex-layer", "ArrowRight", "ArrowRight"))
    assert len(requests) == before
    assert [url for url in requests if not url.startswith((site, "blob:"))] == []
    assert messages == []


def test_it_paints_at_any_size_where_the_network_can(started):
    page, _, _ = started
    changes(page, lambda: page.select_option("#ex-model", "inr-32"))
    changes(page, lambda: page.select_option("#ex-side", "256"))
    assert page.locator(LARGE).evaluate("node => node.width") == 256


def test_a_saved_picture_says_where_it_comes_from(started, tmp_path):
    page, _, _ = started
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    model = gb.load_model("atelier-32", device="cpu")
    assert provenance.verify(path, model) == []
    found = provenance.read(path)
    assert (found["seed"], found["number"], found["truncation"]) == (0, 0, 1)
    from PIL import Image

    small = Image.open(path).convert("RGB").resize((32, 32), Image.Resampling.NEAREST)
    pixels = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(32, 32, 3)
    made = model.sample(1, seed=0)[0].permute(1, 2, 0)
    assert (pixels.int() - made.int()).abs().max() <= 1, "seed 0 of the page is not seed 0"


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: make setup, with npm")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing_in_the_explorer(browser, site, facts, dark, size):
    page, _, messages = visit(browser, f"{site}explorer.html", dark=dark, size=size)
    try:
        assert violations(page, "#explorer") == []
        start(page, touch=size == "phone")
        changes(page, lambda: page.select_option("#ex-model", "atelier-32-pairs"))
        assert violations(page, "#explorer") == []
        changes(page, lambda: page.select_option("#ex-model", "stylegan-16"))
        assert violations(page, "#explorer") == []
        if size == "phone":
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            changes(page, lambda: page.locator(".gb-ex-tile").nth(7).tap())
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize("reason", ["script", "file", "runtime"])
def test_otherwise_a_still_picture_says_why(browser, site, facts, reason):
    base = BUILT.as_uri() + "/" if reason == "file" else site
    page, _, messages = visit(browser, "about:blank", script=reason != "script")
    try:
        if reason == "runtime":
            stub = '{"why": "npm was not there", "models": []}'
            page.route("**/models.json", lambda route: route.fulfill(body=stub))
        page.goto(f"{base}explorer.html")
        words = {"script": "JavaScript", "file": "server", "runtime": "npm was not there"}[reason]
        if reason != "script":
            page.wait_for_function("w => document.body.innerText.includes(w)", arg=words)
        figure = page.locator("#explorer")
        assert words in figure.inner_text()
        assert figure.locator("img").is_visible()
        assert figure.get_by_role("button").count() == 0
        if reason != "script":  # else the theme's scripts, announced and then blocked
            assert messages == []
    finally:
        page.context.close()


@pytest.mark.parametrize("kind", ["http", "file"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_ten_rounds_by_keyboard_and_by_touch(browser, site, kind, size):
    base = site if kind == "http" else BUILT.as_uri() + "/"
    page, requests, messages = visit(browser, f"{base}real-or-generated.html", size=size)
    try:
        for game in (1, 2):
            for _ in range(10):
                button = page.get_by_role("button", name="Real", exact=True)
                button.tap() if size == "phone" else button.press("Enter")
            cards = page.locator(".gb-quiz-cards li")
            assert cards.count() == 10
            right = page.locator(".gb-quiz-good").count()
            title = page.locator("#quiz h3")
            assert title.inner_text() == f"{right} of 10 right"
            assert title.evaluate("node => node === document.activeElement")
            assert "95 % confidence" in page.locator("#quiz").inner_text()
            assert ("of 20." in page.locator("#quiz").inner_text()) == (game == 2)
            assert page.locator(".gb-quiz-range").first.bounding_box()["width"] > 30
            page.get_by_role("button", name="Ten more").press("Enter")
            assert page.locator(".gb-quiz-count").inner_text() == "Picture 1 of 10"
        page.get_by_label("atelier-32").check()
        if size == "phone":
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
        allowed = (base, "data:")
        assert [url for url in requests if not url.startswith(allowed)] == []
        assert messages == []
    finally:
        page.context.close()


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: make setup, with npm")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_axe_finds_nothing_in_the_quiz(browser, site, dark, size):
    page, _, _ = visit(browser, f"{site}real-or-generated.html", dark=dark, size=size)
    try:
        assert violations(page, "#quiz") == []
        for _ in range(10):
            page.get_by_role("button", name="Generated", exact=True).click()
        assert violations(page, "#quiz") == []
    finally:
        page.context.close()
