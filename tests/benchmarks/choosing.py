"""What choosing does: the best 1 in n of a generator's pictures, by a machine, one JSON a cell.

    python tests/benchmarks/choosing.py                # five seeds, about 5 minutes
    python tests/benchmarks/choosing.py --picture      # book/_assets/choosing.png, from seed 0

atelier-32 paints 6,400 pictures. Each gets the realism score of Kynkaanniemi et al. (2019,
equation 3) among 2,000 real ones, by gan-book-1. Two ways to choose 1 in n: from all pictures, or
from those of each style (as the reader of gan-book-1 sees it). A hundred of the chosen are then
measured by features that had no part in the choice (random convolutions), against other real
pictures.
"""

from __future__ import annotations

import os
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor

import gan_book as gb
from gan_book import metrics
from gan_book.data.atelier import PALETTES, STYLES
from gan_book.metrics import density_coverage, kernel_distance, precision_recall
from gan_book.metrics.neighbors import squared_radii
from gan_book.plots import save_grid
from tests.benchmarks.comparison_measure import RandomConvolutions
from tests.benchmarks.grids import Cell, grid_parser, run_grid

SEEDS, POOL, KEPT, REAL, SIZE = range(5), 6_400, 100, 2_000, 32
CHOICES = (1, 2, 4, 8, 16, 32, 64)
WAYS = ("any", "styles")
MODEL = "atelier-32"
ROOT = Path(__file__).parents[2]


def realism(made: Tensor, real: Tensor, k: int = 3) -> Tensor:
    """The score (n,) of each row of features (n, d): max over real rows r of radius(r) / distance.

    The radius reaches to the k-th nearest other real row; only the half of the real rows with
    the smaller radii counts, so that no outlier vouches for everything. At least 1: inside.
    """
    radii = squared_radii(real.double(), k).sqrt()  # (m,)
    dense = radii <= radii.median()
    away = torch.cdist(made.double(), real[dense].double())  # (n, m / 2)
    return (radii[dense] / away.clamp(min=1e-12)).amax(1)  # (n,)


def best(score: Tensor, groups: Tensor, n: int) -> Tensor:
    """Indices of the best 1 in n of each group by score, at least one each; in random order."""
    rank = torch.empty_like(groups)
    for group in groups.unique():
        inside = (groups == group).nonzero()[:, 0]
        rank[inside[score[inside].argsort(descending=True)]] = torch.arange(len(inside))
    allowed = (torch.bincount(groups) / n).round().clamp(min=1)[groups]
    kept = (rank < allowed).nonzero()[:, 0]
    rng = torch.Generator().manual_seed(0)
    return kept[torch.randperm(len(kept), generator=rng)]


def spread(features: Tensor) -> float:
    """Mean distance between two different rows."""
    return metrics.spread(features, torch.zeros(len(features), dtype=torch.int64), 1).item()


def cell(seed: int) -> dict[str, Any]:
    made = gb.load_model(MODEL, device="cpu").sample(POOL, seed=seed)
    paint = partial(gb.load_images, "atelier", size=SIZE, progress=False)
    judge, other = gb.extractor(device="cpu"), RandomConvolutions(SIZE)
    score = realism(judge(made), judge(paint(n=REAL, seed=7_000 + seed).images))  # (POOL,)
    reading = judge.read(made)
    pairs = len(PALETTES) * reading.style + reading.palette  # (POOL,)
    real = other(paint(n=REAL, seed=8_000 + seed).images)
    features = other(made)
    found: dict[str, Any] = {"model": MODEL, "seed": seed, "pool": POOL, "kept": KEPT, "real": REAL}
    found |= {"extractor": judge.id, "judged_by": other.facts()}
    floor = other(paint(n=KEPT, seed=9_000 + seed).images)
    found["floor"] = measured(floor, real)
    for way, groups in zip(WAYS, (torch.zeros_like(reading.style), reading.style), strict=True):
        for n in CHOICES:
            chosen = best(score, groups, n)[:KEPT]
            row = measured(features[chosen], real)
            row["realism"] = score[chosen].mean().item()
            row["styles"] = len(reading.style[chosen].unique())
            row["pairs"] = len(pairs[chosen].unique())
            found[f"{way}-{n}"] = row
    found["share_inside"] = (score >= 1).double().mean().item()
    return found


def measured(features: Tensor, real: Tensor) -> dict[str, float]:
    """Against real pictures: precision and density (quality), KID, and spread relative to real."""
    return {
        "precision": precision_recall(real, features).precision,
        "density": density_coverage(real, features).density,
        "kid": kernel_distance(features, real).value,
        "spread": spread(features) / spread(real[:1_000]),
    }


def summary() -> dict[str, Any]:
    """Means over the seeds, and standard deviations under names that end in _sd."""
    rows = [gb.load_results("choosing")[f"seed{seed}"] for seed in SEEDS]
    found: dict[str, Any] = {"seeds": list(SEEDS)}
    found["share_inside"] = statistics.mean(row["share_inside"] for row in rows)
    for name in ["floor", *(f"{way}-{n}" for way in WAYS for n in CHOICES)]:
        found[name] = {}
        for key in rows[0][name]:
            values = [row[name][key] for row in rows]
            found[name] |= {key: statistics.mean(values), f"{key}_sd": statistics.stdev(values)}
    return found


def picture() -> None:
    """Rows of twelve: one in 1, 8, 64 of all, and one in 64 of each style."""
    made = gb.load_model(MODEL, device="cpu").sample(POOL, seed=0)
    judge = gb.extractor(device="cpu")
    real = gb.load_images("atelier", size=SIZE, n=REAL, seed=7_000, progress=False).images
    score, style = realism(judge(made), judge(real)), judge.read(made).style
    everything = torch.zeros(POOL, dtype=torch.int64)
    rows = [best(score, everything, n)[:12] for n in (1, 8, 64)]
    first = [
        (style[kept := best(score, style, 64)] == s).nonzero()[0, 0] for s in range(len(STYLES))
    ]
    rows.append(kept[torch.stack(first)])
    save_grid(made[torch.cat(rows)], ROOT / "book/_assets/choosing.png", columns=12, scale=2)


def main() -> None:
    parser = grid_parser(str(__doc__))
    parser.add_argument("--picture", action="store_true", help="paint the picture of the page")
    arguments = parser.parse_args()
    if arguments.picture:
        picture()
        return
    cells: dict[str, Cell] = {f"seed{seed}": partial(cell, seed) for seed in SEEDS}
    cells["summary"] = summary
    run_grid(
        "choosing", cells, arguments, show=lambda r: f"precision {r['any-64']['precision']:.2f}"
    )


if __name__ == "__main__":
    main()
