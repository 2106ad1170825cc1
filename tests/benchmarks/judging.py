"""How originality falls as the training set shrinks: one small GAN, ever fewer pictures.

    python tests/benchmarks/judging.py              # every cell without a result, 2 minutes

Landscapes of the Atelier at 16 x 16, reduced to their first 32 principal components: a GAN on 32
numbers is so small that all fifteen runs, five sizes with three seeds each, train at once
(``gan_book.toy_gans``). The components are those of other pictures, and every picture that is
trained on, held out or compared with is reduced in the same way. All runs see equally many
pictures, so with fewer of them each is seen more often. Seeds have different pictures; the sets of
one seed are nested.

Cells: "gan", and "copier": what draws with replacement from the same training pictures would get.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor

from gan_book.data import load_images, to_float, to_uint8
from gan_book.features import extractor
from gan_book.memorization import memorization, nearest_pictures
from gan_book.metrics import density_coverage, kernel_distance
from gan_book.recipes import Recipe, recipe
from gan_book.toy_gans import ToyGANs, train_many
from tests.benchmarks.comparison_measure import picture_file
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

NAME, SIZE, STYLES, SEEDS = "judging", 16, ["dunes", "mist"], (0, 1, 2)
COUNTS = (10, 30, 100, 300, 1_000)  # training pictures
STEPS, BATCH, COMPONENTS = 2_500, 32, 32
MADE, HELD_OUT, REFERENCE = 200, 200, 600


def painted(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Landscapes as (n, 768) floats, and their styles; of one seed, fewer are the first of more."""
    found = load_images("atelier", size=SIZE, n=n, seed=seed, styles=STYLES)
    assert found.labels is not None
    return to_float(found.images).flatten(1), found.labels


@lru_cache
def components() -> tuple[Tensor, Tensor]:
    """Mean (768,) and axes (32, 768); numbers have the mean square 1 over all 32."""
    x, _ = painted(1_000, 79)
    mean = x.mean(0)
    _, values, axes = torch.linalg.svd(x - mean, full_matrices=False)
    scale = (values[:COMPONENTS].square().sum() / COMPONENTS / len(x)).sqrt()
    return mean, axes[:COMPONENTS] * scale


def numbers(x: Tensor) -> Tensor:
    """(n, 768) -> (n, 32)."""
    mean, axes = components()
    return (x - mean) @ axes.T / axes.square().sum(1)


def pictures(z: Tensor) -> Tensor:
    """(n, 32) -> uint8 (n, 3, 16, 16)."""
    mean, axes = components()
    return to_uint8((z @ axes + mean).reshape(-1, 3, SIZE, SIZE))


