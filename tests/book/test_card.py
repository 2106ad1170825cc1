"""Each page has its card, and what the card says is what the notebook's file says."""

from __future__ import annotations

import datetime
import html
import json
import re
import tomllib

import pytest
import yaml

from tests.book.pages import BUILT, read
from tests.tools import address, notebooks

pytestmark = pytest.mark.book
ROOT = notebooks.ROOT
NAMES = notebooks.toc_files()
NOTEBOOKS = [name for name in NAMES if (ROOT / "book" / f"{name}.ipynb").exists()]
CARD = re.compile(r'<aside class="gb-card"[^>]*>(.*?)</aside>', re.DOTALL)
COST = re.compile(r'^gb\.setup\("(.*)"\)', re.MULTILINE)
SECONDS = re.compile(r"(\d+) s\b")


def card(name):
    """Return the card of a page as text, and as HTML; there must be one."""
    (found,) = CARD.findall((BUILT / f"{name}.html").read_text(encoding="utf-8"))
    text = html.unescape(re.sub(r"<[^>]+>", " ", found))
    return re.sub(r"\s+", " ", text).strip(), found


def metadata(name):
    path = ROOT / "book" / f"{name}.ipynb"
    return json.loads(path.read_text(encoding="utf-8"))["metadata"]


def cost(name):
    cells = notebooks.cells(ROOT / "book" / f"{name}.ipynb", "code")
    return COST.search(cells[0]["source"]).group(1)


@pytest.mark.parametrize("name", NAMES)
def test_every_page_has_one_card_below_its_title(name):
    text, _ = card(name)
    assert text
    page = (BUILT / f"{name}.html").read_text(encoding="utf-8")
    article = page[page.index("<article") :]
    between = article[article.index("</h1>") : article.index('<aside class="gb-card"')]
    assert between.count("<p") <= 1, "more than the promise stands between title and card"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_card_of_a_notebook_says_what_its_file_says(name):
    text, code = card(name)
    assert cost(name) in text
    assert "no GPU needed" in text
    stamp = metadata(name).get("gan_book")
    assert stamp, f"run it once more: python tests/tools/stamp.py book/{name}.ipynb"
    said = f"last verified {stamp['verified']} with Python {stamp['python']}, torch"
    assert f"{said} {stamp['torch']}" in text
    assert f'datetime="{stamp["verified"]}"' in code
    links = read(BUILT / f"{name}.html").links
    assert address.colab(f"{name}.ipynb") in links
    downloads = re.findall(r'href="(_sources/[^"]+\.ipynb)" download', code)
    assert downloads == [f"_sources/{name}.ipynb"]
    stored = (ROOT / "book" / f"{name}.ipynb").read_bytes()
    assert (BUILT / downloads[0]).read_bytes() == stored


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_stamp_is_possible(name):
    stamp = metadata(name).get("gan_book")
    assert stamp, f"run it once more: python tests/tools/stamp.py book/{name}.ipynb"
    assert set(stamp) == {"verified", "python", "torch", "seconds"}
    date = datetime.date.fromisoformat(stamp["verified"])
    assert datetime.date(2026, 11, 1) <= date <= datetime.date.today() + datetime.timedelta(1)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = next(d for d in project["dependencies"] if d.startswith("torch>=")).partition(">=")[2]
    numbers = [tuple(map(int, v.split(".")[:2])) for v in (stamp["torch"], lowest)]
    assert numbers[0] >= numbers[1]
    # The cost that the chapter promises, against the processor time that the run took.
    promised = int(SECONDS.search(cost(name)).group(1))
    assert stamp["seconds"] <= 1.5 * promised, f"{stamp['seconds']} s; the chapter says {promised}"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_times_of_execution_are_stored(name):
    for cell in notebooks.read(ROOT / "book" / f"{name}.ipynb")["cells"]:
        assert "execution" not in cell["metadata"], "python tests/tools/stamp.py stores none"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOTEBOOKS])
def test_the_card_of_a_page_without_code(name):
    text, code = card(name)
    assert "Colab" not in text
    assert "download" not in code
    if name == NAMES[0]:
        assert f"{len(NOTEBOOKS)} chapters that run" in text
        return
    assert re.search(r"\b[1-9]\d* min to read", text)
    source = (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
    front = yaml.safe_load(source.split("---")[1]) if source.startswith("---\n") else {}
    assert ("last checked" in text) == ("verified" in front)
    if "verified" in front:
        assert f"last checked {front['verified']}" in text


def test_the_part_stands_above_the_title():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    for part in toc["parts"]:
        number, _, rest = part["caption"].partition(" ")
        said = f"Part {number} · {rest}" if number.isdigit() else part["caption"]
        for chapter in part["chapters"]:
            page = (BUILT / f"{chapter['file']}.html").read_text(encoding="utf-8")
            article = page[page.index("<article") :]
            above = html.unescape(article[: article.index("</h1>")])
            assert f'<p class="gb-part">{said}</p>' in above, chapter


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_set_up_is_folded_and_solutions_are_named(name):
    page = (BUILT / f"{name}.html").read_text(encoding="utf-8")
    assert page.count("Set-up: installs the package where it is missing") == 1
    for cell in notebooks.cells(ROOT / "book" / f"{name}.ipynb", "code"):
        if cell["source"].startswith("#@title") and "hide-cell" in notebooks.tags(cell):
            title = cell["source"].splitlines()[0].removeprefix("#@title").strip()
            assert f'<p class="collapsed admonition-title">{html.escape(title)}</p>' in page


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_checked_claims_are_sentences_that_wrap(name):
    """Each claim that a cell prints is a paragraph of the page, once, and in no scroll box."""
    page = (BUILT / f"{name}.html").read_text(encoding="utf-8")
    printed = [
        match
        for cell in notebooks.cells(ROOT / "book" / f"{name}.ipynb", "code")
        for output in cell["outputs"]
        for match in re.findall(r"^(\d+\.\d+-\d+) holds: ", "".join(output.get("text", "")), re.M)
    ]
    assert printed
    assert re.findall(r'<p class="gb-claim"><strong>(.+?)</strong> holds: ', page) == printed
    assert not re.search(r"<pre>(?:(?!</pre>).)*\d+\.\d+-\d+ holds: ", page, re.DOTALL)
