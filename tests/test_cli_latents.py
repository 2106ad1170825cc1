"""``gan-book invert`` and ``gan-book film`` on a small run, from the call to the files."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from gan_book.checkpoints import load_tensors, save_tensors
from gan_book.cli import app
from gan_book.data import load_images, to_float, to_uint8
from gan_book.features import extractor
from gan_book.latents import Space
from gan_book.runs import open_model, train
from tests.tiny import pictures, tiny


def call(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="gan-book")


def refused(result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr.replace("\n", " ")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A run, a conditional one, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("latents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_BOOK_CACHE", str(folder / "cache"))
        short = {"steps": 2, "progress": False, "device": "cpu"}
        train(tiny(), pictures(), folder / "run", **short)
        train(tiny(num_classes=2), pictures(classes=2), folder / "classes", **short)
        mine = folder / "mine"
        mine.mkdir()
        for i, picture in enumerate(pictures(5, 12, seed=3).images):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(mine / f"p{i}.png")
        yield folder


def invert(place: Path, out: str, run: str = "run", *more: object):
    return call(
        "invert", place / run, place / "mine", "--out", place / out, "--steps", 5, "--starts", 2,
        "--device", "cpu", *more,
    )  # fmt: skip


def test_invert_writes_codes_pictures_and_errors(place: Path):
    result = invert(place, "one", "run", "--n", 3)
    assert result.exit_code == 0, result.output
    assert "3 of 5 pictures" in result.stdout
    tensors, meta = load_tensors(place / "one" / "latents.safetensors")
    assert meta["space"] == "z"
    assert tensors["codes"].shape == (3, 4)
    space = Space(open_model(place / "run", "cpu").generator)
    made = space.decode(tensors["codes"])  # the codes alone give the pictures again
    images = load_images(place / "mine", 8, progress=False)
    report = json.loads((place / "one" / "errors.json").read_text())
    rows = report["pictures"]
    assert [row["picture"] for row in rows] == list(images.ids[:3])
    rms = (made - to_float(images.images[:3])).square().mean((1, 2, 3)).sqrt()
    assert torch.allclose(torch.tensor([row["pixels"] for row in rows]), rms, atol=1e-5)
    net = extractor(device="cpu")
    apart = (net(images.images[:3]) - net(to_uint8(made))).norm(dim=1)
    assert torch.allclose(torch.tensor([row["features"] for row in rows]), apart, rtol=1e-3)
    pair = Image.open(place / "one" / "000001.png")
    assert pair.size == (16 + 4, 8 + 4)
    left = torch.tensor(np.array(pair.convert("RGB"))[2:10, 2:10])  # (8, 8, 3)
    assert torch.equal(left.permute(2, 0, 1), images.images[1])
    assert (place / "one" / "pictures.png").is_file()
    refused(invert(place, "one"), "not an empty folder")


def test_pictures_are_inverted_in_parts(place: Path, monkeypatch):
    found = []
    for out, at_once in (("whole", 32), ("parts", 2)):
        monkeypatch.setattr("gan_book.cli_latents.AT_ONCE", at_once)
        assert invert(place, out, "classes").exit_code == 0
        found.append(load_tensors(place / out / "latents.safetensors")[0])
    assert found[0]["codes"].shape == (5, 4)
    assert torch.equal(found[0]["labels"], found[1]["labels"])
    assert torch.allclose(found[0]["codes"], found[1]["codes"], atol=1e-4)


def test_a_film_goes_through_inverted_pictures(place: Path):
    assert invert(place, "two").exit_code == 0
    out = place / "through.gif"
    result = call("film", place / "run", "--through", place / "two", "--out", out, "--frames", 10,
                  "--device", "cpu", "--scale", 1)  # fmt: skip
    assert result.exit_code == 0, result.output
    with Image.open(out) as film:
        assert film.n_frames == 10
        assert film.size == (12, 12)
    refused(
        call("film", place / "classes", "--through", place / "two", "--out", out),
        "another generator",
    )


def test_a_film_has_by_default_a_frame_for_each_picture(place: Path):
    (place / "many").mkdir()
    codes = {"codes": torch.randn(64, 4, generator=torch.Generator().manual_seed(0))}
    save_tensors(place / "many" / "latents.safetensors", codes, {"run": "run", "space": "z"})
    out = place / "many.webp"
    result = call("film", place / "run", "--through", place / "many", "--out", out, "--scale", 1,
                  "--device", "cpu")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "64 frames" in result.stdout


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_films_loop_and_begin_with_the_pictures_of_the_seed(place: Path, kind: str):
    out = place / f"walk.{kind}"
    result = call("film", place / "classes", "--out", out, "--frames", 6, "--keys", 3, "--walks", 2,
                  "--scale", 4, "--seed", 4, "--device", "cpu", "--label", 1)  # fmt: skip
    assert result.exit_code == 0, result.output
    first = open_model(place / "classes", "cpu").sample(2, seed=4, labels=1)
    with Image.open(out) as film:
        assert film.n_frames == 6
        assert film.info.get("loop") == 0
        shown = torch.tensor(np.array(film.convert("RGB"))[10:40:4, 10:40:4])  # (8, 8, 3)
    gap = (shown.permute(2, 0, 1).float() - first[0]).abs().mean()
    assert gap < 12  # GIF has 256 colors, WebP loses a little


def test_mp4_says_what_it_needs_and_uses_it(place: Path, monkeypatch, tmp_path: Path):
    out = place / "walk.mp4"
    words = ("film", place / "run", "--out", out, "--frames", 4, "--keys", 2, "--scale", 3,
             "--fps", 7, "--device", "cpu")  # fmt: skip
    monkeypatch.setattr(shutil, "which", lambda name: None)
    refused(call(*words), "MP4 needs the program ffmpeg", ".gif")
    monkeypatch.undo()
    fake = tmp_path / "ffmpeg"  # writes its arguments and the number of bytes that it was given
    fake.write_text('#!/bin/sh\nfor last; do :; done\necho "$@" > "$last"\nwc -c >> "$last"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    result = call(*words)
    assert result.exit_code == 0, result.output
    arguments, count = out.read_text().splitlines()
    side = 8 * 3 + 2 * 6
    assert f"-s {side}x{side} -r 7" in arguments
    assert int(count) == 4 * side * side * 3
    fake.write_text("#!/bin/sh\necho no space >&2\nexit 1\n")
    refused(call(*words), "ffmpeg cannot write", "no space")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_a_real_mp4(place: Path):
    out = place / "real.mp4"
    result = call(
        "film", place / "run", "--out", out, "--frames", 4, "--keys", 2, "--device", "cpu"
    )
    assert result.exit_code == 0, result.output
    assert b"ftyp" in out.read_bytes()[:16]


def test_arguments_that_do_not_fit_get_a_sentence(place: Path):
    out = place / "x.gif"
    refused(call("film", place / "run", "--out", place / "x.avi"), ".gif, .webp or .mp4")
    refused(call("film", place / "run", "--out", out, "--label", 0), "0 classes")
    refused(call("film", place / "classes", "--out", out, "--label", 2), "2 classes")
    refused(call("film", place / "run", "--out", out, "--space", "w"), "no mapping network")
    refused(call("film", place / "run", "--out", out, "--frames", 2), "frames")
    refused(
        call("film", place / "run", "--out", out, "--through", place / "none"), "does not exist"
    )
    refused(call("film", "no-such-model", "--out", out), "no run or model")
    refused(invert(place, "three", "no-such-run"), "no run or model")
    assert not out.exists()
    assert not (place / "three").exists()
