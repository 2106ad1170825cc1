"""A gallery of logged runs, healthy and sick on purpose, and a probe for gamma; one JSON a cell.

    python tests/benchmarks/gallery.py               # every cell that has no result yet, 10 minutes
    python tests/benchmarks/gallery.py ring d-wins   # some cells, by the start of their name
    python tests/benchmarks/gallery.py --again ring  # measure anew

Pictures are two styles of the Atelier, dunes and mist, at 16 x 16 (sixteen kinds: two styles, eight
palettes), the networks those of the recipe small-16, the rates constant, one thread. A strip of
pictures, ``<cell>.png``, is drawn for seed 0. In the plane it is the ring of eight Gaussians.
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

from tests.benchmarks.gallery_runs import FIXED, NAME, gamma_run, pictures_run, ring_run
from tests.benchmarks.grids import grid_parser, run_grid

IMAGES = 16_000  # of a run on pictures
POINTS = 256_000  # of a run on the ring, 1,000 steps
GAMMAS = (0.001, 0.01, 0.1, 1.0, 10.0)
PROBE, PARTS = 6_400, 3  # images of the short probe; the long run has three times as many
NONE = {"r1": 0.0, "r2": 0.0}
PENALTIES = {"r1": 0.1, "r2": 0.1}
LOSSES: dict[str, dict[str, Any]] = {
    "relativistic": PENALTIES,
    "non-saturating": PENALTIES,
    "hinge": PENALTIES,
    "wasserstein": {**NONE, "gp": 10.0},
}
# G is five times as fast as D, and both have momentum: G runs to where D is most pleased.
HASTY = {**NONE, "lr": 1e-3, "d_lr_factor": 0.2, "beta1": 0.9}


def grid() -> dict[str, Callable[[], dict[str, Any]]]:
    """All cells, the most wanted first."""
    cells: dict[str, Callable[[], dict[str, Any]]] = {}

    def add(
        run: Callable[..., dict[str, Any]], name: str, seed: int, images: int, **how: Any
    ) -> None:
        cell = f"{name}-seed{seed}"
        cells[cell] = partial(run, cell, seed, images=images, **how)

    for seed in range(3):
        for loss, held in LOSSES.items():
            how = {**FIXED, "loss": loss, **held, "held_out": loss == "relativistic"}
            add(pictures_run, f"healthy-{loss}", seed, IMAGES, **how)
            add(pictures_run, f"d-wins-{loss}", seed, IMAGES, **{
                **FIXED, "loss": loss, **NONE, "d_lr_factor": 10.0})  # fmt: skip
        add(pictures_run, "collapse", seed, IMAGES, **HASTY)
        few = {**FIXED, "r1": 0.01, "r2": 0.01, "pictures": 100, "held_out": True}
        add(pictures_run, "few-pictures", seed, IMAGES, **few)
        for name, p in (("leak", 1.0), ("no-leak", 0.5)):
            how = {**FIXED, **PENALTIES, "colorless": p}
            add(pictures_run, name, seed, IMAGES, **how)
        add(ring_run, "ring-healthy", seed, POINTS, **PENALTIES, lr=2e-3)
        add(ring_run, "ring-hopping", seed, POINTS, **HASTY)
        add(ring_run, "ring-hopping-penalized", seed, POINTS, **{**HASTY, **PENALTIES})
        if seed < 2:
            for gamma in GAMMAS:
                add(gamma_run, f"gamma-{gamma:g}", seed, PROBE * PARTS, gamma=gamma, parts=PARTS)
    return cells


def show(record: dict[str, Any]) -> str:
    shown = {key: record[key] for key in ("kid", "modes") if key in record}
    return f"{shown} {record.get('ended', '')[:60]}"


if __name__ == "__main__":
    run_grid(NAME, grid(), grid_parser(__doc__).parse_args(), show=show)
