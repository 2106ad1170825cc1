"""Seconds until a training reaches a KID that was fixed beforehand; one JSON a cell.

    python tests/benchmarks/thresholds.py                 # every cell without a result, 40 minutes
    python tests/benchmarks/thresholds.py --size 64       # Atelier-64: for a GPU, 8 hours
    python tests/benchmarks/thresholds.py --seconds 2     # a rehearsal; set GAN_BOOK_RESULTS

The baseline is the DCGAN of 2015 with its own loss and settings, plus two things that it did not
have: averaged weights and the same flips as ours (at 16 x 16 none). Ours is the package's recipe,
then with bf16, then with penalties every fourth step as well. ``sprint`` is the loop of
``sprint.py``; it came after the others had run. All get the same time. Cells, in the order in which
they need each other:

- ``cost``: seconds of a step of each, in turns; so a busy machine does not decide; ``cost-sprint``:
  the same of ``sprint`` beside the baseline;
- ``lines``: the three KIDs to be reached, from rows that no training has a part in;
- ``tune-*``: two learning rates each: one seed, 0.3 of the time, validation pictures;
- ``METHOD-seed*``: three seeds each: KID of the averaged generator at 15 looks;
- ``dcgan-long-seed*``: the baseline for twice as long, to see when it does arrive.

Seconds are steps times ``cost``. Lines: the KID of PCA-Gaussian, a half, and a quarter of it. The
multiples of the real pictures' own KID that one might want as lines are no numbers: KID without
bias has the expectation 0 there. ``lines`` stores them all the same, and results say who got there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch

from gan_book.data.batches import Batches
from gan_book.errors import GanBookError
from gan_book.processes import Processes
from gan_book.recipes import Recipe, recipe
from gan_book.training import (
    TrainingState,
    all_finite,
    choose_precision,
    machine_settings,
    run_steps,
    start_training,
)
from tests.benchmarks.comparison_measure import (
    TRAIN,
    control_rows,
    distances,
    facts,
    training_set,
)
from tests.benchmarks.comparison_runs import Step, median, timed
from tests.benchmarks.grids import Cell, Record, found, grid_parser, run_grid
from tests.benchmarks.ladder_runs import clock_of, parameters, recipe_of, sampled
from tests.benchmarks.lazy import make_lazy
from tests.benchmarks.sprint import Sprint

BATCH, EMA, LOOKS, PICTURES = 64, 5_000, 15, 500
JOB = 8  # steps that are timed together: as many as the laziest penalty waits
SEEDS, TUNING_SEED, TUNING = range(3), 7, 0.3
SECONDS = {16: 60.0, 64: 1_200.0}  # of training: of one core, or beside a GPU
OURS = {16: "small-16", 64: "dcgan-64"}
# which recipe, which changes to it, penalties every so many steps, learning rates to try
METHODS: dict[str, tuple[Record, int, tuple[float, ...]]] = {
    "dcgan": ({}, 1, (1e-3, 3e-3)),
    "ours": ({"precision": "fp32"}, 1, (1.0, 3.0)),
    "ours-bf16": ({"precision": "bf16"}, 1, ()),
    "ours-bf16-lazy": ({"precision": "bf16"}, 4, ()),
}
TRIED = {method: rates for method, (_, _, rates) in METHODS.items()} | {"sprint": (2e-3, 4e-3)}
Runner = TrainingState | Sprint


def chosen_recipe(method: str, size: int, rate: float, steps: int) -> Recipe:
    """The recipe of a method for so many steps; our schedules are stretched to them.

    ``rate`` is the baseline's learning rate, but a factor of the recipe's own for ours.
    """
    images = steps * BATCH
    common: Record = {"total_images": images, "batch_size": BATCH, "ema_half_life": EMA}
    if method == "dcgan":
        base, _ = recipe_of("dcgan", size, rate, steps)
        return recipe(base, **common, flip=recipe(OURS[size]).flip)
    base = recipe(OURS[size])
    for key in ("lr", "r1", "r2"):
        ramp, times = getattr(base, key), rate if key == "lr" else 1.0
        stretched = round(ramp.images * images / base.total_images)
        common[key] = {"start": ramp.start * times, "end": ramp.end * times, "images": stretched}
    same = {"policy": (), "augment": "none"}  # 10,000 pictures need none
    return recipe(base, **common, **same, **METHODS[method][0])


def reached(curve: Iterable[Record], line: float, extractor: str = "trained") -> float | None:
    """Seconds of the first of two looks in a row at or below the line; None if there is none."""
    for one, next_one in pairwise(curve):
        if max(one[extractor]["kid"], next_one[extractor]["kid"]) <= line:
            return float(one["seconds"])
    return None


class Thresholds:
    """The cells for one size of pictures on one device."""

    def __init__(self, size: int, seconds: float | None, device: torch.device) -> None:
        self.size, self.device = size, device
        self.seconds = SECONDS[size] if seconds is None else seconds
        self.grid = grid_name(size)

    def found(self, cell: str) -> Record:
        return found(self.grid, cell)

    def start(self, method: str, rate: float, seed: int, steps: int) -> Runner:
        data = training_set(TRAIN, seed, self.size)
        batches = Batches(data, None, BATCH, seed=seed, device=self.device)
        if method == "sprint":
            shape = tuple(data.images.shape[1:])
            return Sprint(shape, batches, seed, rate=rate, bf16=True)
        made = chosen_recipe(method, self.size, rate, steps)
        if self.device.type == "cuda" and made.precision == "bf16":
            made = recipe(made, cuda_graphs=True)
        alone = Processes(0, 1, self.device)
        precision = choose_precision(made, self.device)
        state = start_training(made, batches, alone, seed=seed, precision=precision)
        return make_lazy(state, METHODS[method][1])

    def cost(self, methods: Iterable[str], rounds: int = 20) -> Record:
        torch.set_num_threads(1)
        states = {m: self.start(m, next(iter(TRIED[m]), 1.0), 0, 10_000) for m in methods}
        jobs: dict[str, Step] = {m: partial(_some_steps, s) for m, s in states.items()}
        spent = timed(jobs, rounds, skip=2, clock=clock_of(self.device))
        rows = {
            m: {
                "seconds_per_step": median(spent[m]) / JOB,
                "times_dcgan": median(
                    [a / b for a, b in zip(spent[m], spent["dcgan"], strict=True)]
                ),
                "images_per_second": JOB * BATCH / median(spent[m]),
                "parameters": parameters(states[m].generator, states[m].discriminator),
            }
            for m in states
        }
        return {"kind": "cost", "seeds": [0], "rounds": rounds, "batch": BATCH, "steps": rows}

    def lines(self) -> Record:
        """The rows that decide, measured like a look: as many pictures, the same reference."""
        rows = {k: distances(made) for k, made in control_rows(PICTURES, self.size).items()}
        pca = {e: rows["pca-gaussian"][e]["kid"] for e in rows["pca-gaussian"]}
        floor = {e: rows["floor"][e]["kid"] for e in rows["floor"]}
        return {
            "kind": "lines", "seeds": [0], "n": PICTURES, "rows": rows,
            "lines": {
                "pca-gaussian": pca,
                "half": {e: v / 2 for e, v in pca.items()},
                "quarter": {e: v / 4 for e, v in pca.items()},
                "4-floors": {e: 4 * v for e, v in floor.items()},
                "2-floors": {e: 2 * v for e, v in floor.items()},
            },
            "facts": facts(self.size),
        }  # fmt: skip

    def second(self, method: str) -> float:
        """Seconds a step: those of the baseline, times what ours costs beside it."""
        unit = self.found("cost")["steps"]["dcgan"]["seconds_per_step"]
        rows = self.found("cost-sprint" if method == "sprint" else "cost")["steps"]
        return float(unit * rows[method]["times_dcgan"])

    def run(self, method: str, rate: float, seed: int, share: float, tune: bool) -> Record:
        looks = 1 if tune else round(LOOKS * share)
        second = self.second(method)
        steps = max(1, round(share * self.seconds / second / looks)) * looks
        state, clock, spent = self.start(method, rate, seed, steps), clock_of(self.device), 0.0
        curve: list[Record] = []
        ended = ""
        base = state.recipe if isinstance(state, TrainingState) else recipe(OURS[self.size])
        with machine_settings(base):
            for part in range(1, looks + 1):
                begin = clock()
                go_on(state, steps * part // looks, steps)
                spent += clock() - begin
                if not all_finite(state.generator, state.discriminator, state.average):
                    ended = f"the weights are not finite after step {state.step}."
                    break
                made = sampled(state.average, PICTURES, self.device)
                at = {"step": state.step, "images": state.images, "seconds": state.step * second}
                curve.append({**at, **distances(made, "validation" if tune else "reference")})
        return {
            "kind": "tune" if tune else "run",
            "method": method,
            "seed": seed,
            "rate": rate,
            "lr": state.recipe.lr.start if isinstance(state, TrainingState) else rate,
            "training_seconds": spent,
            "n": PICTURES,
            "curve": curve,
            "ended": ended,
            "facts": facts(self.size),
        } | ({} if tune else {"reached": self.times(curve)})

    def times(self, curve: list[Record]) -> Record:
        lines = self.found("lines")["lines"]
        return {
            line: {e: reached(curve, value, e) for e, value in values.items()}
            for line, values in lines.items()
        }

    def best_rate(self, method: str) -> float:
        """The rate with the lowest KID of those tried; bf16 takes that of the same in fp32."""
        method = method if TRIED[method] else "ours"
        tried = [self.found(f"tune-{method}-{i}") for i in range(len(TRIED[method]))]
        alive = [t for t in tried if not t["ended"]]
        if not alive:
            raise GanBookError(f"no rate of '{method}' survived; try lower ones.")
        return float(min(alive, key=lambda t: t["curve"][-1]["trained"]["kid"])["rate"])

    def cells(self) -> dict[str, Cell]:
        cells: dict[str, Cell] = {"cost": partial(self.cost, METHODS), "lines": self.lines}
        if self.size == 16:  # sprint's numbers are for that size
            cells["cost-sprint"] = partial(self.cost, ("dcgan", "sprint"))
        tried = TRIED if self.size == 16 else {m: TRIED[m] for m in METHODS}
        for m, rates in tried.items():
            for i, rate in enumerate(rates):
                cells[f"tune-{m}-{i}"] = partial(self.run, m, rate, TUNING_SEED, TUNING, True)
        for seed in SEEDS:
            for m in tried:
                cells[f"{m}-seed{seed}"] = partial(self.final, m, seed)
        for seed in SEEDS:
            cells[f"dcgan-long-seed{seed}"] = partial(self.final, "dcgan", seed, 2.0)
        return cells

    def final(self, method: str, seed: int, share: float = 1.0) -> Record:
        return self.run(method, self.best_rate(method), seed, share, False)


def go_on(state: Runner, until: int, total: int) -> None:
    """Train until so many steps, of so many in all."""
    if isinstance(state, TrainingState):
        run_steps(state, until)
        return
    while state.step < until:
        state.take(1 - state.step / total)


def _some_steps(state: Runner) -> None:
    go_on(state, state.step + JOB, 10_000)


def grid_name(size: int) -> str:
    return "thresholds" if size == 16 else f"thresholds-{size}"


def show(record: Record) -> str:
    kids = [round(p["trained"]["kid"], 3) for p in record.get("curve", [])]
    return f"{kids} {record.get('reached', '')} {record.get('ended', '')}" if kids else ""


def main() -> None:
    parser = grid_parser(__doc__)
    parser.add_argument("--size", type=int, default=16, choices=sorted(SECONDS))
    parser.add_argument("--seconds", type=float, help="of training in a run, for rehearsals")
    arguments = parser.parse_args()
    device = torch.device("cuda" if arguments.size > 16 and torch.cuda.is_available() else "cpu")
    grid = Thresholds(arguments.size, arguments.seconds, device)
    run_grid(grid.grid, grid.cells(), arguments, show=show, device=device.type)


if __name__ == "__main__":
    main()
