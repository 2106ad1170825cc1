"""The three games of the chapter on mode collapse: what is trained, and how it is scored."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from gan_book.data.toys import PointSet, grid, ring
from gan_book.metrics.modes import coverage_of_counts
from gan_book.recipes import recipe
from gan_book.toy_gans import ToyGANs, train_many

NAME = "mode-collapse"
Record = dict[str, Any]
FEWER_SEEDS, RING_SEEDS, DIGIT_SEEDS = range(5), range(5), range(3)
FIRST_SEEDS = range(10)  # with the short average; what came out chose the longer one ...
GRID_SEEDS = range(10, 20)  # ... which these, never looked at before, then had to prove
FRESH_SEEDS = range(20, 30)  # for batches of 1,024, tried once, on these seeds
SHARE_SAMPLES = 20_000
GRID_SAMPLES = 2_500  # a mode of 25 counts with 20 of them
RING_SAMPLES = 10_000
STACKS = 26_000  # samples of the published protocol for stacked digits
DIGIT_STEPS, DIGIT_BATCH = 4_000, 128
PICTURES = 24  # stacks kept for a figure
SHOWN, DRAWN = 2, 300  # seeds and points kept for a figure
LINES = 50  # of a log


def rounded(values: Any, digits: int = 4) -> Any:
    """Numbers and nested lists of them, shorter."""
    if isinstance(values, (list, tuple)):
        return [rounded(value, digits) for value in values]
    return round(float(values), digits)


def columns(rows: list[Record]) -> Record:
    """One dict for each seed -> one list for each key."""
    return {key: [row[key] for row in rows] for key in rows[0]}


def grid_score(points: Tensor, target: PointSet) -> Record:
    """Score points (n, 2) of one generator.

    modes: with a fifth of a fair share of high-quality samples; places: the same without asking
    for quality (nearest mode); kl: counts of high-quality samples to uniform, over all 25.
    """
    if not points.isfinite().all():
        return {"finite": False, "modes": 0, "places": 0, "good": 0.0, "kl": None}
    found = target.count_modes(points, min_share=0.2)
    nearest = torch.cdist(points.double(), target.modes).min(1).indices  # (n,)
    places = torch.bincount(nearest, minlength=len(target.modes))  # (K,)
    counts = (found.shares * len(points)).round().long()  # (K,)
    kl = coverage_of_counts(counts).divergence if counts.sum() > 0 else None
    return {
        "finite": True,
        "modes": found.captured,
        "places": int((places >= 0.2 * len(points) / len(places)).sum()),
        "good": rounded(found.high_quality_share),
        "kl": None if kl is None else rounded(kl),
    }


def grid_cell(settings: Record, seeds: range = GRID_SEEDS) -> Record:
    """Grid of 25, all seeds of one variant, scored on the average; the log follows G itself too."""
    target, chosen = grid(), recipe("grid-25", **settings)
    log: list[Record] = []

    def note(gans: ToyGANs) -> None:
        line: Record = {"step": gans.step}
        for key, average in (("", True), ("_now", False)):
            points = gans.sample(GRID_SAMPLES, seed=1, average=average)  # (S, n, 2)
            scores = columns([grid_score(p, target) for p in points])
            line |= {f"{what}{key}": scores[what] for what in ("modes", "good")}
        log.append(line)

    every = chosen.total_steps // LINES
    gans = train_many(chosen, target, seeds, latent="uniform", every=every, callback=note)
    points = gans.sample(GRID_SAMPLES)  # (S, n, 2)
    now = [grid_score(p, target) for p in gans.sample(GRID_SAMPLES, average=False)]
    return {
        "seeds": list(seeds),
        "settings": chosen.to_dict(),
        "samples": GRID_SAMPLES,
        **columns([grid_score(p, target) for p in points]),
        "modes_now": [score["modes"] for score in now],
        "points": rounded(points[:SHOWN, :DRAWN].nan_to_num(99.0, 99.0, -99.0).tolist(), 2),
        "log": log,
    }


def shares_cell(settings: Record) -> Record:
    """Why are the shares of the 25 modes uneven? Follow them over the last fifth of the training.

    kl: of the average at the end, by many samples; kl_late: the mean of it at ten late steps;
    kl_pooled: of the samples of those ten steps together, small if unevenness comes and goes;
    kl_long: of a generator whose weights are the mean over the last fifth.
    """
    target, chosen = grid(), recipe("grid-25", **settings)
    begin = chosen.total_steps * 4 // 5
    pooled: list[Tensor] = []
    long: dict[str, Tensor] = {}

    def counts(points: Tensor) -> Tensor:
        found = [target.count_modes(p).shares for p in points]
        return (torch.stack(found) * points.shape[1]).round().long()  # (S, K)

    def note(gans: ToyGANs) -> None:
        if gans.step <= begin:
            return
        weight = 20 / (gans.step - begin)
        for name, now in gans.generator.state_dict().items():
            long.setdefault(name, now.clone()).lerp_(now, weight)
        if gans.step % (chosen.total_steps // 50) == 0:
            pooled.append(counts(gans.sample(SHARE_SAMPLES, seed=2)))

    gans = train_many(chosen, target, FEWER_SEEDS, latent="uniform", every=20, callback=note)
    end = counts(gans.sample(SHARE_SAMPLES))
    gans.average.load_state_dict(long)
    longer = counts(gans.sample(SHARE_SAMPLES))

    def kl(numbers: Tensor) -> list[float]:
        return [rounded(coverage_of_counts(row, draws=2).divergence) for row in numbers]

    late = [kl(numbers) for numbers in pooled]
    good = [target.count_modes(p).high_quality_share for p in gans.sample(SHARE_SAMPLES)]
    return {
        "seeds": list(FEWER_SEEDS),
        "settings": chosen.to_dict(),
        "samples": SHARE_SAMPLES,
        "steps_watched": len(pooled),
        "modes": [int((row > 0).sum()) for row in end],
        "good": rounded(good),
        "kl": kl(end),
        "kl_late": rounded(torch.tensor(late).mean(0).tolist()),
        "kl_pooled": kl(torch.stack(pooled).sum(0)),
        "kl_long": kl(longer),
    }


def repeated_ring(copies: int, different: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """A finite set (1000 + copies, 2): 1,000 points of the ring, and the first of mode 0 again and
    again, or, where they are to be ``different``, as many new points of mode 0; that first point
    (2,); and the set's shares of the modes (8,), what a faithful G would make."""
    target, stream = ring(), torch.Generator().manual_seed(1234)
    points = target.sample(1_000, stream)  # (1000, 2)
    mode = torch.cdist(points.double(), target.modes).min(1).indices  # (1000,)
    copied = points[mode == 0][0]  # (2,)
    noise = torch.randn(copies, 2, generator=stream, dtype=torch.float64)
    added = target.modes[0] + target.sd * noise if different else copied.expand(copies, 2)
    counts = torch.bincount(mode, minlength=8).double()  # (8,)
    counts[0] += copies
    return torch.cat([points, added.float()]), copied, counts / counts.sum()


