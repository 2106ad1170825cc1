"""What the comparison measures, and with what: pictures, two extractors, kinds, detail, copies.

The second extractor shares nothing with the first: a convolutional network whose weights are random
and stay so, its features whitened on real pictures that are used for nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from gan_book.checkpoints import digest, load_tensors, save_tensors
from gan_book.data.atelier import ATELIER_VERSION, STYLES
from gan_book.data.cache import cache_dir
from gan_book.data.imageset import ImageSet
from gan_book.data.load import load_images
from gan_book.errors import GanBookError
from gan_book.evaluation import read_modes
from gan_book.features import extractor
from gan_book.machine import write_atomically
from gan_book.memorization import memorization
from gan_book.metrics import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    pca_gaussian,
    precision_recall,
)
from gan_book.results import results_folder

NAME = "comparison"
SIZE = 16
TRAIN = 10_000  # training pictures: all 12 styles and 8 palettes of the Atelier in equal shares
REFERENCE = 5_000  # fresh pictures that everything is measured against
VALIDATION = 1_000  # other fresh ones, by which settings were chosen
SEEDS = {"train": 0, "reference": 77, "validation": 78, "floor": 79, "whitening": 80}
Record = dict[str, Any]


def kept(name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors computed once and kept in the cache; computed again where it is gone."""
    path = cache_dir() / NAME / f"{name}-v{ATELIER_VERSION}.safetensors"
    with suppress(OSError, GanBookError):
        return load_tensors(path)[0]
    found = make()
    with suppress(OSError, GanBookError):
        save_tensors(path, found, {})
    return found


def tag(size: int) -> str:
    """What names of kept tensors end with, where they are not of the usual size."""
    return "" if size == SIZE else f"-{size}px"


@lru_cache(maxsize=8)
def pictures(which: str, n: int, size: int = SIZE) -> Tensor:
    """Atelier pictures uint8 (n, 3, size, size), different ones for each use."""

    def paint() -> dict[str, Tensor]:
        return {"images": load_images("atelier", size=size, n=n, seed=SEEDS[which]).images}

    return kept(f"{which}-{n}{tag(size)}", paint)["images"]


def training_set(n: int, seed: int, size: int = SIZE) -> ImageSet:
    """n of the training pictures: another choice for each seed, the same for each family."""
    every = pictures("train", TRAIN, size)
    order = torch.randperm(TRAIN, generator=torch.Generator().manual_seed(seed))
    return ImageSet(every[order[:n]])


class RandomConvolutions:
    """Features by a network that nobody trained: `net(images)` -> float32 (N, 64).

    Three layers of random convolutions, from the second on at half the resolution; means and
    deviations of all their channels and a 2 x 2 thumbnail of the last; 64 principal components of
    these over 3,000 real pictures, whitened and softly bounded like those of gan-book-1. The real
    ones are the Atelier's; of another set, named ``of``, they come from ``real()``, in color.
    """

    dim = 64
    channels = (3, 32, 64, 64)

    def __init__(
        self, size: int = SIZE, of: str = "", real: Callable[[], Tensor] | None = None
    ) -> None:
        self.id, self.size = f"random-convolutions-{size}{of and '-' + of}", size
        self.real = real or (lambda: pictures("whitening", 3_000, size))
        rng = torch.Generator().manual_seed(16)
        self.weights = []
        for cin, cout in zip(self.channels, self.channels[1:], strict=False):
            weight = torch.randn(cout, cin, 3, 3, generator=rng) * (2 / (9 * cin)) ** 0.5
            self.weights.append((weight, torch.randn(cout, generator=rng) / 2))
        self.mean, self.axes = torch.zeros(()), torch.eye(1)
        found = kept(f"whitening{tag(size)}{of and '-' + of}", self._whitening)
        self.mean, self.axes = found["mean"], found["axes"]

    def _whitening(self) -> dict[str, Tensor]:
        s = self._statistics(self.real()).double()  # (3000, D)
        mean = s.mean(0)
        _, values, axes = torch.linalg.svd(s - mean, full_matrices=False)
        scaled = axes[: self.dim].T / values[: self.dim] * (len(s) - 1) ** 0.5  # (D, 64)
        return {"mean": mean.float(), "axes": scaled.float().contiguous()}

    @torch.no_grad()
    def _statistics(self, images: Tensor) -> Tensor:
        parts = []
        for batch in images.split(250):
            h, row = batch.float() / 127.5 - 1, []  # (b, 3, 16, 16)
            for depth, (weight, bias) in enumerate(self.weights):
                h = functional.avg_pool2d(h, 2) if depth else h
                padded = functional.pad(h, (1, 1, 1, 1), mode="replicate")
                h = functional.relu(functional.conv2d(padded, weight, bias))
                row += [h.mean((2, 3)), h.std((2, 3))]
            row.append(functional.adaptive_avg_pool2d(h, 2).flatten(1))
            parts.append(torch.cat(row, 1))  # (b, 576)
        return torch.cat(parts)

    def __call__(self, images: Tensor) -> Tensor:
        z = (self._statistics(images) - self.mean) @ self.axes  # (N, 64)
        return z * torch.rsqrt(1 + (z / 6.0) ** 2)

    def facts(self) -> Record:
        tensors = {f"w{i}": w for i, (w, _) in enumerate(self.weights)}
        sha = digest({**tensors, "axes": self.axes})
        resize = f"none, {self.size} x {self.size}"
        return {"extractor": self.id, "sha256": sha, "dim": self.dim, "resize": resize}


