"""What was built, read as files: no other host, no dead link, launch buttons, light pages."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.book.pages import BUILT, content_pages, read
from tests.tools import address, notebooks

pytestmark = pytest.mark.book
ROOT = notebooks.ROOT
NAMES = notebooks.toc_files()
MEGABYTE = 2**20
PAGE_BUDGET = 2 * MEGABYTE


@pytest.fixture(params=NAMES)
def path(request):
    return BUILT / f"{request.param}.html"


def is_remote(address: str) -> bool:
    return bool(re.match(r"(?:[a-z]+:)?//", address, re.IGNORECASE))


def test_every_page_is_built_and_nothing_else():
    assert {path.stem for path in content_pages()} == set(NAMES)


def test_the_build_is_of_this_text(path):
    source = next(p for p in (ROOT / "book").glob(f"{path.stem}.*") if p.suffix != ".html")
    assert path.stat().st_mtime >= source.stat().st_mtime, "build the book again: make book"


def test_nothing_comes_from_another_host(path):
    assert [load for load in read(path).loads if is_remote(load)] == []
    text = path.read_text(encoding="utf-8")
    for host in ("cdn.jsdelivr", "unpkg.com", "cdnjs.", "fonts.googleapis", "thebe-config"):
        assert host not in text


def test_styles_and_scripts_of_ours_name_no_other_host():
    for file in [*BUILT.glob("_static/book.css"), *BUILT.glob("_static/live/*.[cj]s*")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|import\s+|fetch\()[\"']?(?:https?:)?//", text), file


def test_files_that_our_style_loads_exist():
    """Fonts, for example; and each file that is there is used."""
    style = (BUILT / "_static" / "book.css").read_text(encoding="utf-8")
    named = {BUILT / "_static" / name for name in re.findall(r'url\("([^"]+)"\)', style)}
    assert named
    assert [path for path in named if not path.is_file()] == []
    fonts = BUILT / "_static" / "vendor" / "fonts"
    assert set(fonts.glob("*.woff2")) == {path for path in named if path.suffix == ".woff2"}
    assert (fonts / "LICENSE").is_file()
    assert sum(path.stat().st_size for path in fonts.iterdir()) <= 200 * 1024


def test_links_inside_the_book_lead_somewhere(path):
    ids = {}
    for link in read(path).links:
        if is_remote(link) or link.startswith(("mailto:", "javascript:", "data:")):
            continue
        parts = urlsplit(link)
        target = path.parent / unquote(parts.path) if parts.path else path
        assert target.exists(), f"{link} leads nowhere"
        if parts.fragment and target.suffix == ".html":
            if target not in ids:
                ids[target] = read(target).ids
            assert unquote(parts.fragment) in ids[target], f"{link}: no such place"


def test_files_that_pages_load_exist(path):
    for load in read(path).loads:
        if not load.startswith("data:"):
            assert (path.parent / unquote(urlsplit(load).path)).exists(), load


def test_pictures_have_alt_text(path):
    assert read(path).pictures_without_alt == []


def test_one_title(path):
    assert read(path).titles == 1


def test_launch_button_opens_the_notebook(path):
    buttons = {link for link in read(path).links if "colab.research.google.com" in link}
    if (ROOT / "book" / f"{path.stem}.ipynb").exists():
        assert address.colab(f"{path.stem}.ipynb") in buttons
    for button in buttons:
        notebook = button.partition("/blob/main/")[2]
        assert (ROOT / notebook).is_file(), f"{button}: there is no {notebook}"
        assert f"/github/{address.slug()}/" in button


def test_links_to_the_repository_lead_to_files_that_exist(path):
    base = f"{address.repository()}/blob/{address.BRANCH}/"
    for link in read(path).links:
        if link.startswith(base):
            assert (ROOT / unquote(urlsplit(link.removeprefix(base)).path)).exists(), link


def test_a_page_stays_light(path):
    """The page itself and what it loads at once, uncompressed."""
    size = path.stat().st_size
    for load in set(read(path).loads):
        if not load.startswith("data:"):
            size += (path.parent / unquote(urlsplit(load).path)).stat().st_size
    if "vendor/mathjax" in path.read_text(encoding="utf-8"):
        size += mathjax_size()
    limit = PAGE_BUDGET + (2 * MEGABYTE if is_chapter(path) else 0)
    assert size <= limit, f"{size / MEGABYTE:.1f} MB"


def mathjax_size() -> int:
    """Return the bytes of the parts that MathJax's loader fetches on each page with formulas."""
    folder = BUILT / "_static" / "vendor" / "mathjax"
    parts = ["core", "input/tex", "output/chtml", "output/chtml/fonts/tex", "a11y/assistive-mml"]
    return sum((folder / f"{part}.js").stat().st_size for part in parts)


def is_chapter(path) -> bool:
    """Return whether a page is a notebook, whose stored figures may weigh up to 1 MB more."""
    return (ROOT / "book" / f"{path.stem}.ipynb").exists()


def test_vendored_mathjax_is_the_one_pages_load():
    folder = BUILT / "_static" / "vendor" / "mathjax"
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"][
        "config"
    ]
    assert (BUILT / "_static" / settings["mathjax_path"]).is_file()
    for part in settings["mathjax3_config"]["loader"]["load"]:
        assert (folder / f"{part}.js").is_file(), part
