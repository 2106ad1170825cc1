"""Quality and variety apart: precision and recall, density and coverage, by nearest neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import need
from ._features import Matrix, Result, other_tiles, tiles, two_sets, wilson

# Rounding of a squared distance, relative to the largest: closer than this counts as touching.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PrecisionRecall(Result):
    """Shares of generated rows inside the real support, and of real rows inside the generated one.

    Attributes:
        precision, recall: shares in [0, 1].
        precision_interval, recall_interval: 95 % intervals over fresh draws of the counted rows
            with the other set fixed; they do not contain the bias of a finite other set.
        n_real, n_generated: rows; k: neighbor that sets a ball's radius.
    """

    precision: float
    recall: float
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    n_real: int
    n_generated: int
    k: int


@dataclass(frozen=True)
class DensityCoverage(Result):
    """How crowded real neighborhoods are with generated rows, and how many have one at all.

    Attributes:
        density: mean number of real balls around a generated row, divided by k; may exceed 1.
        density_error: standard error over fresh draws of generated rows.
        coverage: share of real balls with at least one generated row.
        coverage_interval: 95 % interval over fresh draws of real rows.
        expected_coverage: coverage of a perfect generator at these counts.
        n_real, n_generated: rows; k: neighbor that sets a ball's radius.
    """

    density: float
    density_error: float
    coverage: float
    coverage_interval: tuple[float, float]
    expected_coverage: float
    n_real: int
    n_generated: int
    k: int


def squared_radii(x: Tensor, k: int) -> Tensor:
    """Squared distance (n,) of every row to its k-th nearest other row."""
    best = torch.full((len(x), k), torch.inf, dtype=torch.float64, device=x.device)
    for i, _, squared in other_tiles(x):
        near = squared.topk(min(k, squared.shape[1]), dim=1, largest=False).values
        best[i] = torch.cat([best[i], near], dim=1).topk(k, dim=1, largest=False).values
    return best[:, -1]


def _checked(real: Matrix, generated: Matrix, k: int) -> tuple[Tensor, Tensor, float]:
    """Both sets, and the largest squared distance that is only rounding."""
    first, second = two_sets(real, generated, ("real", "generated"))
    need(
        1 <= k < min(len(first), len(second)),
        f"k = {k} neighbors need more than {k} rows in each set, and k at least 1; there are "
        f"{len(first)} real and {len(second)} generated rows.",
    )
    scale = max(float((x - x[0]).square().sum(1).max()) for x in (first, second))
    return first, second, ROUNDING * scale


def precision_recall(real: Matrix, generated: Matrix, *, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall.

    The support of a set is the union of balls around its rows that reach to the k-th nearest row
    of the same set. Precision: share of generated rows in the real support (quality). Recall:
    share of real rows in the generated support (variety). Both grow with the number of rows and
    one outlier can open a huge ball, so compare only at equal counts.

    Args:
        real: (n, d), generated: (m, d) features.

    Raises:
        GanBookError: k too large, unequal columns, values not finite.

    Source: Kynkaanniemi et al. 2019, "Improved Precision and Recall Metric for Assessing
    Generative Models", equations 1 and 2.
    """
    first, second, slack = _checked(real, generated, k)
    real_radii, fake_radii = squared_radii(first, k) + slack, squared_radii(second, k) + slack
    inside_real = torch.zeros(len(second), dtype=torch.bool, device=first.device)
    inside_fake = torch.zeros(len(first), dtype=torch.bool, device=first.device)
    for i, j, squared in tiles(first, second):
        inside_real[j] |= (squared <= real_radii[i, None]).any(dim=0)
        inside_fake[i] |= (squared <= fake_radii[None, j]).any(dim=1)
    precision, recall = float(inside_real.double().mean()), float(inside_fake.double().mean())
    intervals = wilson(precision, len(second)), wilson(recall, len(first))
    return PrecisionRecall(precision, recall, *intervals, len(first), len(second), k)


def _expected_coverage(n: int, m: int, k: int) -> float:
    """Coverage of a perfect generator: among the n - 1 other real and m generated rows around a
    real one, not all of the k nearest are real (Naeem et al. 2020, lemma 2)."""
    all_real = 1.0
    for step in range(k):
        all_real *= (n - 1 - step) / (n + m - 1 - step)
    return 1.0 - all_real


def density_coverage(real: Matrix, generated: Matrix, *, k: int = 5) -> DensityCoverage:
    """Density and coverage: balls around real rows only, so generated outliers open none.

    Args:
        real: (n, d), generated: (m, d) features.

    Raises:
        GanBookError: k too large, unequal columns, values not finite.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models",
    equations 2 and 3; expected coverage: lemma 2.
    """
    first, second, slack = _checked(real, generated, k)
    radii = squared_radii(first, k) + slack
    balls = torch.zeros(len(second), dtype=torch.float64, device=first.device)
    met = torch.zeros(len(first), dtype=torch.bool, device=first.device)
    for i, j, squared in tiles(first, second):
        inside = squared <= radii[i, None]  # (real, generated)
        balls[j] += inside.sum(dim=0)
        met[i] |= inside.any(dim=1)
    density, coverage = float(balls.mean()) / k, float(met.double().mean())
    n, m = len(first), len(second)
    error, interval = float(balls.std()) / k / m**0.5, wilson(coverage, n)
    expected = _expected_coverage(n, m, k)
    return DensityCoverage(density, error, coverage, interval, expected, n, m, k)
