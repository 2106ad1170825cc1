"""From the DCGAN of 2015 to a small R3GAN, one change at a time, in equal time; one JSON a cell.

    python tests/benchmarks/ladder.py                     # every cell without a result, 45 minutes
    python tests/benchmarks/ladder.py --size 64           # 64 x 64 pictures: for a GPU, 13 hours
    python tests/benchmarks/ladder.py dcgan --list        # names, and which results are there
    python tests/benchmarks/ladder.py --seconds 1         # a rehearsal; set GAN_BOOK_RESULTS

All rungs train as many parameters (within 10 %) and get as much processor time of one thread.
Time is turned into steps once, by ``cost``, which times steps of all rungs in turns: so a run is
repeatable, and a busy machine does not decide. Cells, in the order in which they need each other:

- ``cost``, ``controls``: what a step of each rung costs; the rows that every table carries;
- ``tune-*``: learning rates for each rung: one seed, 0.4 of the time, validation pictures;
- ``RUNG-seed*``: three seeds each, with learning curves, with and without averaged weights;
- the same for other architectures, each with its own recipe, where the package has them;
- ``long-*``: three of the rungs for three times as long.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch

from gan_book.errors import need
from gan_book.training import run_steps
from tests.benchmarks.comparison_measure import control_rows, facts
from tests.benchmarks.comparison_runs import Step, flops_of, median, timed
from tests.benchmarks.grids import Cell, Record, found, grid_parser, run_grid, show_kid
from tests.benchmarks.ladder_runs import (
    ARCHITECTURES,
    BATCH,
    PARTS,
    PICTURES,
    RATES,
    RUNGS,
    SCALES,
    clock_of,
    grid_name,
    parameters,
    recipe_of,
    run,
    scores,
    start,
)

SEEDS, TUNING_SEED = range(3), 7
TUNING, LONG = 0.4, 3.0  # of a run's time
LONG_RUNGS = ("dcgan", "no-norm", "schedules")
CLASSIC_RATE = 2e-4  # of 2015, tried beside the others for the DCGAN


class Ladder:
    """The cells for one size of pictures on one device."""

    def __init__(self, size: int, seconds: float | None, device: torch.device) -> None:
        need(size in SCALES, f"the ladder has the sizes {sorted(SCALES)}, not {size}.")
        self.size, self.device = size, device
        self.seconds = SCALES[size].seconds if seconds is None else seconds

    def found(self, cell: str) -> Record:
        return found(grid_name(self.size), cell)

    def cost(self, names: tuple[str, ...], rounds: int = 12) -> Record:
        """Seconds and floating-point operations of a step of each."""
        torch.set_num_threads(1)
        states = {n: start(n, self.size, None, 0, 10_000, self.device) for n in names}
        jobs: dict[str, Step] = {n: partial(_one_step, state) for n, state in states.items()}
        spent = timed(jobs, rounds, skip=2, clock=clock_of(self.device))
        base = spent[RUNGS[0]]
        rows = {
            n: {
                "seconds_per_step": median(spent[n]),
                "times_dcgan": median([a / b for a, b in zip(spent[n], base, strict=True)]),
                "flops_per_step": flops_of(jobs[n]),
                "parameters": parameters(states[n].generator, states[n].discriminator),
            }
            for n in names
        }
        return {"kind": "cost", "seeds": [0], "rounds": rounds, "batch": BATCH, "steps": rows}

    def steps_of(self, name: str, share: float = 1.0) -> int:
        """As many steps as fill the time, a multiple of PARTS."""
        unit = self.found("cost")["steps"][RUNGS[0]]["seconds_per_step"]
        cell = f"cost-{name}" if name in ARCHITECTURES else "cost"
        times = self.found(cell)["steps"][name]["times_dcgan"]
        return max(1, round(share * self.seconds / (unit * times) / PARTS)) * PARTS

    def controls(self) -> Record:
        rows = {k: scores(made) for k, made in control_rows(PICTURES, self.size).items()}
        return {"kind": "controls", "seeds": [0], "n": PICTURES, "rows": rows} | {
            "facts": facts(self.size)
        }

    def rates(self, name: str) -> tuple[float, ...]:
        if name in ARCHITECTURES:
            own = recipe_of(name, self.size, None, 1)[0].lr.start
            return own, 3 * own
        return (CLASSIC_RATE, *RATES) if name == RUNGS[0] else RATES

    def tune(self, name: str, which: int) -> Record:
        steps = self.steps_of(name, TUNING)
        lr = self.rates(name)[which]
        return run(name, self.size, lr, TUNING_SEED, steps, self.device, tune=True)

    def score(self, record: Record) -> float:
        """KID in units of PCA-Gaussian's, mean of the two extractors; lower is better."""
        if record["ended"]:
            return float("inf")
        base = self.found("controls")["rows"]["pca-gaussian"]
        return sum(record["measured"][e]["kid"] / base[e]["kid"] for e in base) / len(base)

    def rung(self, name: str, seed: int, share: float = 1.0) -> Record:
        """A run at the better of the rates that were tried."""
        tried = [self.found(f"tune-{name}-{i}") for i in range(len(self.rates(name)))]
        lr = min(tried, key=self.score)["lr"]
        kept = "" if seed else f"{'long-' if share > 1 else ''}{name}-seed0"
        steps = self.steps_of(name, share)
        return run(name, self.size, lr, seed, steps, self.device, picture=kept)

    def cells(self) -> dict[str, Cell]:
        cells: dict[str, Cell] = {"cost": partial(self.cost, RUNGS), "controls": self.controls}
        for names in (RUNGS, *((name,) for name in ARCHITECTURES)):
            for name in names:
                if name in ARCHITECTURES:
                    cells[f"cost-{name}"] = partial(self.cost, (RUNGS[0], name))
                for i in range(3 if name == RUNGS[0] else 2):
                    cells[f"tune-{name}-{i}"] = partial(self.tune, name, i)
            for seed in SEEDS:
                for name in names:
                    cells[f"{name}-seed{seed}"] = partial(self.rung, name, seed)
        for seed in SEEDS:
            for name in LONG_RUNGS:
                cells[f"long-{name}-seed{seed}"] = partial(self.rung, name, seed, LONG)
        return cells


def _one_step(state) -> None:  # type: ignore[no-untyped-def]
    run_steps(state, state.step + 1)


def main() -> None:
    parser = grid_parser(__doc__)
    parser.add_argument("--size", type=int, default=16, choices=sorted(SCALES))
    parser.add_argument("--seconds", type=float, help="of training in a run, for rehearsals")
    arguments = parser.parse_args()
    device = torch.device("cuda" if arguments.size > 16 and torch.cuda.is_available() else "cpu")
    ladder = Ladder(arguments.size, arguments.seconds, device)
    run_grid(
        grid_name(arguments.size), ladder.cells(), arguments, show=show_kid, device=device.type
    )


if __name__ == "__main__":
    main()
