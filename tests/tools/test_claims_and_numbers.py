"""The tools behind claims.md and the keyed numbers."""

from __future__ import annotations

import json

import pytest

from tests.tools import check_numbers, make_claims


def notebook(path, *cells):
    """Write a notebook; a cell is its Markdown, or a pair of code and what it printed."""
    content = []
    for cell in cells:
        if isinstance(cell, str):
            content.append({"cell_type": "markdown", "metadata": {}, "source": cell})
        else:
            code, out = cell
            outputs = [{"output_type": "stream", "name": "stdout", "text": [out]}]
            content.append(
                {"cell_type": "code", "metadata": {}, "source": [code], "outputs": outputs}
            )
    path.write_text(json.dumps({"cells": content, "nbformat": 4}), encoding="utf-8")
    return path


def test_claims_are_collected(tmp_path):
    path = notebook(
        tmp_path / "one.ipynb",
        "# A chapter",
        ('gb.check("4.1-01", True, "two | pipes")', "loss 3\n4.1-01 holds: two | pipes\n"),
        ('gb.check("4.1-02", True, "b")', "4.1-02 holds: b\nnot 4.1-03 holds: c\n"),
    )
    page = make_claims.page([path])
    assert "2 claims in 1 chapter." in page
    assert "## [A chapter](one.ipynb)" in page
    assert "| 4.1-01 | two \\| pipes |" in page
    assert "4.1-03" not in page
    assert make_claims.problems([path]) == []


def test_a_claim_whose_output_is_not_stored_is_found(tmp_path):
    path = notebook(tmp_path / "one.ipynb", ('gb.check("4.1-01", True, "a")', ""))
    assert any("4.1-01" in line for line in make_claims.problems([path]))


def test_an_id_used_twice_is_found(tmp_path):
    one = notebook(tmp_path / "one.ipynb", ("x = 1", "4.1-01 holds: a\n"))
    two = notebook(tmp_path / "two.ipynb", ("x = 1", "4.1-01 holds: b\n"))
    assert make_claims.problems([one, two]) == ["4.1-01 is claimed 2 times"]


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "ladder"
    folder.mkdir(parents=True)
    record = {"kid": 0.012345, "kid_sd": 0.0031, "share": 0.6138, "n": 12345, "by": {"a": [1, -2]}}
    (folder / "r1.json").write_text(json.dumps(record), encoding="utf-8")
    return tmp_path / "results"


@pytest.mark.parametrize(
    "text",
    [
        "KID 0.0123 <!-- ladder/r1/kid -->",
        "KID 0.012345<!-- ladder/r1/kid -->",
        "61 % <!-- ladder/r1/share -->",
        "61.4% <!-- ladder/r1/share -->",
        "0.61 <!-- ladder/r1/share -->",
        "12,345 <!-- ladder/r1/n --> pictures",
        "0.012 ± 0.003 <!-- ladder/r1/kid ladder/r1/kid_sd -->",
        "−2 <!-- ladder/r1/by/a/1 -->",
        "1.23e-2 <!-- ladder/r1/kid -->",
        "`0.5 <!-- ladder/r1/kid -->` is only code",
        "```\n0.5 <!-- ladder/r1/kid -->\n```\n",
        "<!-- a comment that is no key -->",
    ],
)
def test_right_numbers_pass(tmp_path, results, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert check_numbers.problems([page], results)[1] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("KID 0.0124 <!-- ladder/r1/kid -->", "0.0124 is printed"),
        ("KID 0.01235 <!-- ladder/r1/kid -->\n0.013 <!-- ladder/r1/kid -->", "line 2"),
        ("62 % <!-- ladder/r1/share -->", "is printed"),
        ("`a` has 62 % <!-- ladder/r1/share --> of `b`", "is printed"),
        ("12,346 <!-- ladder/r1/n -->", "is printed"),
        ("0.012 ± 0.004 <!-- ladder/r1/kid ladder/r1/kid_sd -->", "0.004 is printed"),
        ("2 <!-- ladder/r1/by/a/1 -->", "is printed"),
        ("0.1 <!-- ladder/r2/kid -->", "no result file ladder/r2.json"),
        ("0.1 <!-- ladder/r1/fid -->", "has no fid"),
        ("0.1 <!-- ladder/r1/by -->", "not a number"),
        ("no number <!-- ladder/r1/kid -->", "1 keys for 0 numbers"),
    ],
)
def test_wrong_numbers_are_found(tmp_path, results, text, said):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    (line, *more) = check_numbers.problems([page], results)[1]
    assert said in line
    assert not more


def test_a_wrong_number_planted_in_a_notebook_is_found(tmp_path, results):
    path = notebook(tmp_path / "one.ipynb", "It fell to 0.02 <!-- ladder/r1/kid -->.")
    count, lines = check_numbers.problems([path], results)
    assert count == 1
    assert len(lines) == 1
