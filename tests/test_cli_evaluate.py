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
    *table, hint = done.stdout.splitlines()
    assert "\n".join(table) == str(report)
    assert hint.startswith("Train longer:")  # 3 of 60 steps
    assert "--resume" in hint
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_another_file_and_pictures(run, tmp_path):
    (run / "evaluation.json").unlink(missing_ok=True)
    out = tmp_path / "numbers.json"
    assert call(run, "--images", "atelier", "--out", out).exit_code == 0
    assert json.loads(out.read_text())["facts"]["n_real"] == 100
    assert not (run / "evaluation.json").exists()


def test_only_a_run_that_was_cut_short_is_told_to_train_longer(run, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "generator.safetensors").write_bytes((run / "generator.safetensors").read_bytes())
    done = call(model, "--images", "atelier")
    assert done.exit_code == 0, done.stderr
    assert "Does not beat" in done.stdout
    assert "Train longer" not in done.stdout


@pytest.mark.parametrize("name", ["no-such-run", "runs/nope"])
def test_a_run_that_is_not_there_is_said_before_anything_is_drawn(name):
    done = call(name)
    assert done.exit_code == 2
    assert "Drawing" not in done.stderr
    assert name in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no-such-run"], "model 'no-such-run'; shipped"),
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
