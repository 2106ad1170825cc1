"""One-step students of a diffusion model, with and without an adversarial loss; one JSON a cell.

    python tests/benchmarks/outlook.py              # every cell without a result, about 20 minutes
    python tests/benchmarks/outlook.py tune-both    # some cells, by the start of their name

Points on the ring of eight (sd 0.1). The teacher is the book's denoiser of width 64, walked in 40
steps of DDIM; each seed has its own. A student is the book's generator for points. It gets SECONDS
of processor time, for its pairs of noise and teacher's point, its discriminator and the score of
its own samples together: the cell ``cost`` turns them into steps once, so that a run is repeatable.
Each method has three settings, tried with TUNING_SEED; the one with the least Jensen-Shannon
divergence from the data then runs with five seeds.

- ``teacher-*``: the teachers, by number of steps; ``cost``: seconds a step, for each setting;
- ``tune-*``, then ``main-*``: the methods; ``long-*``: four times SECONDS;
- ``hasty-*``: the teacher takes 5 steps instead of 40; ``narrow-*``: the student is 12 units wide;
- ``exact-scores-*``: the exact score in the place of the teacher's;
- ``push-*``: the direction in which samples are pushed, found in two ways;
- ``summary``: means and standard deviations over the seeds, of what has all of them.
"""

from __future__ import annotations

import copy
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from gan_book.data.toys import ring
from gan_book.denoising import DenoisingObjective, add_noise, sample, score
from gan_book.fitting import fit
from gan_book.losses import loss
from gan_book.models.mlp import MLPDiscriminator
from gan_book.results import load_results
from tests.benchmarks.grids import Record, grid_parser, run_grid
from tests.benchmarks.outlook_students import (
    FIT,
    PAIRS,
    RING,
    Setting,
    Student,
    exact,
    forced,
    judge,
    pairs,
    teacher,
)

NAME = "outlook"
SECONDS, SEEDS, TUNING_SEED = 5.0, range(5), 7
WALK, HASTY, NARROW = 40, 5, 12
JUDGED = 20_000  # samples
MEASURED = ("share", "between", "width", "jsd", "from_teacher", "slope", "forced")
SHIFTS, PUSH_TIME = (0.8, 0.4, 0.2, 0.1, 0.05), 0.3


def _tries() -> dict[str, list[Setting]]:
    """Three settings of each method."""
    both = Setting(regression=1.0, adversarial=1.0, warm=0.5)
    scores = Setting(scores=1.0, lr=5e-4, warm=0.3)
    return {
        "regression": [Setting(regression=1.0, lr=lr) for lr in (2e-3, 5e-3, 1e-2)],
        "adversarial": [Setting(adversarial=1.0, lr=lr) for lr in (2e-3, 4e-3, 8e-3)],
        "both": [replace(both, adversarial=weight) for weight in (0.01, 0.1, 1.0)],
        "scores": [
            replace(scores, regression=1.0),
            scores,
            replace(scores, weighting="dmd"),
        ],
    }


TRIES = _tries()


def plan(setting: Setting, seconds: float = SECONDS) -> list[float]:
    """For each step that the time allows, pairs included, the share of the time that is over."""
    cost, warm = load_results(NAME)["cost"], setting.warm
    simple = cost["step"][key(TRIES["regression"][0])]
    full = (cost["step"][key(setting)] - warm * simple) / (1 - warm)  # there the two are mixed
    left = seconds - (cost["pairs"] if setting.regression or warm else 0.0)
    first, rest = round(warm * left / simple), round((1 - warm) * left / full)
    late = [warm + (1 - warm) * i / rest for i in range(rest)]
    return [warm * i / first for i in range(first)] + late


def key(setting: Setting) -> str:
    """A setting's name: what differs from the default."""
    usual = asdict(Setting())
    return " ".join(f"{k}={v}" for k, v in asdict(setting).items() if v != usual[k])


