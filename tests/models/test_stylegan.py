"""StyleGAN: styles, demodulation, rates, mixing, truncation, path lengths, published sizes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_book import penalties
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator, count_parameters
from gan_book.models import stylegan as sg
from gan_book.objectives import (
    DiscriminatorObjective,
    Draws,
    GeneratorObjective,
    ObjectiveSettings,
    Weights,
    draw,
    shard,
)
from gan_book.training import update_average

from .zoo import recipe_parameters

SHAPES = {"square": (3, 16, 16), "wide": (1, 16, 24), "odd grid": (2, 28, 20), "small": (3, 8, 8)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
ZERO = torch.zeros(())
WEIGHTS = Weights(ZERO + 0.1, ZERO + 0.1, ZERO)


def pair(shape: tuple[int, ...] = (3, 16, 16), num_classes: int = 0, **only_g):
    torch.manual_seed(0)
    options = {"size": shape[1:], "channels": shape[0], "num_classes": num_classes, "width": 6}
    g = build_generator("stylegan", z_dim=10, **only_g, **options)
    return g, build_discriminator("stylegan", **options)


def awake(g: nn.Module) -> nn.Module:
    """With noise and biases that are not zero."""
    for name, p in g.named_parameters():
        if name.endswith(("strength", "bias")):
            p.data += 0.3 * torch.randn_like(p)
    return g


@pytest.mark.parametrize(("mapping_layers", "of_g"), [(2, 28_794_124), (8, 30_370_060)])
def test_published_parameter_counts(mapping_layers: int, of_g: int) -> None:
    # Configuration F at 1024 x 1024. Public logs of the official PyTorch code print 28,794,124 for
    # G with two mapping layers and 29,012,513 for D; six more layers of 512 * 513 make 30,370,060.
    # Theirs has more: RGB has a bias at each of 9 resolutions, D's last layer has one.
    with torch.device("meta"):
        g = build_generator(
            "stylegan",
            size=1024,
            z_dim=512,
            mapping_layers=mapping_layers,
            width=32,
            max_width=512,
        )
        d = build_discriminator("stylegan", size=1024, width=32, max_width=512, minibatch_std=4)
    assert count_parameters(g) + 8 * 3 == of_g
    assert count_parameters(d) + 1 == 29_012_513
    assert g.num_layers == 18


@every_shape
@pytest.mark.parametrize("num_classes", [0, 3])
def test_shapes_and_the_three_calls_agree(shape, num_classes) -> None:
    g, d = pair(shape, num_classes)
    awake(g)
    labels = torch.tensor([0, 1, 2, 1]) if num_classes else None
    z = torch.randn(4, g.z_dim)
    w = g.mapping(z, labels)
    assert w.shape == (4, g.num_layers, g.w_dim)
    assert g.z_dim == 10 + g.noise_dim
    x = g(z, labels)
    assert x.shape == (4, *shape)
    torch.testing.assert_close(x, g.synthesis(w, z[:, 10:]))
    assert torch.equal(w, g.mapping(z[:, :10], labels))
    other = torch.cat([z[:, :10], -z[:, 10:]], 1)  # another noise: the same style
    assert torch.equal(g.mapping(other, labels), w)
    assert (g(other, labels) - x).abs().max() > 1e-3
    assert d(x, labels).shape == (4,)


def test_layer_i_listens_to_style_i_and_noise_to_its_layer() -> None:
    g, _ = pair()
    awake(g)
    z = torch.randn(1, g.z_dim)
    w, noise = g.mapping(z).clone(), z[:, 10:]
    base = g.synthesis(w, noise)
    for i in range(g.num_layers):
        moved = w.clone()
        moved[:, i] += 1
        assert (g.synthesis(moved, noise) - base).abs().max() > 1e-4, i
    assert g.noise_sizes == [16, 64, 64, 256, 256]
    # the last noise map is added at full resolution: one pixel reaches one pixel
    poked = noise.clone()
    poked[0, -256 + 5 * 16 + 7] += 1
    changed = (g.synthesis(w, poked) - base)[0].abs().amax(0) > 0
    assert changed.nonzero().tolist() == [[5, 7]]


def grouped(conv: sg.ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
    """Equations 1 and 3 word by word: each sample has its own weights, in a group of its own."""
    s = conv.style(w)
    weight = conv.weight * conv.scale * s[:, None, :, None, None]  # (N, out, in, k, k)
    if conv.demodulate:
        weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + sg.EPSILON).sqrt()
    n, c = x.shape[:2]
    y = F.conv2d(x.reshape(1, n * c, *x.shape[2:]), weight.flatten(0, 1), padding="same", groups=n)
    return y.reshape(n, -1, *x.shape[2:])


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_dense_form_equals_grouped_form(kernel, demodulate) -> None:
    torch.manual_seed(0)
    conv = sg.ModulatedConv(5, 7, kernel, 4, demodulate).double()
    x, w = torch.randn(3, 5, 6, 8).double(), torch.randn(3, 4).double()
    y = torch.randn(3, 7, 6, 8).double()
    ours, theirs = conv(x, w), grouped(conv, x, w)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for p in conv.parameters():
        a = torch.autograd.grad((ours * y).sum(), p, retain_graph=True)[0]
        b = torch.autograd.grad((theirs * y).sum(), p, retain_graph=True)[0]
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_demodulation_returns_unit_variance() -> None:
    torch.manual_seed(0)
    conv = sg.ModulatedConv(8, 6, 3, 4).double()
    w = 3 * torch.randn(1, 4).double()
    # closed form: the variance at an inner pixel is the sum of squares of the map's own row
    x = torch.zeros(1, 8, 5, 5).double()
    row = torch.autograd.functional.jacobian(lambda x: conv(x, w)[0, :, 2, 2], x).flatten(1)
    torch.testing.assert_close(row.square().sum(1), torch.ones(6).double(), rtol=0, atol=1e-6)
    loud = sg.ModulatedConv(8, 6, 3, 4, demodulate=False).double()
    loud.load_state_dict(conv.state_dict())
    noise = torch.randn(1, 8, 128, 128).double()
    assert (conv(noise, w)[..., 1:-1, 1:-1].std((0, 2, 3)) - 1).abs().max() < 0.05
    assert (loud(noise, w)[..., 1:-1, 1:-1].std((0, 2, 3)) - 1).abs().max() > 0.5
    # the style's size is removed, its direction stays: s -> 2 s changes nothing
    conv.style.weight.data *= 2
    conv.style.bias.data *= 2
    torch.testing.assert_close(conv(noise, w), grouped(conv, noise, w))
    loud_twice = copy.deepcopy(loud)
    loud_twice.load_state_dict(conv.state_dict())
    torch.testing.assert_close(loud_twice(noise, w), 2 * loud(noise, w))
    loud.demodulate = True
    torch.testing.assert_close(conv(noise, w), loud(noise, w), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kernel", "rate"), [(0, 1.0), (0, 0.01), (3, 1.0)])
def test_equalized_rate(kernel, rate) -> None:
    torch.manual_seed(0)
    layer = sg.Equalized(64, 256, kernel, bias=0.5, rate=rate)
    x = torch.randn(16, 64, 4, 4) if kernel else torch.randn(4096, 64)
    y = layer(x) - 0.5
    inside = y[..., 1:-1, 1:-1] if kernel else y
    fan = 64 * max(kernel, 1) ** 2
    effective = layer.weight * layer.scale
    assert abs(effective.std() * math.sqrt(fan) - 1) < 0.02  # N(0, 1 / fan_in), as He but gain 1
    assert abs(layer.weight.std() * rate - 1) < 0.02
    assert abs(inside.std() - 1) < 0.06
    # Adam's first step has the size lr in every parameter: rate * lr / sqrt(fan) in its effect
    before = effective.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3, (0.0, 0.99))
    layer(x).square().sum().backward()
    optimizer.step()
    moved = (layer.weight * layer.scale - before).abs()
    torch.testing.assert_close(
        moved.median().item(), 1e-3 * rate / math.sqrt(fan), rtol=0.01, atol=0
    )


def test_activation_keeps_the_second_moment() -> None:
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    assert abs(sg.activate(x).square().mean() - 1) < 0.01


def test_mapping_ignores_the_length_of_z() -> None:
    g, _ = pair()
    z = torch.randn(4, g.z_dim)
    torch.testing.assert_close(g.mapping(7 * z), g.mapping(z), rtol=1e-4, atol=1e-5)


def test_mixing() -> None:
    g, _ = pair()
    a, b = g.mapping(torch.randn(2, 3, g.z_dim).unbind()[0]), g.mapping(torch.randn(3, g.z_dim))
    mixed = sg.mix(a, b, torch.tensor([1, 4, 6]))
    for i, cut in enumerate((1, 4, 6)):
        assert torch.equal(mixed[i, :cut], a[i, :cut])
        assert torch.equal(mixed[i, cut:], b[i, cut:])
    assert torch.equal(sg.mix(a, b, 0), b)
    assert torch.equal(sg.mix(a, b, 6), a)


def test_mixing_happens_in_training_only() -> None:
    torch.manual_seed(0)
    g, _ = pair(mixing=0.5)
    awake(g)
    z = torch.randn(8, g.z_dim)
    w, noise = g.mapping(z), z[:, 10:]
    x = g(z)
    torch.testing.assert_close(x[4:], g.synthesis(w, noise)[4:])  # the other half is left alone
    for i in range(4):  # sample i takes the style of sample i - 1 from layer 1 + i on
        styles = torch.cat([w[i : i + 1, : 1 + i], w[i - 1 : i or None, 1 + i :]], 1)
        torch.testing.assert_close(
            x[i], g.synthesis(styles, noise[i : i + 1])[0], rtol=1e-4, atol=1e-5
        )
        assert (x[i] - g.synthesis(w, noise)[i]).abs().max() > 1e-3
    torch.testing.assert_close(g.eval()(z), g.synthesis(w, noise))
    for wrong in (-0.1, 1.5, "half", None):
        with pytest.raises(GanBookError, match="mixing"):
            pair(mixing=wrong)


def test_truncation_and_the_tracked_mean() -> None:
    g, _ = pair()
    g.train()
    z = torch.randn(256, g.z_dim)
    w = g.mapping(z)[:, 0].detach()
    for _ in range(2500):
        g.w_mean.lerp_(w.mean(0), 1 - sg.W_MEAN_DECAY)
    torch.testing.assert_close(
        g.w_mean, w.mean(0) * (1 - sg.W_MEAN_DECAY**2500), rtol=1e-3, atol=1e-4
    )
    fresh, _ = pair()
    fresh(z)
    torch.testing.assert_close(fresh.w_mean, (1 - sg.W_MEAN_DECAY) * w.mean(0))
    average = copy.deepcopy(fresh).eval()
    fresh(z)
    update_average(average, fresh, 0.9)
    assert torch.equal(average.w_mean, fresh.w_mean)
    before = average.w_mean.clone()
    average(z + 1)
    assert torch.equal(average.w_mean, before)  # eval mode tracks nothing
    zero = g.synthesis(g.mapping(z[:4], psi=0.0))
    torch.testing.assert_close(zero, zero[:1].expand(4, -1, -1, -1))  # one picture
    assert torch.equal(g.mapping(z, psi=1.0), g.mapping(z))
    half = g.mapping(z, psi=0.5)[:, 0]
    torch.testing.assert_close(half - g.w_mean, 0.5 * (w - g.w_mean))


def test_minibatch_std_sees_its_group_and_is_off() -> None:
    x = torch.randn(6, 2, 4, 4)
    spread = sg.minibatch_std(x, 3)
    assert torch.equal(spread[:, :2], x)
    for start in (0, 3):
        group = x[start : start + 3]
        expected = group.std(0, correction=0).mean()
        torch.testing.assert_close(spread[start : start + 3, 2], expected.expand(3, 4, 4))
    assert sg.minibatch_std(x[:1], 3)[:, 2].abs().max() < 1e-3
    with pytest.raises(GanBookError, match="groups of 4"):
        sg.minibatch_std(x, 4)
    for group, meets in ((0, False), (4, True)):
        torch.manual_seed(0)
        d = build_discriminator("stylegan", size=8, width=4, minibatch_std=group)
        x = torch.randn(4, 3, 8, 8)
        slopes = (
            torch.autograd.functional.jacobian(d, x).flatten(2).abs().sum(2)
        )  # (logit, picture)
        assert bool(slopes[0, 1] > 0) == meets


def test_path_lengths_of_a_linear_map() -> None:
    torch.manual_seed(0)
    a = torch.randn(2, 12, 3 * 4 * 5).double()  # (layers, w_dim, pixels)

    def linear(w: Tensor) -> Tensor:
        return torch.einsum("nlw,lwp->np", w, a).reshape(-1, 3, 4, 5)

    w, y = torch.randn(6, 2, 12).double(), torch.randn(6, 3, 4, 5).double()
    expected = (torch.einsum("lwp,np->nlw", a, y.flatten(1)).square().sum(2).mean(1) / 20).sqrt()
    for engine in penalties.ENGINES:
        torch.testing.assert_close(penalties.path_lengths(linear, w, y, engine), expected)
    # E |J^T y|^2 = |J|_F^2
    y = torch.randn(20_000, 3, 4, 5).double()
    lengths = penalties.path_lengths(linear, w[:1].expand(20_000, -1, -1), y)
    torch.testing.assert_close(
        lengths.square().mean(), a.square().sum() / 2 / 20, rtol=0.02, atol=0
    )
    value = penalties.path_length(expected, expected.mean(), 2.0)
    torch.testing.assert_close(value, 2 * expected.var(correction=0))


def test_path_lengths_by_finite_differences() -> None:
    g, _ = pair()
    g = awake(g).double()
    z = torch.randn(2, g.z_dim).double()
    w, y = g.mapping(z).detach(), torch.randn(2, 3, 16, 16).double()
    got = penalties.path_lengths(lambda w: g.synthesis(w, z[:, 10:]), w, y)

    def value(w: Tensor) -> Tensor:
        return (g.synthesis(w, z[:, 10:]) * y).flatten(1).sum(1)

    gradient = torch.zeros_like(w)
    for i in range(w.shape[1]):
        for j in range(w.shape[2]):
            step = torch.zeros_like(w)
            step[:, i, j] = 1e-6
            gradient[:, i, j] = (value(w + step) - value(w - step)) / 2e-6
    expected = (gradient.square().sum(2).mean(1) / 256).sqrt()
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


def objectives(g, d, **settings):
    settings = ObjectiveSettings(**settings)
    rng = torch.Generator().manual_seed(3)
    draws = draw(settings, 8, g.z_dim, g.sample_shape, 0.0, rng)
    real = torch.randn(8, *g.sample_shape, generator=rng)
    return (
        GeneratorObjective(g, d, settings),
        DiscriminatorObjective(g, d, settings),
        Batch(real, None),
        draws,
    )


def test_training_really_calls_the_path_penalty() -> None:
    g, d = pair()
    on, _, batch, draws = objectives(g, d, path_length=2.0)
    off, _, _, _ = objectives(g, d)
    assert draws.path.shape == (8, 3, 16, 16)
    assert shard(draws, 1, 2).path.shape[0] == 4
    loss, logs = on(batch, draws, WEIGHTS)
    plain, _ = off(batch, draws, WEIGHTS)
    z = draws.z[:2]
    lengths = penalties.path_lengths(
        lambda w: g.synthesis(w, z[:, 10:]), g.mapping(z), draws.path[:2]
    )
    mean = lengths.mean().detach()
    torch.testing.assert_close(logs["path_length"], mean)
    torch.testing.assert_close(g.path_mean, 0.01 * mean)
    torch.testing.assert_close(loss - plain, penalties.path_length(lengths, 0.01 * mean, 2.0))
    (loss - plain).backward()
    assert all(p.grad.abs().sum() > 0 for n, p in g.layers.named_parameters() if "conv.w" in n)
    with pytest.raises(GanBookError, match="draw them"):
        on(batch, Draws(draws.z), WEIGHTS)
    dcgan = build_generator("dcgan", size=16, width=4)
    with pytest.raises(GanBookError, match="mapping network"):
        GeneratorObjective(dcgan, d, ObjectiveSettings(path_length=1.0))


def test_path_penalty_evens_out_lengths() -> None:
    g, d = pair(mapping_layers=1)
    awake(g)
    on = objectives(g, d, path_length=2.0)[0]
    rng = torch.Generator().manual_seed(0)
    exam = draw(on.settings, 64, g.z_dim, g.sample_shape, 0.0, rng)

    def distance_from_one(draws: Draws) -> Tensor:
        w, noise = g.mapping(draws.z), draws.z[:, 10:]
        lengths = penalties.path_lengths(lambda w: g.synthesis(w, noise), w, draws.path)
        return penalties.path_length(lengths, 1.0, 1.0)

    before = distance_from_one(exam).item()
    optimizer = torch.optim.Adam(g.parameters(), 1e-2, (0.0, 0.99))
    for _ in range(40):
        draws = draw(on.settings, 8, g.z_dim, g.sample_shape, 0.0, rng)
        optimizer.zero_grad()
        distance_from_one(draws).backward()
        optimizer.step()
    assert distance_from_one(exam) < 0.5 * before


@pytest.mark.slow
def test_compiled_equals_eager_and_steps_reach_everything() -> None:
    results = []
    for compiled in (False, True):
        torch._dynamo.reset()
        g, d = pair(mixing=0.5)
        awake(g)
        sides = objectives(g, d, engine="func", path_length=2.0)
        batch, draws = sides[2:]
        for side in sides[:2]:
            run = torch.compile(side, fullgraph=True, backend="aot_eager") if compiled else side
            loss, _ = run(batch, draws, WEIGHTS)
            loss.backward()
        grads = [p.grad for net in (g, d) for p in net.parameters()]
        assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
        results.append([*grads, g.w_mean, g.path_mean])
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)


def test_recipe_has_the_size_of_the_dcgan() -> None:
    counts = [recipe_parameters(name) for name in ("stylegan-16", "small-16")]
    for mine, theirs in zip(*counts, strict=True):
        assert abs(mine / theirs - 1) < 0.05


def test_export_keeps_the_picture() -> None:
    g, d = pair()
    g = awake(g).eval()
    z = torch.randn(3, g.z_dim)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(g, (z,), dynamic_shapes={"z": {0: batch}}, strict=True)
    torch.testing.assert_close(exported.module()(z), g(z))
    more = torch.randn(5, g.z_dim)
    torch.testing.assert_close(exported.module()(more), g(more), rtol=1e-4, atol=1e-5)
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(torch.export.export(d, (x,), strict=True).module()(x), d(x))
