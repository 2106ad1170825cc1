"""Result files."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_book import results
from gan_book.errors import GanBookError

RECORD = {"seed": 0, "seconds": 1.5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_BOOK_RESULTS", str(tmp_path))
    return tmp_path


def test_round_trip_with_environment(folder):
    record = RECORD | {
        "kid": torch.tensor(0.25),
        "curve": np.arange(3),
        "sd": np.float32(0.5),
        "ok": np.bool_(True),
        "nested": {"sizes": (8, 16), 4: None},
    }
    path = results.save_result("ladder", "r1-seed0", record)
    assert path == folder / "ladder" / "r1-seed0.json"
    loaded = results.load_results("ladder")["r1-seed0"]
    assert loaded["kid"] == 0.25
    assert loaded["curve"] == [0, 1, 2]
    assert loaded["sd"] == 0.5
    assert loaded["ok"] is True
    assert loaded["nested"] == {"sizes": [8, 16], "4": None}
    assert (loaded["name"], loaded["cell"], loaded["seed"]) == ("ladder", "r1-seed0", 0)
    environment = loaded["environment"]
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert environment["threads"] == torch.get_num_threads()
    assert environment["device"] in ("cpu", "cuda")
    assert environment["device_name"]


def test_no_result_names_a_place_on_this_machine(folder):
    text = results.save_result("a", "b", RECORD).read_text(encoding="utf-8")
    assert str(Path.home()) not in text
    assert os.uname().nodename not in json.loads(text).get("environment", {}).values()
    with pytest.raises(GanBookError, match="is a path"):
        results.save_result("a", "b", RECORD | {"run": Path("/somewhere")})


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"seconds": 1}, "seed"),
        ({"seed": 1}, "wall time"),
        (RECORD | {"environment": {}}, "'environment'"),
        (RECORD | {"kid": float("nan")}, "a/b/kid is nan"),
        (RECORD | {"curve": [1.0, float("inf")]}, "a/b/curve/1 is inf"),
        (RECORD | {"model": object()}, "object"),
    ],
)
def test_incomplete_records_are_refused(folder, record, said):
    with pytest.raises(GanBookError, match=said):
        results.save_result("a", "b", record)
    assert not (folder / "a" / "b.json").exists()


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a b", ".hidden", None])
def test_names_that_are_no_file_names_are_refused(folder, name):
    with pytest.raises(GanBookError, match="cannot name"):
        results.save_result(name, "cell", RECORD)
    with pytest.raises(GanBookError, match="cannot name"):
        results.save_result("name", name, RECORD)


def test_a_failed_write_keeps_the_old_result(folder, monkeypatch):
    path = results.save_result("a", "b", RECORD | {"kid": 1})
    old = path.read_text(encoding="utf-8")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.save_result("a", "b", RECORD | {"kid": 2})
    assert path.read_text(encoding="utf-8") == old
    assert [file.name for file in path.parent.iterdir()] == ["b.json"], "a temporary file is left"


def _write(folder: str, number: int) -> None:
    os.environ["GAN_BOOK_RESULTS"] = folder
    for _ in range(20):
        results.save_result("race", "cell", RECORD | {"numbers": [number] * 2000})


@pytest.mark.slow
def test_two_writers_never_leave_a_mixture(folder):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(str(folder), n)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        if (folder / "race" / "cell.json").exists():
            numbers = results.load_results("race")["cell"]["numbers"]
            assert len(set(numbers)) == 1
            assert len(numbers) == 2000
            seen += 1
    assert seen > 0
    assert [writer.exitcode for writer in writers] == [0, 0]


def test_missing_and_broken_results_get_a_sentence(folder):
    with pytest.raises(GanBookError, match="no results named 'nothing'"):
        results.load_results("nothing")
    (folder / "broken").mkdir()
    (folder / "broken" / "x.json").write_text("{", encoding="utf-8")
    with pytest.raises(GanBookError, match=r"x\.json cannot be read"):
        results.load_results("broken")


def test_new_results_hide_shipped_ones(tmp_path, monkeypatch):
    package = tmp_path / "gan_book"
    shipped = package / "_data" / "results"
    own = tmp_path / "own"
    monkeypatch.setattr(results, "PACKAGE", package)
    results.save_result("a", "x", RECORD | {"kid": 1}, folder=shipped)
    results.save_result("a", "y", RECORD | {"kid": 2}, folder=shipped)
    monkeypatch.setenv("GAN_BOOK_RESULTS", str(own))
    results.save_result("a", "x", RECORD | {"kid": 3})
    loaded = results.load_results("a")
    assert {cell: record["kid"] for cell, record in loaded.items()} == {"x": 3, "y": 2}


def test_nothing_is_written_into_an_installed_package(tmp_path, monkeypatch):
    monkeypatch.delenv("GAN_BOOK_RESULTS", raising=False)
    monkeypatch.setattr(results, "PACKAGE", tmp_path / "site-packages" / "gan_book")
    assert results.results_folder() == Path("results")


def test_data_path(tmp_path, monkeypatch):
    package = tmp_path / "gan_book"
    monkeypatch.setattr(results, "PACKAGE", package)
    in_repository = tmp_path / "data" / "models" / "card.json"
    in_repository.parent.mkdir(parents=True)
    in_repository.write_text("{}", encoding="utf-8")
    assert results.data_path("models", "card.json") == in_repository
    in_wheel = package / "_data" / "models" / "card.json"
    in_wheel.parent.mkdir(parents=True)
    in_wheel.write_text("{}", encoding="utf-8")
    assert results.data_path("models", "card.json") == in_wheel
    with pytest.raises(GanBookError, match="no models/none.json"):
        results.data_path("models", "none.json")
