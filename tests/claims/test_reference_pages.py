"""The pages to look things up in: results, glossary, questions."""

from __future__ import annotations

import json
import re

import pytest

from tests.tools import make_api, make_claims, make_results, notebooks

GLOSSARY = (notebooks.BOOK / "glossary.md").read_text(encoding="utf-8")
QUESTIONS = (notebooks.BOOK / "faq.md").read_text(encoding="utf-8")
COMMAND = re.compile(r"`gan-book ([a-z]+)|^gan-book ([a-z]+)", re.MULTILINE)


def test_results_page_is_current():
    written = (notebooks.BOOK / "results.md").read_text(encoding="utf-8")
    assert written == make_results.page(), "python tests/tools/make_results.py --write"


def test_seeds_are_folded_into_mean_and_range(tmp_path):
    folder = tmp_path / "vae"
    folder.mkdir()
    where = {"device_name": "a CPU", "packages": {"torch": "2.11"}}
    for seed, kl in enumerate((1.0, 2.0, 6.0)):
        record = {"kl": kl, "elbo_unseen": -1234.0, "environment": where}
        (folder / f"sd1-seed{seed}.json").write_text(json.dumps(record), encoding="utf-8")
    page = make_results.page(tmp_path, [])
    assert "| `sd1` | -1,234 | 3 (1 to 6) |" in page
    assert "squared error" not in page.split("## vae")[1]  # no file has that column


def test_a_grid_without_columns_is_found(tmp_path):
    (tmp_path / "new-grid").mkdir()
    with pytest.raises(ValueError, match="new-grid"):
        make_results.page(tmp_path, [])


def test_glossary_is_in_order_and_says_each_thing_once():
    rows = [line.strip("| ").split(" | ") for line in GLOSSARY.splitlines() if line[:2] == "| "]
    terms = [row[0] for row in rows[2:]]
    assert len(terms) > 60
    assert terms == sorted(set(terms), key=str.lower)
    assert all(len(row) == 4 and re.search(r"[\u4e00-\u9fff]|bf16", row[1]) for row in rows[2:])


def test_sections_that_the_questions_point_to_exist():
    found = re.findall(r"\]\(([\w-]+)\.(ipynb|md)\), \*([^*]+)\*", QUESTIONS.replace("\n", " "))
    assert len(found) > 12
    for name, kind, section in found:
        path = notebooks.BOOK / f"{name}.{kind}"
        text = path.read_text(encoding="utf-8")
        headings = re.findall(r"#{2,4} ([^\n\\\"]+)", text)
        assert any(section.lower() in h.lower() for h in headings), (name, section)


@pytest.fixture(scope="module")
def where():
    """The chapter of each claim."""
    return {
        claim.id: chapter.name
        for chapter in notebooks.notebook_files()
        for claim in make_claims.stored(chapter)
    }


@pytest.mark.parametrize("path", sorted(notebooks.BOOK.glob("*.md")), ids=lambda p: p.stem)
def test_claims_that_pages_link_to_stand_in_that_chapter(path, where):
    links = re.findall(r"\[(\d+\.\d+-\d+)\]\(([\w-]+\.ipynb)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if where.get(link[0]) != link[1]] == []


def test_commands_of_the_questions_exist():
    from gan_book.cli import app

    names = {c.name or c.callback.__name__.replace("_", "-") for c in app.registered_commands}
    used = {one or two for one, two in COMMAND.findall(QUESTIONS)}
    assert len(used) > 6
    assert used <= names


def test_page_of_the_package_is_current():
    written = (notebooks.BOOK / "api.md").read_text(encoding="utf-8")
    assert written == make_api.page(), "python tests/tools/make_api.py --write"


def test_every_name_of_gb_has_a_section_with_its_call():
    page = make_api.page()
    assert len(make_api.home()) > 20
    for name, module in make_api.home().items():
        assert f"### `gb.{name}` (`{module}`)\n\n```python\n{name}" in page
