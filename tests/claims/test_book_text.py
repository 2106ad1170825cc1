"""The book tells the truth: claims, numbers, citations, notebook rules, one address."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import (
    address,
    check_numbers,
    citations,
    lint_notebooks,
    make_claims,
    make_exercises,
    notebooks,
)

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = notebooks.notebook_files()


def test_there_is_a_book():
    assert (notebooks.BOOK / "index.md").is_file()


def test_every_page_of_the_contents_exists_and_every_page_is_in_the_contents():
    named = notebooks.toc_files()
    assert len(set(named)) == len(named)
    there = {path.stem for path in [*NOTEBOOKS, *notebooks.BOOK.glob("*.md")]}
    assert set(named) == there


def test_claims_page_is_current():
    written = (notebooks.BOOK / "claims.md").read_text(encoding="utf-8")
    assert written == make_claims.page(NOTEBOOKS), "python tests/tools/make_claims.py --write"


def test_exercises_page_is_current():
    written = (notebooks.BOOK / "exercises.md").read_text(encoding="utf-8")
    assert written == make_exercises.page(NOTEBOOKS), "python tests/tools/make_exercises.py --write"
    assert make_exercises.problems(NOTEBOOKS) == []


def test_claims_are_unique_and_stored():
    assert make_claims.problems(NOTEBOOKS) == []


def test_keyed_numbers_are_those_of_the_result_files():
    pages = NOTEBOOKS + notebooks.markdown_files()
    assert check_numbers.problems(pages, ROOT / "data" / "results")[1] == []


def test_bibliography_and_citations_agree():
    bib = (notebooks.BOOK / "references.bib").read_text(encoding="utf-8")
    assert citations.problems(bib, citations.pages()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_keeps_the_rules(path):
    assert lint_notebooks.problems(path) == []


def test_notebooks_together_keep_the_rules():
    assert lint_notebooks.across(NOTEBOOKS) == []


def test_the_address_is_one():
    assert address.problems() == []
