"""Sliced Wasserstein distance, coverage of known modes, and the rows beside every model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.metrics import (
    coverage_of_counts,
    kernel_distance,
    pca_gaussian,
    real_floor,
    sliced_wasserstein,
    squared_transport,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


# --- sliced Wasserstein ---


def test_transport_on_a_line_equals_the_linear_program() -> None:
    from scipy.optimize import linprog

    for n, m in [(4, 4), (4, 6), (3, 7), (1, 5)]:
        x, y = normal(n, 1, n), normal(m, 1, 10 + m)
        cost = (x - y.T).square().flatten().numpy()
        equal = np.zeros((n + m, n * m))
        for i in range(n):
            equal[i, i * m : (i + 1) * m] = 1
        for j in range(m):
            equal[n + j, j::m] = 1
        right = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
        truth = linprog(cost, A_eq=equal, b_eq=right).fun
        assert float(squared_transport(x, y)) == pytest.approx(truth, abs=1e-9)


def test_a_shift_in_closed_form() -> None:
    a, shift = normal(50, 10, 0), normal(1, 10, 1)[0]
    result = sliced_wasserstein(a, a + shift, generator=seeded(2), projections=4000)
    # Every direction sees (line . shift)^2, on average |shift|^2 / d.
    truth = float(shift.norm()) / 10**0.5
    assert abs(result.value - truth) < 3 * result.projection_error
    assert result.projection_error < 0.02 * truth
    assert sliced_wasserstein(a, a.clone(), generator=seeded(2)).value == 0.0


def test_sliced_is_seeded_and_batches_do_not_matter() -> None:
    a, b = normal(40, 6, 0).float(), normal(30, 6, 1).float()
    first = sliced_wasserstein(a, b, generator=seeded(5), projections=100)
    assert first == sliced_wasserstein(a.numpy(), b, generator=seeded(5), projections=100)
    assert first != sliced_wasserstein(a, b, generator=seeded(6), projections=100)
    with pytest.raises(GanBookError, match="too few"):
        sliced_wasserstein(a, b, generator=seeded(5), projections=1)


# --- known modes ---


def test_divergence_and_missing_modes_by_hand() -> None:
    labels = torch.tensor([0, 0, 0, 1, -1])
    counts, shares = torch.bincount(labels[:-1], minlength=3), torch.tensor([0.5, 0.25, 0.25])
    result = coverage_of_counts(counts, shares, unrecognized=1, generator=seeded(0))
    expected = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.25)
    assert result.divergence == pytest.approx(expected)
    assert (result.captured, result.modes, result.missing) == (2, 3, (2,))
    assert result.counts == (3, 1, 0)
    assert result.unrecognized == pytest.approx(0.2)
    assert result.n == 5
    assert "captured 2, modes 3" in str(result)


def test_floor_is_that_of_faithful_samples() -> None:
    shares = torch.full((50,), 0.02)
    result = coverage_of_counts(torch.full((50,), 40), shares, generator=seeded(0))
    assert result.divergence == pytest.approx(0.0, abs=1e-6)
    assert result.floor == pytest.approx(49 / (2 * 2000), rel=0.05)  # (K - 1) / 2n
    assert result.floor_high > result.floor
    few = coverage_of_counts(torch.tensor([30, 30, 40]), generator=seeded(0))
    assert few.floor_captured == 3.0
    below = 0
    for seed in range(100):
        labels = torch.randint(0, 50, (2000,), generator=seeded(seed))
        drawn = coverage_of_counts(torch.bincount(labels, minlength=50), generator=seeded(1))
        below += drawn.divergence <= drawn.floor_high
    assert 88 <= below <= 100


def test_a_mode_of_share_zero_is_not_missing() -> None:
    result = coverage_of_counts(torch.tensor([5, 0, 5]), torch.tensor([0.5, 0.0, 0.5]))
    assert (result.captured, result.modes, result.missing) == (2, 2, ())
    with pytest.raises(GanBookError, match="share 0"):
        coverage_of_counts(torch.tensor([5, 1, 5]), torch.tensor([0.5, 0.0, 0.5]))


@pytest.mark.parametrize(
    ("counts", "shares", "words"),
    [
        ([0, 0], None, "at least one row"),
        ([-1, 3], None, "must not be negative"),
        ([1, 2, 3], [0.5, 0.5], "one number per mode"),
        ([1, 2], [0.5, 0.6], "sum to 1"),
    ],
)
def test_bad_counts_get_a_sentence(counts: list, shares: list | None, words: str) -> None:
    with pytest.raises(GanBookError, match=words):
        coverage_of_counts(torch.tensor(counts), None if shares is None else torch.tensor(shares))


# --- baselines ---


@pytest.mark.parametrize("count", [40, 200])
def test_pca_gaussian_has_the_pictures_moments(count: int) -> None:
    mixing = normal(12, 12, 0)
    pictures = (normal(count, 12, 1) @ mixing).reshape(count, 3, 2, 2) + 5
    if count == 40:
        pictures = torch.cat([pictures, pictures * 0.5, pictures.flip(1)], dim=1).repeat(1, 2, 1, 1)
    drawn = pca_gaussian(pictures, 20_000, generator=seeded(2))
    assert drawn.shape[1:] == pictures.shape[1:]
    assert drawn.dtype == pictures.dtype
    real, fake = pictures.flatten(1), drawn.flatten(1)
    scale = float(real.T.cov().diagonal().max())
    assert (real.mean(0) - fake.mean(0)).abs().max() < 0.05 * scale**0.5
    assert (real.T.cov() - fake.T.cov()).abs().max() < 0.08 * scale


def test_pca_gaussian_on_bytes() -> None:
    pictures = torch.randint(0, 256, (30, 3, 4, 4), generator=seeded(0), dtype=torch.uint8)
    drawn = pca_gaussian(pictures, 7, generator=seeded(1))
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (7, 3, 4, 4)
    assert torch.equal(drawn, pca_gaussian(pictures, 7, generator=seeded(1)))
    white = torch.full((5, 3, 4, 4), 255, dtype=torch.uint8)
    assert torch.equal(pca_gaussian(white, 2, generator=seeded(1)), white[:2])
    with pytest.raises(GanBookError, match="at least 1"):
        pca_gaussian(pictures, 0, generator=seeded(1))


def test_real_floor_of_the_kernel_distance_is_zero_on_average() -> None:
    floor = real_floor(normal(400, 8, 0), generator=seeded(0), splits=20)
    assert abs(floor.mean) < 3 * floor.deviation
    assert floor.n == 200
    assert floor.mean < 0.1 * kernel_distance(normal(200, 8, 1), normal(200, 8, 2) + 0.5).value
    with pytest.raises(GanBookError, match="at least 8"):
        real_floor(normal(7, 8, 0), generator=seeded(0))
    biased = real_floor(
        normal(100, 8, 0),
        lambda a, b: sliced_wasserstein(a, b, generator=seeded(0), projections=20),
        generator=seeded(0),
        splits=3,
    )
    assert biased.mean > 0
