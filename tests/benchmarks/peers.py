"""Ours against what people install instead, at equal seconds; one JSON a cell.

    python tests/benchmarks/peers.py                    # Atelier at 32 x 32, one core, 55 minutes
    python tests/benchmarks/peers.py --size 64          # on a GPU, 6 hours; --size 128, 18 hours
    python tests/benchmarks/peers.py dcgan --list       # names, and which results are there
    python tests/benchmarks/peers.py --seconds 2        # a rehearsal; set GAN_BOOK_RESULTS

Rows and their settings stand in ``peers_rows.py``, how a peer is installed in
``peers_trainers.py``; a row whose package is missing is left out, saying so. Same pictures, same
split, same measuring code, same processor seconds of one thread. Cells, in the order in which they
need each other:

- ``controls``: the rows that every table carries: fresh pictures, PCA-Gaussian, copies;
- ``cost-ROW``: seconds of a step of each setting, timed in turns with the DCGAN's step, so that a
  busy machine meets all alike; from it follows how many steps fill the time;
- ``trial-ROW-*``: each setting of a row: one seed, a quarter of the time, validation pictures;
- ``ROW-seed*``: three seeds each, with the setting that did best, measured on other pictures;
- ``memory``: what a step of each row adds to a process;
- ``summary``: means over the seeds, and sheets for the page, of the rows that are complete.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from PIL import Image

from gan_book.data.imageset import ImageSet
from gan_book.errors import GanBookError, need
from gan_book.results import load_results, results_folder
from gan_book.training import all_finite
from tests.benchmarks.comparison_measure import (
    TRAIN,
    control_rows,
    copied,
    distances,
    facts,
    measured,
    picture_file,
    training_set,
)
from tests.benchmarks.comparison_runs import median
from tests.benchmarks.grids import Cell, Record, folded, found, grid_parser, run_grid
from tests.benchmarks.ladder_runs import clock_of
from tests.benchmarks.peers_gpu import TRAINERS
from tests.benchmarks.peers_rows import (
    LOOKS,
    PARTS,
    ROWS,
    SECONDS,
    SEEDS,
    TRIAL,
    TRIAL_SEED,
    Options,
    Row,
)
from tests.benchmarks.peers_trainers import Trainer

FINAL, LOOK = 1_000, 250  # pictures of the last measurement, and of a look
UNIT = "dcgan"  # its step is the unit in which others are timed
FOLDED = ("measured", "without_average", "copies", "reached", "images", "images_per_second",
          "training_seconds", "parameters")  # fmt: skip
SHEETS = Path(__file__).parents[2] / "book" / "_assets" / "peers"
ROUNDS, PATIENCE = 20, 12.0  # rounds of timing, fewer where they would take more seconds than this


def start(row: Row, options: Options, data: ImageSet, seed: int, steps: int) -> Trainer:
    """Step 0 of a row with one of its settings; pictures larger than 32 x 32 want a GPU."""
    device = torch.device("cpu" if data.images.shape[-1] == 32 else "cuda")
    need(device.type == "cpu" or torch.cuda.is_available(), "this size needs a GPU.")
    with torch.random.fork_rng(devices=[]):
        return TRAINERS[row.trainer](data, seed, steps, {**row.options, **options}, device)


class Peers:
    """The cells for one size of pictures."""

    def __init__(self, size: int, seconds: float | None) -> None:
        self.size, self.rows = size, ROWS[size]
        self.seconds = SECONDS[size] if seconds is None else seconds
        self.grid = grid_name(size)

    def found(self, cell: str) -> Record:
        return found(self.grid, cell)

    def settings(self, name: str) -> tuple[Options, ...]:
        """What a row may try; a row that borrows, what the other may."""
        row = self.rows[name]
        return self.rows[row.borrows or name].settings

    def data(self, seed: int) -> ImageSet:
        return training_set(TRAIN, seed, self.size)

    def controls(self) -> Record:
        made = control_rows(FINAL, self.size)
        rows = {name: measured(row) for name, row in made.items()}
        looks = {name: distances(row[:LOOK]) for name, row in made.items()}
        return {"kind": "controls", "seeds": [0], "n": FINAL, "rows": rows, "looks": looks} | {
            "facts": facts(self.size)
        }

    def cost(self, name: str) -> Record:
        """Seconds of a step of each setting, beside the unit's."""
        torch.set_num_threads(1)
        row, data, rows = self.rows[name], self.data(0), {}
        unit = start(self.rows[UNIT], self.settings(UNIT)[0], data, 0, 10_000)
        for i, options in enumerate(self.settings(name)):
            trainer = start(row, options, data, 0, 10_000)
            first = _seconds(trainer)
            rounds = max(1, min(ROUNDS, int(PATIENCE / first)))
            _seconds(unit)
            pairs = [(_seconds(unit), _seconds(trainer)) for _ in range(rounds)]
            rows[str(i)] = {
                "seconds_per_step": median([b for _, b in pairs]),
                "times_unit": median([b / a for a, b in pairs]),
                "rounds": rounds,
                "images_per_step": trainer.images // (rounds + 1),
                "parameters": trainer.parameters(),
                "setting": options,
            }
        return {"kind": "cost", "row": name, "seeds": [0], "settings": rows}

    def steps_of(self, name: str, which: int, share: float) -> int:
        """As many steps as fill the time, a multiple of PARTS where there are that many."""
        unit = self.found(f"cost-{UNIT}")["settings"]["0"]["seconds_per_step"]
        second = unit * self.found(f"cost-{name}")["settings"][str(which)]["times_unit"]
        steps = share * self.seconds / second
        return max(1, round(steps / PARTS) * PARTS if steps >= PARTS else round(steps))

    def run(self, name: str, which: int, seed: int, share: float, trial: bool) -> Record:
        """Train and measure. Seconds are those of training alone; a run that diverges says so."""
        options, steps = self.settings(name)[which], self.steps_of(name, which, share)
        data, spent, ended, done = self.data(seed), 0.0, "", 0
        torch.manual_seed(seed)  # peers draw from the global generator
        trainer = start(self.rows[name], options, data, seed, steps)
        clock = clock_of(trainer.device)
        curve: list[Record] = []
        last: Record = {}
        for part in range(1, PARTS + 1):
            begin = clock()
            while done < steps * part // PARTS:
                trainer.step()
                done += 1
            spent += clock() - begin
            if not all_finite(trainer.generator, trainer.discriminator, trainer.average):
                ended = f"the weights are not finite after step {done}."
                break
            if part in LOOKS and not trial:
                at = {"step": done, "seconds": spent, "images": trainer.images}
                curve.append({**at, **distances(trainer.sample(LOOK))})
        if not ended:
            made = trainer.sample(FINAL if not trial else LOOK)
            raw = trainer.sample(LOOK, averaged=False)
            which_set = "validation" if trial else "reference"
            last["without_average"] = distances(raw, which_set)
            if trial:
                last["measured"] = distances(made, which_set)
            else:
                last["measured"] = measured(made)
                at = {"step": done, "seconds": spent, "images": trainer.images}
                curve.append({**at, **{e: last["measured"][e] for e in ("trained", "random")}})
                last["copies"] = copied(made, data.images)
                if seed == 0:
                    picture_file(made, f"{name}-seed0", 3, grid=self.grid)
        return {
            "kind": "trial" if trial else "run",
            "row": name,
            "setting": options,
            "which": which,
            "seed": seed,
            "steps": done,
            "images": trainer.images,
            "training_seconds": spent,
            "images_per_second": trainer.images / spent,
            "parameters": trainer.parameters(),
            "n": FINAL if not trial else LOOK,
            **last,
            "curve": curve,
            "ended": ended,
            "facts": facts(self.size),
        } | ({} if trial else {"reached": self.reached(curve)})

    def reached(self, curve: list[Record]) -> Record:
        """Seconds of the first look at or below the KID of PCA-Gaussian, and half of it."""
        base = self.found("controls")["looks"]["pca-gaussian"]
        return {
            line: {e: first_at(curve, share * base[e]["kid"], e) for e in base}
            for line, share in (("pca-gaussian", 1.0), ("half", 0.5))
        }

    def best(self, name: str) -> int:
        """The setting with the lowest KID of those tried, with averaged weights or without."""
        tried = self.rows[name].borrows or name
        trials = [self.found(f"trial-{tried}-{i}") for i in range(len(self.settings(name)))]
        scores = {i: score(t) for i, t in enumerate(trials) if not t["ended"]}
        if not scores:
            raise GanBookError(f"no setting of '{name}' survived.")
        return min(scores, key=lambda i: scores[i])

    def final(self, name: str, seed: int) -> Record:
        return self.run(name, self.best(name), seed, 1.0, False)

    def memory(self) -> Record:
        """Bytes that a step of each row needs, with the setting that was chosen."""
        rows = {}
        for name in self.rows:
            with suppress(GanBookError):  # rows without trials, or without their package, stay out
                rows[name] = memory(self.size, name, self.best(name))
        return {"kind": "memory", "seeds": [0], "peak_memory_bytes": rows}

    def cells(self) -> dict[str, Cell]:
        cells: dict[str, Cell] = {"controls": self.controls}
        for name in (UNIT, *self.rows):
            cells[f"cost-{name}"] = partial(self.cost, name)
        for name, row in self.rows.items():
            for i in range(len(row.settings)):
                cells[f"trial-{name}-{i}"] = partial(self.run, name, i, TRIAL_SEED, TRIAL, True)
        for seed in SEEDS:
            for name in self.rows:
                cells[f"{name}-seed{seed}"] = partial(self.final, name, seed)
        return {**cells, "memory": self.memory, "summary": self.summary}

    def summary(self) -> Record:
        """Means, least and most over the seeds; a page's picture of each row's first seed."""
        cells, rows = load_results(self.grid), {}
        for name in self.rows:
            runs = [cells[c] for c in (f"{name}-seed{s}" for s in SEEDS) if c in cells]
            if len(runs) == len(SEEDS):
                rows[name] = folded([{k: run.get(k, {}) for k in FOLDED} for run in runs])
                page_sheet(self.grid, name)
        return {"kind": "summary", "seeds": list(SEEDS), "rows": rows}


