"""The book on paper: what is printed, where its links go, what its bookmarks say."""

from __future__ import annotations

import re

import pytest

from tests.tools import address, make_pdf, notebooks
from tests.tools.pdf_join import Part, Printed, join, resolve

LONG = "value = " + " + ".join(f"first_{i}" for i in range(60)) + " + the_end_of_the_line"
STYLE = """<style>
.bd-article { --gb-sans: sans-serif; font: 10pt serif; }
.gb-wide th, .gb-wide td { white-space: nowrap; }
.headerlink { display: none; }
</style>"""
PAGES = {
    "index": """<h1>The book</h1><p><img src="cover.png" alt="A square"></p>
        <p><em>Painted by a network.</em></p><p>Begin with <a href="one.html">one</a>.</p>""",
    "one": f"""<h1 id="top">One thing<a class="headerlink" href="#top">#</a></h1>
        <p>See <a href="two.html#proof">the proof</a>, <a href="#later">later</a>,
        <a href="https://arxiv.org/abs/1406.2661">a paper</a>, <a href="files/a.csv">a table</a> and
        <a href="three.html#x">a page that is not printed</a>.</p>
        <div class="gb-setup"><pre>pip install the-package</pre></div>
        <details><summary>Solution</summary><p>It is folded on the screen.</p></details>
        <div class="highlight"><pre>{LONG}</pre></div>
        <section id="later" style="break-before: page"><h2>Later on
        <a class="headerlink" href="#later">#</a></h2>
        <div class="gb-live"><p>A still picture.</p></div></section>""",
    "two": """<h1>Another</h1><div><table class="gb-wide"><tr>"""
    + "".join(f"<td>column number {i}</td>" for i in range(9))
    + """</tr></table></div><section id="proof" style="break-before: page"><h2>Proof</h2>
        <p>And back to <a href="one.html#top">one</a>.</p></section>""",
}
LISTED = [Part("", ["index"]), Part("1 Introduction", ["one", "two"])]


@pytest.fixture
def built(tmp_path):
    """Three small pages as the book's builder would leave them."""
    from PIL import Image

    folder = tmp_path / "html"
    folder.mkdir()
    Image.new("RGB", (64, 32), "teal").save(folder / "cover.png")
    for name, body in PAGES.items():
        page = f"<!doctype html><meta charset=utf-8>{STYLE}<body><main class='bd-main'>"
        page += f"<article class='bd-article'>{body}</article></main>"
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def text_of(sheet) -> str:
    return re.sub(r"\s+", " ", sheet.extract_text())


def links(reader) -> dict[str, list[object]]:
    """Return {what it goes to: [sheets]} of all links: an address, or a sheet's number."""
    numbers = {page.indirect_reference.idnum: i for i, page in enumerate(reader.pages)}
    found: dict[object, list[object]] = {}
    for number, sheet in enumerate(reader.pages):
        for reference in sheet.get("/Annots", ()):
            link = reference.get_object()
            goal = link["/A"]["/URI"] if "/A" in link else numbers[link["/Dest"][0].idnum]
            found.setdefault(goal, []).append(number)
    return found


@pytest.mark.browser
@pytest.mark.slow
def test_small_pages_become_one_file(built, tmp_path):
    from pypdf import PdfReader

    target = tmp_path / "deep" / "book.pdf"
    assert make_pdf.make(built, target, LISTED) == []
    reader = PdfReader(target)
    sheets = [text_of(sheet) for sheet in reader.pages]
    # cover, contents, index, one on two sheets, two on two sheets
    assert len(sheets) == 7
    cover, contents, first, one, later, two, proof = sheets
    assert "The GAN Book" in cover
    assert "Painted by a network." in cover
    assert f"Version {version()}" in cover
    for line in ("To the reader 1", "1 Introduction", "One thing 2", "Another 4"):
        assert line in contents
    assert "To the reader" in first
    assert "Painted by" not in first
    # what is folded is open, what installs is gone, a line that is too long goes on below
    assert "It is folded on the screen." in one
    assert "pip install" not in one
    assert "the_end_of_the_line" in one.replace(" ", "")
    assert f"on the web: {address.site()}one.html." in later
    assert all(f"column number {i}" in two for i in range(9))
    # Roman numbers in front, then the numbers of the contents; a running head but not at first
    assert contents.rstrip().endswith("ii") or contents.startswith("ii")
    for number, text in enumerate((first, one, later, two, proof), start=1):
        assert re.search(rf"(^|\s){number}(\s|$)", text), text
    assert one.count("One thing") == 1
    assert "One thing" in later
    assert reader.page_labels == ["i", "ii", "1", "2", "3", "4", "5"]

    goes = links(reader)
    assert goes[3] == [1, 2, 6], "contents, index and page two lead to page one"
    assert goes[6] == [3], "page one leads to the proof on the second sheet of page two"
    assert goes[4] == [3], "and to its own later section"
    assert goes["https://arxiv.org/abs/1406.2661"] == [3]
    assert goes[address.site() + "files/a.csv"] == [3]
    assert goes[address.site() + "three.html#x"] == [3]
    assert not [goal for goal in goes if str(goal).startswith("file:")]

    def told(items):
        return [told(i) if isinstance(i, list) else (i.title, reader.get_destination_page_number(i))
                for i in items]  # fmt: skip

    assert told(reader.outline) == [
        ("Contents", 1), ("To the reader", 2), ("1 Introduction", 3),
        [("One thing", 3), [("Later on", 4)], ("Another", 5), [("Proof", 6)]],
    ]  # fmt: skip
    assert reader.metadata is not None
    assert reader.metadata.title == "The GAN Book"


