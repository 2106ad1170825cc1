"""Sliced Wasserstein distance: optimal transport along random lines, where it is only sorting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import need
from ._features import Matrix, Result, two_sets


@dataclass(frozen=True)
class SlicedWasserstein(Result):
    """Sliced 2-Wasserstein distance.

    Attributes:
        value: root of the mean squared transport distance over the directions; biased upwards
            by the finite number of rows.
        projection_error: standard error of `value` from the finite number of directions alone.
        projections: directions; n_first, n_second: rows; dimensions: columns.
    """

    value: float
    projection_error: float
    projections: int
    n_first: int
    n_second: int
    dimensions: int


def squared_transport(x: Tensor, y: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of samples on lines: (n, p), (m, p) -> (p,), any n and m.

    Both quantile functions are steps; between two neighboring levels out of {i/n} and {j/m}
    each is constant, so the integral of their squared difference is a finite sum.
    """
    x, y = x.sort(dim=0).values, y.sort(dim=0).values
    n, m = len(x), len(y)
    if n == m:
        return (x - y).square().mean(dim=0)
    # Levels in units of 1 / (n m), integers, so that equal levels are found exactly.
    levels = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    widths = torch.diff(levels, prepend=torch.zeros(1, dtype=torch.int64)).double() / (n * m)
    left = ((levels - 1) // m).to(x.device)  # index into x up to each level
    right = ((levels - 1) // n).to(x.device)
    return widths.to(x.device) @ (x[left] - y[right]).square()


def sliced_wasserstein(
    a: Matrix, b: Matrix, *, generator: torch.Generator, projections: int = 512, batch: int = 64
) -> SlicedWasserstein:
    """Root mean square, over random directions, of the 2-Wasserstein distance along a line.

    Args:
        a, b: (n, d), (m, d) features; n and m may differ.
        generator: draws the directions, uniform on the sphere.
        projections: number of directions. batch: directions held at a time.

    Raises:
        GanBookError: unequal columns, values not finite, no directions.

    Source: Rabin et al. 2011, "Wasserstein Barycenter and Its Application to Texture Mixing",
    section 2.2; Bonneel et al. 2015, "Sliced and Radon Wasserstein Barycenters of Measures".
    """
    first, second = two_sets(a, b)
    need(projections >= 2, f"{projections} directions are too few; take at least 2.")
    d = first.shape[1]
    squares = []
    for start in range(0, projections, batch):
        count = min(batch, projections - start)
        lines = torch.randn(d, count, generator=generator, dtype=torch.float64)
        lines = (lines / lines.norm(dim=0)).to(first.device)  # (d, count)
        squares.append(squared_transport(_project(first, lines), _project(second, lines)))
    each = torch.cat(squares)  # (projections,)
    value = float(each.mean()) ** 0.5
    error = float(each.std()) / projections**0.5
    return SlicedWasserstein(
        value, error / (2 * value) if value else 0.0, projections, len(first), len(second), d
    )


def _project(rows: Tensor, lines: Tensor, chunk: int = 8192) -> Tensor:
    """Coordinates (n, p) along the lines, float64, without a float64 copy of all rows."""
    return torch.cat([part.double() @ lines for part in rows.split(chunk)])