def page_sheet(grid: str, name: str) -> None:
    """The sheet of a row's first seed, twice as large, where the book's page looks for it."""
    sheet = results_folder() / grid / f"{name}-seed0.png"
    with Image.open(sheet) as image:
        large = image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)
        SHEETS.mkdir(parents=True, exist_ok=True)
        large.save(SHEETS / f"{grid}-{name}.webp", quality=82, method=6)


def score(trial: Record) -> float:
    """The lower KID of the two ways to take a trial's generator."""
    return min(float(trial[k]["trained"]["kid"]) for k in ("measured", "without_average"))


def first_at(curve: list[Record], line: float, extractor: str) -> float | None:
    """Seconds of the first look at or below the line; None if there is none."""
    return next((float(x["seconds"]) for x in curve if x[extractor]["kid"] <= line), None)


def _seconds(trainer: Trainer) -> float:
    """Seconds of one step: of the processor, or of the clock beside a GPU."""
    clock = clock_of(trainer.device)
    begin = clock()
    trainer.step()
    return clock() - begin


def memory(size: int, name: str, which: int) -> int:
    """Bytes that a step adds to the peak memory of a process of its own, or takes on a GPU."""
    command = [sys.executable, __file__, "--size", str(size), "--memory", f"{name}:{which}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    need(done.returncode == 0, f"measuring memory failed: {done.stderr[-200:]}")
    return int(json.loads(done.stdout.splitlines()[-1]))


def tell_memory(size: int, what: str) -> None:
    """What the process of ``memory`` does."""
    torch.set_num_threads(1)
    name, which = what.split(":")
    grid = Peers(size, None)
    options = grid.settings(name)[int(which)]
    data = ImageSet(torch.zeros(options["batch"], 3, size, size, dtype=torch.uint8))
    start(grid.rows[UNIT], {"batch": 1}, data, 0, 8)  # everything is loaded that all need
    before = peak_bytes()
    trainer = start(grid.rows[name], options, data, 0, 8)
    trainer.step()
    on_gpu = trainer.device.type == "cuda"
    print(json.dumps(torch.cuda.max_memory_allocated() if on_gpu else peak_bytes() - before))


def peak_bytes() -> int:
    """Of this process so far, from Linux: ``ru_maxrss`` would begin with its parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def grid_name(size: int) -> str:
    return "peers" if size == 32 else f"peers-{size}"


def show(record: Record) -> str:
    found = record.get("measured", {})
    kid = {e: round(found[e]["kid"], 4) for e in ("trained", "random") if e in found}
    return f"{record.get('images', '')} images {kid} {record.get('ended', '')}" if kid else ""


def main() -> None:
    parser = grid_parser(__doc__)
    parser.add_argument("--size", type=int, default=32, choices=sorted(ROWS))
    parser.add_argument("--seconds", type=float, help="of training in a run, for rehearsals")
    parser.add_argument("--memory", help="ROW:SETTING, for the process that measures memory")
    arguments = parser.parse_args()
    if arguments.memory:
        tell_memory(arguments.size, arguments.memory)
        return
    grid = Peers(arguments.size, arguments.seconds)
    device = "cpu" if arguments.size == 32 else "cuda"
    run_grid(grid.grid, grid.cells(), arguments, show=show, device=device)


if __name__ == "__main__":
    main()