@pytest.mark.browser
@pytest.mark.slow
def test_a_dead_link_and_what_is_cut_are_told(built, tmp_path):
    page = built / "two.html"
    text = page.read_text(encoding="utf-8").replace("one.html#top", "one.html#nowhere")
    text = text.replace("<h2>Proof", "<p style='width: 2000px'>Too wide</p><h2>Proof")
    page.write_text(text, encoding="utf-8")
    told = make_pdf.make(built, tmp_path / "book.pdf", LISTED)
    assert told == [
        "two: the link to one#nowhere leads nowhere",
        "two: wider than the page: P Too wide",
    ]


def version() -> str:
    import gan_book

    return gan_book.__version__


def test_the_parts_are_those_of_the_table_of_contents():
    found = make_pdf.parts()
    assert [name for part in found for name in part.pages] == notebooks.toc_files()
    assert found[0] == Part("", ["index"])
    assert Part("1 Introduction", ["introduction"]) in found


def test_some_pages_only():
    assert make_pdf.chosen(LISTED, []) == LISTED
    assert make_pdf.chosen(LISTED, ["two"]) == [Part("1 Introduction", ["two"])]
    with pytest.raises(SystemExit, match="no page four"):
        make_pdf.chosen(LISTED, ["two", "four"])


def test_a_title_with_quotes_stays_a_title():
    rules = make_pdf.style(7, 'What is "new"?\\')
    assert "counter-reset: page 6" in rules
    assert 'content: "What is \\"new\\"?\\\\"' in rules


def test_where_links_go(tmp_path):
    base, names = tmp_path.resolve().as_uri(), {"one", "two words"}
    assert resolve("#a-b", "one", tmp_path, names) == ("one", "a-b")
    assert resolve(f"{base}/one.html", "x", tmp_path, names) == ("one", "")
    assert resolve(f"{base}/two%20words.html#%C3%A9", "x", tmp_path, names) == ("two words", "é")
    assert resolve("https://example.com/#a", "x", tmp_path, names) == "https://example.com/#a"
    assert resolve(f"{base}/one.csv", "x", tmp_path, names) == f"{address.site()}one.csv"
    with pytest.raises(SystemExit, match="leaves the book"):
        resolve("file:///elsewhere/one.html", "x", tmp_path, names)


def test_joining_labels_and_bookmarks_without_a_browser(tmp_path):
    from pypdf import PdfReader, PdfWriter

    order = []
    for name, sheets in (("", 2), ("one", 3)):
        writer = PdfWriter()
        for _ in range(sheets):
            writer.add_blank_page(200, 300)
        writer.add_named_destination("contents" if not name else "part", 1)
        file = tmp_path / f"{name or 'front'}.pdf"
        writer.write(file)
        sections = [("part", "A part")] if name else []
        order.append(Printed(name, name.title(), sections, file, 1, sheets, []))
    target = tmp_path / "out.pdf"
    about = {"title": "T", "author": "A"}
    assert join(order, [Part("", ["one"])], tmp_path, target, about) == []
    reader = PdfReader(target)
    assert reader.page_labels == ["i", "ii", "1", "2", "3"]
    assert [item.title for item in reader.outline if not isinstance(item, list)] == [
        "Contents",
        "One",
    ]
    assert reader.get_destination_page_number(reader.outline[2][0]) == 3
    assert reader.metadata.author == "A"


def test_without_a_book_it_says_what_to_do(tmp_path, capsys):
    assert make_pdf.main(["--built", str(tmp_path)]) == 1
    assert "make book" in capsys.readouterr().out


def test_the_site_is_the_repositorys(tmp_path):
    text = '[project.urls]\nRepository = "https://github.com/Ada-L/prints"\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    address.repository.cache_clear()
    assert address.site(tmp_path) == "https://ada-l.github.io/prints/"
    address.repository.cache_clear()
