"""Running and stamping notebooks: what is written, what is stripped, what stays as it was."""

from __future__ import annotations

import datetime
import json
from importlib.metadata import version

import pytest

from tests.tools import stamp


def notebook(path, code):
    cell = {
        "cell_type": "code", "id": "one", "execution_count": None, "outputs": [], "source": code,
        "metadata": {"tags": ["wide"], "execution": {"iopub.execute_input": "2026-01-01"}},
    }  # fmt: skip
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_notebook_is_run_in_an_empty_folder_and_stamped(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAN_BOOK_REAL_DATA", str(tmp_path))
    monkeypatch.setenv("GAN_BOOK_TIER", "full")
    code = (
        "import os\n"
        "print(os.listdir(), os.environ['GAN_BOOK_TIER'], os.environ.get('GAN_BOOK_REAL_DATA'))"
    )
    path = notebook(tmp_path / "x.ipynb", code)
    assert stamp.main([str(path)]) == 0
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["cells"][0]["outputs"][0]["text"] == ["[] cpu None\n"]
    assert stored["cells"][0]["metadata"] == {"tags": ["wide"]}
    said = stored["metadata"]["gan_book"]
    assert said["verified"] == datetime.date.today().isoformat()
    assert said["torch"] == version("torch").partition("+")[0]
    assert set(said) == {"verified", "python", "torch", "seconds"}
    assert "stamped" in capsys.readouterr().out


@pytest.mark.slow
def test_a_notebook_that_fails_stays_as_it_was(tmp_path, capsys):
    path = notebook(tmp_path / "x.ipynb", "raise ValueError('planted')")
    before = path.read_bytes()
    assert stamp.main([str(path)]) == 1
    assert path.read_bytes() == before
    out = capsys.readouterr().out
    assert "NOT stamped" in out
    assert "planted" in out
