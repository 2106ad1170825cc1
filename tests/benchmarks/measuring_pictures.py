"""Planted copies among Atelier pictures and paintings; reference splits and the real floor."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_book.data.atelier import ATELIER_VERSION, STYLES, atelier
from gan_book.errors import GanBookError
from gan_book.features import Extractor, extractor
from gan_book.memorization import (
    Nearest,
    memorization,
    nearest_pictures,
    plant_copies,
    roc,
    search,
    support_size,
    threshold,
)
from gan_book.metrics import kernel_distance, real_floor

FALSE_ALARMS = 0.05
BAR = 0.95
# A style is rich when at most this share of fresh pictures has, among 300 training pictures, one as
# near as disguised copies are to their originals (95 % of them). Where strangers come that near, no
# threshold can part them from copies: so the bar cannot be missed by much in a rich style, and what
# an experiment finds out is which styles are rich at which size.
RICH = 0.01


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share(condition: Tensor) -> float:
    return float(condition.double().mean())


def judged(copies: Nearest, heldout: Nearest, fresh: Nearest) -> dict[str, float]:
    """Recall, real false alarms and near-collisions, from nearest training pictures.

    heldout sets the threshold, fresh pictures (another draw) test it; copy i is made of training
    picture i.
    """
    cut = threshold(heldout.distance, FALSE_ALARMS)
    typical = float(copies.distance.median())
    strangers = torch.cat([heldout.distance, fresh.distance])
    return {
        "recall": share(copies.distance <= cut),
        "original_found": share(copies.index == torch.arange(len(copies.index))),
        "false_alarms": share(fresh.distance <= cut),
        "roc_area": roc(copies.distance, strangers).area,
        "threshold": cut,
        "copy_distance_median": typical,
        "copy_distance_95": float(copies.distance.quantile(0.95)),
        "near_collisions_median": share(strangers <= typical),
        "near_collisions_95": share(strangers <= float(copies.distance.quantile(0.95))),
    }


def means(records: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each entry over seeds, and the least recall."""
    result = {key: sum(r[key] for r in records) / len(records) for key in records[0]}
    return result | {"recall_least": min(r["recall"] for r in records)}


def memorization_by_style(
    size: int, seeds: range = range(3), n: int = 300, styles: tuple[str, ...] = STYLES
) -> dict[str, Any]:
    """One style at a time: 300 training pictures, their disguised copies, 2 x 300 fresh ones."""
    settings: dict[str, Any] = {}
    for style in styles:
        found, supports = [], []
        for seed in seeds:
            train, heldout, fresh = (
                atelier(n, size, seed=100 * seed + part, styles=[style]).images for part in range(3)
            )
            copies = plant_copies(train, generator=seeded(seed))
            found.append(judged(*(nearest_pictures(x, train) for x in (copies, heldout, fresh))))
            # A duplicate: as near as half of the planted copies are, measured on pairs.
            pairs = search.picture_pairs(torch.cat([copies, train]), size=16)
            duplicate = float(pairs.diagonal(n).median())
            supports.append(support_size(train, duplicate))
        record = means(found)
        collisions, pairs_seen = (
            sum(getattr(s, k) for s in supports) for k in ("collisions", "pairs")
        )
        settings[style] = {
            **record,
            "rich": record["near_collisions_95"] <= RICH,
            "holds": record["recall"] >= BAR,
            "support_collisions": collisions,
            "support_pairs": pairs_seen,
            # Without a collision: 95 % sure that fewer than 3.0 were expected.
            "support_size": pairs_seen / collisions if collisions else None,
            "support_at_least": min(s.low for s in supports) if collisions else pairs_seen / 3.0,
        }  # fmt: skip
    return {
        "what": "copies (mirrored, shifted 6 %, recolored 25 %, noise 4) found at 5 % false alarms",
        "size": size,
        "atelier_version": ATELIER_VERSION,
        "n_train": n,
        "n_heldout": n,
        "n_fresh": n,
        "seeds": list(seeds),
        **verdict(settings),
        "styles": settings,
    }


def verdict(settings: dict[str, Any]) -> dict[str, Any]:
    """Which styles are rich, and whether the bar holds on them."""
    rich = {style: s for style, s in settings.items() if s["rich"]}
    return {
        "rich_means": f"at most {RICH:.0%} of fresh pictures within the distance of 95 % of copies",
        "rich_styles": list(rich),
        "other_styles": [style for style in settings if style not in rich],
        "least_recall_on_rich": min((s["recall"] for s in rich.values()), default=None),
        "holds_on_rich": all(s["holds"] for s in rich.values()),
        "below_bar": [style for style, s in settings.items() if not s["holds"]],
    }


