"""Nearest training picture under flips, small shifts and recoloring, or in feature space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import need
from ..metrics._features import squared_distances, tiles, two_sets

# Deviation, in levels of 0 ... 255, below which detail is no evidence: rounding, compression.
NOISE_LEVELS = 2.0
# Below 16 pixels blurred pictures of one style look alike: the search would drop the original.
COARSE_SIDE = 16


@dataclass(frozen=True)
class Nearest:
    """Nearest key of every query.

    Attributes:
        distance: (n,) float64. For pictures in [0, 1]: root of the share of the query's detail
            that no recoloring of the best window of the key explains; 0 is a copy.
        index: (n,) int64, into the keys.
        flip: (n,) bool: the key had to be mirrored. shift: (n, 2) int64: rows and columns by which
            the window lies off the center of the (mirrored) key, in pixels of the compared size.
    """

    distance: Tensor
    index: Tensor
    flip: Tensor
    shift: Tensor


class Space(NamedTuple):
    """How likeness is measured: `nearest(queries, keys)`, and `pairs(rows) -> (n, n)` distances."""

    nearest: Callable[[Tensor, Tensor], Nearest]
    pairs: Callable[[Tensor], Tensor]


class _Prepared(NamedTuple):
    """Windows of pictures. detail: (n, C, P) without its mean; energy: (n, C) sum of squares."""

    detail: Tensor
    energy: Tensor


def as_levels(pictures: Tensor, size: int, name: str = "pictures") -> Tensor:
    """Pictures as float32 (N, C, h, w) in levels 0 ... 255, the longer side at most `size`.

    uint8 is taken as it is, floating point as [-1, 1]. Larger pictures are averaged over areas.
    """
    shape = tuple(pictures.shape)
    fits = len(shape) == 4 and shape[0] > 0
    need(fits, f"The {name} have shape {shape}; give (N, C, H, W) with N at least 1.")
    levels = pictures.detach().cpu()
    levels = levels.float() if levels.dtype == torch.uint8 else (levels.float() + 1) * 127.5
    need(torch.isfinite(levels).all(), f"The {name} hold a value that is not finite.")
    height, width = levels.shape[-2:]
    scale = size / max(height, width)
    if scale < 1:
        small = (max(1, round(height * scale)), max(1, round(width * scale)))
        levels = functional.interpolate(levels, size=small, mode="area")
    return levels


def _smooth(levels: Tensor) -> Tensor:
    """Blur (1, 2, 1) / 4 along both sides: a shift by half a pixel then changes little."""
    padded = functional.pad(levels, (1, 1, 1, 1), mode="replicate")
    rows = (padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]) / 4
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4


def _window(levels: Tensor, margin: int, dy: int = 0, dx: int = 0) -> Tensor:
    """The window (n, C, h, w) that lies `margin` inside, moved by (dy, dx)."""
    height, width = levels.shape[-2:]
    rows = slice(margin + dy, height - margin + dy)
    return levels[..., rows, margin + dx : width - margin + dx]


def _prepare(window: Tensor) -> _Prepared:
    detail = window.flatten(2)
    detail = detail - detail.mean(dim=2, keepdim=True)
    return _Prepared(detail, detail.square().sum(2))


def _transforms(shifts: int, flips: bool) -> list[tuple[bool, int, int]]:
    moves = range(-shifts, shifts + 1)
    return [(f, y, x) for f in ((False, True) if flips else (False,)) for y in moves for x in moves]


def _weights(queries: _Prepared) -> tuple[Tensor, float]:
    """Share (n, C) of each channel in a query's detail, noise included in the whole; the noise."""
    noise = queries.detail.shape[2] * NOISE_LEVELS**2
    whole = queries.energy.sum(1, keepdim=True) + noise * queries.energy.shape[1]
    return queries.energy / whole, noise


