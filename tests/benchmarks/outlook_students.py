"""What the grid of one-step students is made of: teachers, students, how points are judged."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gan_book.data.batches import Batch
from gan_book.data.toys import PointSet, ring
from gan_book.denoising import DenoisingObjective, add_noise, rates, sample
from gan_book.fitting import fit
from gan_book.metrics.exact import js_divergence
from gan_book.metrics.modes import coverage_of_counts
from gan_book.models.diffusion import MLPDenoiser
from gan_book.models.mlp import MLPDiscriminator, MLPGenerator
from gan_book.objectives import (
    DiscriminatorObjective,
    Draws,
    GeneratorObjective,
    ObjectiveSettings,
    Weights,
)
from gan_book.training import update_average

WARM_LR = 5e-3  # of the generator while it learns from pairs alone
PAIRS = 20_000  # of noise and teacher's point
RING = ring(sd=0.1)
EDGES = torch.linspace(-3.2, 3.2, 65, dtype=torch.float64)  # cells of 0.1
FIT: dict[str, Any] = {"ema_half_life": 20_000}


@dataclass(frozen=True)
class Setting:
    """A student's training; a weight of 0 leaves its part out.

    regression, adversarial, scores: weights of the three losses of the generator.
    lr: of G (after the warm start, which has WARM_LR) and D; own_lr: of the score of the
        student's own samples; all end at a tenth.
    gamma: of R1 and R2 at the start; it ends at a tenth.
    warm: the share of the time, at the start, that is regression alone.
    own_steps: of the student's own score, for each of G.
    weighting: "kl" (that of the KL divergence) or "dmd" (error of x_0, over its size).
    """

    regression: float = 0.0
    adversarial: float = 0.0
    scores: float = 0.0
    lr: float = 4e-3
    gamma: float = 0.02
    batch: int = 256
    warm: float = 0.0
    own_steps: int = 5
    own_lr: float = 2e-3
    weighting: str = "kl"
    times: tuple[float, float] = (0.05, 0.7)
    ema_half_life: int = 20_000


def exact(x: Tensor, t: Tensor, points: PointSet = RING) -> Tensor:
    """The expected noise given x_t (N, 2): the chapter on diffusion, eq. 2.3.12."""
    signal, noise = rates(t, x)  # (N, 1) each
    variance = (signal * points.sd) ** 2 + noise**2  # (N, 1)
    away = x[:, None] - signal[..., None] * points.modes.to(x)  # (N, 8, 2)
    weights = torch.softmax(-away.square().sum(2) / (2 * variance), 1)  # (N, 8)
    return noise / variance * (weights[..., None] * away).sum(1)  # (N, 2)


@cache
def teacher(seed: int) -> MLPDenoiser:
    """The denoiser of width 64 after 2,000 steps, averaged."""
    torch.manual_seed(seed)
    objective = DenoisingObjective(MLPDenoiser(width=64))
    rng = torch.Generator().manual_seed(seed)
    done = fit(objective, lambda: RING.sample(256, rng), rng, steps=2_000, lr=5e-3, **FIT)
    return done.average.denoiser.requires_grad_(False)


def pairs(seed: int, n: int, walk: int, stream: int = 0) -> tuple[Tensor, Tensor]:
    """n starting points (n, 2) of the seed's teacher, and where it ends: (n, 2)."""
    first = 10_000 + 100 * stream + seed
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(first))
    return z, sample(teacher(seed), (n, 2), walk, torch.Generator().manual_seed(first), "ddim")


@cache
def density() -> Tensor:
    """The ring's mean density in each cell (4096,), from 5 x 5 points in it."""
    middle = (EDGES[1:] + EDGES[:-1]) / 2
    shifts = 0.02 * (torch.arange(5) - 2)
    each = [
        RING.density(torch.cartesian_prod(middle + a, middle + b)) for a in shifts for b in shifts
    ]
    return torch.stack(each).mean(0)


def judge(x: Tensor) -> dict[str, Any]:
    """Points (N, 2) against the ring.

    share: within 3 sd of a center; between: farther than 5 sd from all; width: sd about the
    nearest center, those between left out, over the true one; kl: of the shares of the eight;
    jsd: divergence of the histogram, cells of 0.1, from the ring, in nats.
    """
    x = x.double()
    away = torch.cdist(x, RING.modes).min(1).values  # (N,)
    near = away < 5 * RING.sd
    counted = RING.count_modes(x)
    counts = (counted.shares * len(x)).round().long()
    inside = x.clamp(-3.19, 3.19)  # nobody gets lost
    histogram = torch.histogramdd(inside, [EDGES, EDGES]).hist.flatten() / (0.01 * len(x))
    return {
        "share": counted.high_quality_share,
        "between": (~near).double().mean().item(),
        "width": (away[near].square().mean() / 2).sqrt().item() / RING.sd,
        "kl": coverage_of_counts(counts).divergence,
        "jsd": js_divergence(density(), histogram, 0.01),
        "shares": counted.shares,
    }


