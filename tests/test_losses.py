"""Every loss against its closed form, its optimum, the signs of its slope and extreme logits."""

from __future__ import annotations

import math

import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.losses import LOSSES, loss

REAL = [2.0, -0.5, 0.25]
FAKE = [-1.0, 0.75, 3.0]


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


# (discriminator, generator) in plain Python, straight from the papers, with probabilities.
CROSS_ENTROPY = -mean(math.log(sigmoid(r)) for r in REAL) - mean(
    math.log(1 - sigmoid(f)) for f in FAKE
)
EXPECTED = {
    "non-saturating": (CROSS_ENTROPY, -mean(math.log(sigmoid(f)) for f in FAKE)),
    "saturating": (CROSS_ENTROPY, mean(math.log(1 - sigmoid(f)) for f in FAKE)),
    "least-squares": (
        mean((r - 1) ** 2 for r in REAL) / 2 + mean(f**2 for f in FAKE) / 2,
        mean((f - 1) ** 2 for f in FAKE) / 2,
    ),
    "hinge": (
        mean(max(0, 1 - r) for r in REAL) + mean(max(0, 1 + f) for f in FAKE),
        -mean(FAKE),
    ),
    "wasserstein": (mean(FAKE) - mean(REAL), -mean(FAKE)),
    "relativistic": (
        -mean(math.log(sigmoid(r - f)) for r, f in zip(REAL, FAKE, strict=True)),
        -mean(math.log(sigmoid(f - r)) for r, f in zip(REAL, FAKE, strict=True)),
    ),
}
# The values where the discriminator says 0 of everything.
AT_ZERO = {
    "non-saturating": (math.log(4), math.log(2)),
    "saturating": (math.log(4), -math.log(2)),
    "least-squares": (0.5, 0.5),
    "hinge": (2.0, 0.0),
    "wasserstein": (0.0, 0.0),
    "relativistic": (math.log(2), math.log(2)),
}


def logits(values, grad: bool = False) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def test_the_table_is_complete():
    assert set(LOSSES) == set(EXPECTED)
    assert {name for name, row in LOSSES.items() if row.needs_real} == {"relativistic"}


@pytest.mark.parametrize("name", LOSSES)
def test_closed_form(name):
    row, real, fake = loss(name), logits(REAL), logits(FAKE)
    for half, expected in zip((row.discriminator, row.generator), EXPECTED[name], strict=True):
        value = half(real, fake)
        assert value.shape == ()
        assert value.dtype == torch.float64
        assert value.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_value_of_an_undecided_discriminator(name):
    zero = torch.zeros(5, dtype=torch.float64)
    row = loss(name)
    assert row.discriminator(zero, zero).item() == pytest.approx(AT_ZERO[name][0], abs=1e-14)
    assert row.generator(zero, zero).item() == pytest.approx(AT_ZERO[name][1], abs=1e-14)


def test_least_squares_optimum_is_one_half():
    half = torch.full((4,), 0.5, dtype=torch.float64, requires_grad=True)
    value = loss("least-squares").discriminator(half, half)
    assert value.item() == pytest.approx(0.25)
    assert torch.autograd.grad(value, half)[0].abs().max() < 1e-15


@pytest.mark.parametrize("name", LOSSES)
def test_signs_of_the_slope(name):
    """Descent raises real logits and lowers fake ones in D, and raises fake logits in G."""
    row = loss(name)
    # Between the least-squares targets 0 and 1, and inside the margins of the hinge.
    real, fake = logits([0.3, 0.1, 0.9], grad=True), logits([0.2, 0.6, 0.5], grad=True)
    of_real, of_fake = torch.autograd.grad(row.discriminator(real, fake), (real, fake))
    assert (of_real < 0).all()
    assert (of_fake > 0).all()
    by_real, by_fake = torch.autograd.grad(
        row.generator(real, fake), (real, fake), allow_unused=True
    )
    assert (by_fake < 0).all()
    assert (by_real is not None) == row.needs_real


def test_saturating_slope_vanishes_where_the_non_saturating_one_is_largest():
    fake = logits([-20.0], grad=True)
    slopes = {
        name: torch.autograd.grad(loss(name).generator(fake, fake), fake)[0].item()
        for name in ("saturating", "non-saturating")
    }
    assert slopes["saturating"] == pytest.approx(-sigmoid(-20.0), rel=1e-9)
    assert slopes["non-saturating"] == pytest.approx(-1.0, abs=1e-8)


def test_relativistic_pairs_by_index():
    row, real, fake = loss("relativistic"), logits(REAL), logits(FAKE)
    other = row.discriminator(real, fake.roll(1))
    expected = mean(
        math.log1p(math.exp(f - r)) for r, f in zip(REAL, [3.0, -1.0, 0.75], strict=True)
    )
    assert other.item() == pytest.approx(expected, abs=1e-12)
    assert abs(other - row.discriminator(real, fake)) > 0.05
    # Permuting the pairs together changes nothing.
    both = row.discriminator(real.roll(1), fake.roll(1))
    assert both.item() == pytest.approx(row.discriminator(real, fake).item(), abs=1e-15)


@pytest.mark.parametrize("half", ["discriminator", "generator"])
def test_relativistic_sees_differences_only(half):
    function = getattr(loss("relativistic"), half)
    real, fake = logits(REAL), logits(FAKE)
    shifted = function(real + 7.5, fake + 7.5)
    assert shifted.item() == pytest.approx(function(real, fake).item(), abs=1e-12)


@pytest.mark.parametrize("half", ["discriminator", "generator"])
def test_relativistic_refuses_unequal_shapes(half):
    with pytest.raises(GanBookError, match=r"\(3, 1\).*\(3,\)"):
        getattr(loss("relativistic"), half)(torch.zeros(3, 1), torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name, dtype):
    extremes = torch.tensor([1e4, -1e4, 1e4, -1e4], dtype=dtype)
    real, fake = extremes.clone().requires_grad_(), extremes.flip(0).requires_grad_()
    row = loss(name)
    for half in (row.discriminator, row.generator):
        value = half(real, fake)
        assert torch.isfinite(value)
        slopes = torch.autograd.grad(value, (real, fake), allow_unused=True)
        assert all(torch.isfinite(slope).all() for slope in slopes if slope is not None)


def test_unknown_name_lists_the_known():
    with pytest.raises(GanBookError, match=r"hinge.*relativistic"):
        loss("vanilla")
