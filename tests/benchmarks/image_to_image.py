"""From picture to picture: pix2pix against L1 alone, and CycleGAN between two styles.

    python tests/benchmarks/image_to_image.py            # every cell without a result
    python tests/benchmarks/image_to_image.py pairs      # some cells, by the start of their name

pairs: pictures of the Atelier from their edges, 32 x 32, equal processor time, three seeds.
Expected beforehand: L1 alone wins PSNR; pix2pix wins KID and high frequencies.
cycle: the Atelier's dunes and mist, 16 x 16, unpaired, three seeds.
free: the same without weights of cycle and identity.
periods: two periods of painting, 32 x 32, one seed, longer; needs GAN_BOOK_REAL_DATA.
Seed 0 of pix2pix and of cycle are shipped as data/models/translators/edges-32 and dunes-mist-16.
"""

from __future__ import annotations

import os
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor
from torch.nn import functional as F

import gan_book as gb
from gan_book import translator as trainer
from gan_book.data import ImageSet, to_float
from gan_book.data.atelier import STYLES
from gan_book.features import extractor
from gan_book.metrics.kernel import kernel_distance
from gan_book.translation import source_of
from gan_book.translator import Translator, train_translator
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

SEEDS = range(3)
SIZE, CYCLE_SIZE, TEST = 32, 16, 500
FIT: dict[str, Any] = {"width": 16, "batch_size": 4, "device": "cpu"}
PAIR_STYLES = ["grid", "glass"]
PAIR_SECONDS, CYCLE_SECONDS, PERIOD_SECONDS, NOISE = 20.0, 20.0, 80.0, 4.0
PERIODS = ("p2_1500s", "p6_1871-1930")
SHIPPED = Path(__file__).parents[2] / "data" / "models" / "translators"


@cache
def atelier(n: int, seed: int, *styles: str, size: int = SIZE) -> ImageSet:
    return gb.load_images("atelier", size=size, n=n, seed=seed, styles=list(styles))


