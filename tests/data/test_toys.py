"""Toy distributions against closed forms, quadrature and planted failures."""

from __future__ import annotations

import math

import pytest
import torch

from gan_book.data.toys import TOYS, PointSet, dirac, grid, ring, spiral, two_moons
from gan_book.errors import GanBookError

GAUSSIAN = {
    "ring": ring(),
    "ring-3": ring(modes=3, radius=1.0, sd=0.3),
    "grid": grid(),
    "grid-2": grid(side=2, spacing=1.0, sd=0.2),
}
CURVES = {"spiral": spiral(), "two-moons": two_moons()}
SMOOTH = GAUSSIAN | CURVES


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("toy", GAUSSIAN.values(), ids=GAUSSIAN.keys())
def test_moments_of_the_mixtures_equal_their_closed_form(toy: PointSet) -> None:
    n = 200_000
    x = toy.sample(n, seeded()).double()
    mean = toy.modes.mean(0)
    # law of total covariance: covariance of the modes plus the noise
    centered = toy.modes - mean
    covariance = centered.T @ centered / len(toy.modes) + toy.sd**2 * torch.eye(2).double()
    spread = covariance.diagonal().max().sqrt()
    assert torch.allclose(x.mean(0), mean, atol=float(5 * spread / math.sqrt(n)))
    assert torch.allclose(torch.cov(x.T), covariance, atol=float(8 * spread**2 / math.sqrt(n)))


def test_ring_and_grid_have_the_textbook_modes() -> None:
    assert torch.allclose(ring(8, 2.0).modes.norm(dim=1), torch.full((8,), 2.0).double())
    assert torch.allclose(ring(4, 1.0).modes[1], torch.tensor([0.0, 1.0]).double(), atol=1e-15)
    values = grid(5, 2.0).modes.unique().tolist()
    assert values == [-4.0, -2.0, 0.0, 2.0, 4.0]
    # covariance of the ring's modes is radius^2 / 2 times the identity
    modes = ring(8, 2.0).modes
    assert torch.allclose(modes.T @ modes / 8, 2 * torch.eye(2).double(), atol=1e-14)


@pytest.mark.parametrize("toy", SMOOTH.values(), ids=SMOOTH.keys())
def test_density_integrates_to_one(toy: PointSet) -> None:
    # The trapezoid rule converges geometrically for Gaussians once the step is below the sd.
    reach = float(toy.centers.abs().max()) + 8 * toy.sd
    step = 0.8 * toy.sd
    if toy.name == "ring" and toy.sd < 0.1:  # one quarter is enough, the rest by symmetry
        axis_x = torch.arange(step / 2, reach, step, dtype=torch.float64)
        parts = 4.0
    elif toy.name == "grid" and len(toy.modes) == 25:
        axis_x = -1 + (torch.arange(50, dtype=torch.float64) + 0.5) / 25  # the central cell
        step, parts = 1 / 25, 25.0
    else:
        count = int(2 * reach / step) + 1
        axis_x = -reach + step * torch.arange(count + 1, dtype=torch.float64)
        parts = 1.0
    points = torch.cartesian_prod(axis_x, axis_x)
    total = parts * float(toy.density(points).sum()) * step**2
    assert total == pytest.approx(1.0, abs=2e-6)


def test_log_density_of_one_gaussian_is_the_formula_and_has_no_underflow() -> None:
    toy = ring(modes=1, radius=0.0, sd=0.5)
    x = torch.tensor([[0.0, 0.0], [0.5, 0.0], [300.0, 400.0]])
    expected = [-math.log(2 * math.pi * 0.25) - r / 0.5 for r in (0.0, 0.25, 250_000.0)]
    assert toy.log_density(x).tolist() == pytest.approx(expected, rel=1e-14)
    assert toy.log_density(x).dtype == torch.float64


