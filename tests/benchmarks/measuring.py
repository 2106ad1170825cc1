"""Do the metrics keep their promises? Coverage, bias, tolerance, memory and time, one JSON a cell.

    python tests/benchmarks/measuring.py                    # every cell that has no result yet
    python tests/benchmarks/measuring.py kid-interval-d64   # some cells, by the start of their name
    python tests/benchmarks/measuring.py --again fid        # measure anew

Truth is known in each: closed forms for Gaussians and discs, planted copies among pictures. A cell
is a setting; the seeds of its draws are inside it. Cells that need real paintings are left out
where ``GAN_BOOK_REAL_DATA`` is not set.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch

from gan_book.results import results_folder, save_result
from tests.benchmarks import measuring_cost, measuring_gaussians, measuring_pictures

Cell = Callable[[], dict[str, Any]]

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
    "memorization-paintings": measuring_pictures.memorization_paintings,
    "reference-split": measuring_pictures.reference_split,
    **{
        f"cost-50000x2048-{name}": partial(measuring_cost.large, name)
        for name in measuring_cost.LARGE
    },
}
NEEDS_PAINTINGS = ("memorization-paintings",)


def measure(name: str, again: bool = False) -> None:
    """Measure one cell and save it, unless its result is there."""
    if not again and (results_folder() / "measuring" / f"{name}.json").exists():
        print(f"{name:28} is there", flush=True)
        return
    if name in NEEDS_PAINTINGS and not os.environ.get("GAN_BOOK_REAL_DATA"):
        print(f"{name:28} needs GAN_BOOK_REAL_DATA", flush=True)
        return
    start = time.perf_counter()
    record = CELLS[name]()
    save_result("measuring", name, {**record, "seconds": time.perf_counter() - start}, device="cpu")
    print(f"{name:28} {time.perf_counter() - start:7.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", nargs="*", help="starts of names; all by default")
    parser.add_argument("--again", action="store_true", help="measure cells that have a result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [c for c in CELLS if not arguments.cells or c.startswith(tuple(arguments.cells))]
    for name in chosen:
        measure(name, arguments.again)


if __name__ == "__main__":
    main()