def forced(shares: Tensor, slope: float) -> float:
    """The share that a map of this slope leaves outside of the spots, at least.

    Eq. 6.1.4 of the chapter, for spots of radius 3 sd with these shares (8,).
    """
    sides = torch.cdist(RING.modes, RING.modes) + 100 * torch.eye(8, dtype=torch.float64)
    gap = sides.min().item() - 6 * RING.sd
    normal = torch.distributions.Normal(0.0, 1.0)
    wider = normal.cdf(normal.icdf(shares.clamp(1e-12, 1 - 1e-12)) + gap / (2 * slope))
    return float((wider - shares).sum())


class Student:
    """A generator in training, with whatever its losses need."""

    def __init__(self, setting: Setting, seed: int, width: int, walk: int, real: Any) -> None:
        torch.manual_seed(seed)
        self.rng = torch.Generator().manual_seed(seed)
        self.use, self.real = setting, real
        self.generator, self.discriminator = MLPGenerator(width=width), MLPDiscriminator()
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.own = DenoisingObjective(copy.deepcopy(teacher(seed)).requires_grad_(True))
        nets = (self.generator, self.discriminator)
        self.judge = DiscriminatorObjective(*nets, ObjectiveSettings())
        self.game = GeneratorObjective(*nets, ObjectiveSettings())
        rates_ = ((nets[0], setting.lr), (nets[1], setting.lr), (self.own, setting.own_lr))
        self.adams = [torch.optim.Adam(n.parameters(), lr, (0.0, 0.99)) for n, lr in rates_]
        self.first = [lr for _, lr in rates_]
        self.seen = 0
        if setting.regression or setting.warm:
            self.z, self.y = pairs(seed, PAIRS, walk)  # (PAIRS, 2) each

    def noise(self) -> Tensor:
        return torch.randn(self.use.batch, 2, generator=self.rng)

    def move(self, which: int, loss: Tensor) -> None:
        self.adams[which].zero_grad()
        loss.backward()
        self.adams[which].step()

    def step(self, done: float) -> None:
        """One update of everything, when the share ``done`` of the time is over."""
        use, falling = self.use, 0.55 + 0.45 * math.cos(math.pi * done)  # from 1 to a tenth
        warming = done < use.warm
        for i, (adam, lr) in enumerate(zip(self.adams, self.first, strict=True)):
            adam.param_groups[0]["lr"] = (WARM_LR if warming and i == 0 else lr) * falling
        weights = Weights(*(torch.tensor(use.gamma * falling) for _ in range(2)), torch.tensor(0.0))
        loss = torch.zeros(())
        if use.regression or warming:
            picked = torch.randint(PAIRS, (use.batch,), generator=self.rng)
            error = (self.generator(self.z[picked]) - self.y[picked]).square().mean()
            loss = loss + (1.0 if warming else use.regression) * error
        if use.adversarial and not warming:
            batch, draws = Batch(RING.sample(use.batch, self.rng)), Draws(self.noise())
            self.move(1, self.judge(batch, draws, weights)[0])
            batch, draws = Batch(RING.sample(use.batch, self.rng)), Draws(self.noise())
            loss = loss + use.adversarial * self.game(batch, draws, weights)[0]
        if use.scores and not warming:
            for _ in range(use.own_steps):
                with torch.no_grad():
                    made = self.generator(self.noise())
                self.move(2, self.own(made, *self.own.draw(made, self.rng))[0])
            loss = loss + use.scores * self.match()
        self.move(0, loss)
        self.seen += use.batch
        half_life = min(use.ema_half_life, 0.05 * self.seen)
        update_average(self.average, self.generator, 0.5 ** (use.batch / half_life))

    def match(self) -> Tensor:
        """A term whose gradient is the difference of two scores: eq. 6.1.8 (0-d)."""
        made = self.generator(self.noise())  # (N, 2)
        with torch.no_grad():
            low, high = self.use.times
            t = low + (high - low) * torch.rand(len(made), generator=self.rng)  # (N,)
            x = add_noise(made, t, self.noise())
            signal, sd = rates(t, x)  # (N, 1) each
            of_data, of_own = self.real(x, t), self.own.denoiser(x, t)  # (N, 2) each
            gap = of_data - of_own  # (N, 2): sd times (score of own minus score of data)
            if self.use.weighting == "kl":
                push = signal / sd * gap
            else:
                guess = (x - sd * of_data) / signal
                push = sd / signal * gap / (made - guess).abs().mean(1, keepdim=True)
        return (push * made).sum(1).mean()
