"""Inversion and edits: held-out pictures against foreign ones, in z, w and w+.

python tests/benchmarks/editing.py [cells] -> data/results/editing/<cell>.json. A cell inverts
pictures of several sets with one generator, and compares each result with the nearest picture of
that generator's training set. The distances were fixed beforehand: the root mean square over all
numbers of a picture in [-1, 1], and the Euclidean distance of features. Paintings and
Fashion-MNIST come from GAN_BOOK_REAL_DATA; without it their cells are left out.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor

from gan_book.data import ImageSet, load_images, to_float, to_uint8
from gan_book.data.atelier import PALETTES, STYLES
from gan_book.errors import need
from gan_book.features import extractor
from gan_book.latents import Space, invert, label_directions
from gan_book.model import load_model
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

FRESH = 4321  # the seed of held-out Atelier pictures; training sets have the seeds 0 and 100
LANDSCAPES = ["dunes", "mist"]
TRAINED_ON: dict[str, dict[str, Any]] = {
    "landscapes-16": {"size": 16, "n": 1_000, "seed": 0, "styles": LANDSCAPES},
    "stylegan-16": {"size": 16, "n": 1_000, "seed": 0, "styles": LANDSCAPES},
    "atelier-32": {"size": 32, "n": 10_000, "seed": 100},
    "atelier-32-styles": {"size": 32, "n": 10_000, "seed": 100},
}
READ = 2_000  # samples that are read for directions
AMOUNTS = (0.0, 2.0, 4.0, 6.0)


def clouds(n: int, size: int, seed: int) -> Tensor:
    """Noise with amplitude 1 / frequency, as in photographs: uint8 (n, 3, size, size)."""
    rng = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft2(torch.randn(n, 3, size, size, generator=rng))
    fy, fx = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
    frequency = (fy.square() + fx.square()).sqrt().clamp_min(1 / size)  # (H, W / 2 + 1)
    x = torch.fft.irfft2(spectrum / frequency, s=(size, size))
    return to_uint8(0.5 * x / x.std((1, 2, 3), keepdim=True))


def foreign(name: str, n: int, size: int) -> ImageSet:
    """A control set that no generator here was trained on."""
    if name == "noise":
        rng = torch.Generator().manual_seed(FRESH)
        return ImageSet(to_uint8(0.5 * torch.randn(n, 3, size, size, generator=rng)))
    if name == "clouds":
        return ImageSet(clouds(n, size, FRESH))
    if name == "other styles":
        rest = [style for style in STYLES if style not in LANDSCAPES]
        return load_images("atelier", size, n=n, seed=FRESH, styles=rest, progress=False)
    place = os.environ.get("GAN_BOOK_REAL_DATA")
    need(place, "GAN_BOOK_REAL_DATA does not say where the paintings and Fashion-MNIST are.")
    if name == "paintings":
        source: str | Path = Path(str(place)) / "paintings-pd-128.zip"
        return load_images(source, size, n=n, seed=FRESH, progress=False)
    return load_images("fashion-mnist", size, n=n, seed=FRESH, progress=False)


def rounded(x: Tensor) -> float:
    return round(float(x), 4)


def distances(x: Tensor, keys: Tensor) -> Tensor:
    """Distance of each row (N, d) to the nearest key (M, d): (N,)."""
    return torch.cdist(x, keys).min(1).values


def measure(space: Space, name: str, images: ImageSet, starts: int, **options: Any) -> Record:
    """Invert a set, and compare with the nearest training picture."""
    seed_of_pool = 1
    trained = training_pictures(name)
    x = to_float(images.images)  # (N, 3, H, W)
    found = invert(space, x, starts=starts, seed=seed_of_pool, **options)
    f, made = net(images.images), net(to_uint8(found.pictures))  # (N, 192) each
    scale = x[0].numel() ** 0.5
    pixels = distances(x.flatten(1), trained[0]) / scale  # (N,)
    apart, features = (f - made).norm(dim=1), distances(f, trained[1])  # (N,) each
    spread = (x - x.mean((2, 3), keepdim=True)).square().mean((1, 2, 3))  # (N,)
    record: Record = {
        "n": len(x),
        "error": rounded(found.error.median()),
        "nearest": rounded(pixels.median()),
        "closer": rounded((found.error < pixels).float().mean()),
        "features": rounded(apart.median()),
        "features_nearest": rounded(features.median()),
        "features_closer": rounded((apart < features).float().mean()),
        # 1: no better than the picture's mean color
        "unexplained": rounded((found.error.square() / spread).median()),
        "first_start": rounded(found.starts[:, 0].median()),
        "errors": [rounded(e) for e in found.error],
        "unexplained_each": [rounded(e) for e in found.error.square() / spread],
        "code_norm": rounded(space.whiten(found.codes).norm(dim=1).median()),
    }
    if images.label_names and set(images.label_names) <= set(STYLES):
        record["by_style"] = {
            images.label_names[k]: {
                "error": rounded(found.error[images.labels == k].median()),
                "nearest": rounded(pixels[images.labels == k].median()),
                "closer": rounded((found.error < pixels)[images.labels == k].float().mean()),
                "features_closer": rounded((apart < features)[images.labels == k].float().mean()),
            }
            for k in images.labels.unique().tolist()  # type: ignore[union-attr]
        }
    return record


def net(images: Tensor) -> Tensor:
    return extractor(device="cpu")(images)  # (N, 192)


_trained: dict[str, tuple[Tensor, Tensor]] = {}


def training_pictures(name: str) -> tuple[Tensor, Tensor]:
    """Pixels (M, D) in [-1, 1] and features (M, 192) of what a model was trained on; kept."""
    key = repr(TRAINED_ON[name])
    if key not in _trained:
        images = load_images("atelier", progress=False, **TRAINED_ON[name]).images
        _trained[key] = to_float(images).flatten(1), net(images)
    return _trained[key]


def inversion(
    name: str, kind: str, n: int, starts: int, controls: bool = True, **options: Any
) -> Record:
    space = Space(load_model(name, "cpu").generator, kind)
    size = TRAINED_ON[name]["size"]
    more = {key: value for key, value in TRAINED_ON[name].items() if key == "styles"}
    held = load_images("atelier", size, n=n, seed=FRESH, progress=False, **more)
    with torch.no_grad():
        own = ImageSet(to_uint8(space.decode(*space.draw(32, FRESH))))
    sets = {"held": held, "own": own}
    names = ["noise", "clouds", "paintings", "fashion-mnist"]
    names += ["other styles"] if more else []
    if controls:
        sets |= {name_: foreign(name_, 32, size) for name_ in names}
    record: Record = {"seed": FRESH, "starts": starts, **options}
    for key, images in sets.items():
        record[key] = measure(space, name, images, starts, **options)
        if key not in ("held", "own"):
            for value in ("errors", "unexplained_each"):
                here, there = (torch.tensor(record[k][value]) for k in (key, "held"))
                # the chance that a foreign picture comes out worse than a held-out one
                record[key][f"worse_{value}"] = rounded((here[:, None] > there).float().mean())
        print(f"  {name} {kind} {key}: {show({'held': record[key]})}", flush=True)
    return record


def edits(name: str, n: int) -> Record:
    """Invert held-out pictures, move each towards one other palette, and read what came out."""
    space = Space(load_model(name, "cpu").generator)
    reader: Any = extractor(device="cpu")
    codes, labels = space.draw(READ, 1)
    with torch.no_grad():
        seen = reader.read(to_uint8(space.decode(codes, labels)))
    one_hot = torch.nn.functional.one_hot(seen.palette, len(PALETTES)).float()  # (READ, 8)
    directions = label_directions(codes, one_hot)  # (8, d)
    held = load_images("atelier", TRAINED_ON[name]["size"], n=n, seed=FRESH, progress=False)
    found = invert(space, to_float(held.images), starts=2, steps=150)
    goal = (held.attributes["palette"] + 1 + torch.arange(n) % 7) % 8  # (n,), never its own
    record: Record = {"seed": FRESH, "n": n, "read_for_directions": READ}
    drawn = space.draw(n, 7)
    for who, (start, kinds) in {"inverted": (found.codes, found.labels), "drawn": drawn}.items():
        base = None
        for amount in AMOUNTS:
            moved = start + amount * directions[goal]  # (n, d)
            with torch.no_grad():
                read = reader.read(to_uint8(space.decode(moved, kinds)))
            base = base or read
            record[f"{who}-{amount:g}"] = {
                "palette_reached": rounded((read.palette == goal).float().mean()),
                "style_kept": rounded((read.style == base.style).float().mean()),
                "palette_true": rounded(
                    (read.palette == held.attributes["palette"]).float().mean()
                ),
                "style_true": rounded((read.style == held.labels).float().mean()),
            }
            print(f"  {name} {who} {amount}: {record[f'{who}-{amount:g}']}", flush=True)
    return record


CELLS: dict[str, Cell] = {
    "landscapes-16-z": partial(inversion, "landscapes-16", "z", 96, 4),
    "edits-atelier-32": partial(edits, "atelier-32", 96),
    "edits-atelier-32-styles": partial(edits, "atelier-32-styles", 96),
    "stylegan-16-w": partial(inversion, "stylegan-16", "w", 64, 2),
    "atelier-32-z": partial(inversion, "atelier-32", "z", 96, 2),
    "stylegan-16-w+": partial(inversion, "stylegan-16", "w+", 64, 2),
    "landscapes-16-z-features": partial(
        inversion, "landscapes-16", "z", 64, 1, controls=False, features=0.05, steps=150
    ),
    "stylegan-16-z": partial(inversion, "stylegan-16", "z", 64, 2),
    "atelier-32-styles-z": partial(inversion, "atelier-32-styles", "z", 96, 2),
}


def show(record: Record) -> str:
    if "held" not in record:
        return ""
    keys = ("error", "nearest", "closer", "features", "features_closer", "unexplained")
    return " ".join(f"{key} {record['held'][key]:.3f}" for key in keys)


if __name__ == "__main__":
    run_grid("editing", CELLS, grid_parser(__doc__ or "").parse_args(), show=show)