def train(
    choose: Callable[[], Setting], seed: int, *, seconds: float = SECONDS,
    width: int = 64, walk: int = WALK, known: bool = False,
) -> Record:  # fmt: skip
    """Train and judge one student; ``known``: with the exact score for the teacher's."""
    setting = choose()
    shares = plan(setting, seconds)
    student = Student(setting, seed, width, walk, exact if known else teacher(seed))
    for share in shares:
        student.step(share)
    z, y = pairs(seed, JUDGED, walk, stream=1)
    with torch.no_grad():
        x = student.average(z)  # (JUDGED, 2)
    found = judge(x)
    slopes = torch.linalg.matrix_norm(vmap(jacrev(student.average))(z), 2)  # (JUDGED,)
    return {
        "seed": seed, "setting": asdict(setting), "steps": len(shares), "training_seconds": seconds,
        "width_of_student": width, "walk": walk, **found,
        "from_teacher": (x - y).square().sum(1).mean().sqrt().item(),
        "slope": slopes.max().item(),
        "forced": forced(found["shares"], slopes.max().item()),
    }  # fmt: skip


def measure_teacher(seed: int) -> Record:
    rows = {}
    for walk in (HASTY, 10, 20, WALK):
        rows[f"steps-{walk}"] = judge(pairs(seed, JUDGED, walk, stream=1)[1])
    draw = torch.Generator().manual_seed(seed)
    rows["data"] = judge(RING.sample(JUDGED, draw))
    rows["exact"] = judge(sample(exact, (JUDGED, 2), WALK, draw, "ddim"))
    return {"seed": seed, "training_steps": 2_000, **rows}


def cost() -> Record:
    """Processor seconds of a step of each setting, the median of five turns; those of the pairs."""
    students = {
        key(s): Student(s, TUNING_SEED, 64, WALK, teacher(TUNING_SEED))
        for tries in TRIES.values() for s in tries
    }  # fmt: skip
    turns: dict[str, list[float]] = {name: [] for name in ["pairs", *students]}
    for _ in range(5):
        start = time.process_time()
        pairs(TUNING_SEED, PAIRS, WALK)
        turns["pairs"].append(time.process_time() - start)
        for name, student in students.items():
            start = time.process_time()
            for i in range(20):  # steps of the warm start among them
                student.step(i / 20)
            turns[name].append((time.process_time() - start) / 20)
    median = {name: statistics.median(spent) for name, spent in turns.items()}
    return {"seed": TUNING_SEED, "pairs": median.pop("pairs"), "step": median}


