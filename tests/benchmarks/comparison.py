"""VAE, GAN and diffusion at equal cost, on 16 x 16 pictures of the Atelier; one JSON a cell.

    python tests/benchmarks/comparison.py                 # every cell without a result, 60 minutes
    python tests/benchmarks/comparison.py long-gan        # some cells, by the start of their name
    python tests/benchmarks/comparison.py --list          # their names, and which are there

All three train as many parameters (within 10 %) and get as much processor time of one thread. Time
is turned into steps once, by the cell ``cost``, which times steps of the three in turns: so a
run is repeatable, and a busy machine does not decide. LONG, SHORT, TUNE are steps of the GAN; the
others make as many of theirs as take as long. Cells, in the order in which they need each other:

- ``cost``, ``controls-*``: what steps and pictures cost; the rows every table carries;
- ``tune-*``: three learning rates for each family, one seed, judged on validation pictures;
- ``long-*``: three seeds, 10,000 pictures, a learning curve each;
- ``n10000-*``, ``n100-*``: three seeds each with so many pictures, a short run;
- ``hard-*``: the short run with 10,000 pictures and four times the learning rate.
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

from gan_book.results import load_results
from tests.benchmarks.comparison_measure import NAME, controls
from tests.benchmarks.comparison_runs import (
    FAMILIES,
    LOOKS,
    PARTS,
    RATES,
    Record,
    Setting,
    cost,
    run,
)
from tests.benchmarks.grids import grid_parser, run_grid

LONG, SHORT, TUNE = 1_280, 320, 320  # steps of the GAN
SEEDS, TUNING_SEED = range(3), 7
HARD = 4.0  # times the learning rate


def steps_of(family: str, gan_steps: int) -> int:
    """As many steps as take the time of so many of the GAN, a multiple of PARTS."""
    unit = load_results(NAME)["cost"]["training"][family]["gan_steps"]
    return max(1, round(gan_steps / unit / PARTS)) * PARTS


def score(record: Record) -> float:
    """KID in units of PCA-Gaussian's, mean of the two extractors; lower is better."""
    if record["ended"]:
        return float("inf")
    base = load_results(NAME)["controls-500"]["rows"]["pca-gaussian"]
    return sum(record["measured"][e]["kid"] / base[e]["kid"] for e in ("trained", "random")) / 2


def tuned(family: str, factor: float = 1.0, n: int = 10_000) -> Setting:
    """The learning rate with the best score of a family's tuning runs, times a factor."""
    cells = load_results(NAME)
    found = [cells[f"tune-{family}-lr{lr:g}"] for lr in RATES]
    return Setting(family, factor * min(found, key=score)["lr"], n)


def cells_of(family: str) -> dict[str, Callable[[], Record]]:
    found: dict[str, Callable[[], Record]] = {}

    def add(
        name: str, choose: Callable[[], Setting], seed: int, kind: str, length: int, **how: Any
    ) -> None:
        def cell() -> Record:
            setting = choose()
            steps = steps_of(family, length)
            return run(name, setting, seed, steps, kind=kind, **how) | {"gan_steps": length}

        found[name] = cell

    for lr in RATES:
        choose = partial(Setting, family, lr)
        add(f"tune-{family}-lr{lr:g}", choose, TUNING_SEED, "tune", TUNE)
    for seed in SEEDS:
        how = {"looks": LOOKS, "final": 1_000, "sweep": 300 * (family == "diffusion")}
        add(f"long-{family}-seed{seed}", partial(tuned, family), seed, "long", LONG, **how)
    for kind in ("n10000", "hard", "n100"):
        factor, n = (HARD, 10_000) if kind == "hard" else (1.0, int(kind[1:]))
        choose = partial(tuned, family, factor, n)
        for seed in SEEDS:
            add(f"{kind}-{family}-seed{seed}", choose, seed, kind, SHORT)
    return found


def controls_cell(n: int) -> Record:
    return {"kind": "controls", "seeds": [0], "n": n, "rows": controls(n)}


def grid() -> dict[str, Callable[[], Record]]:
    """All cells, in an order in which each finds what it needs."""
    cells: dict[str, Callable[[], Record]] = {"cost": cost}
    for n in (500, 1_000):
        cells[f"controls-{n}"] = partial(controls_cell, n)
    families = [cells_of(family) for family in FAMILIES]
    for start in ("tune", "long-", "n10000-", "hard-", "n100-"):
        for seed in ("seed0", "seed1", "seed2") if start != "tune" else ("",):
            for found in families:
                cells |= {k: v for k, v in found.items() if k.startswith(start) and seed in k}
    return cells


def show(record: Record) -> str:
    shown = record.get("measured", {})
    kid = {e: round(shown[e]["kid"], 4) for e in ("trained", "random") if e in shown}
    return f"{kid} {record.get('ended', '')[:60]}"


if __name__ == "__main__":
    run_grid(NAME, grid(), grid_parser(__doc__).parse_args(), show=show)
