"""Two chapters of the built book as a PDF: text, formulas, links, pictures."""

from __future__ import annotations

import re

import pytest

from tests.book.pages import BUILT
from tests.tools import address, make_pdf

pytestmark = [pytest.mark.browser, pytest.mark.book, pytest.mark.slow]
CHAPTERS = ["live-dirac", "dynamics"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    from pypdf import PdfReader

    target = tmp_path_factory.mktemp("pdf") / "two.pdf"
    assert make_pdf.make(BUILT, target, make_pdf.chosen(make_pdf.parts(), CHAPTERS)) == []
    return PdfReader(target)


def test_text_and_numbers(reader):
    text = "\n".join(sheet.extract_text() for sheet in reader.pages)
    text = text.replace("ﬁ", "fi").replace("ﬂ", "fl")
    words = re.sub(r"\s+", " ", text)
    assert "Dynamics: does the game converge?" in words
    assert "2.6-01 holds:" in words
    assert "What the article says" in words
    assert "Solution of 2.6.1" in words
    assert r"\frac" not in words, "a formula was not set"
    for unwanted in ("Skip to main content", "Set-up: installs", "previous", "Open in Colab"):
        assert unwanted not in words
    assert re.search(r"This figure moves .* on the web: \S+live-dirac\.html", words)


def test_numbers_go_on_from_page_to_page(reader):
    labels = reader.page_labels
    assert labels[0] == "i"
    first = labels.index("1")
    assert labels[first:] == [str(i + 1) for i in range(len(reader.pages) - first)]
    for sheet, label in list(zip(reader.pages, labels, strict=True))[first:]:
        assert re.search(rf"(^|\s){label}(\s|$)", sheet.extract_text()), label


def test_links_stay_inside_or_lead_to_the_web(reader):
    inside, outside = 0, set()
    for sheet in reader.pages:
        for reference in sheet.get("/Annots", ()):
            link = reference.get_object()
            if "/A" in link:
                outside.add(str(link["/A"]["/URI"]))
            else:
                inside += 1
    assert inside >= 2 * len(CHAPTERS), "contents, and from each chapter to the other"
    assert f"{address.site()}adversarial-game.html" in outside, "a chapter that is not printed"
    assert [link for link in outside if not link.startswith(("https://", "http://"))] == []


def test_the_still_picture_of_a_live_figure_is_printed(reader):
    alive = reader.pages[reader.page_labels.index("1")]
    assert "A game of two numbers" in alive.extract_text()
    assert max(image.image.size[0] for image in alive.images) >= 700


def test_bookmarks(reader):
    titles = [item.title for item in reader.outline if not isinstance(item, list)]
    assert titles == ["Contents", "Alive in the page", "2 Principles"]
    sections = [item.title for item in reader.outline[-1][1]]
    assert sections[0] == "The question"
    assert sections[-1] == "Further reading"
