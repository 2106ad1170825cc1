"""Readers see numbers, not the keys that tests compare them by, and no space before a period."""

from __future__ import annotations

import importlib.util

import pytest

from tests.book.pages import BUILT, ROOT
from tests.tools.check_numbers import COMMENT

spec = importlib.util.spec_from_file_location(
    "book_access", ROOT / "book" / "_ext" / "book_access.py"
)
book_access = importlib.util.module_from_spec(spec)
spec.loader.exec_module(book_access)


def test_keys_go_with_the_space_before_them_and_other_comments_stay():
    text = "to 0.197 <!-- peers/a-b/kid -->, <!-- Table of contents -->0.1 <!-- a/b a/c -->."
    assert book_access.repair(text) == "to 0.197, <!-- Table of contents -->0.1."
    cell = "<td>0.145 <!-- peers/kid --> (0.140 to 0.150)</td>"
    assert book_access.repair(cell) == "<td>0.145 (0.140 to 0.150)</td>"


@pytest.mark.book
def test_no_built_page_holds_a_key():
    sources = [*(ROOT / "book").glob("*.md"), *(ROOT / "book").glob("*.ipynb")]
    keyed = [p.stem for p in sources if COMMENT.search(p.read_text(encoding="utf-8"))]
    assert len(keyed) > 10, "then this test looks at nothing"
    for name in keyed:
        assert not COMMENT.search((BUILT / f"{name}.html").read_text(encoding="utf-8")), name


def test_a_number_keeps_its_percent_sign():
    text = 'from 43 to 33\n% lower, <img alt="33 %"> 5 <!-- a/b/c --> %'
    kept = 'from 43 to 33\u00a0% lower, <img alt="33 %"> 5\u00a0%'
    assert book_access.repair(text) == kept