class OneLevel(DenoisingObjective):
    """A denoiser for one level of noise only, which is all that a direction there needs."""

    def draw(self, x0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        t, noise = super().draw(x0, generator)
        return torch.full_like(t, PUSH_TIME), noise


class Telling(nn.Module):
    """Logistic regression: noisy points of the ring against noisy points of a smaller one."""

    def __init__(self, radius: float) -> None:
        super().__init__()
        self.discriminator, self.other = MLPDiscriminator(), ring(radius=radius, sd=RING.sd)

    def draw(self, x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        y = self.other.sample(len(x), rng)
        return y, torch.randn(2, *x.shape, generator=rng)

    def forward(self, x: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        t = torch.full((len(x),), PUSH_TIME)
        logits = [
            self.discriminator(add_noise(a, t, e)) for a, e in zip((x, y), noise, strict=True)
        ]
        value = loss("non-saturating").discriminator(*logits)
        return value, {"loss": value.detach()}


def push(seed: int) -> Record:
    """How well two denoisers, and a classifier, find the push from a smaller ring to the ring.

    Errors are those of the vector, root mean square over noisy points of the smaller ring, over
    the size of the exact vector: of the difference of scores, and of either score alone; and of
    the classifier's gradient. Denoiser and classifier get about as much processor time.
    """
    rows = {}
    torch.manual_seed(seed)
    for shift in SHIFTS:
        telling = Telling(2 - shift)
        other, rng = telling.other, torch.Generator().manual_seed(seed)
        own = OneLevel(copy.deepcopy(teacher(seed)).requires_grad_(True))
        how: dict[str, Any] = {"lr": 2e-3, **FIT}
        fits = (
            fit(own, partial(other.sample, 256, rng), rng, steps=1_000, **how),
            fit(telling, partial(RING.sample, 256, rng), rng, steps=750, **how),
        )
        t = torch.full((JUDGED,), PUSH_TIME)
        noise = torch.randn(JUDGED, 2, generator=rng)
        x = add_noise(other.sample(JUDGED, rng), t, noise).requires_grad_()  # (JUDGED, 2)
        with torch.no_grad():
            of_data, of_other = score(exact, x, t), score(partial(exact, points=other), x, t)
            guess, own_guess = score(teacher(seed), x, t), score(fits[0].average.denoiser, x, t)
        (slope,) = torch.autograd.grad(fits[1].average.discriminator(x).sum(), x)
        truth = of_data - of_other  # (JUDGED, 2), as all of these
        wrong = {
            "scores": guess - own_guess - truth,
            "teacher": guess - of_data,
            "own": own_guess - of_other,
            "discriminator": slope - truth,
        }
        rows[f"shift-{shift:g}"] = {
            **{name: (error.norm() / truth.norm()).item() for name, error in wrong.items()},
            "size": truth.square().sum(1).mean().sqrt().item(),
            "training_seconds": [done.seconds for done in fits],
        }
    return {"seed": seed, "time": PUSH_TIME, **rows}


def tuned(method: str) -> Setting:
    """The setting of a method with the least divergence."""
    cells = load_results(NAME)
    scores = [cells[f"tune-{method}-{i}"]["jsd"] for i in range(len(TRIES[method]))]
    return TRIES[method][scores.index(min(scores))]


def summary() -> Record:
    """Mean and standard deviation (``_sd``) over the five seeds, of each number of each group."""
    cells = load_results(NAME)
    rows: Record = {"seeds": list(SEEDS)}
    for group in sorted({name.rpartition("-seed")[0] for name in cells if "-seed" in name}):
        runs = [cells.get(f"{group}-seed{seed}") for seed in SEEDS]
        if group == "push" or None in runs:
            continue
        parts = [f"/steps-{walk}" for walk in (HASTY, WALK)] if group == "teacher" else [""]
        for part in parts:
            found = [run[part[1:]] if part else run for run in runs if run]
            rows[group + part.replace("/", "-")] = {
                name + end: function([one[name] for one in found])
                for name in MEASURED if name in found[0]
                for end, function in (("", statistics.fmean), ("_sd", statistics.stdev))
            }  # fmt: skip
    return rows


def grid() -> dict[str, Callable[[], Record]]:
    """All cells, in an order in which each finds what it needs."""
    cells: dict[str, Callable[[], Record]] = {"cost": cost}
    for seed in SEEDS:
        cells[f"teacher-seed{seed}"] = partial(measure_teacher, seed)
    for method, tries in TRIES.items():
        for i, setting in enumerate(tries):
            choose: Callable[[], Setting] = partial(replace, setting)
            cells[f"tune-{method}-{i}"] = partial(train, choose, TUNING_SEED)
    pushes = {f"push-seed{seed}": partial(push, seed) for seed in SEEDS}
    versions: dict[str, tuple[list[str], dict[str, Any]]] = {
        "main": (list(TRIES), {}),
        "hasty": (["regression", "both"], {"walk": HASTY}),
        "narrow": (["regression", "adversarial", "both"], {"width": NARROW}),
        "exact": (["scores"], {"known": True}),
        "long": (["regression", "adversarial", "both"], {"seconds": 4 * SECONDS}),
    }
    for version, (methods, how) in versions.items():
        for method in methods:
            for seed in SEEDS:
                cell = partial(train, partial(tuned, method), seed, **how)
                cells[f"{version}-{method}-seed{seed}"] = cell
    return {**cells, **pushes, "summary": summary}


def show(record: Record) -> str:
    return str(
        {k: round(record[k], 4) for k in ("share", "between", "width", "jsd") if k in record}
    )


if __name__ == "__main__":
    run_grid(NAME, grid(), grid_parser(__doc__).parse_args(), show=show)
