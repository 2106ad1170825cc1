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
        "import ipywidgets, os\n"
        "slider = ipywidgets.IntSlider()\n"
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
    assert "widgets" not in stored["metadata"]
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


def test_text_edited_during_the_run_is_kept_and_edited_code_refused(tmp_path, monkeypatch, capsys):
    path = notebook(tmp_path / "x.ipynb", "print(1)")
    ran = json.loads(path.read_text(encoding="utf-8"))
    ran["cells"][0] |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]}

    def edit(text, code):
        now = json.loads(path.read_text(encoding="utf-8"))
        note = {"cell_type": "markdown", "id": "two", "metadata": {}, "source": text}
        now["cells"] = [now["cells"][0] | {"source": code}, note]
        path.write_text(json.dumps(now), encoding="utf-8")
        return json.loads(json.dumps(ran)), 3.0

    monkeypatch.setattr(stamp, "run", lambda path: edit("written meanwhile", "print(1)"))
    assert stamp.main([str(path)]) == 0
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored["cells"][0]["outputs"] == ran["cells"][0]["outputs"]
    assert stored["cells"][1]["source"] == "written meanwhile"
    monkeypatch.setattr(stamp, "run", lambda path: edit("more", "print(2)"))
    assert stamp.main([str(path)]) == 1
    assert "code was edited" in capsys.readouterr().out
    assert json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"] == "print(2)"