def memorization_mixture(sizes: tuple[int, ...] = (16, 32, 64), seed: int = 0) -> dict[str, Any]:
    """The main case: 1,000 pictures of all styles, thresholds by style, the package's report."""
    settings: dict[str, Any] = {}
    for size in sizes:
        train, heldout, fresh = (
            atelier(n, size, seed=10 * seed + part)
            for n, part in ((1000, 1), (1000, 2), (500, 3))
        )  # fmt: skip
        report = memorization(
            fresh.images, train.images, heldout.images, generator=seeded(seed),
            styles=train.labels, copies=plant_copies(train.images, generator=seeded(seed + 1)),
        )  # fmt: skip
        settings[f"{size}px"] = {
            "recall": report.recall,
            "recall_by_style": {STYLES[s]: v for s, v in report.recall_by_style.items()},
            "roc_area": report.roc.area,
            "flagged_fresh": report.flagged,
            "flagged_fresh_interval": report.flagged_interval,
            "near_collisions": report.near_collisions,
            "nearer_train": report.nearer_train,
            "nearer_expected": report.nearer_expected,
            "nearer_error": report.nearer_error,
            "support_collisions": report.support_train.collisions,
            "support_at_least": report.support_train.low,
        }
    return {
        "what": "1,000 Atelier pictures, 1,000 planted copies, 500 fresh pictures as generated",
        "atelier_version": ATELIER_VERSION,
        "n_train": 1000,
        "n_heldout": 1000,
        "n_generated": 500,
        "seed": seed,
        "sizes": settings,
    }


def paintings(size: int) -> Tensor:
    """All 2,004 real paintings, uint8 (2004, 3, size, size)."""
    from gan_book.data.load import load_images

    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    if not folder:
        raise GanBookError("The paintings are not here: set GAN_BOOK_REAL_DATA to their folder.")
    images = load_images(
        Path(folder) / "paintings-pd-128.zip", size=size, cache=False, progress=False
    ).images
    return torch.as_tensor(images)


def memorization_paintings(
    sizes: tuple[int, ...] = (16, 32, 64), seeds: range = range(3)
) -> dict[str, Any]:
    """Real paintings: 1,000 for training, 500 held out, 500 fresh."""
    settings: dict[str, Any] = {}
    for size in sizes:
        pictures, found = paintings(size), []
        for seed in seeds:
            order = torch.randperm(len(pictures), generator=seeded(seed))
            train, heldout, fresh = (
                pictures[order[i:j]] for i, j in ((0, 1000), (1000, 1500), (1500, 2000))
            )
            copies = plant_copies(train, generator=seeded(seed))
            found.append(judged(*(nearest_pictures(x, train) for x in (copies, heldout, fresh))))
        settings[f"{size}px"] = means(found) | {"holds": means(found)["recall_least"] >= BAR}
    return {
        "what": "copies (mirrored, shifted 6 %, recolored 25 %, noise 4) found at 5 % false alarms",
        "pictures": "paintings-pd-128.zip, 2,004 paintings, split at random",
        "n_train": 1000,
        "n_heldout": 500,
        "n_fresh": 500,
        "seeds": list(seeds),
        "holds": all(s["holds"] for s in settings.values()),
        "sizes": settings,
    }  # fmt: skip


def splits(pictures: Tensor, net: Extractor, seeds: range, n: int = 900) -> dict[str, Any]:
    """KID of n copied training pictures against training and held-out ones, and floors over n.

    The copies are the training pictures themselves, in another order: as one would sample a
    model that has learned them by heart. Against the training set the same rows stand on both
    sides, so the estimate falls below 0, to where no honest model comes.
    """
    z = net(pictures)
    copies, fresh = [], []
    for seed in seeds:
        order = torch.randperm(len(z), generator=seeded(seed))
        train, heldout, other = z[order[:n]], z[order[n : n + 400]], z[order[n + 400 : n + 800]]
        copies.append((kernel_distance(train, train.clone()), kernel_distance(train, heldout)))
        fresh.append((kernel_distance(other, train), kernel_distance(other, heldout)))
    floors: dict[str, Any] = {}
    for half in (64, 100, 200, 500, 1000):
        if 2 * half > len(z):
            continue
        rows = z[torch.randperm(len(z), generator=seeded(0))[: 2 * half]]
        once = kernel_distance(rows[:half], rows[half:])
        floor = real_floor(rows, kernel_distance, generator=seeded(1), splits=20)
        floors[f"n{half}"] = {
            "mean": floor.mean, "deviation": floor.deviation, "standard_error": once.standard_error,
        }  # fmt: skip

    def row(results: list[Any]) -> dict[str, float]:
        return {
            "mean": sum(r.value for r in results) / len(results),
            "least": min(r.value for r in results),
            "most": max(r.value for r in results),
            "standard_error": sum(r.standard_error for r in results) / len(results),
        }

    return {
        "n_train": n,
        "n_heldout": 400,
        "copies_against_train": row([c[0] for c in copies]),
        "copies_against_heldout": row([c[1] for c in copies]),
        "fresh_against_train": row([f[0] for f in fresh]),
        "fresh_against_heldout": row([f[1] for f in fresh]),
        "floor": floors,
    }


def reference_split(seeds: range = range(5), size: int = 64) -> dict[str, Any]:
    """Copies and fresh pictures against both references, on the Atelier and on paintings."""
    net = extractor("gan-book-1", device="cpu")
    sets = {"atelier": atelier(2000, size, seed=7).images}
    if os.environ.get("GAN_BOOK_REAL_DATA"):
        sets["paintings"] = paintings(size)
    return {
        "what": "KID of copied training pictures and of fresh ones, by reference split",
        "size": size,
        "atelier_version": ATELIER_VERSION,
        "extractor": net.facts(),
        "seeds": list(seeds),
        "sets": {name: splits(pictures, net, seeds) for name, pictures in sets.items()},
    }
