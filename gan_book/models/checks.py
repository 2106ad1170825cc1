"""Checks of what recipes ask of a network: each wrong value becomes one sentence."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from .. import errors
from ..errors import brief, need

LARGEST_SIDE = 4096  # pixels
LARGEST_WIDTH = 65_536  # channels of one layer
LARGEST_CLASSES = 1_000_000
SHORTEST_GRID = 4  # the shorter side of an automatic start grid is 4, 5, 6 or 7


def whole(name: str, value: Any, low: int = 1, high: int = LARGEST_WIDTH) -> int:
    """``value`` as an int in [low, high]; ``GanBookError`` for anything else, booleans included."""
    return errors.whole(f"the network option '{name}'", value, low, high)


def flag(name: str, value: Any) -> bool:
    """``value`` if it is True or False, else ``GanBookError``."""
    is_flag = isinstance(value, bool)
    need(is_flag, f"the network option '{name}' must be true or false, but it is {brief(value)}.")
    return value


def pair(name: str, value: Any, low: int, high: int) -> tuple[int, int]:
    """(height, width) from a whole number (a square) or from two of them."""
    if isinstance(value, Integral):
        value = (value, value)
    need(
        isinstance(value, (list, tuple)) and len(value) == 2,
        f"the network option '{name}' must be one whole number or two, (height, width), "
        f"but it is {brief(value)}.",
    )
    return whole(name, value[0], low, high), whole(name, value[1], low, high)


def per_stage(name: str, value: Any, stages: int, low: int, high: int) -> tuple[int, ...]:
    """One whole number for all stages, or a list with one for each stage."""
    if isinstance(value, (list, tuple)):
        need(
            len(value) == stages,
            f"the network option '{name}' must have one entry for each of the {stages} "
            f"resolutions from the start grid up, but it has {len(value)}.",
        )
        return tuple(whole(name, v, low, high) for v in value)
    return (whole(name, value, low, high),) * stages


def widths(width: Any, max_width: Any, stages: int) -> list[int]:
    """Channels from the highest resolution down: width, 2 width, 4 width, ... up to the largest."""
    width = whole("width", width)
    cap = 8 * width if max_width is None else whole("max_width", max_width)
    return [min(width << i, cap) for i in range(stages)]


def picture(
    size: Any, channels: Any, num_classes: Any, z_dim: Any = 1
) -> tuple[tuple[int, int], int, int, int]:
    """Size, channels and classes of a network for pictures, and the length of z, checked."""
    return (
        pair("size", size, 1, LARGEST_SIDE),
        whole("channels", channels, 1, 256),
        whole("num_classes", num_classes, 0, LARGEST_CLASSES),
        whole("z_dim", z_dim),
    )


def factors(value: Any, num_classes: int) -> tuple[int, ...] | None:
    """How many values each of several labels has, if the classes are their combinations."""
    if value is None:
        return None
    need(
        isinstance(value, (list, tuple)) and len(value) > 1,
        "the network option 'factors' must be a list of two or more whole numbers, how many values "
        f"each label has, but it is {brief(value)}.",
    )
    counts = tuple(whole("factors", k, 2, LARGEST_CLASSES) for k in value)
    need(
        math.prod(counts) == num_classes,
        f"the product of the network option 'factors', {brief(value)}, must be the number of "
        f"classes, {num_classes}, but it is {math.prod(counts)}.",
    )
    return counts


def start_grid(
    size: tuple[int, int], start: Any = None, doublings: int | None = None
) -> tuple[tuple[int, int], int]:
    """The start grid and the number of doublings k with ``size`` = grid * 2^k, k >= 1.

    By default the shorter side of the grid is 4, 5, 6 or 7: 32 x 48 comes from 4 x 6 by three
    doublings, 28 x 28 from 7 x 7 by two. ``start`` fixes the grid, ``doublings`` fixes k.
    A size that cannot be reached raises ``GanBookError``, which names the nearest that can.
    """
    if start is not None:
        grid = pair("start", start, 1, 64)
        k = max(1, round(math.log2(max(size) / max(grid)))) if doublings is None else doublings
        reached = (grid[0] << k, grid[1] << k)
        need(
            reached == size,
            f"a picture of {_by(size)} pixels does not come from the start grid {_by(grid)} "
            f"by {k} doublings; use the size {_by(reached)}, or another start grid.",
        )
        return grid, k
    if doublings is None:
        below, above = _nearest(size)
        k = _doublings(below)
    else:
        k, step = doublings, 1 << doublings
        below = tuple(max(step, side // step * step) for side in size)  # type: ignore[assignment]
        above = tuple(-(-side // step) * step for side in size)  # type: ignore[assignment]
    options = " or ".join(dict.fromkeys((_by(below), _by(above))))
    need(
        size in (below, above),
        f"a picture of {_by(size)} pixels cannot be reached by doubling a small grid; "
        f"use the nearest possible size, {options} (height x width).",
    )
    return (size[0] >> k, size[1] >> k), k


def _doublings(size: tuple[int, int]) -> int:
    """How often a picture can be halved until its shorter side is 4, 5, 6 or 7."""
    return int(math.log2(min(size) / SHORTEST_GRID)) if min(size) >= SHORTEST_GRID else 0


def _nearest(size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The nearest sizes, not larger and not smaller, that automatic start grids reach."""
    smallest = 2 * SHORTEST_GRID
    h, w = max(size[0], smallest), max(size[1], smallest)
    step = 1 << _doublings((h, w))
    below = (h // step * step, w // step * step)  # the shorter side stays in its octave
    while True:  # rounding up may enter the next octave, whose step is twice as large
        above = (-(-h // step) * step, -(-w // step) * step)
        if step == (step := 1 << _doublings(above)):
            return below, above


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
