"""The kernel distance against brute force, both libraries, exact Gaussians and its own interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.metrics import (
    cubic_kernel,
    kernel,
    kernel_distance,
    kernel_distance_from_moments,
    paired_kernel_difference,
)


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def brute_force(a: torch.Tensor, b: torch.Tensor) -> float:
    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(x @ y / len(x) + 1) ** 3

    aa = np.mean([k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    bb = np.mean([k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    return float(aa + bb - 2 * np.mean([k(x, y) for x in a for y in b]))


def close(value: float, oracle: float) -> bool:
    return abs(value - oracle) <= 1e-9 + 1e-6 * abs(oracle)


def test_equals_brute_force_in_any_tiling(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(13, 4, 0), normal(17, 4, 1) + 0.4
    result = kernel_distance(a, b)
    assert result.value == pytest.approx(brute_force(a, b), rel=1e-12)
    monkeypatch.setattr(kernel, "TILE_ROWS", 5)
    monkeypatch.setattr(kernel, "TILE_COLUMNS", 4)
    tiled = kernel_distance(a, b)
    assert tiled.value == pytest.approx(result.value, rel=1e-12)
    assert tiled.standard_error == pytest.approx(result.standard_error, rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_whole_set_equals_torchmetrics_and_torch_fidelity(offset: float) -> None:
    a, b = normal(200, 32, 0) + offset, normal(200, 32, 1) * 1.1 + 0.1 + offset
    value = kernel_distance(a, b).value
    torchmetrics = pytest.importorskip("torchmetrics.image.kid")
    assert close(value, float(torchmetrics.poly_mmd(a, b)))
    fidelity = pytest.importorskip("torch_fidelity.metric_kid")
    oracle = fidelity.kid_features_to_metric(
        a.clone(), b.clone(), kid_subsets=1, kid_subset_size=200, kid_kernel="poly", verbose=False
    )[fidelity.KEY_METRIC_KID_MEAN]
    assert close(value, float(oracle))


def test_exact_distance_of_gaussians_against_quadrature() -> None:
    # One dimension: E k(x, y) by Gauss-Hermite quadrature, exact for polynomials.
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()

    def expected(m1: float, s1: float, m2: float, s2: float) -> float:
        x, y = m1 + s1 * nodes, m2 + s2 * nodes
        return float(weights @ (np.outer(x, y) + 1) ** 3 @ weights)

    cases = [(0.3, 1.2, -0.5, 0.7), (2.0, 0.1, 0.0, 1.0)]
    for m1, s1, m2, s2 in cases:
        truth = expected(m1, s1, m1, s1) + expected(m2, s2, m2, s2) - 2 * expected(m1, s1, m2, s2)
        value = kernel_distance_from_moments([m1], [[s1**2]], [m2], [[s2**2]])
        assert value == pytest.approx(truth, rel=1e-12)


def test_exact_distance_of_gaussians_against_large_samples() -> None:
    # Correlated covariances that do not commute: the third-order term with c1 c2 matters.
    generator = torch.Generator().manual_seed(0)
    d = 3
    factors = [torch.randn(d, d, generator=generator, dtype=torch.float64) for _ in range(2)]
    means = [torch.randn(d, generator=generator, dtype=torch.float64) for _ in range(2)]
    truth = kernel_distance_from_moments(
        means[0], factors[0] @ factors[0].T, means[1], factors[1] @ factors[1].T
    )
    sets = [
        m + torch.randn(6000, d, generator=generator, dtype=torch.float64) @ f.T
        for m, f in zip(means, factors, strict=True)
    ]
    result = kernel_distance(*sets)
    assert abs(result.value - truth) < 3 * result.standard_error
    assert result.standard_error < 0.15 * truth
    same = kernel_distance_from_moments(means[0], torch.eye(d), means[0], torch.eye(d))
    assert same == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("n", "m", "d", "shift", "scale"),
    [(200, 200, 64, 0.0, 1.0), (100, 150, 16, 0.3, 1.1), (300, 80, 32, 0.1, 1.0)],
)
def test_interval_covers_the_true_distance(
    n: int, m: int, d: int, shift: float, scale: float, record_property
) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = kernel_distance_from_moments(
        torch.zeros(d), torch.eye(d), torch.full((d,), shift), scale**2 * torch.eye(d)
    )
    covered, values, errors = 0, [], []
    for _ in range(100):
        a = torch.randn(n, d, generator=generator, dtype=torch.float64)
        b = torch.randn(m, d, generator=generator, dtype=torch.float64) * scale + shift
        result = kernel_distance(a, b)
        covered += abs(result.value - truth) <= 2 * result.standard_error
        values.append(result.value)
        errors.append(result.standard_error)
    record_property("covered", covered)
    record_property("mean_width", 4 * float(np.mean(errors)))
    assert covered >= 89
    # No wider than needed: mean width 4 standard errors, within 35 % of 4 true deviations.
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / 10  # unbiased


def test_paired_difference_covers_and_is_sharper() -> None:
    generator = torch.Generator().manual_seed(3)
    d, n = 32, 100
    center, eye = torch.zeros(d), torch.eye(d)
    shifts = (0.3, 0.4)
    truths = [kernel_distance_from_moments(center, eye, torch.full((d,), s), eye) for s in shifts]
    covered, values, paired, separate = 0, [], [], []
    for _ in range(100):
        real = torch.randn(n, d, generator=generator, dtype=torch.float64)
        a, b = (torch.randn(400, d, generator=generator, dtype=torch.float64) + s for s in shifts)
        result = paired_kernel_difference(real, a, b)
        covered += abs(result.value - (truths[0] - truths[1])) <= 2 * result.standard_error
        first, second = kernel_distance(real, a), kernel_distance(real, b)
        assert result.value == pytest.approx(first.value - second.value, abs=1e-10)
        values.append(result.value)
        paired.append(result.standard_error)
        separate.append(math.hypot(first.standard_error, second.standard_error))
    assert covered >= 89
    assert np.mean(paired) == pytest.approx(np.std(values), rel=0.35)
    assert np.mean(paired) < 0.8 * np.mean(separate)
    assert result.verdict == "a"
    assert "standard_error" in str(result)
    assert paired_kernel_difference(real, b, a).verdict == "b"


def test_equal_models_are_undecided() -> None:
    real = normal(100, 8, 0)
    result = paired_kernel_difference(real, normal(200, 8, 1), normal(200, 8, 2))
    assert result.verdict == "undecided"
    same = paired_kernel_difference(real, real, real)
    assert same.value == pytest.approx(0.0, abs=1e-12)


def test_a_set_with_itself_as_second_sample() -> None:
    # The same rows on both sides: the mean of k(x, x) enters, so the value is negative, known.
    a = normal(50, 6, 0)
    gram = cubic_kernel(a, a)
    off = (gram.sum() - gram.trace()) / (50 * 49)
    assert kernel_distance(a, a).value == pytest.approx(float(2 * off - 2 * gram.mean()))


def test_float32_and_arrays_are_computed_in_float64() -> None:
    a, b = normal(40, 16, 0).float(), normal(40, 16, 1).float() + 0.1
    exact = kernel_distance(a.double(), b.double())
    assert kernel_distance(a.numpy(), b) == exact


def test_bad_shapes_get_a_sentence() -> None:
    with pytest.raises(GanBookError, match="columns"):
        kernel_distance(normal(20, 3, 0), normal(20, 4, 0))
    with pytest.raises(GanBookError, match="at least 4"):
        kernel_distance(normal(3, 3, 0), normal(20, 3, 0))
    with pytest.raises(GanBookError, match="shape"):
        kernel_distance_from_moments(torch.zeros(2), torch.eye(3), torch.zeros(2), torch.eye(2))
