"""A picture's record: written, read, checked; what breaks it, and what loses it."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

import gan_book as gb
from gan_book import checkpoints as files
from gan_book import provenance
from gan_book.cli import app
from gan_book.errors import GanBookError
from gan_book.plots import grid
from tests.tiny import pictures, tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("provenance") / "run"
    return gb.train(tiny(), pictures(80), folder, steps=4, device="cpu", progress=False)


def resaved(path, target, text=None, change=lambda x: x, **options):
    """The picture opened and saved again, by default without any text."""
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    with Image.open(path) as picture:
        change(picture.convert("RGB")).save(target, pnginfo=info, **options)
    return target


def test_a_run_is_told_whole(run):
    told = provenance.record(run, seed=3)
    weights = files.load_tensors(run.folder / "generator.safetensors")[0]
    assert told["weights"] == {"sha256": files.digest(weights), "licence": "unknown"}
    assert told["trained_on"] == {
        "name": "noise", "sha256": pictures(80).fingerprint(), "licence": "none",
    }  # fmt: skip
    assert told["seed"] == 3
    assert told["recipe"]["name"] == "tiny"
    assert told["digital_source_type"].endswith("/trainedAlgorithmicMedia")
    assert told == provenance.record(gb.load_run(run.folder, "cpu"), seed=3)
    other = provenance.record(gb.Model(run.generator, tiny(batch_size=4)))
    assert other["recipe"]["sha256"] != told["recipe"]["sha256"]
    assert set(other["trained_on"].values()) == {"unknown"}


@pytest.mark.parametrize("name", ["landscapes-16", "atelier-32-styles"])
def test_a_shipped_model_is_that_of_its_card(name, tmp_path):
    model = gb.load_model(name, "cpu")
    assert provenance.weights_hash(model) == model.card["sha256"]
    told = provenance.record(model, seed=0)
    assert "unknown" not in {*told["trained_on"].values(), *told["weights"].values()}
    path = provenance.save(grid(model.sample(2)), tmp_path / "two.png", told)
    assert provenance.verify(path, model) == []


def test_written_read_and_checked(run, tmp_path):
    told = provenance.record(run, seed=3)
    for picture in (run.sample(1, seed=3)[0], grid(run.sample(4)), torch.zeros(1, 5, 7).byte()):
        path = provenance.save(picture, tmp_path / "one.png", told)
        found = provenance.read(path)
        assert {k: v for k, v in found.items() if k != "pixels"} == told
        assert provenance.verify(path) == provenance.verify(path, run) == []
    with Image.open(path) as picture:
        assert (picture.mode, picture.size, picture.text["seed"]) == ("L", (7, 5), "3")


def test_what_was_exchanged_is_noticed(run, tmp_path):
    path = provenance.save(run.sample(1)[0], tmp_path / "one.png", provenance.record(run, seed=0))
    with Image.open(path) as picture:
        text = dict(picture.text)

    def dot(picture):
        picture.putpixel((2, 2), tuple(255 - v for v in picture.getpixel((2, 2))))
        return picture

    changed = resaved(path, tmp_path / "dot.png", text, dot)
    assert "pixels" in " ".join(provenance.verify(changed))
    assert provenance.verify(resaved(path, tmp_path / "same.png", text), run) == []
    again = gb.train(tiny(), pictures(80), steps=4, seed=1, device="cpu", progress=False)
    problems = provenance.verify(path, again)
    assert len(problems) == 1
    assert "weights" in problems[0]
    assert len(provenance.verify(path, gb.Model(again.generator, tiny(batch_size=4)))) == 2


def test_saving_anew_loses_the_record(run, tmp_path):
    path = provenance.save(run.sample(1)[0], tmp_path / "one.png", provenance.record(run, seed=0))
    for name in ("again.png", "again.jpg", "again.webp"):
        with Image.open(path) as picture:
            picture.save(tmp_path / name)
        with pytest.raises(GanBookError, match="no provenance record"):
            provenance.read(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), ("[" * 100_000, "damaged"), ("[1]", "format"), ('{"format": 1}', "format")],
)
def test_a_damaged_record_gets_a_sentence(tmp_path, text, message):
    info = PngImagePlugin.PngInfo()
    info.add_itxt(provenance.KEY, text)
    Image.new("RGB", (4, 4)).save(tmp_path / "bad.png", pnginfo=info)
    with pytest.raises(GanBookError, match=message):
        provenance.verify(tmp_path / "bad.png")
    (tmp_path / "none.png").write_bytes(b"no picture")
    with pytest.raises(GanBookError, match="cannot be read"):
        provenance.read(tmp_path / "none.png")


def test_the_command_writes_records(run, tmp_path):
    where = ["--out", str(tmp_path / "grid.png"), "--folder", str(tmp_path / "single")]
    words = ["sample", str(run.folder), "--n", "3", "--seed", "5", "--device", "cpu", *where]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert provenance.verify(tmp_path / "grid.png", run) == []
    for i, path in enumerate(sorted((tmp_path / "single").iterdir())):
        assert provenance.verify(path, run) == []
        found = provenance.read(path)
        assert (found["seed"], found["n"], found["index"]) == (5, 3, i)
