"""The models that the book ships: their cards are complete and say the truth."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.models import count_parameters
from gan_book.plots import grid
from gan_book.recipes import from_dict
from tests.benchmarks import showcase, showcase_fits

MODELS = gb.data_path() / "models"
PAINTERS = {path.parent.name for path in MODELS.glob("*/generator.safetensors")}
NAMES = sorted(PAINTERS - {*showcase_fits.RECIPES})  # those have a test file of their own
MEGABYTE = 2**20
CARD = {
    "name", "use", "trained on", "licence", "licence of the pictures", "pictures", "command",
    "fingerprint of the pictures", "recipe", "parameters", "dtype", "sha256", "images seen",
    "images seen by the whole run", "seconds", "environment", "chosen by", "measured", "samples",
}  # fmt: skip


def test_every_show_is_shipped_and_nothing_else():
    assert sorted(showcase.SHOWS) == NAMES


def test_together_they_stay_small():
    sizes = [p.stat().st_size for p in MODELS.rglob("generator.safetensors")]
    assert max(sizes) <= 3 * MEGABYTE
    assert sum(p.stat().st_size for p in MODELS.rglob("*") if p.is_file()) <= 20 * MEGABYTE


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete_and_of_these_weights(name):
    card = files.read_json(MODELS / name / "card.json")
    assert set(card) >= CARD
    tensors, meta = files.load_tensors(MODELS / name / "generator.safetensors")
    assert files.digest(tensors) == card["sha256"]
    generator = gb.load_model(name, device="cpu").generator
    assert count_parameters(generator) == card["parameters"]  # buffers are stored, not counted
    assert tensors.keys() == generator.state_dict().keys()
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert meta["recipe"] == card["recipe"]
    early = card["images seen by the whole run"] < card["recipe"]["total_images"]
    part = f" --images {card['images seen by the whole run']}, then --ship" if early else ""
    assert card["command"].endswith(f"showcase.py {name}{part}")
    assert 0 < card["images seen"] <= card["images seen by the whole run"]


@pytest.mark.parametrize("name", NAMES)
def test_recipe_of_the_card_is_the_one_in_the_package(name):
    card = files.read_json(MODELS / name / "card.json")
    # read, not compared as text: a setting that came later has its default in older cards
    assert from_dict(card["recipe"]) == gb.recipe(name)


@pytest.mark.parametrize("name", NAMES)
def test_log_reaches_as_far_as_the_card_says(name):
    lines = (MODELS / name / "log.jsonl").read_text(encoding="utf-8").splitlines()
    card = files.read_json(MODELS / name / "card.json")
    assert f'"images": {card["images seen by the whole run"]},' in lines[-1]


@pytest.mark.parametrize("name", NAMES)
def test_sheet_of_samples_is_of_this_model(name):
    """The stored sheet equals new samples, up to what another processor rounds otherwise."""
    model = gb.load_model(name, device="cpu")
    with Image.open(MODELS / name / "samples.png") as picture:
        assert picture.text["model"] == name
        stored = torch.tensor(list(picture.convert("RGB").tobytes()), dtype=torch.int16)
    again = grid(showcase.sheet_of(model), 8, 2).convert("RGB")
    fresh = torch.tensor(list(again.tobytes()), dtype=torch.int16)
    assert stored.shape == fresh.shape
    assert (stored - fresh).abs().max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_measured_row_beats_the_controls_that_it_names(name):
    """A shipped model is nearer to real pictures than a Gaussian of pixels is."""
    rows = files.read_json(MODELS / name / "card.json")["measured"]["rows"]
    kid = {row["name"]: row["kid"]["value"] for row in rows}
    generator = next(iter(kid.values()))
    assert generator < kid["PCA-Gaussian"]