@pytest.mark.parametrize("toy", CURVES.values(), ids=CURVES.keys())
def test_density_of_curves_agrees_with_the_samples(toy: PointSet) -> None:
    # E[log p] over samples against the integral of p log p on a grid: minus the entropy
    x = toy.sample(4_000, seeded(1))
    sampled = toy.log_density(x)
    reach = float(toy.centers.abs().max()) + 6 * toy.sd
    axis = torch.linspace(-reach, reach, 141, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    log_p = toy.log_density(points)
    exact = float((log_p.exp() * log_p).sum() * (axis[1] - axis[0]) ** 2)
    error = float(sampled.std()) / math.sqrt(len(x))
    assert abs(float(sampled.mean()) - exact) < 4 * error


@pytest.mark.parametrize("toy", CURVES.values(), ids=CURVES.keys())
def test_midpoint_rule_along_the_curve_has_converged(toy: PointSet) -> None:
    assert toy.curve is not None
    m = 20_000
    fine = toy.curve((torch.arange(m, dtype=torch.float64) + 0.5) / m)
    reference = PointSet("fine", toy.modes, toy.sd, fine, torch.zeros(m, dtype=torch.int64))
    x = toy.sample(400, seeded(2))
    assert torch.allclose(toy.log_density(x), reference.log_density(x), atol=2e-3, rtol=0)


def test_two_moons_match_scikit_learn() -> None:
    make_moons = pytest.importorskip("sklearn.datasets").make_moons
    points, _ = make_moons(n_samples=200, shuffle=False, noise=None)
    theirs = torch.as_tensor(points) - torch.tensor([0.5, 0.25])
    toy = two_moons()
    distance = torch.cdist(theirs, toy.centers).min(dim=1).values
    assert float(distance.max()) < 4e-3


@pytest.mark.parametrize("toy", SMOOTH.values(), ids=SMOOTH.keys())
def test_a_perfect_sampler_captures_every_mode(toy: PointSet) -> None:
    n = 20_000
    count = toy.count_modes(toy.sample(n, seeded(3)))
    assert count.captured == len(toy.modes)
    assert float(count.shares.sum()) == pytest.approx(count.high_quality_share)
    if toy in (GAUSSIAN["ring"], GAUSSIAN["grid"]):  # separated modes: a Rayleigh tail is missing
        expected = 1 - math.exp(-4.5)
        deviation = math.sqrt(expected * (1 - expected) / n)
        assert abs(count.high_quality_share - expected) < 4 * deviation
        fair = 1 / len(toy.modes)
        assert torch.all((count.shares / expected - fair).abs() < 5 * math.sqrt(fair / n))


def test_collapse_noise_and_rare_modes_are_told_apart() -> None:
    toy = grid()
    perfect = toy.sample(5_000, seeded())
    collapsed = toy.modes[7] + 0.05 * torch.randn(5_000, 2, generator=seeded())
    count = toy.count_modes(collapsed)
    assert count.captured == 1
    assert int(count.shares.argmax()) == 7
    assert count.high_quality_share > 0.98
    between = toy.modes.repeat(40, 1) + 1.0  # in the middle of four modes
    assert toy.count_modes(between)[:2] == (0, 0.0)
    half = perfect[perfect[:, 0] < -0.5]  # two of five columns
    assert toy.count_modes(half).captured == 10
    # one single sample in a mode is too little at the default, enough at min_share = 0
    lonely = torch.cat([collapsed, toy.modes[:1]])
    assert toy.count_modes(lonely).captured == 1
    assert toy.count_modes(lonely, min_share=0.0).captured == 2


def test_a_radius_counts_what_lies_within_it() -> None:
    toy = ring(modes=4, radius=1.0, sd=0.1)
    x = toy.modes[:1] + torch.tensor([[0.0, 0.0], [0.19, 0.0], [0.0, 0.31], [5.0, 5.0]])
    assert toy.count_modes(x, radius_sd=2.0).high_quality_share == 0.5
    assert toy.count_modes(x, radius_sd=4.0).high_quality_share == 0.75


def test_half_a_moon_missing_shows_in_the_arcs() -> None:
    toy = two_moons()
    x = toy.sample(8_000, seeded(5))
    nearest = torch.cdist(x.double(), toy.centers).argmin(1)
    kept = x[toy.mode_of_center[nearest] < 8]  # the upper moon only
    assert toy.count_modes(kept).captured == 8


def test_dirac_sits_in_the_origin() -> None:
    toy = dirac()
    x = toy.sample(10, seeded())
    assert x.shape == (10, 2)
    assert not x.any()
    assert toy.count_modes(x).captured == 1
    assert toy.count_modes(x + 0.1).captured == 0
    with pytest.raises(GanBookError, match="no density"):
        toy.log_density(x)


@pytest.mark.parametrize("name", TOYS)
def test_samples_repeat_from_a_seed_and_leave_the_global_state_alone(name: str) -> None:
    toy = TOYS[name]()
    assert toy.name == name
    before = torch.get_rng_state()
    generator = seeded(9)
    first, second = toy.sample(100, generator), toy.sample(100, generator)
    assert torch.equal(before, torch.get_rng_state())
    assert first.dtype == torch.float32
    assert first.shape == (100, 2)
    assert torch.equal(first, toy.sample(100, seeded(9)))
    if toy.sd:
        assert not torch.equal(first, second)


def test_nonsense_gets_a_sentence() -> None:
    for wrong in (
        lambda: ring(modes=0),
        lambda: grid(side=0),
        lambda: two_moons(modes=3),
        lambda: spiral(sd=0.0),
        lambda: ring(sd=-1.0),
        lambda: ring(sd=float("nan")),
        lambda: ring().count_modes(torch.zeros(3, 3)),
        lambda: ring().count_modes(torch.zeros(0, 2)),
        lambda: ring().count_modes(torch.zeros(3, 2), radius_sd=0.0),
        lambda: ring().sample(-1, seeded()),
    ):
        with pytest.raises(GanBookError):
            wrong()
