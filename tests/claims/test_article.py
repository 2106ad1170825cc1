"""The annotated article: every statement has a number, a verdict and something that shows it."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.tools import notebooks

PAGE = notebooks.BOOK / "article.md"
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| A")]
VERDICTS = {"right", "half right", "wrong", "no meaning", "a plan"}
CLAIM = re.compile(r"\[\d+\.\d+-\d+\]\([\w-]+\.ipynb\)")
NO_CLAIM = {"history.md", "art-practice.md", "encoder-decoder.ipynb"}


def verdict(row: list[str]) -> str:
    """The bold words that open a row's second column."""
    found = re.match(r"\*\*(.+?)\*\*\.", row[1])
    assert found, row[0]
    return found[1]


def test_statements_are_numbered_in_order_and_there_are_at_least_45():
    numbers = [re.match(r"A(\d+): ", row[0]) for row in ROWS]
    assert [int(n[1]) for n in numbers if n] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 45
    assert all(len(row) == 3 for row in ROWS)


def test_verdicts_are_the_five_and_counted_rightly_in_the_first_paragraphs():
    counts = Counter(verdict(row) for row in ROWS)
    assert set(counts) == VERDICTS
    head = " ".join(TEXT.split("## ")[0].split())
    assert f"Below are {len(ROWS)} statements" in head
    for name, words in (
        ("right", "right"),
        ("half right", "half right"),
        ("wrong", "wrong"),
        ("no meaning", "without meaning"),
        ("a plan", "plans or wishes"),
    ):
        assert f"{counts[name]} **{words}**" in head


def test_each_row_names_a_claim_or_a_page_of_history_or_practice():
    for row in ROWS:
        if not CLAIM.search(row[2]):
            assert re.search(r"\]\(([\w.-]+)\)", row[2])[1] in NO_CLAIM, row[0]


@pytest.mark.real_data
def test_quotations_are_the_articles_words():
    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    texts = sorted(Path(folder).parent.glob("article/*.txt")) if folder else []
    if not texts:
        pytest.skip("the article's text is not here")
    article = texts[0].read_text(encoding="utf-8")
    for row in ROWS:
        quoted = re.match(r"A\d+: (`.+?`|.+?) \(", row[0])
        assert quoted, row[0]
        assert quoted[1].strip("`") in article, row[0]