def psnr(made: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture, uint8 (N, C, H, W), in dB: (N,)."""
    error = (made.double() - truth.double()).square().flatten(1).mean(1)  # (N,)
    return 10 * (255**2 / error.clamp_min(1e-3)).log10()


def detail(pictures: Tensor) -> float:
    """Mean square of what averaging over 2 x 2 pixels takes away: the finest octave."""
    x = to_float(pictures)
    return float((x - F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0)).square().mean())


def judged(made: Tensor, test: Tensor, fresh: Tensor) -> Record:
    """Translations of test sources against their truth, and against fresh pictures."""
    features = extractor()
    distance = kernel_distance(features(fresh), features(made))
    return {
        "psnr": float(psnr(made, test).mean()),
        "kid": distance.value,
        "kid_standard_error": distance.standard_error,
        "detail": detail(made) / detail(test),
        **features.facts(),
    }


def last(net: Translator) -> Record:
    log = {key: value for key, value in net.card["log"][-1].items() if key != "step"}
    return {"steps": net.card["steps"], "images": net.card["images seen"], "log": log}


def ship(net: Translator, name: str, trained_on: str, cell: str, measured: Record) -> None:
    """Store a translator in half precision, with a card."""
    own = net.card
    net.card = {
        "name": name,
        "use": "The finished translator beside the short training of the chapter Image to image.",
        "trained on": f"Pictures of the Atelier (seed 0), {trained_on}",
        "licence": "CC BY 4.0, as the book's figures",
        "command": f"python tests/benchmarks/image_to_image.py {cell} --again",
        "dtype": "float16",
        "parameters": sum(p.numel() for p in net.nets.parameters()),
        "measured before rounding": measured,
        **own,
        "log": own["log"][-1:],
    }
    net.save(SHIPPED / name, torch.float16)
    net.card = own


def edges_to_pictures(l1_only: bool, seed: int) -> Record:
    test, fresh = (atelier(TEST, s, *PAIR_STYLES).images for s in (1, 2))
    net = train_translator(
        atelier(1_000, 0, *PAIR_STYLES), task="edges", seconds=PAIR_SECONDS, seed=seed,
        l1_only=l1_only, **FIT,
    )  # fmt: skip
    made = net.finish(source_of(to_float(test), "edges"))
    found = judged(made, test, fresh)
    if seed == 0 and not l1_only:
        names = ", ".join(PAIR_STYLES)
        ship(net, "edges-32", f"styles {names}, from their edges", "pairs-pix2pix-seed0", found)
    return {"seed": seed, **last(net), **found}


def references() -> Record:
    """What the truth itself gets."""
    test, fresh = (atelier(TEST, s, *PAIR_STYLES).images for s in (1, 2))
    return {"seeds": [1, 2], **judged(test, test, fresh)}


def error(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference of uint8 pictures, in the networks' units (range 2)."""
    return float((to_float(a) - to_float(b)).abs().mean())


def both_ways(net: Translator, tests: list[Tensor], freshes: list[Tensor]) -> Record:
    """For each direction: the way and back, pictures of the target, distance to the target."""
    features, found = extractor(), {}
    for name, back, a, b, fresh in (
        ("there", False, *tests, freshes[1]),
        ("back", True, *reversed(tests), freshes[0]),
    ):
        made, real = net(a, back=back), features(fresh)
        noise = NOISE * torch.randn(made.shape, generator=torch.Generator().manual_seed(0))
        noisy = (made + noise).round().clamp(0, 255).to(torch.uint8)
        kid = {
            k: kernel_distance(real, features(v)) for k, v in {"made": made, "source": a}.items()
        }
        found[name] = {
            "cycle_error": error(net(made, back=not back), a),
            "cycle_error_noisy": error(net(noisy, back=not back), a),
            "identity_error": error(net(b, back=back), b),
            "moved": error(made, a),
            **{f"kid_{k}": v.value for k, v in kid.items()},
            **{f"kid_{k}_standard_error": v.standard_error for k, v in kid.items()},
        }
    return found


def styles(tied: bool, seed: int) -> Record:
    """Dunes and mist; not ``tied``: without the cycle and the identity."""
    names = ["dunes", "mist"]
    sets = [atelier(1_000, 0, name, size=CYCLE_SIZE) for name in names]
    tests, freshes = ([atelier(300, s, n, size=CYCLE_SIZE).images for n in names] for s in (1, 2))
    usual = trainer.CYCLEGAN
    trainer.CYCLEGAN = usual if tied else usual | {"cycle": 0.0, "identity": 0.0}
    try:
        net = train_translator(*sets, seconds=CYCLE_SECONDS, seed=seed, **FIT)
    finally:
        trainer.CYCLEGAN = usual
    found = both_ways(net, tests, freshes)
    reader: Any = extractor()
    for name, back, a, target in (
        ("there", False, tests[0], "mist"),
        ("back", True, tests[1], "dunes"),
    ):
        before, after = reader.read(a), reader.read(net(a, back=back))
        kept = (before.palette == after.palette).double().mean()
        found[name] |= {
            "read_as_target": float((after.style == STYLES.index(target)).double().mean()),
            "palette_kept": float(kept),
        }
    if seed == 0 and tied:
        ship(net, "dunes-mist-16", "styles dunes and mist, 16 x 16, unpaired", "cycle-seed0", found)
    return {"seed": seed, "tied": tied, **last(net), **found}


def periods() -> Record:
    folder = os.environ.get("GAN_BOOK_REAL_DATA", "")
    gb.errors.need(folder, "the real pictures are not here: set GAN_BOOK_REAL_DATA.")
    images = gb.load_images(Path(folder) / "paintings-pd-128.zip", size=SIZE, progress=False)
    names = images.label_names
    gb.errors.need(set(PERIODS) <= set(names), f"the periods are {', '.join(names)}.")
    parts = [images.subset((images.labels == names.index(p)).nonzero()) for p in PERIODS]
    net = train_translator(*parts, seconds=PERIOD_SECONDS, seed=0, **FIT)
    splits = [part.split("auto", seed=0) for part in parts]
    tests = [part.images[s.held_out] for part, s in zip(parts, splits, strict=True)]
    seen = [part.images[s.train] for part, s in zip(parts, splits, strict=True)]
    return {"seed": 0, "periods": PERIODS, **last(net), **both_ways(net, tests, seen)}


CELLS: dict[str, Cell] = {
    "references": references,
    **{
        f"pairs-{name}-seed{seed}": partial(edges_to_pictures, name == "l1", seed)
        for seed in SEEDS
        for name in ("l1", "pix2pix")
    },
    **{f"cycle-seed{seed}": partial(styles, True, seed) for seed in SEEDS},
    "periods": periods,
    **{f"free-seed{seed}": partial(styles, False, seed) for seed in SEEDS},
}


def show(record: Record) -> str:
    if "psnr" in record:
        return " ".join(f"{k} {record[k]:.3f}" for k in ("psnr", "kid", "detail"))
    if "there" in record:
        return " | ".join(
            " ".join(f"{k} {v:.3f}" for k, v in record[way].items()) for way in ("there", "back")
        )
    return ""


if __name__ == "__main__":
    run_grid("image-to-image", CELLS, grid_parser(__doc__ or "").parse_args(), show=show)
