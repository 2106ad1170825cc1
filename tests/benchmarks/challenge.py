"""The hundred-second challenge: the best KID that a fixed budget buys; one JSON a cell.

    python tests/benchmarks/challenge.py                        # every cell without a result
    python tests/benchmarks/challenge.py atelier-16-seconds     # one class
    python tests/benchmarks/challenge.py --validate lazy        # an entry on validation pictures
    python tests/benchmarks/challenge.py --table                # the records

Classes:

- ``atelier-16-seconds``, ``fashion-mnist-seconds``: 100 processor seconds: user and system time of
  the process with all its threads and children (``time.process_time`` and ``os.times``), with one
  thread allowed. They count from the call of the entry to its return: building networks, choosing a
  precision, training. Importing, loading pictures, sampling and measuring do not count.
- ``atelier-16-images``: 200,000 training pictures drawn, by whichever network, in any time. It asks
  what a picture is worth, and its budget does not depend on the machine.
- ``atelier-64-gpu``: 60 s, ``paintings-64-gpu``: 600 s of the clock beside one GPU.

The score is the KID of 1,000 pictures of sampler seed 0, extractor gan-book-1, against real
pictures that no entry has seen; an entry's rank is the mean over three seeds of training. A second
extractor, a network of random weights, stands beside it. Entries and how to add one:
``challenge_entries.py``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor

from gan_book.data.imageset import ImageSet
from gan_book.data.load import load_images
from gan_book.data.named import read_idx
from gan_book.errors import GanBookError, need
from gan_book.features import extractor
from gan_book.metrics import density_coverage, kernel_distance, pca_gaussian
from gan_book.results import load_results
from tests.benchmarks.challenge_entries import ENTRIES, Entry, Task
from tests.benchmarks.comparison_measure import (
    REFERENCE,
    TRAIN,
    VALIDATION,
    RandomConvolutions,
    kept,
    picture_file,
    pictures,
)
from tests.benchmarks.grids import Cell, Record, folded, grid_parser, run_grid, show_kid
from tests.benchmarks.ladder_runs import clock_of

NAME = "challenge"
SEEDS, MADE = range(3), 1_000
GRACE = 1.005  # of the budget: what the last look at the clock may be late


@dataclass(frozen=True)
class Class:
    """A set of pictures and a budget."""

    pictures: str
    size: int
    unit: str
    limit: float
    device: str = "cpu"


CLASSES = {
    "atelier-16-seconds": Class("atelier", 16, "seconds", 100.0),
    "fashion-mnist-seconds": Class("fashion-mnist", 28, "seconds", 100.0),
    "atelier-16-images": Class("atelier", 16, "images", 200_000),
    "atelier-64-gpu": Class("atelier", 64, "seconds", 60.0, "cuda"),
    "paintings-64-gpu": Class("paintings", 64, "seconds", 600.0, "cuda"),
}


def real_folder() -> Path:
    """The folder of real pictures. Raises ``GanBookError`` where none is named."""
    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    need(folder, "set GAN_BOOK_REAL_DATA to the folder of the real pictures.")
    return Path(str(folder))


@lru_cache(maxsize=2)
def sets(name: str, size: int) -> dict[str, Tensor]:
    """Pictures uint8 by their use: "train", "validation", "reference" and, for controls, "floor".

    Each use has its own, but for paintings, of which there are few: their floor is the validation.
    """
    if name == "atelier":
        counts = {"train": TRAIN, "validation": VALIDATION, "reference": REFERENCE, "floor": 1_000}
        return {use: pictures(use, n, size) for use, n in counts.items()}
    if name == "fashion-mnist":
        seen = load_images(name, size=size, channels=1, progress=False).images  # (60000, 1, 28, 28)
        file = real_folder() / name / "t10k-images-idx3-ubyte.gz"
        unseen = torch.from_numpy(read_idx(file, 2051).copy())[:, None]  # (10000, 1, 28, 28)
        return {
            "train": seen[:-1_000],
            "validation": seen[-1_000:],
            "reference": unseen[:REFERENCE],
            "floor": unseen[-1_000:],
        }
    file = real_folder() / "paintings-pd-128.zip"
    everything = load_images(file, size=size, progress=False)
    split = everything.split()
    found = {k: everything.images[getattr(split, k)] for k in ("train", "validation", "test")}
    return {**found, "reference": found["test"], "floor": found["validation"]}


def color(images: Tensor) -> Tensor:
    """Three channels, whatever there were."""
    return images.expand(-1, 3, -1, -1)


@lru_cache(maxsize=2)
def extractors(name: str, size: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The two extractors; the random one is whitened on training pictures of the set."""
    if name == "atelier":
        net = RandomConvolutions(size)
    else:
        net = RandomConvolutions(size, name, lambda: color(sets(name, size)["train"][:3_000]))
    return {"trained": extractor(device="cpu"), "random": lambda x: net(color(x))}


@lru_cache(maxsize=4)
def real_features(name: str, size: int, use: str, which: str) -> Tensor:
    """Features of real pictures, computed once."""

    def compute() -> dict[str, Tensor]:
        return {"features": extractors(name, size)[which](sets(name, size)[use])}

    return kept(f"challenge-{name}-{size}-{use}-{which}", compute)["features"]


def scores(made: Tensor, name: str, use: str = "reference") -> Record:
    """KID and coverage of pictures of a set, by both extractors."""
    found: Record = {}
    for which, net in extractors(name, made.shape[-1]).items():
        real, z = real_features(name, made.shape[-1], use, which), net(made)
        kid, dense = kernel_distance(z, real), density_coverage(real[: len(z)], z)
        found[which] = {"kid": kid.value, "kid_error": kid.standard_error}
        found[which] |= {"coverage": dense.coverage, "density": dense.density}
    return found


