"""The entries of the hundred-second challenge: each a function from a task to a sampler.

An entry gets a ``Task`` and returns ``sampler(n, seed) -> uint8 (n, C, H, W)``. What it may do:

- ``task.feed(batch)`` gives endless shuffled batches of training pictures, ``feed.next().images``,
  float32 in [-1, 1]; every picture that is drawn counts;
- ``task.left()`` is the share of the budget that is left, from 1 down to 0 and below; stop in time:
  an entry that overdraws is not ranked;
- ``task.shape``, ``task.device`` and ``task.seed``; all random draws follow from the seed.

It may not use other pictures or weights, other processes or more than one thread. To submit a
better one: write the function here, name it in ``ENTRIES``, say who and what, choose its numbers on
the validation pictures (``challenge.py --validate``), and run ``challenge.py --again`` for all
entries on one machine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gan_book.data.batches import Batches, to_uint8
from gan_book.data.imageset import ImageSet
from gan_book.model import latents
from gan_book.models import build_discriminator, build_generator
from gan_book.processes import Processes
from gan_book.recipes import Recipe, recipe
from gan_book.training import (
    TrainingState,
    choose_precision,
    machine_settings,
    run_steps,
    start_training,
    update_average,
)

from .lazy import make_lazy
from .sprint import Z_DIM, Sprint

Sampler = Callable[[int, int], Tensor]


@dataclass
class Task:
    """What an entry is given; ``clock`` counts the seconds that count, and starts with ``begin``.

    ``unit`` is "seconds", or "images": pictures drawn from all feeds together.
    """

    data: ImageSet  # training pictures
    seed: int
    device: torch.device
    unit: str
    limit: float
    clock: Callable[[], float]
    feeds: list[Batches] = field(default_factory=list)
    started: float = 0.0

    def begin(self) -> None:
        self.started = self.clock()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture: (C, H, W)."""
        return tuple(self.data.images.shape[1:])

    def feed(self, batch: int) -> Batches:
        self.feeds.append(Batches(self.data, None, batch, seed=self.seed, device=self.device))
        return self.feeds[-1]

    @property
    def drawn(self) -> int:
        return sum(feed.drawn for feed in self.feeds)

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return self.clock() - self.started

    def left(self) -> float:
        return 1.0 - (self.spent if self.unit == "seconds" else self.drawn) / self.limit


def sampler_of(net: torch.nn.Module, z_dim: int, device: torch.device) -> Sampler:
    """Pictures of a generator in evaluation mode from standard normal latents."""

    @torch.no_grad()
    def sample(n: int, seed: int) -> Tensor:
        z = latents(n, z_dim, seed)
        return torch.cat([to_uint8(net(part.to(device)).cpu()) for part in z.split(250)])

    return sample


# ---------------------------------------------------------------- the DCGAN of 2015, a plain loop


