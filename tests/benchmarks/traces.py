"""Do generated pictures bear traces of shifts and holes? A detector of these operations says.

    python tests/benchmarks/traces.py          # five minutes a seed, one for those that confirm

It needs the networks that ``small_data.py n100-weak confirm-n100`` leaves in ``runs/small-data``.

The leak test of ``small_data.py`` looks at a few traits that we chose. This one lets a network look
for whatever gives an operation away. Per seed a small convolutional network learns, from pictures
that nobody else has, whether a picture has been shifted and whether a hole has been cut into it:
two logits, each operation applied to every second picture. Then it judges pictures of a generator.
With s the mean probability that it gives them for an operation, s0 that of fresh pictures left
alone and s1 that of fresh pictures put through this operation,

    share = (s - s0) / (s1 - s0)

estimates what share of the generator's pictures has gone through it: 0 for fresh pictures, p where
a leak with probability p is planted (the adjusted count of Forman 2008, "Quantifying counts and
costs via classification", with mean probabilities in place of counts). A detector of exact grays
would be blind to a hole that is painted nearly gray, so all that it sees is rounded to bytes and
covered with noise.

Painted traces are not planted ones: they are as sharp as a generator can paint. So two more
generators are trained, as "weak" is but for 320,000 images, on the first 2,000 pictures of the
seed: in one case the training pictures themselves have been through the operations, once each, with
probability 0.1 ("taught"), which is what leaks if the real pictures alone are augmented; in the
other they are clean.

Each seed has a detector and generators of its own.
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
from torch import Tensor, nn
from torch.nn import functional as F

from gan_book import augment
from gan_book.data import load_images, to_float, to_uint8
from gan_book.data.imageset import ImageSet
from gan_book.model import samples
from gan_book.training import run_steps
from tests.benchmarks.grids import Record, grid_parser, run_grid
from tests.benchmarks.small_data import (
    CONFIRMED,
    CONFIRMING,
    FRESH_SEED,
    IMAGES,
    RUNS,
    SEEDS,
    SHAPES,
    STYLES,
    begin,
    open_generator,
    pictures_of,
    traits,
)

LEARNED, JUDGED = 4_000, 2_000  # pictures the detector learns from, and judges of each kind
STEPS, BATCH = 2_000, 64
NOISE = 0.05  # standard deviation of the noise on all that the detector sees
PLANTED = 0.1
TAUGHT = 2_000  # pictures of the two generators with and without a leak in them
WAYS = (
    *("weak", "weak-mirror", "weak-whole"),
    *("weak-flipped", "weak-shifts", "weak-flipped-shifts"),
)


def detector() -> nn.Module:
    """(N, 3, 16, 16) to the logits (N, 2) of translation and cutout."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(),  # (N, 32, 16, 16)
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),  # (N, 64, 8, 8)
        nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU(),  # (N, 64, 4, 4)
        nn.Flatten(), nn.Linear(64 * 16, 128), nn.ReLU(), nn.Linear(128, 2),  # (N, 2)
    )  # fmt: skip


def applied(x: Tensor, policy: list[str], p: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, 16, 16) put through a policy; who was shifted, who has a hole: (N, 2)."""
    draws = augment.draw(len(x), (16, 16), policy, p, rng)
    never = torch.zeros(len(x), dtype=torch.bool)
    happened = [never if d is None else d.any(1) for d in (draws.shift, draws.hole)]
    return augment.apply(x, draws), torch.stack(happened, 1).float()


def seen(x: Tensor, rng: torch.Generator) -> Tensor:
    """What the detector sees of ``x``: rounded to bytes, under noise."""
    return to_float(to_uint8(x)) + NOISE * torch.randn(x.shape, generator=rng)


def trained_detector(seed: int) -> nn.Module:
    """A detector that has learned from pictures of its own."""
    rng = torch.Generator().manual_seed(seed)
    learned = load_images(
        "atelier", size=16, n=LEARNED, seed=9_000 + seed, styles=STYLES, progress=False
    )
    x = to_float(learned.images)
    torch.manual_seed(seed)
    net = detector()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        batch = x[torch.randint(LEARNED, (BATCH,), generator=rng)]
        changed, happened = applied(batch, SHAPES, 0.5, rng)
        loss = F.binary_cross_entropy_with_logits(net(seen(changed, rng)), happened)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def taught(seed: int, p: float) -> Tensor:
    """Pictures of a generator whose training pictures have leaks with probability ``p``."""
    pictures, _ = pictures_of(seed, TAUGHT)
    rng = torch.Generator().manual_seed(200 + seed)
    leaky, _ = applied(to_float(pictures.images[:TAUGHT]), SHAPES, p, rng)
    train = torch.arange(TAUGHT)
    state = begin(ImageSet(to_uint8(leaky)), train, "weak", seed, IMAGES[TAUGHT])
    run_steps(state, state.recipe.total_steps)
    return to_float(samples(state.average, state.recipe, JUDGED, seed=0))


def look(seed: int, ways: tuple[str, ...], *, teach: bool) -> Record:
    """The estimated share of each operation: planted, taught, with augmentation and without."""
    net, rng = trained_detector(seed), torch.Generator().manual_seed(100 + seed)
    fresh = load_images(
        "atelier", size=16, n=2 * JUDGED, seed=FRESH_SEED, styles=STYLES, progress=False
    )
    alone, judged = to_float(fresh.images).split(JUDGED)

    @torch.no_grad()
    def scores(x: Tensor) -> Tensor:
        return net(seen(x, rng)).sigmoid().double()  # (N, 2)

    zero = scores(alone)  # (N, 2): for s0
    one = [scores(applied(alone, [name], 1.0, rng)[0])[:, i] for i, name in enumerate(SHAPES)]
    unit = torch.stack(one).mean(1) - zero.mean(0)  # (2,): s1 - s0
    looked = {
        "fresh": judged,
        f"planted-{PLANTED:g}": applied(judged, SHAPES, PLANTED, rng)[0],
    }
    for p in (PLANTED, 0.0) if teach else ():
        looked[f"taught-{p:g}"] = taught(seed, p)
    for way in ways:
        path = RUNS / f"n100-{way}-seed{seed}" / "final.safetensors"
        looked[way] = to_float(samples(*open_generator(path), JUDGED, seed=0))
    found: Record = {"seed": seed, "operations": SHAPES}
    for name, x in looked.items():
        some = scores(x)
        error = (some.var(0) / len(some) + zero.var(0) / len(zero)).sqrt() / unit
        share = (some.mean(0) - zero.mean(0)) / unit
        found[name] = {
            f"{operation}{end}": float(values[i])
            for i, operation in enumerate(SHAPES)
            for end, values in (("", share), ("_error", error))
        }
        for key, value in traits(x).items():
            found[name] |= {key: float(value.mean()), f"{key}_sd": float(value.std())}
    return found


if __name__ == "__main__":
    cells = {f"seed{seed}": partial(look, seed, WAYS, teach=True) for seed in SEEDS}
    cells |= {f"confirm-seed{s}": partial(look, s, CONFIRMED, teach=False) for s in CONFIRMING}
    run_grid("traces", cells, grid_parser(__doc__ or "").parse_args())
