"""The offline edition: packed, unpacked into a folder with an awkward name, read from the disk."""

from __future__ import annotations

import json
import zipfile
from urllib.parse import unquote, urlsplit

import pytest

from tests.book.browsing import visit
from tests.book.pages import BUILT, read
from tests.book.test_browser import HAS_MATH
from tests.tools import make_zip, notebooks

pytestmark = [pytest.mark.browser, pytest.mark.book]
NAMES = notebooks.toc_files()
CHAPTERS = [path for path in notebooks.notebook_files() if path.stem in NAMES]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    target = tmp_path_factory.mktemp("zip") / "edition.zip"
    assert make_zip.write(target, BUILT, CHAPTERS) <= make_zip.LARGEST
    return target


@pytest.fixture(scope="module")
def folder(packed, tmp_path_factory):
    """Unpack into a folder with spaces, letters of other scripts, and signs of addresses."""
    place = tmp_path_factory.mktemp("offline") / "Bücher und 书 #1 (50 %)"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(place)
    return place / make_zip.TOP


def test_it_holds_book_notebooks_and_a_note_in_two_languages(folder):
    assert sorted(path.name for path in (folder / "notebooks").iterdir()) == sorted(
        path.name for path in CHAPTERS
    )
    note = (folder / "README.txt").read_text(encoding="utf-8-sig")
    assert "book/index.html" in note
    assert "离线版" in note
    assert (folder / "book" / "index.html").is_file()
    assert not list(folder.rglob("*.map"))
    assert not [*folder.rglob("*.wasm"), *folder.rglob("*.onnx")]
    told = (folder / "book" / make_zip.MODELS).read_text(encoding="utf-8")
    assert json.loads(told) == make_zip.NO_MODELS


@pytest.mark.parametrize("name", [*NAMES, "genindex", "search"])
def test_pages_open_from_the_disk(browser, folder, name):
    base = folder.as_uri() + "/"
    page, requests, messages = visit(browser, f"{base}book/{name}.html")
    try:
        assert [url for url in requests if not url.startswith((base, "data:", "blob:"))] == []
        assert name == "search" or messages == []
        if HAS_MATH.search((folder / "book" / f"{name}.html").read_text(encoding="utf-8")):
            assert page.locator(".math mjx-container").count() >= page.locator(".math").count()
    finally:
        page.context.close()


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_of_the_edition(folder, name):
    path = folder / "book" / f"{name}.html"
    for link in read(path).links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc and parts.path:
            assert (path.parent / unquote(parts.path)).exists(), link


def test_one_can_walk_from_page_to_page_and_search(browser, folder):
    base = folder.as_uri() + "/book/"
    page, requests, messages = visit(browser, f"{base}index.html")
    try:
        page.locator(".bd-sidebar-primary nav a", has_text="A thousand pictures").click()
        page.wait_for_url("**/thousand-pictures.html")
        assert page.locator("h1").first.inner_text().startswith("A thousand pictures")
        assert messages == []
        page.goto(f"{base}search.html?q=generator")
        page.wait_for_selector("#search-results li a", timeout=10_000)
        found = page.locator("#search-results li a")
        assert found.count() >= 2
        found.first.click()
        page.wait_for_load_state()
        assert page.locator("article h1").count() >= 1
        allowed = (folder.as_uri() + "/", "data:", "blob:")
        assert [url for url in requests if not url.startswith(allowed)] == []
    finally:
        page.context.close()
