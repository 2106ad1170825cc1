"""What the default extractor sees: `python tests/benchmarks/extractor_check.py` (about 15 minutes).

On three sets (the Atelier, real paintings, Fashion-MNIST) KID between n clean pictures and n others
that are damaged ever more strongly, in 20 seeds at n = 300 and 1,000: does it grow with every step?
Beside it what a look at labels alone would say, the reader's accuracy, and the time of 1,000
pictures. One result file for each set; those that are there, by the same weights, are kept.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
import typer
from torch import Tensor

from gan_book.data import load_images
from gan_book.data.atelier import PALETTES, STYLES, atelier
from gan_book.data.imageset import ImageSet
from gan_book.errors import GanBookError
from gan_book.features import extractor
from gan_book.metrics import kernel_distance
from gan_book.results import load_results, save_result
from tests.helpers.damages import FAINT, KNOWN, UNKNOWN, color_groups, without

NAME = "extractor"
DROPPED = (1 / 4, 1 / 2, 3 / 4)
SEEDS = 20


def sets(real: str | None, n: int = 3000) -> Iterator[tuple[str, Tensor, dict]]:
    """Name, pictures, and their kinds and palettes: groups (N,), and whether these are ordered.

    Kinds are styles, periods of painting and things to wear; palettes of real pictures are eight
    groups by mean color.
    """
    painted = atelier(n, size=64, seed=1)
    style, palette = (painted.attributes[key] for key in ("style", "palette"))
    yield "atelier", painted.images, {"kinds": (style, False), "palettes": (palette, False)}
    if not real:
        return
    others: list[ImageSet] = [
        load_images(Path(real) / "paintings-pd-128.zip", size=64, progress=False),
        load_images("fashion-mnist", size=28, channels=1, n=n, progress=False),
    ]
    for name, images in zip(("paintings", "fashion-mnist"), others, strict=True):
        assert images.labels is not None
        colors = color_groups(images.images)
        kinds = (images.labels, name == "paintings")
        yield name, images.images, {"kinds": kinds, "palettes": (colors, True)}


def curves(
    found: dict[Any, Tensor], groups: dict[str, tuple[Tensor, bool]], n: int, seed: int
) -> dict:
    """KID of n clean pictures against n others, no damage first, then stronger and stronger.

    Which groups are dropped: at random where they are unordered. Where they have an order (periods
    of time, shades of color), from its end: to lose the first and then the last as well can bring
    the mean back, and the true distance falls.
    """
    rng = torch.Generator().manual_seed(seed)
    kind = groups["kinds"][0]
    order = torch.randperm(len(kind), generator=rng)
    n = min(n, len(kind) // 2)
    real, rest = found["clean"][order[:n]], order[n:]
    untouched = kernel_distance(real, found["clean"][rest[:n]]).value
    values = {
        name: [untouched, *(kernel_distance(real, found[name, s][rest[:n]]).value for s in steps)]
        for name, (_, steps) in {**KNOWN, **UNKNOWN}.items()
    }
    for name, (group, ordered) in groups.items():
        count = int(group.max()) + 1
        first = torch.arange(count).flip(0) if ordered else torch.randperm(count, generator=rng)
        values[f"dropped {name}"] = [untouched]
        for share in DROPPED:
            kept = without(group, int(share * count + 0.5), first)
            left = rest[kept[rest]][:n]
            values[f"dropped {name}"].append(kernel_distance(real, found["clean"][left]).value)
    for name, (_, (strength,)) in FAINT.items():
        faint = kernel_distance(real, found[name, strength][rest[:n]]).value
        values[f"faint {name}"] = [untouched, faint]
    values["repeated"] = [untouched]
    for each in (8, 4, 2, 1):  # pictures of each kind, repeated until there are n
        some = torch.cat([rest[kind[rest] == k][:each] for k in kind.unique()])
        values["repeated"].append(
            kernel_distance(real, found["clean"][some.repeat(-(-n // len(some)))[:n]]).value
        )
    return values


def check(
    images: Tensor, groups: dict[str, tuple[Tensor, bool]], seeds: int, counts: tuple[int, ...]
) -> dict:
    """Curves over seeds: means, deviations, and in how many seeds they rise, also step by step."""
    net = extractor(device="cpu")
    rng = torch.Generator().manual_seed(0)
    found: dict[Any, Tensor] = {"clean": net(images).double()}
    for damages in (KNOWN, UNKNOWN, FAINT):
        for name, (damage, strengths) in damages.items():
            for strength in strengths:
                found[name, strength] = net(damage(images, strength, rng)).double()
    record: dict[str, Any] = {"pictures": len(images), "size": list(images.shape[-2:])}
    for n in counts:
        runs = [curves(found, groups, n, seed) for seed in range(seeds)]
        record[f"n{n}"] = {"pictures on each side": min(n, len(images) // 2)}
        for name in runs[0]:
            kid = torch.tensor([run[name] for run in runs])  # (seeds, strengths + 1)
            record[f"n{n}"][name] = {
                "kid": kid.mean(0),
                "sd": kid.std(0),
                "seeds rising": int((kid.diff(dim=1) > 0).all(1).sum()),
                "at each step": (kid.diff(dim=1) > 0).sum(0),
            }
    return record


def reader() -> dict[str, Any]:
    """Share of right answers on fresh pictures of the Atelier, by size."""
    record: dict[str, Any] = {}
    for size in (16, 24, 32, 48, 64, 128):
        images = atelier(2000, size=size, seed=2)
        told = extractor(device="cpu").read(images.images)
        for name, names in (("style", STYLES), ("palette", tuple(PALETTES))):
            truth = images.attributes[name]
            right = (getattr(told, name) == truth).double()
            shares = {label: right[truth == k].mean() for k, label in enumerate(names)}
            worst = min(shares, key=lambda label: float(shares[label]))
            record[f"{size}-{name}"] = {
                "right": right.mean(),
                "worst": worst,
                "right in worst": shares[worst],
            }
    return record


def main(seeds: int = SEEDS, folder: Annotated[Path | None, typer.Option()] = None) -> None:
    """Measure what is missing."""
    facts = extractor(device="cpu").facts()
    try:
        known = load_results(NAME, folder)
    except GanBookError:
        known = {}
    damages = {name: list(s) for name, (_, s) in {**KNOWN, **UNKNOWN}.items()}
    damages |= {f"faint {name}": list(s) for name, (_, s) in FAINT.items()}
    common = {"seeds": list(range(seeds)), **facts}

    def missing(cell: str) -> bool:
        return known.get(cell, {}).get("sha256") != facts["sha256"]

    def save(cell: str, record: dict[str, Any], start: float) -> None:
        seconds = time.perf_counter() - start
        save_result(
            NAME, cell, {**common, **record, "seconds": seconds}, device="cpu", folder=folder
        )

    if missing("reader"):
        start = time.perf_counter()
        save("reader", {**reader(), "pictures": 2000}, start)
    if missing("time"):
        images = atelier(1000, size=64, seed=3).images
        start = time.perf_counter()
        extractor(device="cpu")(images)
        save("time", {"pictures": 1000, "size": [64, 64]}, start)
    for name, images, groups in sets(os.environ.get("GAN_BOOK_REAL_DATA")):
        if missing(name):
            start = time.perf_counter()
            record = check(images, groups, seeds, (300, 1000))
            save(name, {**record, "strengths": damages, "dropped": DROPPED}, start)
            for n in ("n300", "n1000"):
                for kind_of, row in record[n].items():
                    if isinstance(row, dict):
                        steps = " ".join(f"{1000 * v:9.2f}" for v in row["kid"].tolist())
                        rising = f"{row['seeds rising']:3}"
                        print(f"{name:14}{n:7}{kind_of:17}{rising} {steps}", flush=True)


if __name__ == "__main__":
    typer.run(main)
