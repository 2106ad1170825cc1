"""Exact divergences on a grid against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.metrics.exact import js_divergence, kl_divergence

X = torch.linspace(-20, 20, 4001, dtype=torch.float64)
CELL = 0.01


def normal(mean, sd):
    return torch.exp(-((X - mean) ** 2) / (2 * sd**2)) / (sd * math.sqrt(2 * math.pi))


@pytest.mark.parametrize("mean, sd", [(0.0, 1.0), (1.0, 1.0), (-2.0, 0.7), (3.0, 2.0)])
def test_kl_of_gaussians(mean, sd):
    exact = math.log(sd) + (1 + mean**2) / (2 * sd**2) - 0.5  # KL(N(0,1) || N(mean, sd^2))
    assert math.isclose(kl_divergence(normal(0, 1), normal(mean, sd), CELL), exact, abs_tol=1e-9)


def test_js_is_symmetric_bounded_and_zero_only_at_equality():
    p, q = normal(0, 1), normal(1.5, 0.8)
    assert math.isclose(js_divergence(p, q, CELL), js_divergence(q, p, CELL), rel_tol=1e-12)
    assert js_divergence(p, p, CELL) == pytest.approx(0, abs=1e-12)
    assert math.isclose(js_divergence(normal(-12, 0.5), normal(12, 0.5), CELL), math.log(2))
    assert 0.1 < js_divergence(p, q, CELL) < math.log(2)


def test_js_against_a_sum_over_two_points():
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    entropy = lambda *shares: -sum(s * math.log(s) for s in shares)  # noqa: E731
    exact = entropy(0.7, 0.3) - (entropy(0.5, 0.5) + entropy(0.9, 0.1)) / 2
    assert math.isclose(js_divergence(p, q, 1.0), exact, rel_tol=1e-6)


def test_zeros():
    p, q = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5])
    assert math.isclose(kl_divergence(p, q, 1.0), math.log(2))
    assert kl_divergence(q, p, 1.0) == math.inf


def test_bad_input_gets_a_sentence():
    good = normal(0, 1)
    for p, q, cell in ((good, good[:10], CELL), (-good, good, CELL), (good, good, 2 * CELL)):
        with pytest.raises(GanBookError):
            js_divergence(p, q, cell)
