"""The whole way of a reader with a folder of paintings, by the command line, in tiny settings.

Train, evaluate, sample, invert, film, translate, report: each step reads what the one before
left on the disk, and what it leaves is opened again here.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageSequence
from typer.testing import CliRunner

import gan_book as gb
from gan_book.checkpoints import load_tensors
from gan_book.cli import app

RECIPE = """
summary = "tiny, for a test"
size = [16, 16]
generator = { model = "dcgan", width = 8, z_dim = 8 }
discriminator = { model = "dcgan", width = 8 }
batch_size = 16
total_images = 160
r1 = 0.1
r2 = 0.1
lr = 1e-3
ema_half_life = 100
precision = "fp32"
log_every = 32
sample_every = 32
checkpoint_every = 64
"""
PICTURES, SHOWN = 220, 2

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], prog_name="gan-book")
    assert done.exit_code == 0, (words, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request) -> Path:
    """A reader's folder, with a space in its name."""
    paintings: Path = request.getfixturevalue("paintings")
    place = tmp_path_factory.mktemp("way")
    with zipfile.ZipFile(paintings) as archive:
        names = [n for n in sorted(archive.namelist()) if n.lower().endswith((".jpg", ".png"))]
        for i, name in enumerate(names[:: len(names) // PICTURES][:PICTURES]):
            suffix = Path(name).suffix
            (place / "my pictures").mkdir(exist_ok=True)
            (place / "my pictures" / f"{i:03d}{suffix}").write_bytes(archive.read(name))
    (place / "few").mkdir()
    for path in sorted((place / "my pictures").iterdir())[:SHOWN]:
        (place / "few" / path.name).write_bytes(path.read_bytes())
    (place / "tiny.toml").write_text(RECIPE, encoding="utf-8")
    return place


def test_from_a_folder_of_paintings_to_a_page(folder):
    pictures, few, run = folder / "my pictures", folder / "few", folder / "run"
    device = ("--device", "cpu")

    call("train", pictures, "--recipe", folder / "tiny.toml", "--out", run, "--steps", 4, *device)
    call("train", pictures, "--out", run, "--resume", *device)
    trained = gb.load_run(run, device="cpu")
    assert (trained.steps, trained.images_seen) == (10, 160)

    told = call("evaluate", run, *device)
    numbers = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert [row["name"] for row in numbers["rows"]][1:] == [
        "real pictures (floor)", "PCA-Gaussian", "copies of training",
    ]  # fmt: skip
    assert "Does not beat PCA-Gaussian" in told  # ten steps have learned nothing
    assert numbers["memorization"] is not None

    call(
        "sample", run, "--n", 3, "--folder", folder / "drawn", "--out", folder / "grid.png", *device
    )
    assert len(list((folder / "drawn").glob("*.png"))) == 3

    found = folder / "found"
    call("invert", run, few, "--out", found, "--starts", 2, "--steps", 20, *device)
    codes = load_tensors(next(found.glob("*.safetensors")))[0]["codes"]
    assert codes.shape == (SHOWN, 8)
    (errors,) = (json.loads(p.read_text(encoding="utf-8")) for p in found.glob("*.json"))
    assert [row["picture"] for row in errors["pictures"]] == sorted(p.name for p in few.iterdir())
    real = gb.to_float(gb.load_images(few, size=16, min_images=1).images)
    with torch.no_grad():
        made = trained.generator(codes)
    error = (real - made).square().mean((1, 2, 3)).sqrt()
    assert [row["pixels"] for row in errors["pictures"]] == pytest.approx(error.tolist(), abs=1e-3)

    for out, options in (
        ("walk.gif", ()),
        ("between.webp", ("--through", found)),
    ):
        call("film", run, "--out", folder / out, "--frames", 6, *options, *device)
        with Image.open(folder / out) as film:
            assert sum(1 for _ in ImageSequence.Iterator(film)) > 1

    colors = folder / "colors"
    small = ("--size", 16, "--width", 8, "--steps", 3)
    call("translate", pictures, "--task", "gray", "--out", colors, *small, *device)
    call("translate", few, "--with", colors, "--out", folder / "colored", *device)
    done = sorted((folder / "colored").rglob("*.png"))
    assert len(done) == SHOWN
    for path in done:
        with Image.open(path) as picture:
            assert picture.mode == "RGB"

    call("report", run, *device)
    page = (run / "report.html").read_text(encoding="utf-8")
    for heading in ("What it makes", "Measurements", "Most suspicious pictures", "Card"):
        assert f"<h2>{heading}</h2>" in page