@lru_cache(maxsize=8)
def landscapes(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers (n, 32) and styles (n,)."""
    x, styles = painted(n, seed)
    return numbers(x), styles


def training(n: int, seed: int) -> tuple[Tensor, Tensor]:
    z, styles = landscapes(max(COUNTS), 1_000 + seed)
    return z[:n], styles[:n]


def held_out() -> Tensor:
    return landscapes(HELD_OUT, 78)[0]


@lru_cache
def reference() -> Tensor:
    """Features (REFERENCE, 192) of fresh pictures, which no run has seen."""
    return extractor(device="cpu")(pictures(landscapes(REFERENCE, 77)[0]))


def chosen() -> Recipe:
    """Relativistic loss with R1 and R2, as everywhere; pictures are points in 32 dimensions."""
    images = STEPS * BATCH
    gamma = {"start": 0.3, "end": 0.01, "images": images}
    net = {"model": "mlp", "width": 96, "layers": 3}
    return recipe(
        "ring",
        name=NAME,
        total_images=images,
        batch_size=BATCH,
        generator={**net, "z_dim": 16, "out": COMPONENTS},
        discriminator={**net, "inputs": COMPONENTS},
        lr={"start": 3e-3, "end": 3e-4, "images": images},
        r1=gamma,
        r2=gamma,
        d_lr_factor=1.0,
        ema_half_life=2_000,
    )


def scores(features: Tensor) -> Record:
    """KID and coverage of features (MADE, 192)."""
    kid = kernel_distance(features, reference())
    coverage = density_coverage(reference()[: len(features)], features).coverage
    return {"kid": kid.value, "kid_error": kid.standard_error, "coverage": coverage}


def copied(made: Tensor, n: int, seed: int) -> Record:
    """What the search says, and a fair race: are as many held-out pictures as near?"""
    rng = torch.Generator().manual_seed(seed)
    z, styles = training(n, seed)
    train, unseen = pictures(z), pictures(held_out())
    found = memorization(made, train, unseen, generator=rng, styles=styles)
    few = min(n, HELD_OUT)
    race = [nearest_pictures(made, x[:few]).distance for x in (train, unseen)]
    return {
        "flagged": found.flagged,
        "planted_found": found.recall,
        "copies": found.copies,
        "near_collisions": found.near_collisions,
        "collisions": found.support.collisions,
        "pairs": found.support.pairs,
        "nearer_train": float((race[0] < race[1]).double().mean()),
        "distance": float(race[0].median()),
        "distance_held_out": float(race[1].median()),
    }


def gan() -> Record:
    runs = {10 * i + seed: (n, seed) for i, n in enumerate(COUNTS) for seed in SEEDS}
    sets = {key: training(*value)[0] for key, value in runs.items()}

    def batch(count: int, stream: torch.Generator) -> Tensor:
        own = sets[stream.initial_seed()]
        return own[torch.randint(len(own), (count,), generator=stream)]  # (count, 32)

    def look(gans: ToyGANs) -> None:
        near = [
            float(torch.cdist(made, own).min(1).values.median())
            for made, own in zip(gans.sample(200), sets.values(), strict=True)
        ]
        print(int(gans.log[-1]["step"]), " ".join(f"{x:.2f}" for x in near), flush=True)

    gans = train_many(chosen(), batch, runs, every=STEPS // 5, callback=look)
    every, rows = gans.sample(MADE), []
    for i, (n, seed) in enumerate(runs.values()):
        made = pictures(every[i])
        if seed == 0:
            picture_file(made, f"n{n}-seed0", 1, grid=NAME)
        real, unseen, fake = (
            float(gans.logits(z)[i].mean()) for z in (training(n, seed)[0], held_out(), every[i])
        )
        rows.append({
            "n": n, "seed": seed,
            **copied(made, n, seed), **scores(extractor(device="cpu")(made)),
            "gap_train": real - fake, "gap_held_out": unseen - fake,
        })  # fmt: skip
        print(show({"runs": rows[-1:]}), flush=True)
    return {
        "seeds": SEEDS,
        "images": STEPS * BATCH,
        "components": COMPONENTS,
        "runs": rows,
        "made": MADE,
        "held_out": HELD_OUT,
        "reference": REFERENCE,
        "extractor": extractor(device="cpu").facts(),
    }


def copier() -> Record:
    rows = []
    for seed in SEEDS:
        picks = {
            n: torch.randint(n, (MADE,), generator=torch.Generator().manual_seed(seed))
            for n in COUNTS
        }
        used = torch.cat(list(picks.values())).unique()  # ascending
        features = extractor(device="cpu")(pictures(training(max(COUNTS), seed)[0][used]))
        for n, drawn in picks.items():
            own = features[torch.searchsorted(used, drawn)]  # (MADE, 192)
            rows.append({"n": n, "seed": seed, **scores(own)})
    return {"seeds": SEEDS, "runs": rows, "made": MADE, "reference": REFERENCE}


CELLS: dict[str, Cell] = {"gan": gan, "copier": copier}


def show(record: Record) -> str:
    keys = (
        "n",
        "flagged",
        "copies",
        "nearer_train",
        "kid",
        "coverage",
        "gap_train",
        "gap_held_out",
    )
    rows = [" ".join(f"{key} {r[key]:.3f}" for key in keys if key in r) for r in record["runs"]]
    return "\n" + "\n".join(rows)


if __name__ == "__main__":
    run_grid(NAME, CELLS, grid_parser(__doc__ or "").parse_args(), show=show)