@lru_cache(maxsize=2)
def extractors(size: int = SIZE) -> dict[str, Any]:
    """By the short names under which results are stored."""
    return {"trained": extractor(device="cpu"), "random": RandomConvolutions(size)}


@lru_cache(maxsize=8)
def features_of(which: str, n: int, name: str, size: int = SIZE) -> Tensor:
    """Features of one of the sets of real pictures."""

    def compute() -> dict[str, Tensor]:
        return {"features": extractors(size)[name](pictures(which, n, size))}

    return kept(f"features-{which}-{n}-{name}{tag(size)}", compute)["features"]


def distances(made: Tensor, which: str = "reference", most: int = REFERENCE) -> Record:
    """KID of generated pictures by both extractors, with standard errors: for learning curves."""
    found: Record = {}
    size = made.shape[-1]
    for name, net in extractors(size).items():
        total = REFERENCE if which == "reference" else VALIDATION
        real = features_of(which, total, name, size)[:most]
        kid = kernel_distance(net(made), real)
        found[name] = {"kid": kid.value, "kid_error": kid.standard_error}
    return found


def detail(made: Tensor) -> float:
    """Mean square of what a 3 x 3 blur takes off, in gray levels squared."""
    x = made.float()  # (N, 3, 16, 16)
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return float((x - blurred).square().mean())


def measured(made: Tensor) -> Record:
    """Everything that is measured of a finished model's pictures, against the reference."""
    n, size = len(made), made.shape[-1]
    found: Record = {}
    for name, net in extractors(size).items():
        real, z = features_of("reference", REFERENCE, name, size), net(made)
        kid = kernel_distance(z, real)
        near, dense = precision_recall(real[:n], z), density_coverage(real[:n], z)
        found[name] = {
            "kid": kid.value,
            "kid_error": kid.standard_error,
            "fid": frechet_distance(z, real).value,
            "precision": near.precision,
            "recall": near.recall,
            "density": dense.density,
            "coverage": dense.coverage,
        }
    everything = load_images("atelier", size=size, n=96, seed=1)  # for its names only
    modes = read_modes(extractors(size)["trained"], made, everything, equal=True)
    if modes is None:
        found["kinds"] = {"captured": 0, "readable": 0.0}
    else:
        cover = modes.coverage
        found["kinds"] = {
            "captured": cover.captured,
            "expected": cover.floor_captured,
            "readable": 1 - cover.unrecognized,
            "divergence": cover.divergence,
            "divergence_floor": cover.floor,
            "styles": [modes.styles[name] for name in STYLES],
        }
    found["detail"] = detail(made) / detail(pictures("reference", REFERENCE, size))
    return {**found, "n": n}


def copied(made: Tensor, train: Tensor) -> Record:
    """Do generated pictures lie nearer to training pictures than to as many held-out ones?"""
    train = train[:VALIDATION]
    unseen = pictures("validation", VALIDATION, made.shape[-1])[: len(train)]
    rng = torch.Generator().manual_seed(0)
    report = memorization(made, train, unseen, generator=rng)
    return {
        "flagged": report.flagged,
        "false_alarms": report.false_alarms,
        "planted_found": report.recall,
        "nearer_train": report.nearer_train,
        "nearer_expected": report.nearer_expected,
        "nearer_error": report.nearer_error,
        "n_train": len(train),
    }


def control_rows(n: int, size: int = SIZE) -> dict[str, Tensor]:
    """Pictures that stand for the two ends: fresh real ones, a Gaussian in pixels, and copies."""
    train, floor = training_set(TRAIN, 0, size).images, pictures("floor", 1_000, size)[:n]
    rng = torch.Generator().manual_seed(0)
    return {
        "floor": floor,
        "pca-gaussian": pca_gaussian(train[:1_000], n, generator=rng),
        "copies": train[:n],
    }


def controls(n: int) -> Record:
    """The rows beside every model: both ends, copies, and two damages."""
    rows = control_rows(n)
    x = rows["floor"].float()
    blurred = functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    half = load_images("atelier", size=SIZE, n=n, seed=81, styles=list(STYLES[::2])).images
    rows |= {"blurred": blurred.round().to(torch.uint8), "half-of-the-styles": half}
    return {name: measured(row) for name, row in rows.items()}


def facts(size: int = SIZE) -> Record:
    """What every number travels with."""
    return {
        "size": size,
        "atelier_version": ATELIER_VERSION,
        "n_reference": REFERENCE,
        "extractors": {name: net.facts() for name, net in extractors(size).items()},
    }


def picture_file(made: Tensor, cell: str, rows: int, grid: str = NAME) -> None:
    """The first pictures as a PNG, eight in a row without gaps."""
    lines = [torch.cat(list(line), dim=2) for line in made[: 8 * rows].split(8)]  # (3, H, 8 W)
    flat = torch.cat(lines, dim=1).permute(1, 2, 0).contiguous().numpy()  # (rows H, 8 W, 3)
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "PNG", optimize=True)
    path = results_folder() / grid / f"{cell}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