def explained(queries: Tensor, keys: Tensor, shifts: int, flips: bool) -> Tensor:
    """Largest explained share (n, m) of each query's detail over all transforms of each key.

    For one channel the best recoloring a k + b, a >= 0, of a key leaves the share 1 - r^2 of the
    query's energy, r the correlation (0 where negative); channels count by their energy.
    """
    query = _prepare(_window(queries, shifts))
    weights, noise = _weights(query)
    unit = query.detail / (query.energy + 1e-12).sqrt()[..., None]
    scaled = (unit * weights.sqrt()[..., None]).transpose(0, 1).contiguous()  # (C, n, P)
    best = torch.zeros(len(queries), len(keys))
    for flip, dy, dx in _transforms(shifts, flips):
        key = _prepare(_window(keys.flip(-1) if flip else keys, shifts, dy, dx))
        # Noise in the denominator: a flat key explains nothing.
        other = key.detail / (key.energy + noise).sqrt()[..., None]
        share = torch.zeros_like(best)
        for channel in range(len(scaled)):
            product = scaled[channel] @ other[:, channel].T  # (n, m)
            share += product.clamp_(min=0.0).square_()
        best = torch.maximum(best, share)
    return best


def _refined(queries: Tensor, keys: Tensor, shifts: int, flips: bool) -> tuple[Tensor, Tensor]:
    """As `explained` for given pairs: (n, C, h, w), (n, K, C, h, w) -> share (n, K), transform."""
    query = _prepare(_window(queries, shifts))
    weights, noise = _weights(query)
    template = query.detail / (query.energy + 1e-12).sqrt()[..., None]
    best = torch.full(keys.shape[:2], -1.0, dtype=keys.dtype)
    which = torch.zeros(keys.shape[:2], dtype=torch.int64)
    for number, (flip, dy, dx) in enumerate(_transforms(shifts, flips)):
        window = _window(keys.flip(-1) if flip else keys, shifts, dy, dx).flatten(3)
        mean = window.mean(dim=3)  # (n, K, C)
        energy = window.square().sum(3) - window.shape[3] * mean.square()
        product = (window * template[:, None]).sum(3)  # the template has mean 0
        correlation = product.clamp(min=0.0) / (energy.clamp(min=0.0) + noise).sqrt()
        share = (correlation.square() * weights[:, None]).sum(2)  # (n, K)
        which = torch.where(share > best, number, which)
        best = torch.maximum(best, share)
    return best, which


def _check_pair(queries: Tensor, keys: Tensor, shifts: int) -> None:
    one, other = tuple(queries.shape[1:]), tuple(keys.shape[1:])
    need(
        one == other,
        f"Pictures of shape {one} and {other} cannot be compared; bring both to one size and "
        "number of channels.",
    )
    fits = shifts >= 0 and min(one[1:]) >= 2 * shifts + 4
    need(fits, f"Shifts of {shifts} pixels are too many for pictures of shape {one} (or negative).")


