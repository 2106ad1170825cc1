"""Do the metrics keep their promises? Coverage, bias, tolerance, memory and time, one JSON a cell.

    python tests/benchmarks/measuring.py                    # every cell that has no result yet
    python tests/benchmarks/measuring.py kid-interval-d64   # some cells, by the start of their name
    python tests/benchmarks/measuring.py --again fid        # measure anew

Truth is known in each: closed forms for Gaussians and discs, planted copies among pictures. A cell
is a setting; the seeds of its draws are inside it. Cells that need real paintings are left out
where ``GAN_BOOK_REAL_DATA`` is not set.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

from gan_book.errors import need
from tests.benchmarks import measuring_cost, measuring_gaussians, measuring_pictures
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid


def memorization_paintings() -> Record:
    need(bool(os.environ.get("GAN_BOOK_REAL_DATA")), "it needs GAN_BOOK_REAL_DATA.")
    return measuring_pictures.memorization_paintings()


CELLS: dict[str, Cell] = {
    **{f"kid-interval-d{d}": partial(measuring_gaussians.kid_interval, d) for d in (16, 64, 192)},
    **{f"fid-bias-d{d}": partial(measuring_gaussians.fid_bias, d) for d in (64, 192)},
    "neighbors-truth": measuring_gaussians.neighbors_truth,
    "neighbors-outlier": measuring_gaussians.neighbors_outlier,
    "cost-1000x192": measuring_cost.all_metrics,
    **{
        f"memorization-{size}px": partial(measuring_pictures.memorization_by_style, size)
        for size in (16, 32, 64)
    },
    "memorization-mixture": measuring_pictures.memorization_mixture,
    "memorization-paintings": memorization_paintings,
    "reference-split": measuring_pictures.reference_split,
    **{
        f"cost-50000x2048-{name}": partial(measuring_cost.large, name)
        for name in measuring_cost.LARGE
    },
}

if __name__ == "__main__":
    run_grid("measuring", CELLS, grid_parser(__doc__).parse_args())
