"""The denoisers: schedule, time features, shapes, what they estimate at first, gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator, count_parameters
from gan_book.models.diffusion import (
    MLPDenoiser,
    UNetDenoiser,
    alpha_bar,
    rates,
    time_features,
)

from .zoo import wake

CASES = {
    "mlp": (lambda: MLPDenoiser(3, width=8, layers=2), (3,)),
    "unet 8": (lambda: UNetDenoiser(8, 1, width=4), (1, 8, 8)),
    "unet 16 x 24": (lambda: UNetDenoiser((16, 24), 3, width=5), (3, 16, 24)),
    "unet 28": (lambda: UNetDenoiser(28, 2, width=4), (2, 28, 28)),
    "unet 32": (lambda: UNetDenoiser(32, 3, width=8), (3, 32, 32)),
}


def inputs(shape: tuple[int, ...], n: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, *shape, generator=generator), torch.rand(n, generator=generator)


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_the_first_estimate(case: str) -> None:
    build, shape = CASES[case]
    net = build()
    assert net.sample_shape == shape
    x, t = inputs(shape)
    # F = 0: the best linear estimate E[eps | x_t] = sin(a) x_t for data N(0, I)
    expected = torch.sin(0.49 * math.pi * t).reshape(-1, *[1] * len(shape)) * x
    torch.testing.assert_close(net(x, t), expected)


@pytest.mark.parametrize("case", CASES)
def test_samples_do_not_mix_and_every_parameter_gets_a_gradient(case: str) -> None:
    build, shape = CASES[case]
    net = wake(build())
    x, t = inputs(shape)
    together = net(x, t)
    alone = torch.cat([net(x[i : i + 1], t[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (net(x, t.flip(0)) - together).abs().amax(dim=tuple(range(1, x.dim())))[0] > 1e-4
    together.square().mean().backward()
    dead = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead


def test_one_step_moves_the_zero_initialized_layer_and_the_next_step_all() -> None:
    net = UNetDenoiser(8, 1, width=4)
    x, t = inputs((1, 8, 8))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    moved = []
    for _ in range(4):
        before = nn.utils.parameters_to_vector(net.parameters()).clone()
        optimizer.zero_grad()
        (net(x, t) - 1).square().mean().backward()
        optimizer.step()
        after = nn.utils.parameters_to_vector(net.parameters())
        moved.append(int((after != before).sum()))
    assert moved[0] <= 4 * 9 + 1 < moved[1] < moved[-1]


def test_details_cross_the_unet_at_every_resolution() -> None:
    """With a way down cut, the picture still reaches the output through what was kept above it."""
    net = wake(UNetDenoiser(16, 1, width=4))
    x, _ = inputs((1, 16, 16), n=2)
    t = torch.full((2,), 0.9)

    def difference() -> float:  # of F, at two pictures
        signal, noise = rates(t, x)
        f = (net(x, t) - noise * x) / signal
        return (f[0] - f[1]).abs().max().item()

    for i in (1, 0):
        torch.nn.init.zeros_(net.downs[i].weight)
        assert difference() > 1e-3
    for block in net.before[:2]:  # nothing is kept: only the time is left
        block.forward = lambda h, e: 0 * h
    assert difference() < 1e-5


def test_the_estimate_of_the_data_stays_finite_where_little_of_it_is_left() -> None:
    # x_0 = (x_t - sin eps) / cos = cos x_t - sin F: an error of F is not multiplied by 1 / cos
    net = wake(MLPDenoiser(2, width=8, layers=2)).double()
    x, t = torch.randn(4, 2, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    signal, noise = rates(t, x)
    x0 = (x - noise * net(x, t)) / signal
    f = net.layers(torch.cat([x, time_features(t, 32)], 1))
    torch.testing.assert_close(x0, signal * x - noise * f)


def test_the_schedule_is_the_cosine_one_of_nichol_and_dhariwal_turned_to_98_percent() -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert alpha_bar(t)[0] == 1
    assert (alpha_bar(t).diff() < 0).all()
    assert abs(alpha_bar(t)[-1].item() - math.sin(0.01 * math.pi) ** 2) < 1e-12
    # theirs, cos^2((u + 0.008) / 1.008 pi / 2) / cos^2(0.008 / 1.008 pi / 2), at u = 0.98 t
    u = 0.98 * t
    f = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    theirs = f / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert (alpha_bar(t) - theirs).abs().max() < 0.013
    signal, noise = rates(t, torch.zeros(101, 3, 2, 2))
    assert signal.shape == noise.shape == (101, 1, 1, 1)
    torch.testing.assert_close(signal.square() + noise.square(), torch.ones_like(signal))
    torch.testing.assert_close(signal.flatten() ** 2, alpha_bar(t))


def test_time_features_are_sines_and_cosines_that_tell_near_times_apart() -> None:
    t = torch.tensor([0.0, 0.37, 0.38], dtype=torch.float64)
    found = time_features(t, 8)
    for i, w in enumerate((1.0, 100 ** (1 / 3), 100 ** (2 / 3), 100.0)):
        torch.testing.assert_close(found[:, i], torch.sin(w * t))
        torch.testing.assert_close(found[:, 4 + i], torch.cos(w * t))
    assert (found[1] - found[2]).norm() > 0.5
    torch.testing.assert_close(found.square().sum(1), torch.full((3,), 4.0).double())


def test_parameters_can_match_the_pair_of_small_16() -> None:
    pair = sum(
        count_parameters(net)
        for net in (
            build_generator("dcgan", size=16, width=32, z_dim=64),
            build_discriminator("dcgan", size=16, width=32),
        )
    )
    counts = [count_parameters(UNetDenoiser(16, 3, width=w)) for w in (19, 24)]
    assert counts == [140_489, 222_579]  # as the docstring says
    assert abs(counts[0] / pair - 1) < 0.1
    assert count_parameters(MLPDenoiser()) == 54_274


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: UNetDenoiser(30, 3), "28 x 28 or 32 x 32"),
        (lambda: UNetDenoiser(16, 0), "'channels'"),
        (lambda: UNetDenoiser(16, 3, width=0), "'width'"),
        (lambda: MLPDenoiser(0), "'inputs'"),
        (lambda: MLPDenoiser(layers=0), "'layers'"),
        (lambda: MLPDenoiser()(torch.zeros(3, 2), torch.zeros(2)), "3 samples need 3 times"),
        (lambda: rates(torch.tensor(0.5), torch.zeros(3, 2)), "3 samples need 3 times"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(build, words: str) -> None:
    with pytest.raises(GanBookError, match=words):
        build()
