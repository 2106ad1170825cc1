"""Finer tokens for a small transformer GAN: in the generator, in the discriminator, or in neither?

    python tests/benchmarks/tokens.py             # every cell without a result, 20 minutes
    python tests/benchmarks/tokens.py g2-d4       # some cells, by the start of their name

``gA-dB``: patches of A x A pixels in G, of B x B in D, otherwise the recipe ``transformer-16``, cut
after 32,000 of its 500,000 pictures; the thousand landscapes, three seeds. KID of 1,000 generated
pictures against 5,000 fresh ones, and their detail as a share of the real one.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import gan_book as gb
from gan_book.data import to_float
from gan_book.metrics import kernel_distance
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid
from tests.benchmarks.small_data import FRESH, FRESH_SEED, STYLES, device, fresh
from tests.benchmarks.vae import detail

PATCHES, SEEDS = ((4, 4), (2, 4), (4, 2)), range(3)  # of G, of D
IMAGES, DRAWN = 32_000, 1_000


@lru_cache
def real_detail() -> float:
    """Detail of the fresh pictures whose features ``fresh`` gives."""
    new = gb.load_images(
        "atelier", size=16, styles=STYLES, n=FRESH, seed=FRESH_SEED, progress=False
    )
    return detail(to_float(new.images))


def cell(g: int, d: int, seed: int) -> Record:
    """Train one pair and measure the averaged generator."""
    base = gb.recipe("transformer-16")
    recipe = gb.recipe(
        base,
        generator={**base.generator, "patch": g},
        discriminator={**base.discriminator, "patch": d},
    )
    pictures = gb.load_images("atelier", size=16, styles=STYLES, progress=False)
    steps = recipe.steps_of(IMAGES)
    run = gb.train(recipe, pictures, steps=steps, seed=seed, device="cpu", progress=False)
    made = run.sample(DRAWN, seed=1)
    kid = kernel_distance(gb.extractor(device=device())(made), fresh())
    last: dict[str, Any] = run.log[-1]
    return {
        "patches": [g, d],
        "seed": seed,
        "images": run.images_seen,
        "training_seconds": last["seconds"],
        "kid": kid.value,
        "kid_error": kid.standard_error,
        "extractor": "gan-book-1",
        "n_generated": DRAWN,
        "n_real": FRESH,
        "detail": detail(to_float(made)) / real_detail(),
        "gap": last["real_logit"] - last["fake_logit"],
    }


CELLS: dict[str, Cell] = {
    f"g{g}-d{d}-seed{seed}": partial(cell, g, d, seed) for seed in SEEDS for g, d in PATCHES
}


def show(record: Record) -> str:
    return f"KID {record['kid']:.3f}, detail {record['detail']:.2f}"


if __name__ == "__main__":
    run_grid("tokens", CELLS, grid_parser(__doc__ or "").parse_args(), show=show)