def controls(which: Class) -> Record:
    """Fresh pictures, a Gaussian in pixels, copies: the rows that every table carries."""
    real, rng = sets(which.pictures, which.size), torch.Generator().manual_seed(0)
    rows = {
        "floor": real["floor"],
        "pca-gaussian": pca_gaussian(real["train"][:1_000], MADE, generator=rng),
        "copies": real["train"][:MADE],
    }
    found = {row: scores(made, which.pictures) for row, made in rows.items()}
    return {"kind": "controls", "seeds": [0], "n": MADE, "rows": found}


def processor_seconds() -> float:
    """Of this process, with all its threads and the children that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def task_of(which: Class, seed: int, limit: float | None = None) -> Task:
    """The task of a class, its pictures loaded; ``limit`` is another budget, for rehearsals."""
    need(
        which.device == "cpu" or torch.cuda.is_available(),
        "this class needs a GPU.",
    )
    device = torch.device(which.device)
    clock = processor_seconds if which.device == "cpu" else clock_of(device)
    data = ImageSet(sets(which.pictures, which.size)["train"])
    return Task(data, seed, device, which.unit, which.limit if limit is None else limit, clock)


def enter(
    label: str, entry: Entry, seed: int, limit: float | None = None, use: str = "reference"
) -> Record:
    """Run an entry in a class, and measure what it returns."""
    which = CLASSES[label]
    task = task_of(which, seed, limit)
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        task.begin()
        sample = entry.train(task)
        spent, drawn = task.spent, task.drawn
    used = spent if which.unit == "seconds" else drawn
    over = used > GRACE * task.limit
    record: Record = {
        "kind": "entry",
        "class": label,
        "what": entry.what,
        "author": entry.author,
        "seed": seed,
        "limit": task.limit,
        "unit": which.unit,
        "images": drawn,
        "training_seconds": spent,
        "ended": f"overdrawn: {used:.1f} of {task.limit:g}" if over else "",
        "n": MADE,
    }
    if over:
        return record
    made = sample(MADE, 0)
    fits = made.dtype == torch.uint8 and made.shape == (MADE, *task.shape)
    need(
        fits, f"the sampler gave {made.dtype} {tuple(made.shape)}, not uint8 {(MADE, *task.shape)}."
    )
    record["measured"] = scores(made, which.pictures, use)
    record["pictures"] = made
    return record


def cell(label: str, name: str, seed: int, limit: float | None) -> Record:
    record = enter(label, ENTRIES[name], seed, limit)
    made = record.pop("pictures", None)
    if made is not None and seed == 0:
        picture_file(color(made), f"{label}-{name}-seed0", 2, grid=NAME)
    return record


def cells(limit: float | None) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for label, which in CLASSES.items():
        if which.unit == "seconds":  # the images class has the controls of its set
            found[f"{label}-controls"] = partial(controls_of, label)
    for seed in SEEDS:
        for label in CLASSES:
            for name in ENTRIES:
                found[f"{label}-{name}-seed{seed}"] = partial(cell, label, name, seed, limit)
    return {**found, "summary": summary}


def summary() -> Record:
    """Mean, least and most over the seeds of the runs of each ranked entry, by class."""
    runs = [r for r in load_results(NAME).values() if r["kind"] == "entry"]
    found: Record = {}
    for label, name, _, _ in table():
        own = [r for r in runs if r["cell"].startswith(f"{label}-{name}-seed")]
        kept = [{k: r[k] for k in ("measured", "images", "training_seconds")} for r in own]
        found.setdefault(label, {})[name] = folded(kept)
    return {"kind": "summary", "seeds": list(SEEDS), "classes": found}


def controls_of(label: str) -> Record:
    which = CLASSES[label]
    need(which.device == "cpu" or torch.cuda.is_available(), "this class needs a GPU.")
    return controls(which)


def table() -> list[tuple[str, str, float, int]]:
    """The records: class, entry, mean KID over the seeds, seeds; the best first in each class.

    An entry that overdrew in one of its runs is not ranked, nor one with fewer than three.
    """
    found = [r for r in load_results(NAME).values() if r["kind"] == "entry"]
    rows = []
    for label in CLASSES:
        lines = []
        for name in ENTRIES:
            runs = [r for r in found if r["cell"].startswith(f"{label}-{name}-seed")]
            if len(runs) >= len(SEEDS) and not any(r["ended"] for r in runs):
                mean = sum(r["measured"]["trained"]["kid"] for r in runs) / len(runs)
                lines.append((label, name, mean, len(runs)))
        rows += sorted(lines, key=lambda line: line[2])
    return rows


def main() -> None:
    parser = grid_parser(__doc__)
    parser.add_argument("--limit", type=float, help="another budget, for rehearsals")
    parser.add_argument("--table", action="store_true", help="print the records and stop")
    parser.add_argument("--validate", metavar="ENTRY", choices=list(ENTRIES))
    arguments = parser.parse_args()
    if arguments.table:
        for label, name, kid, n in table():
            print(f"{label:24} {name:12} KID {kid:.4f}, {n} seeds")
    elif arguments.validate:
        validate(arguments.validate, arguments.limit)
    else:
        run_grid(NAME, cells(arguments.limit), arguments, show=show_kid)


def validate(name: str, limit: float | None) -> None:
    """Print an entry's KID on validation pictures, seed 7, in every class of this machine."""
    for label in CLASSES:
        try:
            record = enter(label, ENTRIES[name], 7, limit, "validation")
        except GanBookError as error:
            print(f"{label:24} left out: {error}")
            continue
        print(f"{label:24} {show_kid(record) or record['ended']}", flush=True)


if __name__ == "__main__":
    main()
