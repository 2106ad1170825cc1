"""Weights of freshly built networks against the numbers that the docstrings state."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gan_book.models import build_discriminator, build_generator

HE = math.sqrt(2 / 1.04)


def assert_normal(name: str, weight: Tensor, sd: float, mean: float = 0.0) -> None:
    """Mean, spread and tails are those of N(mean, sd^2), within 4.5 standard errors."""
    w = (weight.detach().double().flatten() - mean) / sd
    n = w.numel()
    assert abs(w.mean()) < 4.5 / math.sqrt(n), (name, w.mean())
    assert abs(w.square().mean() - 1) < 4.5 * math.sqrt(2 / n), (name, w.square().mean())
    if n >= 2000:  # a uniform distribution has 1.8 here
        assert abs(w.pow(4).mean() - 3) < 4.5 * math.sqrt(96 / n) + 0.02, (name, w.pow(4).mean())


def fan_in(layer: nn.Module) -> int:
    """Inputs that one output sums, written out for each kind of layer."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.ConvTranspose2d):  # kernel 4, stride 2: 2 x 2 taps meet
        return layer.in_channels * 4
    return layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]


def weighted(net: nn.Module) -> list[tuple[str, nn.Module]]:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [(n, m) for n, m in net.named_modules() if isinstance(m, kinds)]


def biases_are_zero(net: nn.Module) -> bool:
    return all(not p.any() for n, p in net.named_parameters() if n.endswith("bias"))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_dcgan_without_normalization(upsampling: str) -> None:
    torch.manual_seed(0)
    g = build_generator("dcgan", size=32, width=32, num_classes=9, upsampling=upsampling)
    d = build_discriminator("dcgan", size=32, width=32, num_classes=9)
    for net, plain in ((g, {"first"}), (d, {"convs.0", "head"})):
        layers = weighted(net)
        assert plain < {name for name, _ in layers}
        for name, layer in layers:
            gain = 1.0 if name in plain else HE
            assert_normal(name, layer.weight, gain / math.sqrt(fan_in(layer)))
        assert biases_are_zero(net)
        assert_normal(
            "embed", next(m for m in net.modules() if isinstance(m, nn.Embedding)).weight, 1
        )


def test_classic_dcgan() -> None:
    torch.manual_seed(0)
    for build in (build_generator, build_discriminator):
        net = build("dcgan", size=64, batch_norm=True)
        for name, layer in weighted(net):
            assert_normal(name, layer.weight, 0.02)
            assert layer.bias is None
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == (4 if build is build_generator else 3)
        for norm in norms:
            assert_normal("gain", norm.weight, 0.02, mean=1.0)
            assert not norm.bias.any()


@pytest.mark.parametrize("group_width", [16, "dense"])
def test_r3gan(group_width: int | str) -> None:
    torch.manual_seed(0)
    options = {"size": 32, "num_classes": 10, "widths": [64, 48, 32, 16], "blocks": [3, 2, 1, 2]}
    g = build_generator("r3gan", group_width=group_width, **options)
    d = build_discriminator("r3gan", group_width=group_width, **options)
    assert_normal("basis", g.basis, 1.0)
    for net in (g, d):
        seen = set()
        for name, layer in weighted(net):
            kind = name.rsplit(".", 1)[-1]
            seen.add(kind)
            if kind == "reduce":
                assert not layer.weight.any(), name
                continue
            gain = HE * 8 ** (-1 / 4) if kind in ("expand", "mix") else 1.0  # 8 blocks
            assert_normal(name, layer.weight, gain / math.sqrt(fan_in(layer)))
        assert {"expand", "mix", "reduce", "first"} < seen
        assert biases_are_zero(net)
        assert_normal(
            "embed", next(m for m in net.modules() if isinstance(m, nn.Embedding)).weight, 1
        )


def test_r3gan_begins_linear() -> None:
    g = build_generator("r3gan", size=16, widths=16)
    a, b = torch.randn(2, 4, g.z_dim).unbind()
    torch.testing.assert_close(g(a + 2 * b), g(a) + 2 * g(b), rtol=1e-4, atol=1e-4)


def test_mlp() -> None:
    torch.manual_seed(0)
    for net in (build_generator("mlp", width=128), build_discriminator("mlp", width=128)):
        layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
        assert len(layers) == 5
        for i, layer in enumerate(layers):
            gain = HE if 0 < i < 4 else 1.0
            assert_normal(str(i), layer.weight, gain / math.sqrt(layer.in_features))
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.in_features)
                assert layer.bias.abs().max() <= bound
                if layer.bias.numel() > 2:
                    assert abs(layer.bias.std() / bound * math.sqrt(3) - 1) < 0.25  # uniform


def test_the_signal_survives_where_002_would_starve_it() -> None:
    torch.manual_seed(0)
    for width in (8, 32, 128):
        g = build_generator("dcgan", size=32, width=width)
        d = build_discriminator("dcgan", size=32, width=width)
        before_tanh = torch.atanh(g(torch.randn(256, g.z_dim)).double())
        assert 0.4 < before_tanh.std() < 1.6
        assert 0.2 < d(torch.randn(256, 3, 32, 32)).square().mean().sqrt() < 2
    d = build_discriminator("dcgan", size=32, width=32)
    x = torch.randn(64, 32, 16, 16)
    conv = d.convs[1]
    nn.init.normal_(conv.weight, 0.0, 0.02)
    shrink = (
        nn.functional.leaky_relu(conv(x), 0.2).square().mean().sqrt() / x.square().mean().sqrt()
    )
    assert 1 / 3.5 < shrink < 1 / 2.5  # "threefold" in the module's docstring


def test_seeds_decide_weights_and_counting_on_meta_costs_no_randomness() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        net = build_generator("r3gan", size=16, widths=16)
        return torch.cat([p.flatten() for p in net.parameters()])

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with torch.device("meta"):
        assert build_generator("dcgan", size=16).first.weight.is_meta
    assert torch.equal(state, torch.get_rng_state())
