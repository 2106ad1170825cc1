"""The gates can fail: a planted fault in a notebook or page ends with a status other than 0."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import run_notebooks

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def notebook(path, *cells):
    """Write a notebook; each cell is its code and what is stored as its output."""
    content = [
        {
            "cell_type": "code",
            "id": f"cell{i}",
            "metadata": {},
            "execution_count": i + 1,
            "source": code,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": out}] if out else [],
        }
        for i, (code, out) in enumerate(cells)
    ]
    text = {"cells": content, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(text), encoding="utf-8")
    return path


def gate(*arguments):
    command = [sys.executable, str(ROOT / "tests/tools/run_notebooks.py"), *map(str, arguments)]
    # This test may itself run under xdist, whose variables must not reach the inner pytest.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(command, capture_output=True, text=True, env=clean)


def test_a_good_notebook_passes_in_an_empty_folder(tmp_path):
    code = (
        "import os\nprint(sorted(n for n in os.listdir() if n.endswith(('.py', '.md', '.toml'))))"
    )
    done = gate(notebook(tmp_path / "good.ipynb", (code, "[]\n"), ("x = 1", "")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "good: " in done.stdout, "the time of the notebook is missing"


@pytest.mark.parametrize(
    "cells",
    [
        [("raise ValueError('no')", "")],
        [("print(1 + 1)", "3\n")],
        [("print(2)", "2\n"), ("assert 1 == 2", "")],
        [("print('4.1-01 holds: x')", "4.1-01 holds: y\n")],
    ],
    ids=["raises", "other output", "assert", "other claim"],
)
def test_a_planted_failing_notebook_fails(tmp_path, cells):
    good = notebook(tmp_path / "good.ipynb", ("x = 1", ""))
    done = gate(good, notebook(tmp_path / "bad.ipynb", *cells))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout


def test_timings_and_progress_bars_are_not_compared(tmp_path):
    code = "print('3.2 s, 512.3 images/s'); print(object())"
    stored = "4.7 s, 3,100 images/s\n<object object at 0x7f0011223344>\n"
    done = gate(notebook(tmp_path / "times.ipynb", (code, stored)))
    assert done.returncode == 0, done.stdout


def test_a_notebook_over_its_budget_fails(tmp_path):
    path = notebook(tmp_path / "late.ipynb", ("import time; time.sleep(2)", ""))
    done = gate("--budget", "1", path)
    assert done.returncode == 1, done.stdout
    assert "1.5 times its budget" in done.stdout


def test_no_notebook_is_no_success(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_notebooks.notebooks, "notebook_files", lambda: [])
    assert run_notebooks.main([]) == 1


PAGES = {
    "_config.yml": "title: T\nonly_build_toc_files: true\nexecute: {execute_notebooks: 'off'}\n"
    "sphinx: {local_extensions: {book_offline: EXT}, recursive_update: true, "
    "config: {html_context: {default_mode: auto}, mathjax_path: x.js}}\n",
    "book/_toc.yml": "format: jb-book\nroot: index\n",
}


def build(tmp_path, text):
    (tmp_path / "book").mkdir()
    for name, content in PAGES.items():
        content = content.replace("EXT", str(ROOT / "book" / "_ext"))
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "book" / "index.md").write_text(text, encoding="utf-8")
    tool = str(ROOT / "tests/tools/build_book.py")
    command = [sys.executable, tool, "--source", str(tmp_path / "book"), "--out", str(tmp_path)]
    return subprocess.run([*command, "--seconds", "120"], capture_output=True, text=True)


def test_a_clean_page_builds(tmp_path):
    done = build(tmp_path, "# Title\n\n$x$ [a link](https://example.com)\n")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "_build" / "html" / "index.html").read_text(encoding="utf-8")
    assert "thebe" not in page.lower()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Title\n\n[nowhere](missing.md)\n", "missing.md"),
        ("# Title\n\n{ref}`nothing`\n", "nothing"),
        ("# Title\n\n```{raw} html\n<script src='https://cdn.example/x.js'></script>\n```\n",
         "would load https://cdn.example/x.js"),
        ("# Title\n\n![A picture](https://cdn.example/x.png)\n", "cdn.example"),
    ],
    ids=["link", "reference", "script", "picture"],
)  # fmt: skip
def test_a_planted_fault_fails_the_build(tmp_path, text, said):
    done = build(tmp_path, text)
    assert done.returncode != 0, done.stdout
    assert said in done.stdout + done.stderr