def nearest_pictures(
    queries: Tensor,
    keys: Tensor,
    *,
    size: int = 32,
    shifts: int = 2,
    flips: bool = True,
    candidates: int | None = 5,
    chunk: int = 256,
) -> Nearest:
    """Find the key that explains most of each query after a flip, a shift and a recoloring.

    A copy that was mirrored, moved by a few pixels, or given another brightness, contrast or tint
    (per channel a k + b with a >= 0) is still a copy. Pictures are compared at `size`, slightly
    blurred (so that a shift by a fraction of a pixel counts little), on the window that a shift
    cannot leave. First every pair at half that size, at least 16, then the best `candidates` of
    each query at full size with all transforms.

    Args:
        queries, keys: (n, C, H, W), (m, C, H, W), uint8, or floating point in [-1, 1].
        size: longer side at which pictures are compared; smaller pictures stay as they are.
        shifts: largest shift in pixels of that size. flips: also mirrored keys.
        candidates: keys compared in detail for each query; None: all of them (slow, exact).

    Raises:
        GanBookError: shapes that differ, no pictures, shifts too large, values not finite.
    """
    fine_queries = _smooth(as_levels(queries, size, "queries"))
    fine_keys = _smooth(as_levels(keys, size, "keys"))
    _check_pair(fine_queries, fine_keys, shifts)
    kept = len(fine_keys) if candidates is None else min(candidates, len(fine_keys))
    side = max(fine_queries.shape[-2:])
    coarse = min(side, max(COARSE_SIDE, side // 2))
    coarse_queries, coarse_keys = (_smooth(as_levels(x, coarse)) for x in (queries, keys))
    coarse_shifts = -(-shifts * coarse // side)
    transforms = _transforms(shifts, flips)
    distance, index, which = [], [], []
    for start in range(0, len(fine_queries), chunk):
        rows = slice(start, start + chunk)
        if kept < len(fine_keys):
            share = explained(coarse_queries[rows], coarse_keys, coarse_shifts, flips)
            picked = share.topk(kept, dim=1).indices  # (chunk, kept)
        else:
            picked = torch.arange(kept).expand(len(fine_queries[rows]), -1)
        best, transform = [], []
        for part, choice in zip(fine_queries[rows].split(32), picked.split(32), strict=True):
            shares, numbers = _refined(part, fine_keys[choice], shifts, flips)
            best.append(shares)
            transform.append(numbers)
        value, place = torch.cat(best).max(dim=1)
        index.append(picked.gather(1, place[:, None])[:, 0])
        which.append(torch.cat(transform).gather(1, place[:, None])[:, 0])
        distance.append((1.0 - value.double()).clamp(min=0.0).sqrt())
    moves = torch.tensor([(int(f), y, x) for f, y, x in transforms])[torch.cat(which)]  # (n, 3)
    return Nearest(torch.cat(distance), torch.cat(index), moves[:, 0].bool(), moves[:, 1:])


def picture_pairs(
    pictures: Tensor, *, size: int = 16, shifts: int = 1, flips: bool = True, chunk: int = 512
) -> Tensor:
    """Distances (n, n) between all pictures of one set at a small size, symmetric, 1 on the
    diagonal: both pictures must explain each other."""
    levels = _smooth(as_levels(pictures, size))
    _check_pair(levels, levels, shifts)
    share = torch.cat([explained(part, levels, shifts, flips) for part in levels.split(chunk)])
    distance = (1.0 - torch.minimum(share, share.T).double()).clamp(min=0.0).sqrt()
    return distance.fill_diagonal_(1.0)


def picture_space(size: int = 32, shifts: int = 2, flips: bool = True) -> Space:
    """Likeness of pictures: see `nearest_pictures`."""
    return Space(
        lambda q, k: nearest_pictures(q, k, size=size, shifts=shifts, flips=flips),
        lambda x: picture_pairs(x, size=size, shifts=shifts, flips=flips),
    )


def nearest_features(queries: Tensor, keys: Tensor) -> Nearest:
    """Nearest key of every query by Euclidean distance: (n, d), (m, d) features."""
    first, second = two_sets(queries, keys, ("queries", "keys"), at_least=1)
    squared = torch.full((len(first),), torch.inf, dtype=torch.float64, device=first.device)
    index = torch.zeros(len(first), dtype=torch.int64, device=first.device)
    for i, j, tile in tiles(first, second):
        value, place = tile.min(dim=1)
        better = value < squared[i]
        index[i] = torch.where(better, place + j.start, index[i])
        squared[i] = torch.where(better, value, squared[i])
    none = torch.zeros(len(first), dtype=torch.int64)
    return Nearest(squared.sqrt(), index, none.bool(), none[:, None].expand(-1, 2))


def feature_space() -> Space:
    """Likeness of feature vectors (n, d): Euclidean distance."""

    def pairs(rows: Tensor) -> Tensor:
        squared = squared_distances(rows - rows.mean(0), rows - rows.mean(0))
        return squared.sqrt().fill_diagonal_(torch.inf)

    return Space(nearest_features, pairs)
