"""Mode collapse with and without penalties, over seeds; one JSON a cell, all its seeds at once.

    python tests/benchmarks/mode_collapse.py           # every cell without a result, two hours
    python tests/benchmarks/mode_collapse.py grid      # some cells, by the start of their name
    python tests/benchmarks/mode_collapse.py --again grid-relativistic

Three games, one thread: the grid of 25 Gaussians (recipe grid-25), stacks of three scikit-learn
digits with their 1,000 modes, and finite sets on the ring of eight, one point repeated or none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

from tests.benchmarks.grids import grid_parser, run_grid
from tests.benchmarks.mode_collapse_games import (
    FIRST_SEEDS,
    FRESH_SEEDS,
    GRID_SEEDS,
    NAME,
    digits_cell,
    grid_cell,
    ring_cell,
    shares_cell,
)

NONE = {"r1": 0.0, "r2": 0.0}
SHORT = {"ema_half_life": 10_000}
LARGE = {  # four times the batch: every length that is counted in images is four times as long
    "batch_size": 1_024,
    "total_images": 20_480_000,
    "r1": {"start": 0.1, "end": 0.001, "images": 16_384_000},
    "r2": {"start": 0.1, "end": 0.001, "images": 16_384_000},
    "lr": {"start": 5e-3, "end": 5e-4, "images": 20_480_000},
    "ema_half_life": 1_000_000,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "relativistic": {},
    "relativistic-none": NONE,
    "non-saturating-none": {"loss": "non-saturating", **NONE},
    "relativistic-r1": {"r2": 0.0},
    "relativistic-r2": {"r1": 0.0},
    "non-saturating": {"loss": "non-saturating"},
}
DIGITS = ("relativistic", "relativistic-none", "non-saturating", "non-saturating-none")
COPIES = (0, 1_000, 9_000)  # beside 1,000 points that differ: 0 %, 50 %, 90 % of the set
# G is five times as fast as D, and both have momentum: the gallery's hopping run.
HASTY = {**NONE, "lr": 1e-3, "d_lr_factor": 0.2, "beta1": 0.9}


def cells() -> dict[str, Callable[[], dict[str, Any]]]:
    """All cells, the most wanted first."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    names = list(VARIANTS)
    for name in names[:3]:  # those that the bars are about
        found[f"grid-{name}"] = partial(grid_cell, VARIANTS[name])
    found["grid-relativistic-large"] = partial(grid_cell, LARGE, FRESH_SEEDS)
    found["grid-relativistic-short"] = partial(grid_cell, SHORT, FIRST_SEEDS)
    found["shares-relativistic"] = partial(shares_cell, SHORT)  # what a short average costs
    for name in ("relativistic", "relativistic-none"):
        for copies in COPIES:
            found[f"ring-{name}-{copies}"] = partial(ring_cell, VARIANTS[name], copies)
        for copies in COPIES[1:]:  # the same shares without any repeated point
            found[f"ring-{name}-{copies}-different"] = partial(
                ring_cell, VARIANTS[name], copies, different=True
            )
    for name in ("non-saturating", "non-saturating-none"):
        found[f"ring-{name}-0"] = partial(ring_cell, VARIANTS[name], 0)
    found["ring-hasty-0"] = partial(ring_cell, HASTY, 0, 1_000)
    for name in DIGITS:
        found[f"digits-{name}"] = partial(digits_cell, VARIANTS[name])
    for name in names[3:]:
        found[f"grid-{name}"] = partial(grid_cell, VARIANTS[name], GRID_SEEDS[:5])
    return found


def show(record: dict[str, Any]) -> str:
    return str({key: record[key] for key in ("modes", "good", "kl")})


if __name__ == "__main__":
    run_grid(NAME, cells(), grid_parser(__doc__).parse_args(), show=show)
