"""Rows that every table of distances carries beside the models: a sampler that is no network, and
the floor that real pictures reach against real pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import need
from ._features import Matrix, Result, features
from .kernel import kernel_distance


def pca_gaussian(pictures: Tensor, n: int, *, generator: torch.Generator) -> Tensor:
    """Draw pictures from the Gaussian with the training pixels' mean and sample covariance.

    No network and no adversary: a model that does not beat this has learned textures at most.

    Args:
        pictures: (N, C, H, W) or (N, d), N >= 2, uint8 or floating point.
        n: number of pictures to draw, at least 1.
        generator: draws the coefficients.

    Returns:
        (n, C, H, W) or (n, d) of the same dtype. uint8 is rounded and clamped to 0 ... 255, which
        narrows the distribution a little at both ends; floating point is left as drawn.

    Raises:
        GanBookError: fewer than 2 pictures, or n < 1.
    """
    rows = features(pictures, "training")  # (N, d)
    need(n >= 1, f"Drawing {n} pictures is not possible; draw at least 1.")
    mean = rows.mean(dim=0, dtype=torch.float64)
    # Normal combinations of centered pictures have exactly their covariance: no eigenvectors.
    weights = torch.randn(n, len(rows), generator=generator, dtype=torch.float64)
    axes = (rows.double() - mean) / math.sqrt(len(rows) - 1)  # (N, d)
    drawn = mean + weights.to(axes.device) @ axes  # (n, d)
    if pictures.dtype == torch.uint8:
        drawn = drawn.round().clamp(0, 255)
    return drawn.to(pictures.dtype).reshape(n, *pictures.shape[1:])


@dataclass(frozen=True)
class Floor(Result):
    """A distance between random halves of one real set: what no generator can be asked to beat.

    Attributes:
        mean, deviation: over the splits. n: rows in each half. splits: random splits.
    """

    mean: float
    deviation: float
    n: int
    splits: int


def real_floor(
    real: Matrix,
    distance: Callable[[Tensor, Tensor], Any] = kernel_distance,
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