def dcgan(task: Task) -> Sampler:
    """The DCGAN of 2015 at a rate that suits a minute, with averaged weights. A template, too."""
    torch.manual_seed(task.seed)
    channels, *size = task.shape
    options: dict[str, Any] = {"size": tuple(size), "channels": channels, "width": 32}
    g = build_generator("dcgan", **options, z_dim=64, batch_norm=True).to(task.device)
    d = build_discriminator("dcgan", **options, batch_norm=True).to(task.device)
    average = copy.deepcopy(g).eval().requires_grad_(False)
    adam = {"lr": 1e-3, "betas": (0.5, 0.999), "fused": True}
    opt_g = torch.optim.Adam(g.parameters(), **adam)  # type: ignore[arg-type]
    opt_d = torch.optim.Adam(d.parameters(), **adam)  # type: ignore[arg-type]
    batch, half_life, images = 64, 5_000.0, 0
    feed = task.feed(batch)
    step_share = 0.0  # of the budget, the most that a step took so far
    while (left := task.left()) > step_share:
        fake = g(torch.randn(batch, 64, device=task.device))
        loss_d = softplus(-d(feed.next().images)).mean() + softplus(d(fake.detach())).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        loss_g = softplus(-d(fake)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        images += batch
        update_average(average, g, 0.5 ** (batch / min(half_life, 0.05 * images)))
        step_share = max(step_share, left - task.left())
    return sampler_of(average, 64, task.device)


# ---------------------------------------------------------------- the package's recipes


BASES = {16: "small-16", 28: "small-16", 64: "dcgan-64"}  # by the side of the pictures


def ours(task: Task, *, rate: float, lazy: int, batch: int = 64) -> Sampler:
    """A recipe of the package, its schedules stretched to the budget while it runs.

    ``rate`` multiplies its learning rates; penalties fall on every ``lazy``-th step, as much
    heavier. Where a short measurement, which counts, finds bf16 faster, it is used.
    """
    channels, *size = task.shape
    side = size[0]
    base = recipe(
        BASES[side],
        size=tuple(size),
        channels=channels,
        batch_size=batch,
        precision="probe",
        ema_half_life=5_000,
        policy=(),
        augment="none",
    )
    base = stretched(base, base.total_images, rate)
    state = start_training(
        base,
        task.feed(batch),
        Processes(0, 1, task.device),
        seed=task.seed,
        precision=choose_precision(base, task.device),
    )
    make_lazy(state, lazy)
    with machine_settings(base):
        paced(state, base, task)
    return sampler_of(state.average, int(state.generator.z_dim), task.device)  # type: ignore[arg-type]


def stretched(base: Recipe, images: int, rate: float = 1.0) -> Recipe:
    """The recipe with schedules of another length: ``images`` in all, rates times ``rate``."""
    changes: dict[str, Any] = {"total_images": images}
    for key in ("lr", "r1", "r2"):
        ramp, times = getattr(base, key), rate if key == "lr" else 1.0
        share = round(ramp.images * images / base.total_images)
        changes[key] = {"start": ramp.start * times, "end": ramp.end * times, "images": share}
    return recipe(base, **changes)


def paced(state: TrainingState, base: Recipe, task: Task) -> None:
    """Train until the budget is spent, so that the schedules end with it.

    The first steps tell what a step costs; how many there will be is corrected on the way.
    """
    begin = task.left()
    run_steps(state, 4)
    while True:
        left = task.left()
        remaining = int(left * state.step / (begin - left))  # steps, at the mean cost so far
        if remaining < 1:
            return
        state.recipe = stretched(base, base.batch_size * (state.step + remaining))
        run_steps(state, state.step + max(1, remaining // 4))


# ---------------------------------------------------------------- half of 2015, half of today


def sprint(task: Task) -> Sampler:
    """``Sprint`` with batches of 32, in bf16 where a short measurement, which counts, is for it."""
    sizes: dict[str, Any] = {"size": task.shape[1:], "channels": task.shape[0]}
    probed = recipe(BASES[task.shape[-1]], **sizes, precision="probe")
    bf16 = choose_precision(probed, task.device) == "bf16"
    run = Sprint(task.shape, task.feed(32), task.seed, rate=3e-3, bf16=bf16)
    step_share = 0.0  # of the budget, the most that a step took so far
    while (left := task.left()) > step_share:
        run.take(left)
        step_share = max(step_share, left - task.left())
    return sampler_of(run.average, Z_DIM, task.device)


# ---------------------------------------------------------------- the list


@dataclass(frozen=True)
class Entry:
    """One entry: what it is, whose, and the function."""

    what: str
    author: str
    train: Callable[[Task], Sampler]


ENTRIES = {
    "dcgan-2015": Entry("DCGAN with averaged weights, rate 1e-3", "this book", dcgan),
    "recipe": Entry(
        "the package's recipe: relativistic loss, R1 and R2 in every step",
        "this book",
        lambda task: ours(task, rate=1.0, lazy=1),
    ),
    "lazy": Entry(
        "the same at three times its rates, penalties in every fourth step",
        "this book",
        lambda task: ours(task, rate=3.0, lazy=4),
    ),
    "sprint": Entry(
        "batch normalization in G alone, relativistic loss, R1 and R2 in every eighth step",
        "this book",
        sprint,
    ),
}
