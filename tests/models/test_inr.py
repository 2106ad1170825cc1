"""The coordinate network: its closed forms, what it may see, any size, tiles, windows, training."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from typer.testing import CliRunner

from gan_book import checkpoints, cli, model, recipes
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator, count_parameters, inr
from gan_book.models.stylegan import ModulatedConv
from gan_book.objectives import (
    DiscriminatorObjective,
    GeneratorObjective,
    ObjectiveSettings,
    Weights,
    draw,
)
from gan_book.training import update_average

SHAPES = {"square": (3, 16, 16), "wide": (1, 16, 24), "odd": (2, 28, 20), "tiny": (3, 8, 8)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
WEIGHTS = Weights(torch.tensor(0.1), torch.tensor(0.1), torch.tensor(0.0))
SMALL = {"width": 12, "layers": 3, "waves": 10, "z_dim": 6}


def generator(shape: tuple[int, ...] = (3, 16, 16), num_classes: int = 0, **options) -> nn.Module:
    torch.manual_seed(0)
    options = {**SMALL, **options}
    return build_generator(
        "inr", size=shape[1:], channels=shape[0], num_classes=num_classes, **options
    )


def discriminator(shape: tuple[int, ...] = (3, 16, 16)) -> nn.Module:
    return build_discriminator("dcgan", size=shape[1:], channels=shape[0], width=6)


def awake(g: nn.Module) -> nn.Module:
    """With biases that are not zero."""
    for name, p in g.named_parameters():
        if name.endswith("bias"):
            p.data += 0.3 * torch.randn_like(p)
    return g


def closed_form(c: int, z: int, w: int, depth: int, width: int, layers: int, waves: int) -> int:
    """Weights and biases of the mapping network, then of each layer with its style."""

    def modulated(a: int, b: int) -> int:
        return a * b + b + w * a + a

    mapping = z * w + w + (depth - 1) * (w * w + w)
    hidden = modulated(2 * waves, width) + (layers - 1) * modulated(width, width)
    return mapping + hidden + layers * modulated(width, c)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"z_dim": 5, "w_dim": 7, "mapping_layers": 3},
        {"width": 9, "layers": 1, "waves": 4},
    ],
)
def test_parameter_count_in_closed_form(options) -> None:
    o = {"z_dim": 64, "mapping_layers": 2, "width": 64, "layers": 4, "waves": 64, **options}
    g = build_generator("inr", size=32, channels=3, **options)
    w = o.get("w_dim", o["z_dim"])
    expected = closed_form(
        3, o["z_dim"], w, o["mapping_layers"], o["width"], o["layers"], o["waves"]
    )
    assert count_parameters(g) == expected


@every_shape
@pytest.mark.parametrize("num_classes", [0, 3])
def test_shapes_and_render_at_the_training_size(shape, num_classes) -> None:
    g = awake(generator(shape, num_classes))
    labels = torch.tensor([0, 1, 2, 1]) if num_classes else None
    z = torch.randn(4, g.z_dim)
    x = g(z, labels)
    assert x.shape == (4, *shape) == (4, *g.sample_shape)
    torch.testing.assert_close(g.render(z, labels, size=shape[1:]), x)
    assert g.render(z, labels, size=(5, 9)).shape == (4, shape[0], 5, 9)
    assert not g.render(z, labels, size=4).requires_grad


@pytest.mark.parametrize("tile", [1, 7, 100, 1 << 20])
def test_tiles_equal_the_whole(tile) -> None:
    g = awake(generator()).double()
    z = torch.randn(2, g.z_dim).double()
    whole = g.paint(inr.places((13, 11)).double(), g.mapping(z)).unflatten(2, (13, 11))
    torch.testing.assert_close(g.render(z, size=(13, 11), tile=tile), whole, rtol=0, atol=1e-12)


def test_tiles_bound_the_points_that_are_computed_at_a_time(monkeypatch) -> None:
    g, seen = generator(), []
    paint = g.paint
    monkeypatch.setattr(g, "paint", lambda at, w: seen.append(len(at)) or paint(at, w))
    g.render(torch.randn(1, g.z_dim), size=(40, 50), tile=300)
    assert seen == [300] * 6 + [200]


def test_finer_pictures_agree_with_coarser_ones() -> None:
    # three times as many pixels: every third center is a center of the coarse grid
    g = awake(generator())
    z = torch.randn(2, g.z_dim)
    fine = g.render(z, size=(48, 48))
    torch.testing.assert_close(fine[..., 1::3, 1::3], g(z), rtol=1e-4, atol=1e-4)


def test_windows_cut_out_and_reach_beyond() -> None:
    g = awake(generator((3, 16, 24)))
    z = torch.randn(1, g.z_dim)
    whole = g(z)
    corner = g.render(z, size=(4, 12), window=(0.75, 0.5, 1, 1))
    torch.testing.assert_close(corner, whole[..., 12:, 12:], rtol=1e-4, atol=1e-4)
    wide = g.render(z, size=(16, 48), window=(0, -0.5, 1, 1.5))
    torch.testing.assert_close(wide[..., 12:36], whole, rtol=1e-4, atol=1e-4)
    assert wide[..., :12].std() > 0


def test_places_are_pixel_centers_row_by_row() -> None:
    at = inr.places((2, 4))
    assert at.tolist()[:5] == [[0.25, x] for x in (0.125, 0.375, 0.625, 0.875)] + [[0.75, 0.125]]
    at = inr.places((1, 2), (0.0, -1.0, 1.0, 1.0))
    assert at.tolist() == [[0.5, -0.5], [0.5, 0.5]]


def test_features_are_the_plane_waves_below_the_bandwidth() -> None:
    torch.manual_seed(0)
    features = inr.FourierFeatures(2000, 6.0, (16, 32))
    k = features.waves
    assert k.norm(dim=1).max() <= 6.0
    assert torch.equal(k, k.half().float())  # shipping in half precision moves no wave
    # uniform lengths and directions, but for the rounding towards zero
    assert abs(k.norm(dim=1).mean() - 3.0) < 0.15
    assert abs(k.mean()) < 0.15
    at = torch.rand(500, 2)
    got = features(at)
    y, x = at[:, 0] * 16 / 32, at[:, 1]  # the longer side has length 1
    for i in (0, 7):
        phase = 2 * math.pi * (k[i, 0] * y + k[i, 1] * x)
        torch.testing.assert_close(got[i], math.sqrt(2) * phase.sin(), rtol=0, atol=1e-4)
        torch.testing.assert_close(got[2000 + i], math.sqrt(2) * phase.cos(), rtol=0, atol=1e-4)
    torch.testing.assert_close(got.square().mean(0), torch.ones(500), rtol=1e-5, atol=0)


def test_default_bandwidth_is_half_of_nyquist_and_aliases_meet_on_the_grid() -> None:
    assert generator((1, 16, 24)).bandwidth == 6
    assert generator(bandwidth=40).bandwidth == 40
    # a wave of k and one of k + 16 cycles are the same numbers at 16 pixel centers, up to a sign
    features = inr.FourierFeatures(1, 1.0, (16, 16))
    features.waves = torch.tensor([[0.0, 3.0]])
    slow = features(inr.places((16, 16)))
    slow_fine = features(inr.places((64, 64)))
    features.waves = torch.tensor([[0.0, 19.0]])
    fast = features(inr.places((16, 16)))
    # pixel centers are half a pixel off: exp(2 pi i 16 (j + 1/2) / 16) = -1
    torch.testing.assert_close(fast, -slow, rtol=0, atol=1e-4)
    assert (features(inr.places((64, 64))) + slow_fine).abs().max() > 1


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulated_layer_is_the_convolution_of_stylegan(demodulate) -> None:
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 1, 4, demodulate).double()
    layer = inr.ModulatedLinear(5, 7, 4, 1.7, demodulate).double()
    layer.weight.data = conv.weight.data[:, :, 0, 0].clone()
    layer.style.load_state_dict(conv.style.state_dict())
    layer.bias.data = torch.randn(7).double()
    x, w = torch.randn(3, 5, 6).double(), torch.randn(3, 4).double()
    expected = 1.7 * conv(x[..., None], w)[..., 0] + layer.bias[:, None]
    torch.testing.assert_close(layer(x, w), expected, rtol=1e-6, atol=1e-6)
    shared = layer(x[0], w)  # features of places are the same for all samples
    torch.testing.assert_close(shared, layer(x[:1].expand(3, -1, -1), w))


def test_no_point_looks_at_another_and_each_color_listens_to_z() -> None:
    g = awake(generator())
    at, w = torch.rand(6, 2, requires_grad=True), g.mapping(torch.randn(1, g.z_dim))
    slopes = torch.autograd.functional.jacobian(lambda at: g.paint(at, w)[0].abs().sum(0), at)
    assert (slopes.abs().sum(2) - torch.diag(slopes.abs().sum(2).diagonal()) == 0).all()
    assert (slopes.abs().sum(2).diagonal() > 0).all()
    a, b = g(torch.randn(2, g.z_dim))
    assert (a - b).abs().min(0).values.mean() > 1e-3
    z = torch.randn(4, g.z_dim)
    torch.testing.assert_close(g.mapping(7 * z), g.mapping(z), rtol=1e-4, atol=1e-5)


def objectives(g: nn.Module, d: nn.Module, **settings):
    settings = ObjectiveSettings(**settings)
    rng = torch.Generator().manual_seed(3)
    draws = draw(settings, 8, g.z_dim, g.sample_shape, 0.0, rng)
    batch = Batch(torch.randn(8, *g.sample_shape, generator=rng), None)
    return GeneratorObjective(g, d, settings), DiscriminatorObjective(g, d, settings), batch, draws


@pytest.mark.parametrize("side", [0, 1])
def test_one_step_moves_every_parameter(side) -> None:
    g, d = generator(), discriminator()
    *both, batch, draws = objectives(g, d)
    loss, _ = both[side](batch, draws, WEIGHTS)
    net = (g, d)[side]
    before = copy.deepcopy(net.state_dict())
    optimizer = torch.optim.Adam(net.parameters(), 1e-2, (0.0, 0.99))
    loss.backward()
    optimizer.step()
    for name, p in net.named_parameters():
        assert not torch.equal(p, before[name]), name
    after = both[side](batch, draws, WEIGHTS)[0]
    assert after < loss


def test_average_keeps_the_waves() -> None:
    g = generator()
    average = copy.deepcopy(g)
    for p in g.parameters():
        p.data += 1
    before = {name: p.clone() for name, p in average.named_parameters()}
    update_average(average, g, 0.75)
    assert torch.equal(average.features.waves, g.features.waves)
    for name, p in average.named_parameters():
        torch.testing.assert_close(p, before[name] + 0.25)


@pytest.mark.slow
def test_compiled_equals_eager() -> None:
    results = []
    for compiled in (False, True):
        torch._dynamo.reset()
        g, d = awake(generator()), discriminator()
        *both, batch, draws = objectives(g, d, engine="func")
        for side in both:
            run = torch.compile(side, fullgraph=True, backend="aot_eager") if compiled else side
            run(batch, draws, WEIGHTS)[0].backward()
        results.append([p.grad for net in (g, d) for p in net.parameters()])
        assert all(grad is not None and grad.abs().sum() > 0 for grad in results[-1])
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)


def test_export_keeps_the_picture() -> None:
    g = awake(generator()).eval()
    z = torch.randn(3, g.z_dim)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(g, (z,), dynamic_shapes={"z": {0: batch}}, strict=True)
    more = torch.randn(5, g.z_dim)
    torch.testing.assert_close(exported.module()(more), g(more), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["inr-32", "inr-64"])
def test_recipes_stay_below_nyquist(name) -> None:
    recipe = recipes.recipe(name)
    with torch.device("meta"):
        g = build_generator(**recipe.network_options(recipe.generator))
        build_discriminator(**recipe.network_options(recipe.discriminator))
    assert g.bandwidth <= max(recipe.size) / 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bandwidth": 0}, "bandwidth"),
        ({"bandwidth": "8"}, "bandwidth"),
        ({"bandwidth": float("nan")}, "bandwidth"),
        ({"bandwidth": True}, "bandwidth"),
        ({"waves": 0}, "'waves'"),
        ({"layers": 65}, "'layers'"),
        ({"width": 1.5}, "'width'"),
        ({"mapping_layers": 0}, "'mapping_layers'"),
        ({"start": 4}, "no option"),
    ],
)
def test_wrong_options_get_a_sentence(options, words) -> None:
    with pytest.raises(GanBookError, match=words):
        build_generator("inr", size=16, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, "'size'"),
        ({"size": (4, 1 << 17)}, "'size'"),
        ({"size": 4, "tile": 0}, "'tile'"),
        ({"size": 4, "window": (0, 0, 0, 1)}, "window"),
        ({"size": 4, "window": (0, 0, 1)}, "window"),
        ({"size": 4, "window": (0, 0, 1, math.inf)}, "window"),
    ],
)
def test_wrong_renders_get_a_sentence(options, words) -> None:
    g = generator()
    with pytest.raises(GanBookError, match=words):
        g.render(torch.randn(1, g.z_dim), **options)


def test_there_is_no_discriminator_of_this_kind() -> None:
    with pytest.raises(GanBookError, match="no discriminator called 'inr'"):
        build_discriminator("inr", size=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder as ``load_model`` opens it, with fresh weights."""
    place = tmp_path_factory.mktemp("inr")
    recipe = recipes.recipe("inr-32")
    torch.manual_seed(0)
    g = build_generator(**recipe.network_options(recipe.generator))
    meta = {"recipe": recipe.to_dict(), "name": "inr-32"}
    checkpoints.save_tensors(place / "generator.safetensors", g.state_dict(), meta)
    return place


