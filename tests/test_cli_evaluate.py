"""``gan-book evaluate``: the table, the file, and sentences for what cannot be measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gan_book as gb
from gan_book import measuring
from gan_book.cli import app
from tests.test_measuring import StandIn
from tests.tiny import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    images = gb.load_images("atelier", 16, n=90)
    gb.train(tiny(size=[16, 16]), images, folder, steps=3, progress=False)
    return folder


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """A small stand-in for the extractor, and few fresh pictures."""
    monkeypatch.setenv("GAN_BOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measuring, "FRESH", 100)
    monkeypatch.setattr(measuring, "open_extractor", lambda name, device: StandIn(name=name))
    measuring._painted.cache_clear()


def call(*words: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)], prog_name="gan-book")


def test_table_and_file(run):
    done = call(run, "--n", 40, "--seed", 2, "--extractor", "dinov2")
    assert done.exit_code == 0, done.stderr
    stored = json.loads((run / "evaluation.json").read_text())
    assert (stored["facts"]["n"], stored["facts"]["seed"]) == (40, 2)
    assert stored["facts"]["extractor"] == "dinov2"
    report = measuring.evaluate(run, n=40, seed=2, extractor=StandIn(name="dinov2"))
    assert done.stdout.rstrip("\n") == str(report)
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_another_file_and_pictures(run, tmp_path):
    (run / "evaluation.json").unlink(missing_ok=True)
    out = tmp_path / "numbers.json"
    assert call(run, "--images", "atelier", "--out", out).exit_code == 0
    assert json.loads(out.read_text())["facts"]["n_real"] == 100
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no-such-run"], "There is no model 'no-such-run'"),
        (["RUN", "--out", "numbers.txt"], "ends in .json"),
        (["RUN", "--n", "4000"], "whole number from 20 to"),
        (["RUN", "--images", "no-such-folder/"], "no file or folder"),
        (["RUN", "--seed", "-1"], "seed must be"),
        (["RUN", "--extractor", "clip"], "clip"),
        (["RUN", "--images", "digits"], "not those of the run"),
    ],
)
def test_bad_input_gets_a_sentence(run, words, sentence):
    done = call(*(run if word == "RUN" else word for word in words))
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
