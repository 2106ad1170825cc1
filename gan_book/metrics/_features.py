"""Checked feature matrices and their pairwise distances in tiles of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..errors import need

Matrix: TypeAlias = "Tensor | np.ndarray"

# A tile of float64 products: 2,048 x 4,096 x 8 bytes = 64 MB, whatever the number of rows.
TILE_ROWS = 2048
TILE_COLUMNS = 4096


class Result:
    """What was measured: ``str`` gives its name and all its numbers and words on one line."""

    def __str__(self) -> str:
        told = []
        for name, value in vars(self).items():
            parts = value if isinstance(value, tuple) else (value,)
            words = [f"{v:.4g}" if isinstance(v, float) else f"{v}" for v in parts]
            if len(parts) in (1, 2) and all(isinstance(v, int | float | str) for v in parts):
                told.append(f"{name} {' to '.join(words)}")
        return f"{type(self).__name__}: {', '.join(told)}"


def features(x: Matrix, name: str, *, at_least: int = 2) -> Tensor:
    """Check one set and return it as a matrix (N, d), float32 or float64.

    Pictures (N, C, H, W) are flattened to rows; integers become float64; half precision becomes
    float32. Float32 stays float32 so that a large set is not held twice; every computation on it
    is made in float64, tile by tile.

    Raises:
        GanBookError: fewer than `at_least` rows, no columns, or a value that is not finite.
    """
    tensor = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x)).detach()
    if tensor.device.type not in ("cpu", "cuda"):  # other devices lack float64
        tensor = tensor.cpu()
    need(
        tensor.ndim >= 2,
        f"The {name} set has shape {tuple(tensor.shape)}; give a matrix with one row per picture, "
        "or the pictures themselves.",
    )
    real = not tensor.is_complex() and tensor.dtype != torch.bool
    need(real, f"The {name} set holds {tensor.dtype} values; give real numbers.")
    if not tensor.is_floating_point():
        tensor = tensor.double()
    elif tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    tensor = tensor.reshape(len(tensor), -1) if len(tensor) else tensor.reshape(0, 1)
    need(
        len(tensor) >= at_least,
        f"The {name} set has {len(tensor)} rows, but at least {at_least} are needed; give more "
        "pictures.",
    )
    need(tensor.shape[1], f"The {name} set has no columns; give at least one feature per row.")
    finite = torch.isfinite(tensor).all(dim=1)  # (N,)
    need(
        finite.all(),
        f"The {name} set holds a value that is not finite, first in row "
        f"{int(finite.int().argmin())}; look at that picture, or at the network that made it.",
    )
    return tensor


def two_sets(
    a: Matrix, b: Matrix, names: tuple[str, str] = ("first", "second"), *, at_least: int = 2
) -> tuple[Tensor, Tensor]:
    """Check two sets that are to be compared: `features` of each, with equally many columns."""
    first = features(a, names[0], at_least=at_least)
    second = features(b, names[1], at_least=at_least).to(first.device)
    need(
        first.shape[1] == second.shape[1],
        f"The {names[0]} set has {first.shape[1]} columns and the {names[1]} set "
        f"{second.shape[1]}; take the features of both from one extractor at one size.",
    )
    return first, second


def mean_of(*sets: Tensor) -> Tensor:
    """Mean row (d,) of all sets together, float64: subtracting it keeps distances exact."""
    total = sum(x.sum(dim=0, dtype=torch.float64) for x in sets)
    count = sum(len(x) for x in sets)
    return torch.as_tensor(total) / count


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances (n, m), float64, of two small matrices."""
    a, b = a.double(), b.double()
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None, :]  # (n, m)
    return squares.sub_(a @ b.T, alpha=2.0).clamp_(min=0.0)  # (n, m)


def tiles(
    a: Tensor, b: Tensor, rows: int = TILE_ROWS, columns: int = TILE_COLUMNS
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances between all rows of `a` and `b`, one (rows, columns) tile at a time."""
    center = mean_of(a, b)
    for i in range(0, len(a), rows):
        left = a[i : i + rows].double() - center
        for j in range(0, len(b), columns):
            right = b[j : j + columns].double() - center
            squared = squared_distances(left, right)
            yield slice(i, i + len(left)), slice(j, j + len(right)), squared


def other_tiles(x: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """`tiles` of a set with itself; a row's distance to itself is infinite."""
    for i, j, squared in tiles(x, x):
        squared.diagonal(i.start - j.start).fill_(torch.inf)
        yield i, j, squared


def gaussians(*moments: Matrix) -> list[Tensor]:
    """Means (d,) and covariances (d, d) in turn as float64; `GanBookError` for other shapes."""
    given = [torch.as_tensor(x, dtype=torch.float64) for x in moments]
    d, shapes = len(given[0]), [tuple(x.shape) for x in given]
    need(
        shapes == [(d,), (d, d)] * 2,
        f"The shapes of means (d,) and covariances (d, d) do not fit together: {shapes}.",
    )
    return given


def wilson(share: float, count: float, z: float = 1.959964) -> tuple[float, float]:
    """Score interval of a share among `count` trials (Wilson 1927); sound near 0 and 1."""
    scale = 1 + z * z / count
    middle = (share + z * z / (2 * count)) / scale
    half = z / scale * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