def test_samples_of_another_size_show_the_same_pictures(folder) -> None:
    made = model.load_model(folder, device="cpu")
    fine = made.sample(2, seed=3, size=(96, 96))
    assert fine.shape == (2, 3, 96, 96)
    assert fine.dtype == torch.uint8
    same = made.sample(2, seed=3)
    assert (fine[..., 1::3, 1::3].int() - same.int()).abs().max() <= 1  # rounding
    with pytest.raises(GanBookError, match="its training only"):
        model.load_model("landscapes-16", device="cpu").sample(1, size=(32, 32))


def test_command_line_draws_at_another_size(folder, tmp_path) -> None:
    out = tmp_path / "big"
    words = ["sample", str(folder), "--n", "2", "--folder", str(out), "--size"]
    result = CliRunner().invoke(cli.app, [*words, "40x100"])
    assert result.exit_code == 0, result.output
    with Image.open(out / "000001.png") as picture:
        assert picture.size == (100, 40)
    for wrong in ("40", "0x9", "9x", "4x100000", "-4x4", "4 x 4"):
        other = [*words[:5], str(tmp_path / "none"), "--size"]
        result = CliRunner().invoke(cli.app, [*other, wrong])
        assert result.exit_code == 2, wrong
        assert "--size" in result.output


def test_it_learns_one_picture() -> None:
    # the network alone, by least squares: a disc on a ground, which no wave of 4 cycles can draw
    g = generator(width=24, waves=16, layers=3)
    y, x = inr.places((16, 16)).T.reshape(2, 16, 16)
    disc: Tensor = 2.0 * ((y - 0.4) ** 2 + (x - 0.6) ** 2 < 0.05).float() - 1
    z = torch.zeros(1, g.z_dim)
    optimizer = torch.optim.Adam(g.parameters(), 1e-2, (0.9, 0.99))
    for _ in range(300):
        optimizer.zero_grad()
        loss = F.mse_loss(g(z), disc.expand(1, 3, 16, 16))
        loss.backward()
        optimizer.step()
    assert loss < 0.02
    fine_y, fine_x = inr.places((64, 64)).T.reshape(2, 64, 64)
    inside = ((fine_y - 0.4) ** 2 + (fine_x - 0.6) ** 2) ** 0.5
    fine = g.render(z, size=64)[0].mean(0)
    assert fine[inside < 0.1].min() > 0 > fine[inside > 0.4].mean()
