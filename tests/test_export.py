"""ONNX files: they paint what PyTorch paints, at any batch, and say what they are."""

from __future__ import annotations

import importlib
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import gan_book as gb
from gan_book import checkpoints as files
from gan_book import export
from gan_book.cli import app
from gan_book.errors import GanBookError
from gan_book.export import Part, export_onnx, halve, session, to_onnx
from gan_book.model import Model, latents
from gan_book.models import build_generator
from gan_book.models.inr import places
from tests.tiny import pictures, tiny

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

MODELS = gb.data_path() / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/generator.safetensors"))


def model_of(size=(8, 8), classes=0, **generator) -> Model:
    torch.manual_seed(0)
    chosen = tiny(size=list(size), num_classes=classes, generator=generator)
    return Model(build_generator(**chosen.network_options(chosen.generator)), chosen)


def run(path, **given: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(session(path).run(None, {k: v.numpy() for k, v in given.items()})[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_model_paints_the_same_pictures(name, tmp_path):
    """As uint8, through a path of its own: ``Model.sample`` against the file."""
    path = tmp_path / "model.onnx"
    model = gb.load_model(name, device="cpu")
    made = export_onnx(name, path)
    assert made.error < 1e-5
    z, k = latents(6, model.generator.z_dim, seed=3), model.recipe.num_classes  # (6, z_dim)
    if "t" in made.inputs:  # one step of a diffusion model, called as often as it samples
        image = z.unflatten(1, model.generator.sample_shape)  # (6, C, H, W)
        for t, s in pairwise(torch.linspace(1, 0, model.generator.steps + 1)):
            image = run(path, x=image, t=t.expand(6), s=s.expand(6))
    else:
        given = {"z": z, "labels": torch.eye(k)[torch.arange(6) % k]} if k else {"z": z}
        image = run(path, **given)  # (6, C, H, W)
    assert image.abs().max() <= 1
    step = (gb.to_uint8(image).int() - model.sample(6, seed=3).int()).abs()
    assert step.max() <= 1
    assert (step > 0).float().mean() < 1e-3  # rounding at the border of two levels
    tensors, _ = files.load_tensors(MODELS / name / "generator.safetensors")
    assert made.metadata["sha256 of the weights"] == files.digest(tensors)
    assert made.metadata["licence"] == model.card["licence"]


@pytest.mark.parametrize(
    "generator",
    [
        {"model": "dcgan", "width": 4, "z_dim": 4, "batch_norm": True},
        {"model": "dcgan", "width": 4, "z_dim": 4, "upsampling": "resize"},
        {"model": "transformer", "z_dim": 4},
    ],
    ids=lambda g: "-".join(map(str, g.values())),
)
def test_pictures_need_not_be_square(generator, tmp_path):
    made = export_onnx(model_of((8, 16), **generator), tmp_path / "wide.onnx")
    assert made.outputs == {"image": ("batch", 3, 8, 16)}
    assert made.metadata["size"] == "8x16"
    assert made.error < 1e-5


@pytest.mark.parametrize("model", ["dcgan", "transformer"])
@pytest.mark.parametrize("part", ["mapping", "synthesis"])
def test_only_a_generator_with_styles_comes_in_parts(model, part, tmp_path):
    with pytest.raises(GanBookError, match="export it whole"):
        export_onnx(model_of(model=model, z_dim=4), tmp_path / "x.onnx", part=part)
    assert not (tmp_path / "x.onnx").exists()


def test_vectors_that_are_sums_are_exported(tmp_path):
    model = model_of(classes=6, model="dcgan", width=4, z_dim=4, factors=(3, 2))
    path = tmp_path / "x.onnx"
    export_onnx(model, path)
    z, labels = latents(6, 4, seed=0), torch.arange(6)
    got = run(path, z=z, labels=torch.eye(6))
    torch.testing.assert_close(got, model.generator(z, labels), atol=1e-5, rtol=0)


def test_labels_may_be_mixed(tmp_path):
    model = model_of(classes=3, model="dcgan", width=4, z_dim=4)
    path = tmp_path / "x.onnx"
    made = export_onnx(model, path)
    assert made.inputs == {"z": ("batch", 4), "labels": ("batch", 3)}
    z, labels = latents(3, 4, seed=0), torch.tensor([2, 0, 1])
    expected = model.generator(z, labels)  # (3, 3, 8, 8)
    torch.testing.assert_close(
        run(path, z=z, labels=torch.eye(3)[labels]), expected, atol=1e-5, rtol=0
    )
    net = model.generator  # a mixture is the mean of the learned vectors
    mean = net.latent.embed.weight.mean(0, keepdim=True)  # (1, embedding)
    with torch.no_grad():
        net.latent.embed.weight[:1] = mean
        expected = net(z[:1], torch.tensor([0]))
    got = run(path, z=z[:1], labels=torch.full((1, 3), 1 / 3))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_the_two_halves_of_a_stylegan_make_the_whole(tmp_path):
    model = model_of(model="stylegan", width=4, z_dim=4)
    net = model.generator
    net.w_mean.normal_()
    for layer in net.layers:
        nn.init.constant_(layer.strength, 0.3)  # noise must matter, or it could be dropped
    paths = {part: tmp_path / f"{part}.onnx" for part in export.PARTS}
    for part, path in paths.items():
        export_onnx(model, path, part=part)
    z = latents(3, net.z_dim, seed=1)  # (3, style_dim + noise_dim)
    w = run(paths["mapping"], z=z[:, :4], psi=torch.ones(3, 1))  # (3, num_layers, w_dim)
    image = run(paths["synthesis"], w=w, noise=z[:, 4:])
    torch.testing.assert_close(image, run(paths["whole"], z=z), atol=1e-5, rtol=0)
    torch.testing.assert_close(image, net(z).clamp(-1, 1), atol=1e-5, rtol=0)
    other = run(paths["synthesis"], w=w, noise=-z[:, 4:])
    assert (other - image).abs().max() > 1e-3
    truncated = run(paths["mapping"], z=z[:, :4], psi=torch.tensor([[0.0], [0.5], [1.0]]))
    for i, psi in enumerate((0.0, 0.5, 1.0)):
        torch.testing.assert_close(truncated[i], net.mapping(z, psi=psi)[i], atol=1e-5, rtol=0)


def test_a_coordinate_network_renders_any_size(tmp_path):
    model = model_of(model="inr", width=8, z_dim=4, waves=4)
    export_onnx(model, tmp_path / "w.onnx", part="mapping")
    export_onnx(model, tmp_path / "x.onnx", part="synthesis")
    z = latents(2, 4, seed=0)
    w = run(tmp_path / "w.onnx", z=z)
    colors = run(tmp_path / "x.onnx", w=w, places=places((5, 11)))  # (2, 3, 55)
    expected = model.generator.render(z, size=(5, 11)).clamp(-1, 1)
    torch.testing.assert_close(colors.unflatten(2, (5, 11)), expected, atol=1e-5, rtol=0)


def test_half_precision_halves_the_file_and_errs_a_little(tmp_path):
    model = model_of(model="dcgan", width=16, z_dim=16)
    full = export_onnx(model, tmp_path / "full.onnx")
    made = export_onnx(model, tmp_path / "half.onnx", half=True)
    assert made.size < 0.6 * full.size
    assert full.half_error is None
    assert 1e-6 < made.half_error < 1e-2
    assert made.metadata["precision of the weights"] == "float16"
    rounded = Model(model.generator, model.recipe)
    with torch.no_grad():
        for p in rounded.generator.parameters():
            p.copy_(p.half().float())
    z = latents(2, 16, seed=0)
    got = run(tmp_path / "half.onnx", z=z)
    torch.testing.assert_close(got, rounded.generator(z), atol=1e-5, rtol=0)


def test_half_precision_refuses_what_it_cannot_hold():
    model = model_of(model="dcgan", width=4, z_dim=16)
    with torch.no_grad():
        model.generator.first.weight[0, 0] = 70_000.0
    proto = to_onnx(Part(model.generator, "whole", False))
    with pytest.raises(GanBookError, match="too large for half precision"):
        halve(proto)


def test_no_path_of_this_machine_is_in_the_file(tmp_path):
    export_onnx(model_of(model="dcgan", width=4, z_dim=4), tmp_path / "x.onnx")
    data = (tmp_path / "x.onnx").read_bytes()
    assert b".py" not in data
    assert b"/home" not in data


def test_a_file_that_paints_otherwise_is_not_written(tmp_path, monkeypatch):
    wrong = Part.forward
    monkeypatch.setattr(export, "to_onnx", _to_onnx_of_twice_the_net)
    with pytest.raises(GanBookError, match="differ by .* is not written"):
        export_onnx(model_of(model="dcgan", width=4, z_dim=4), tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
    assert Part.forward is wrong


def _to_onnx_of_twice_the_net(module):
    with torch.no_grad():
        for p in (changed := Part(module.net, "whole", False)).parameters():
            p.mul_(1.5)
    return to_onnx(changed)


def test_a_fixed_batch_is_noticed(tmp_path):
    class Fixed(nn.Module):
        z_dim, num_classes = 4, 0

        def forward(self, z, labels=None):
            return z.reshape(2, 1, 2, 2)  # only for the batch of tracing

    with pytest.raises(GanBookError, match=r"batch|cannot be exported"):
        export_onnx(Model(Fixed(), tiny()), tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


class Constant(nn.Module):
    output = "image"

    def __init__(self, value: float) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.full((4,), value))

    def example(self, n):
        return {"z": latents(n, 4, seed=n)}

    def forward(self, **given):
        return self.const * given["z"].sign().abs()  # (N, 4)


def test_another_shape_is_not_broadcast_to_equal(monkeypatch):
    module = Constant(1.0).eval()
    proto = to_onnx(module)
    monkeypatch.setattr(Constant, "forward", lambda self, z: self.const.expand(len(z), 1, 4))
    with pytest.raises(GanBookError, match=r"batch of 1 .* with \(1, 4\), PyTorch with \(1, 1, 4"):
        export.largest_difference(proto, module)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_does_not_pass_as_equal(value):
    module = Constant(value).eval()
    with pytest.raises(GanBookError, match="numbers that are none"):
        export.largest_difference(to_onnx(module), module)


def test_only_style_networks_have_parts(tmp_path):
    with pytest.raises(GanBookError, match="export it whole"):
        export_onnx(model_of(model="dcgan", width=4, z_dim=4), tmp_path / "x", part="mapping")
    with pytest.raises(GanBookError, match="no part"):
        export_onnx(model_of(model="dcgan", width=4, z_dim=4), tmp_path / "x", part="half")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    found = importlib.import_module

    def without(name: str, package: str | None = None):
        if name == "onnxscript":
            raise ModuleNotFoundError("No module named 'onnxscript'")
        return found(name, package)

    monkeypatch.setattr(export.importlib, "import_module", without)
    with pytest.raises(GanBookError, match="'onnxscript'.*pip install onnx onnxscript onnxruntime"):
        export_onnx("landscapes-16", tmp_path / "x.onnx")


def test_the_command_exports_a_run(tmp_path):
    folder, target = tmp_path / "run", tmp_path / "art.onnx"
    made = gb.train(tiny(), pictures(100), folder, steps=2, device="cpu", progress=False)
    words = ["export", str(folder), "--onnx", str(target)]
    done = CliRunner().invoke(app, [*words, "--half"])
    assert done.exit_code == 0, done.output
    assert "image    float32 (batch, 3, 8, 8)" in done.output
    assert "rounded to half precision" in done.output
    z = latents(2, 4, seed=0)
    torch.testing.assert_close(run(target, z=z), made.generator(z), atol=1e-2, rtol=0)
    properties = {p.key: p.value for p in onnx.load(target).metadata_props}
    assert properties["licence of the pictures"] == "none"
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2
    assert "exists" in again.output
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0
    best = CliRunner().invoke(app, [*words, "--force", "--best"])
    assert best.exit_code == 2
    assert "no best checkpoint" in best.output
    assert np.isfinite(run(target, z=z).numpy()).all()
