"""The shipped models that are no GANs: complete cards, the same networks, as good as those say."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import nn

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.data import to_float
from gan_book.denoising import DDIMGenerator, sample
from gan_book.errors import GanBookError
from gan_book.fitted import ENCODER, fit_recipe, load_encoder
from gan_book.models import count_parameters
from gan_book.plots import grid
from tests.benchmarks import editing, showcase_fits
from tests.test_shipped_models import CARD, MODELS

NAMES = sorted(showcase_fits.RECIPES)
PAINTERS = [name for name in NAMES if showcase_fits.RECIPES[name].kind != "encoder"]
READERS = sorted(path.parent.name for path in MODELS.glob(f"*/{ENCODER}"))
INVERTER = f"{showcase_fits.SUBJECT}-encoder"


def card_of(name: str) -> dict:
    return files.read_json(MODELS / name / "card.json")


def row(name: str, which: str) -> dict:
    return {one["name"]: one for one in card_of(name)["measured"]["rows"]}[which]


def parts(name: str) -> dict[str, nn.Module]:
    """The networks of a model as they are loaded, by the names of their files."""
    found = {}
    if name in PAINTERS:
        found["generator"] = gb.load_model(name, device="cpu").generator
    if name in READERS:
        found["encoder"] = load_encoder(name, device="cpu").net
    return found


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete_and_of_these_weights(name: str):
    card, nets = card_of(name), parts(name)
    assert set(card) >= CARD
    assert card["command"].endswith(f"showcase_fits.py {name}")
    assert fit_recipe(card["recipe"], "card") == showcase_fits.RECIPES[name]
    assert {f"{part}.safetensors" for part in nets} == {
        path.name for path in (MODELS / name).glob("*.safetensors")
    }
    for i, (part, net) in enumerate(nets.items()):
        which = f" of the {part}" if i else ""
        tensors, meta = files.load_tensors(MODELS / name / f"{part}.safetensors")
        assert files.digest(tensors) == card[f"sha256{which}"]
        assert count_parameters(net) == card[f"parameters{which}"]
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
        assert meta == {"fit": card["recipe"], "name": name}
    assert 0 < card["images seen"] <= card["images seen by the whole run"]
    assert card["images seen by the whole run"] == card["recipe"]["total_images"]
    lines = (MODELS / name / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert f'"images": {card["images seen by the whole run"]},' in lines[-1]


@pytest.mark.slow
def test_the_pictures_are_those_of_the_comparison():
    images = gb.load_images("atelier", size=16, n=10_000, seed=0, progress=False)
    for name in PAINTERS:
        assert card_of(name)["fingerprint of the pictures"] == images.fingerprint()


@pytest.mark.parametrize("name", NAMES)
def test_sheet_is_of_this_model(name: str):
    with Image.open(MODELS / name / "samples.png") as picture:
        assert picture.text["model"] == name
        stored = torch.tensor(list(picture.convert("RGB").tobytes()), dtype=torch.int16)
    again = grid(showcase_fits.sheet_of(name), 8, 2).convert("RGB")
    fresh = torch.tensor(list(again.tobytes()), dtype=torch.int16)
    assert (stored - fresh).abs().max() <= 1


def test_a_diffusion_model_paints_what_its_sampler_does():
    net = gb.load_model("diffusion-16", device="cpu").generator
    assert isinstance(net, DDIMGenerator)
    x = sample(
        net.denoiser, (3, 3, 16, 16), 25, torch.Generator().manual_seed(5), "ddim", bound=1.0
    )
    z = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(5)).flatten(1)
    torch.testing.assert_close(net(z), x, atol=1e-5, rtol=0)


def test_a_vae_rebuilds_what_it_was_shown():
    """With its own encoder nearer than with the codes of other pictures."""
    decode = gb.load_model("vae-16", device="cpu").generator
    x = to_float(gb.load_images("atelier", size=16, n=64, seed=5, progress=False).images)
    made = decode(load_encoder("vae-16", device="cpu")(x))  # (64, 3, 16, 16)
    off = torch.cdist(made.flatten(1), x.flatten(1))  # (64, 64)
    assert (off.argmin(1) == torch.arange(64)).float().mean() > 0.9


def test_the_encoder_is_of_the_generator_that_is_shipped_and_as_good_as_measured():
    card = card_of(INVERTER)
    assert card[f"sha256 of {showcase_fits.SUBJECT}"] == card_of(showcase_fits.SUBJECT)["sha256"]
    g = gb.load_model(showcase_fits.SUBJECT, device="cpu").generator
    held = showcase_fits.landscapes(showcase_fits.TEST, editing.FRESH).images
    x = to_float(held)  # (96, 3, 16, 16)
    made = g(load_encoder(INVERTER, device="cpu")(x))
    error = (made - x).square().flatten(1).mean(1).sqrt().median().item()
    assert error == pytest.approx(row(INVERTER, "encoder")["error"], rel=0.01)
    assert error < row(INVERTER, "linear encoder")["error"]


class Reading(nn.Module):
    """An encoder for the exporter: an example of its input, and a name for what comes out."""

    output = "z"

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def example(self, n: int) -> dict[str, torch.Tensor]:
        rng = torch.Generator().manual_seed(n)
        return {"image": 2 * torch.rand(n, 3, 16, 16, generator=rng) - 1}

    def forward(self, **given: torch.Tensor) -> torch.Tensor:
        return self.encoder(given["image"])


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_encoders_are_the_same_in_onnx(name: str):
    """What paints is in test_export.py."""
    export = pytest.importorskip("gan_book.export")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    module = Reading(load_encoder(name, device="cpu")).eval().requires_grad_(False)
    assert export.largest_difference(export.to_onnx(module), module) < 1e-5


def test_another_name_and_another_file_are_refused(tmp_path):
    with pytest.raises(GanBookError, match=f"no encoder 'nobody'; shipped: {INVERTER}"):
        load_encoder("nobody")
    net = parts("vae-16")["encoder"]
    files.save_tensors(tmp_path / ENCODER, net.state_dict(), {"fit": {"name": "x"}})
    with pytest.raises(GanBookError, match="says of no fit"):
        load_encoder(tmp_path)
