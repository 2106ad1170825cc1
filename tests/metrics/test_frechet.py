"""The Frechet distance against closed forms, SciPy, torch-fidelity and its own extrapolation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.metrics import (
    frechet_at_infinity,
    frechet_distance,
    frechet_from_moments,
    moments,
)


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def covariance(d: int, seed: int, rank: int | None = None) -> torch.Tensor:
    factor = normal(rank or 2 * d, d, seed)
    return factor.T @ factor / len(factor)


def by_square_root(m1: np.ndarray, c1: np.ndarray, m2: np.ndarray, c2: np.ndarray) -> float:
    """The published formula with a general matrix square root."""
    from scipy.linalg import sqrtm

    root = np.real(sqrtm(c1 @ c2))
    return float(((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * root))


def test_diagonal_gaussians_in_closed_form() -> None:
    a, b = torch.rand(7, generator=torch.Generator().manual_seed(0)).double(), torch.arange(1.0, 8)
    mean_a, mean_b = torch.zeros(7), torch.full((7,), 0.5)
    expected = 7 * 0.25 + float((a.sqrt() - b.double().sqrt()).square().sum())
    value = frechet_from_moments(mean_a, a.diag(), mean_b, b.diag())
    assert value == pytest.approx(expected, rel=1e-12)
    assert frechet_from_moments(mean_b, b.diag(), mean_a, a.diag()) == pytest.approx(value)


def test_general_gaussians_equal_the_matrix_square_root() -> None:
    m1, m2, c1, c2 = normal(1, 9, 0)[0], normal(1, 9, 1)[0], covariance(9, 2), covariance(9, 3)
    expected = by_square_root(m1.numpy(), c1.numpy(), m2.numpy(), c2.numpy())
    assert frechet_from_moments(m1, c1, m2, c2) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances() -> None:
    # Two lines in the plane at an angle t: tr (A B)^(1/2) = |cos t|.
    for t in [0.0, 0.3, math.pi / 2]:
        u, v = torch.tensor([1.0, 0.0]), torch.tensor([math.cos(t), math.sin(t)])
        value = frechet_from_moments(
            torch.zeros(2), torch.outer(u, u), torch.zeros(2), torch.outer(v, v)
        )
        assert value == pytest.approx(2 - 2 * abs(math.cos(t)), abs=1e-6)
    zero = torch.zeros(3, 3)
    assert frechet_from_moments(torch.zeros(3), zero, torch.ones(3), zero) == pytest.approx(3.0)


def test_equals_torch_fidelity_on_features() -> None:
    fidelity = pytest.importorskip("torch_fidelity.metric_fid")
    a, b = normal(300, 20, 0), normal(400, 20, 1) * 1.3 + 0.2
    stats = [{"mu": np.mean(x.numpy(), 0), "sigma": np.cov(x.numpy().T)} for x in (a, b)]
    expected = fidelity.fid_statistics_to_metric(stats[0], stats[1], False)
    expected = expected[fidelity.KEY_METRIC_FID]
    assert frechet_distance(a, b).value == pytest.approx(expected, rel=1e-7)


def test_fewer_rows_than_columns_is_stable() -> None:
    a, b = normal(12, 40, 0), normal(15, 40, 1) + 0.5
    result = frechet_distance(a, b, allow=True)
    # The same in exact terms: eigenvalues of the symmetric A^(1/2) B A^(1/2) by 50-digit arithmetic
    # are not needed, since both sets span at most 12 + 15 dimensions: rotate and compare.
    basis = torch.linalg.qr(torch.cat([a, b]).T)[0]  # (40, 27)
    rotated = frechet_distance(a @ basis, b @ basis, allow=True)
    assert result.value == pytest.approx(rotated.value, rel=1e-10)
    # From moments, whose covariances are singular, only the square root of rounding is lost.
    assert frechet_from_moments(*moments(a), *moments(b)) == pytest.approx(result.value, rel=1e-5)
    assert frechet_distance(a, a.clone(), allow=True).value == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + 3.0, allow=True).value == pytest.approx(360.0, rel=1e-9)
    assert "TOO FEW ROWS" in str(result)


def test_refuses_too_few_rows() -> None:
    with pytest.raises(GanBookError, match="more than 40 rows"):
        frechet_distance(normal(40, 20, 0), normal(100, 20, 1))
    assert frechet_distance(normal(41, 20, 0), normal(41, 20, 1)).value > 0
    with pytest.raises(GanBookError, match="60 rows"):
        frechet_distance(normal(50, 20, 0), normal(100, 20, 1), min_ratio=3.0)


def test_bad_moments_get_a_sentence() -> None:
    with pytest.raises(GanBookError, match="negative eigenvalue"):
        frechet_from_moments(torch.zeros(2), -torch.eye(2), torch.zeros(2), torch.eye(2))
    with pytest.raises(GanBookError, match="do not fit"):
        frechet_from_moments(torch.zeros(3), torch.eye(2), torch.zeros(2), torch.eye(2))


def test_moments_in_chunks() -> None:
    x = normal(101, 6, 0).float() * 3 + 100
    mean, cov = moments(x, chunk=10)
    assert mean.dtype == cov.dtype == torch.float64
    assert np.allclose(mean, x.double().mean(0), rtol=1e-13)
    assert np.allclose(cov, np.cov(x.double().numpy().T), rtol=1e-9)


def test_bias_falls_like_one_over_n() -> None:
    values = [
        np.mean(
            [
                frechet_distance(normal(n, 8, 2 * s), normal(n, 8, 2 * s + 1)).value
                for s in range(20)
            ]
        )
        for n in (100, 200, 400)
    ]
    assert values[0] / values[1] == pytest.approx(2.0, rel=0.25)
    assert values[1] / values[2] == pytest.approx(2.0, rel=0.25)


def test_extrapolation_covers_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    scale, shift = 1.2, 0.3
    true = 8 * (shift**2 + (scale - 1) ** 2)
    covered, plain, values, errors = 0, [], [], []
    for _ in range(100):
        a = torch.randn(400, 8, generator=generator, dtype=torch.float64)
        b = torch.randn(400, 8, generator=generator, dtype=torch.float64) * scale + shift
        result = frechet_at_infinity(a, b, generator=generator, blocks=3, groups=5)
        covered += abs(result.value - true) <= 2 * result.standard_error + abs(result.curvature)
        plain.append(result.at_n)
        values.append(result.value)
        errors.append(result.standard_error)
    assert covered >= 89
    deviation = np.std(values) / 10
    assert abs(np.mean(values) - true) < 4 * deviation  # no bias left that 100 draws show
    assert np.mean(plain) - true > 4 * deviation  # which the plain estimate has
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)


def test_extrapolation_in_64_dimensions() -> None:
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(1000, 64, generator=generator, dtype=torch.float64) for _ in range(2))
    result = frechet_at_infinity(a, b, generator=generator, groups=4)
    assert result.at_n == pytest.approx(2.2, abs=0.2)  # two samples of one distribution
    assert abs(result.value) < 0.25
    assert result.sizes == (1000, 500, 333, 250, 200)
    assert result.slope / 1000 == pytest.approx(result.at_n, abs=0.3)


def test_extrapolation_without_a_jackknife_has_no_standard_error() -> None:
    a, b = normal(300, 8, 0), normal(300, 8, 1)
    result = frechet_at_infinity(a, b, generator=torch.Generator(), groups=0)
    assert math.isnan(result.standard_error)


def test_extrapolation_refuses_too_few_rows() -> None:
    with pytest.raises(GanBookError, match="has no bias"):
        frechet_at_infinity(normal(90, 20, 0), normal(90, 20, 1), generator=torch.Generator())
