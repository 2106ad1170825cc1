"""The offline edition is the same to the last byte when its content is."""

from __future__ import annotations

import os
import zipfile

import pytest

from tests.tools import make_zip


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "html"
    (folder / "_static").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Book</h1>", encoding="utf-8")
    (folder / "_static" / "书.css").write_text("p {}", encoding="utf-8")
    (folder / "_static" / "big.js.map").write_text("{}", encoding="utf-8")
    (folder / ".buildinfo").write_text("# today", encoding="utf-8")
    return folder


def test_the_same_content_gives_the_same_bytes(built, tmp_path):
    notebook = tmp_path / "a.ipynb"
    notebook.write_text("{}", encoding="utf-8")
    wheel = tmp_path / "gan_book-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    first, second = tmp_path / "1.zip", tmp_path / "deep" / "2.zip"
    size = make_zip.write(first, built, [notebook], wheel)
    os.utime(built / "index.html", (1, 1))
    make_zip.write(second, built, [notebook], wheel)
    assert first.read_bytes() == second.read_bytes()
    assert size == first.stat().st_size
    (built / "index.html").write_text("<h1>Other</h1>", encoding="utf-8")
    make_zip.write(second, built, [notebook], wheel)
    assert first.read_bytes() != second.read_bytes()


def test_names_dates_and_what_is_left_out(built, tmp_path):
    wheel = tmp_path / "gan_book-1-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    make_zip.write(tmp_path / "x.zip", built, [], wheel)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        infos = archive.infolist()
        note = archive.read("gan-book/README.txt").decode("utf-8-sig")
    names = [info.filename for info in infos]
    assert names == sorted(names)
    assert {info.date_time for info in infos} == {make_zip.DATE}
    assert names == [
        "gan-book/README.txt",
        "gan-book/book/_static/书.css",
        "gan-book/book/index.html",
        "gan-book/gan_book-1-py3-none-any.whl",
    ]
    assert note.count("pip install gan_book-1-py3-none-any.whl") == 2
    assert "双击" in note


def test_without_a_wheel_the_note_names_none():
    assert "pip install" not in make_zip.readme(None)


def test_without_a_book_it_says_what_to_do(tmp_path, capsys):
    assert make_zip.main(["--built", str(tmp_path), "--out", str(tmp_path / "x.zip")]) == 1
    assert "make book" in capsys.readouterr().out
