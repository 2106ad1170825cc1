"""Rows that every table of distances carries beside the models: a sampler that is no network, and
the floor that real pictures reach against real pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..errors import need
from ._features import Matrix, features
from .kernel import kernel_distance


def pca_gaussian(
    pictures: Tensor, n: int, *, generator: torch.Generator, components: int | None = None
) -> Tensor:
    """Draw pictures from the Gaussian with the training pixels' mean and principal components.

    No network and no adversary: a model that does not beat this has learned textures at most.

    Args:
        pictures: (N, C, H, W) or (N, d), N >= 2, uint8 or floating point.
        n: number of pictures to draw, at least 1.
        generator: draws the coefficients.
        components: keep this many leading principal components; all that N pictures have when
            None (the sample covariance of the draws is then that of the pictures).

    Returns:
        (n, C, H, W) or (n, d) of the same dtype. uint8 is rounded and clamped to 0 ... 255, which
        narrows the distribution a little at both ends; floating point is left as drawn.

    Raises:
        GanBookError: fewer than 2 pictures, n < 1, or impossible components.
    """
    rows = features(pictures, "training")  # (N, d)
    count, d = rows.shape
    possible = min(count - 1, d)
    kept = possible if components is None else components
    need(
        n >= 1 and 1 <= kept <= possible,
        f"Drawing {n} pictures with {kept} components is not possible; {count} pictures of {d} "
        f"values have 1 to {possible} components.",
    )
    mean = rows.mean(dim=0, dtype=torch.float64)
    centered = rows.double() - mean
    if components is None and count <= d:
        # Normal combinations of centered pictures have exactly their covariance: no eigenvectors.
        axes = centered / math.sqrt(count - 1)  # (N, d)
    else:
        axes = _principal_axes(centered, kept)  # (kept, d)
    weights = torch.randn(n, len(axes), generator=generator, dtype=torch.float64)
    drawn = mean + weights.to(axes.device) @ axes  # (n, d)
    if pictures.dtype == torch.uint8:
        drawn = drawn.round().clamp(0, 255)
    return drawn.to(pictures.dtype).reshape(n, *pictures.shape[1:])


def _principal_axes(centered: Tensor, kept: int) -> Tensor:
    """Leading principal axes (kept, d), each as long as the standard deviation along it."""
    count, d = centered.shape
    if d <= count:
        values, vectors = torch.linalg.eigh(centered.T @ centered / (count - 1))
        roots = values[-kept:].clamp(min=0.0).sqrt()
        return roots[:, None] * vectors[:, -kept:].T
    # The Gram matrix has the same eigenvalues; U.T X / sqrt(N - 1) are the scaled axes.
    _, vectors = torch.linalg.eigh(centered @ centered.T)
    return vectors[:, -kept:].T @ centered / math.sqrt(count - 1)


class _HasValue(Protocol):
    @property
    def value(self) -> float: ...


@dataclass(frozen=True)
class Floor:
    """A distance between random halves of one real set: what no generator can be asked to beat.

    Attributes:
        mean, deviation: over the splits. n: rows in each half. splits: random splits.
    """

    mean: float
    deviation: float
    n: int
    splits: int

    def __str__(self) -> str:
        return (
            f"real against real {self.mean:.5g} +- {self.deviation:.2g} "
            f"({self.splits} splits into {self.n} + {self.n})"
        )


def real_floor(
    real: Matrix,
    distance: Callable[[Tensor, Tensor], _HasValue] = kernel_distance,
    *,
    generator: torch.Generator,
    splits: int = 10,
) -> Floor:
    """Measure a distance between two random halves of a real set, several times.

    Args:
        real: (N, d) features.
        distance: takes two matrices and returns a result with `.value`. For distances with bias
            (Frechet, sliced Wasserstein) the floor holds at N / 2 rows only.
        generator: draws the splits.

    Raises:
        GanBookError: fewer than 8 rows, fewer than 2 splits, or what `distance` raises.
    """
    rows = features(real, "real", at_least=8)
    need(splits >= 2, f"{splits} splits show no spread; take at least 2.")
    half = len(rows) // 2
    values = []
    for _ in range(splits):
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        values.append(distance(rows[order[:half]], rows[order[half : 2 * half]]).value)
    drawn = torch.tensor(values, dtype=torch.float64)
    return Floor(float(drawn.mean()), float(drawn.std()), half, splits)