def ring_score(points: Tensor, copied: Tensor, shares: Tensor) -> Record:
    """Collapse and memorization, apart, of points (n, 2) of one generator.

    modes: with a fifth of the *expected* count of high-quality samples; kl: their counts to the
    expected shares; repeated_share: samples of mode 0; at_copy: samples within sd / 4 of the
    repeated point.
    """
    if not points.isfinite().all():
        return {"finite": False, "modes": 0, "good": 0.0, "kl": None, "at_copy": 0.0}
    target = ring()
    found = target.count_modes(points)
    needed = 0.2 * shares  # (8,)
    counts = (found.shares * len(points)).round().long()  # (8,)
    cover = coverage_of_counts(counts, shares) if counts.sum() > 0 else None
    near = (points - copied).norm(dim=1) <= target.sd / 4  # (n,)
    return {
        "finite": True,
        "modes": int((found.shares >= needed).sum()),
        "good": rounded(found.high_quality_share),
        "kl": cover and rounded(cover.divergence),
        "repeated_share": rounded(found.shares[0]),
        "at_copy": rounded(near.double().mean()),
    }


def ring_cell(
    settings: Record, copies: int, steps: int | None = None, different: bool = False
) -> Record:
    """A finite set on the ring: 1,000 points that all differ, and ``copies`` of one of them (or as
    many other points of its mode)."""
    whole, copied, shares = repeated_ring(copies, different)
    chosen = recipe("ring", **settings)
    log: list[Record] = []

    def note(gans: ToyGANs) -> None:
        points = gans.sample(2_000, 1, average=False)  # (S, n, 2), of G itself
        nearest = [torch.cdist(p.double(), ring().modes).argmin(1) for p in points]
        held = torch.stack([torch.bincount(m, minlength=8) for m in nearest])  # (S, 8)
        log.append(
            {
                "step": gans.step,
                "modes": [ring_score(p, copied, shares)["modes"] for p in points],
                "places": (held >= 0.2 * 2_000 * shares).sum(1).tolist(),  # not asking for quality
                "favorite": held.argmax(1).tolist(),
            }
        )

    steps = steps or chosen.total_steps
    gans = train_many(chosen, whole, RING_SEEDS, steps=steps, every=steps // LINES, callback=note)
    fresh = ring().sample(100_000, torch.Generator().manual_seed(5))  # (100000, 2)
    points = gans.sample(RING_SAMPLES)  # (S, n, 2)
    now = [ring_score(p, copied, shares) for p in gans.sample(RING_SAMPLES, average=False)]
    return {
        "seeds": list(RING_SEEDS),
        "settings": chosen.to_dict(),
        "steps": steps,
        "samples": RING_SAMPLES,
        "different": len(whole.unique(dim=0)),
        "set": len(whole),
        "expected_shares": rounded(shares.tolist()),
        "expected_at_copy": rounded(((whole - copied).norm(dim=1) <= 0.005).double().mean()),
        "fresh_at_copy": rounded(ring_score(fresh, copied, shares)["at_copy"]),
        **columns([ring_score(p, copied, shares) for p in points]),
        "modes_now": [score["modes"] for score in now],
        "points": rounded(points[:SHOWN, :DRAWN].nan_to_num(99.0, 99.0, -99.0).tolist(), 3),
        "log": log,
    }


class Digits:
    """scikit-learn's 8 x 8 digits in two halves: one to train on, one that judges.

    A channel counts as a digit when its nearest judge is at most ``radius`` away, the 95 %
    quantile of that distance for the digits of the training half; its class is that of the judge.
    """

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        data = load_digits()
        pixels = torch.from_numpy(data.data).float() / 8 - 1  # (1797, 64) in [-1, 1]
        order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
        half = len(pixels) // 2
        self.train, self.judges = pixels[order[:half]], pixels[order[half:]]
        self.labels = torch.from_numpy(data.target)[order]
        self.judge_labels = self.labels[half:]
        self.radius = float(self.nearest(self.train)[0].quantile(0.95))

    def nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distance to the nearest judge and its index, both (N,), of x (N, 64)."""
        parts = [torch.cdist(part, self.judges).min(1) for part in x.split(8_192)]
        return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Three independent digits of the training half, side by side: (n, 192)."""
        picked = torch.randint(len(self.train), (n, 3), generator=generator)
        return self.train[picked].flatten(1)  # (n, 192)

    def shares(self) -> Tensor:
        """Expected shares of the 1,000 modes, read from the training half as samples are read."""
        distance, index = self.nearest(self.train)
        seen = self.judge_labels[index[distance <= self.radius]]
        one = torch.bincount(seen, minlength=10).double() / len(seen)  # (10,)
        return (one[:, None, None] * one[None, :, None] * one).flatten()  # (1000,)

    def score(self, stacks: Tensor) -> Record:
        """Score stacks (n, 192).

        modes: of 1,000, with at least one sample all three channels of which are near a digit;
        good: the share of such samples; near: the share of near channels; kl: counts to the
        expected shares; floor, floor_modes: the kl and the number of modes of as many faithful
        samples; judges: share of them that are nearest to some near channel, the variety inside.
        """
        if not stacks.isfinite().all():
            return {"finite": False, "modes": 0, "good": 0.0, "kl": None}
        distance, index = self.nearest(stacks.reshape(-1, 64))  # (3n,)
        near = distance <= self.radius  # (3n,)
        digit = self.judge_labels[index].view(-1, 3)  # (n, 3)
        good = near.view(-1, 3).all(1)  # (n,)
        mode = (digit * torch.tensor([100, 10, 1])).sum(1)[good]
        counts = torch.bincount(mode, minlength=1_000)  # (1000,)
        cover = coverage_of_counts(counts, self.shares()) if len(mode) else None
        any_near = torch.bincount((digit * torch.tensor([100, 10, 1])).sum(1), minlength=1_000)
        return {
            "finite": True,
            "modes": int((counts > 0).sum()),
            "modes_of_all": int((any_near > 0).sum()),  # without asking for quality
            "good": rounded(good.double().mean()),
            "near": rounded(near.double().mean()),
            "kl": cover and rounded(cover.divergence),
            "floor": cover and rounded(cover.floor),
            "floor_modes": cover and rounded(cover.floor_captured, 1),
            "judges": rounded(len(index[near].unique()) / len(self.judges)),
        }


@lru_cache(maxsize=1)
def digits() -> Digits:
    return Digits()


def digits_cell(settings: Record) -> Record:
    """Stacked digits, all seeds of one variant: MLPs of 3 x 256, 4,000 steps of 128."""
    wide, images = {"width": 256, "layers": 3}, DIGIT_STEPS * DIGIT_BATCH
    chosen = recipe("ring", **{
        "generator": {**wide, "z_dim": 64, "out": 192},
        "discriminator": {**wide, "inputs": 192},
        "batch_size": DIGIT_BATCH,
        "total_images": images,
        "lr": {"start": 2e-3, "end": 2e-4, "images": images},
        **{name: {"start": 0.1, "end": 0.01, "images": images} for name in ("r1", "r2")},
        **settings,
    })  # fmt: skip
    gans = train_many(chosen, digits(), DIGIT_SEEDS)
    stacks = gans.sample(STACKS)  # (S, n, 192)
    real = digits().sample(STACKS, torch.Generator().manual_seed(3))
    return {
        "seeds": list(DIGIT_SEEDS),
        "settings": chosen.to_dict(),
        "samples": STACKS,
        "radius": rounded(digits().radius),
        **columns([digits().score(x) for x in stacks]),
        "real": digits().score(real),
        "pictures": [hexadecimal(x) for x in stacks[0, :PICTURES]],
    }


def hexadecimal(x: Tensor) -> str:
    """One sample of numbers in [-1, 1] as text, a digit from 0 to f for each."""
    levels = ((x.nan_to_num(-1.0).clamp(-1, 1) + 1) * 7.5).round().long()
    return "".join(f"{level:x}" for level in levels.tolist())
