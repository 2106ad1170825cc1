"""Few pictures: training with and without augmentation, watched from the first image to the last.

    python tests/benchmarks/small_data.py                 # every cell but "long": nine hours
    python tests/benchmarks/small_data.py n100-           # some cells, by the start of their name
    python tests/benchmarks/small_data.py long            # 300 pictures, 5 M images: wants a GPU

A reader has n pictures of the Atelier at 16 x 16. Every seed has pictures of its own; a larger n
contains the smaller ones. At some twenty moments the averaged generator's KID to 5,000 fresh
pictures is measured, and what D thinks of training, held-out and generated pictures. ``runs/
small-data/CELL`` keeps both networks, at the end ("final") and where KID to 100 validation
pictures was lowest ("best"); ``pictures_of`` says which pictures a seed was trained on.
"leak" cells read these networks, and "summary" the other cells: measure both again at the end.
"""

from __future__ import annotations

import os
import statistics
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor

import gan_book as gb
from gan_book import augment
from gan_book.checkpoints import copy_into, load_tensors, save_tensors, under
from gan_book.control import Controlled
from gan_book.data import Split, load_images, to_float
from gan_book.data.batches import Batches
from gan_book.data.imageset import ImageSet
from gan_book.errors import need
from gan_book.metrics import kernel_distance
from gan_book.model import samples
from gan_book.processes import Processes
from gan_book.recipes import from_dict
from gan_book.resume import start_from
from gan_book.selection import membership
from gan_book.training import (
    TrainingState,
    build_networks,
    machine_settings,
    run_steps,
    start_training,
)
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

SEEDS, SIZES = range(3), (100, 300, 1_000, 2_000)
CONFIRMING = range(3, 6)  # seeds that had no part in any choice
IMAGES = {100: 1_024_000, 300: 320_000, 1_000: 320_000, 2_000: 320_000}
LONG = 5_120_000  # images, of 300 pictures: for a GPU
PAINTED, VALIDATION = 2_500, 100  # of these the first n train, 100 choose, the last 400 judge D
FRESH, FRESH_SEED = 5_000, 5_318_008
DRAWN, LAST = 500, 2_000  # pictures drawn for a KID on the way, and at the end
STYLES = ["dunes", "mist"]
RUNS = Path(__file__).parents[2] / "runs" / "small-data"
POLICY = ["color", "translation", "cutout"]
SHAPES = ["translation", "cutout"]  # no color, whose traces generators keep
MIRROR = ["flip", *SHAPES]  # left and right are alike in these pictures
WHOLE = ["flip", "translation"]  # no holes: D sees the whole picture, or nearly
WEAK = {"r1": 0.001, "r2": 0.001}  # a tenth of the others' penalties
SHIFTS: dict[str, Any] = {"policy": ["translation"], "augment": "fixed", "augment_p": 0.95, **WEAK}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"policy": POLICY, "augment": "fixed", "augment_p": 0.6},
    "adaptive": {"policy": POLICY, "augment": "adaptive"},
    "weak": WEAK,
    "weak-augmented": {"policy": POLICY, "augment": "fixed", "augment_p": 0.6, **WEAK},
    "weak-shapes": {"policy": SHAPES, "augment": "fixed", "augment_p": 0.8, **WEAK},
    "weak-mirror": {"policy": MIRROR, "augment": "fixed", "augment_p": 0.8, **WEAK},
    "weak-whole": {"policy": WHOLE, "augment": "fixed", "augment_p": 0.95, **WEAK},
    "weak-flipped": {"flip": True, **WEAK},  # mirrored pictures train; nothing is hidden from D
    "weak-shifts": SHIFTS,
    "weak-flipped-shifts": {"flip": True, **SHIFTS},
    "gentle": {"policy": POLICY, "augment": "fixed", "augment_p": 0.3},
    "always": {"policy": POLICY, "augment": "fixed", "augment_p": 1.0},
}
CONFIRMED = "weak", "weak-flipped-shifts"


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pictures_of(seed: int, n: int) -> tuple[ImageSet, Split]:
    """The pictures of a seed and which of them train (n), choose (100) and judge D (400)."""
    images = load_images(
        "atelier", size=16, n=PAINTED, seed=1_000 + seed, styles=STYLES, progress=False
    )
    order, last = torch.arange(PAINTED), PAINTED - 400
    return images, Split(order[:n], order[last - VALIDATION : last], order[last:])


@lru_cache
def fresh() -> Tensor:
    """Features (5,000, d) of pictures that nobody has trained on."""
    images = load_images(
        "atelier", size=16, n=FRESH, seed=FRESH_SEED, styles=STYLES, progress=False
    ).images
    return gb.extractor(device=device())(images)


def moments(total: int) -> list[int]:
    """Images seen at which a run is measured: dense at first, about twenty up to a million."""
    marks = [0, *range(16_000, 64_001, 16_000), *range(96_000, 320_001, 32_000)]
    marks += range(384_000, 1_024_001, 64_000)
    marks += range(1_280_000, max(total, 1_280_000) + 1, 256_000)
    return [mark for mark in marks if mark <= total]


class Watch:
    """A callback: KID and D's opinions at the moments; keeps the networks, best and final."""

    def __init__(self, folder: Path | None, images: ImageSet, split: Split, total: int) -> None:
        self.folder, self.images, self.split = folder, images, split
        self.marks, self.curve, self.best = moments(total), [], float("inf")
        self.chosen = gb.extractor(device=device())(images.images[split.validation])  # (100, d)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    @torch.no_grad()
    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        if not self.marks or state.images < self.marks[0]:
            return
        self.marks.pop(0)
        net = gb.extractor(device=device())
        drawn = net(samples(state.average, state.recipe, DRAWN, seed=1))  # (500, d)
        record = {"images": state.images, "kid": kernel_distance(drawn, fresh()).value}
        record["validation_kid"] = kernel_distance(drawn, self.chosen).value
        record |= self.opinions(state) | {"p": float(state.p)}
        if state.controller is not None:
            record["r"] = float(state.controller.r)
        self.curve.append(record)
        if record["validation_kid"] < self.best:
            self.best = record["validation_kid"]
            self.keep(state, "best")
        print(f"  {state.images:9,} {record}", file=sys.stderr, flush=True)

    def opinions(self, state: TrainingState) -> dict[str, float]:
        """Mean logits of training, held-out and generated pictures, clean and as D sees them."""
        rng = torch.Generator().manual_seed(state.step)
        some = self.split.train[torch.randperm(len(self.split.train), generator=rng)[:400]]
        z = torch.randn(400, int(state.generator.z_dim), generator=rng)  # type: ignore[arg-type]
        seen = {
            "train": to_float(self.images.images[some].to(state.p.device)),
            "held_out": to_float(self.images.images[self.split.test].to(state.p.device)),
            "generated": state.generator(z.to(state.p.device)),
        }
        found = {name: float(state.discriminator(x).mean()) for name, x in seen.items()}
        if state.recipe.policy:
            for name, x in seen.items():
                size, policy = state.recipe.size, state.recipe.policy
                draws = augment.draw(len(x), size, policy, state.p, rng, state.p.device)
                seen_so = augment.apply(x, draws)
                found[f"{name}_augmented"] = float(state.discriminator(seen_so).mean())
        return found

    def keep(self, state: TrainingState, name: str) -> None:
        if self.folder is None:
            return
        nets = {"generator": state.average, "discriminator": state.discriminator}
        tensors = {
            f"{side}.{key}": value.detach().cpu().contiguous()
            for side, net in nets.items()
            for key, value in net.state_dict().items()
        }
        about = {"recipe": state.recipe.to_dict(), "images": state.images}
        save_tensors(self.folder / f"{name}.safetensors", tensors, about)


def begin(
    pictures: ImageSet, train: Tensor, way: str, seed: int, images: int, **more: Any
) -> TrainingState:
    """A training state of the pictures with indices ``train``; nothing is trained yet."""
    options: dict[str, Any] = {
        "name": f"small-data-{way}",
        "generator": {"model": "dcgan", "width": 16, "z_dim": 64},
        "discriminator": {"model": "dcgan", "width": 16},
        "total_images": images,
        "lr": 1e-3,
        "r1": 0.01,
        "r2": 0.01,
    }
    chosen = gb.recipe("small-16", **(options | WAYS[way] | more))
    at = device()
    batches = Batches(pictures, train, chosen.batch_size, seed=seed, device=at, flip=chosen.flip)
    return start_training(chosen, batches, Processes(0, 1, at), seed=seed, precision="fp32")


def start(n: int, way: str, seed: int, images: int, **more: Any) -> tuple[TrainingState, Watch]:
    """A training state of n pictures of a seed, and its watch."""
    pictures, split = pictures_of(seed, n)
    state = begin(pictures, split.train, way, seed, images, **more)
    label = f"{'long-' if images >= LONG else ''}n{n}-{way}-seed{seed}"
    return state, Watch(RUNS / label, pictures, split, images)


def cell(n: int, way: str, seed: int, images: int, **more: Any) -> Record:
    """One run from start to end: its curve, and KID at the end with 2,000 pictures."""
    state, watch = start(n, way, seed, images, **more)
    callbacks: list[Any] = [watch]
    if state.controller is not None:
        callbacks.insert(0, Controlled(state, watch.images, watch.split))
    with machine_settings(state.recipe):
        run_steps(state, state.recipe.total_steps, callbacks)
    watch.keep(state, "final")
    net = gb.extractor(device=device())
    last = net(samples(state.average, state.recipe, LAST, seed=0))  # (2000, d)
    record: Record = {"n": n, "way": way, "seed": seed, "curve": watch.curve}
    return record | {"final_kid": kernel_distance(last, fresh()).value}


def tuned(style: str, way: str, seed: int, images: int = 64_000) -> Record:
    """100 pictures of one style, from the shipped landscapes-16 or from scratch: KID on the way."""
    every = load_images("atelier", size=16, n=200, seed=500 + seed, styles=[style], progress=False)
    split = Split(torch.arange(100), torch.arange(100, 200), torch.arange(0))
    recipe = gb.recipe("small-16", total_images=images, lr=5e-4, r1=0.05, r2=0.05)
    batches = Batches(every, split.train, 64, seed=seed, device="cpu")
    alone = Processes(0, 1, torch.device("cpu"))
    state = start_training(recipe, batches, alone, seed=seed, precision="fp32")
    if way == "tuned":
        start_from(state, "landscapes-16")
    net = gb.extractor(device="cpu")
    new = load_images("atelier", size=16, n=1_000, seed=FRESH_SEED, styles=[style], progress=False)
    real, curve = net(new.images), []
    for goal in (0, 4_000, 8_000, 16_000, 32_000, images):
        run_steps(state, round(goal / 64))
        drawn = net(samples(state.average, recipe, DRAWN, seed=1))  # (500, d)
        curve.append({"images": state.images, "kid": kernel_distance(drawn, real).value})
    return {"style": style, "way": way, "seed": seed, "curve": curve}


def open_generator(path: Path) -> tuple[torch.nn.Module, gb.Recipe]:
    """The averaged generator that a run has kept, and its recipe."""
    need(path.is_file(), f"{path} is not there; measure the cells it belongs to first.")
    tensors, about = load_tensors(path)
    recipe = from_dict(about["recipe"])
    generator = build_networks(recipe, 0)[0].eval().requires_grad_(False)
    copy_into(generator.state_dict(), under(tensors, "generator"), str(path))
    return generator, recipe


def traits(x: Tensor) -> dict[str, Tensor]:
    """What the operations would change in pictures (N, 3, H, W) in [-1, 1]: (N,) each.

    Light (mean), contrast (standard deviation), colorfulness (mean distance from the pixel's
    gray), the share of pixels in the middle gray that holes and shifts leave behind, and, for the
    mirror, how much lighter the left half is than the right.
    """
    gray = x.mean(1, keepdim=True)  # (N, 1, H, W)
    left, right = x.chunk(2, dim=3)  # (N, 3, H, W / 2) each
    return {
        "light": x.flatten(1).mean(1),
        "contrast": x.flatten(1).std(1),
        "color": (x - gray).abs().flatten(1).mean(1),
        "gray": (x.abs().amax(1) < 0.06).flatten(1).double().mean(1),
        "side": left.flatten(1).mean(1) - right.flatten(1).mean(1),
    }


def leak(seed: int, ways: tuple[str, ...]) -> Record:
    """Mean and spread of the traits of pictures: real ones, planted leaks, and generators.

    "membership": how often a training picture lies nearer to 1,000 generated ones than a held-out.
    """
    n, rng = 1_000, torch.Generator().manual_seed(seed)
    new = load_images("atelier", size=16, n=n, seed=FRESH_SEED, styles=STYLES, progress=False)
    real = to_float(new.images)
    looked = {"real": real}
    for p in (0.1, 0.6, 1.0):  # how much of a planted leak would be seen
        draws = augment.draw(n, (16, 16), POLICY, p, rng)
        looked[f"planted-{p:g}"] = augment.apply(real, draws).clamp(-1, 1)
    draws = augment.draw(n, (16, 16), WAYS[ways[-1]].get("policy", POLICY), 0.1, rng)
    looked["planted-own-0.1"] = augment.apply(real, draws).clamp(-1, 1)  # of the way's own policy
    pictures, split = pictures_of(seed, 100)
    net = gb.extractor(device="cpu")
    known, unknown = (net(pictures.images[i])[None] for i in (split.train, split.test))
    copying = {}
    for way in ways:
        for kept in ("best", "final"):
            path = RUNS / f"n100-{way}-seed{seed}" / f"{kept}.safetensors"
            if way in ("gentle", "always") and not path.exists():
                continue  # not measured for this seed
            generator, recipe = open_generator(path)
            made = samples(generator, recipe, n, seed=0)
            looked[f"{way}-{kept}"] = to_float(made)
            copying[f"{way}-{kept}"] = membership(known, unknown, net(made))[0]
    found: Record = {"seed": seed, "membership": copying}
    for name, x in looked.items():
        found[name] = {}
        for key, value in traits(x).items():
            found[name] |= {key: float(value.mean()), f"{key}_sd": float(value.std())}
    return found


def at(curve: list[dict[str, Any]], key: str, images: int) -> float:
    return next(point[key] for point in curve if point["images"] >= images)


def summary() -> Record:
    """Means over the seeds there are: curves, gaps, what stopping early would have delivered."""
    cells = gb.load_results("small-data")
    found: Record = {"seeds": list(SEEDS)}
    pairs = {f"n{n}": (f"n{n}", "plain", "augmented") for n in SIZES}
    pairs["n100-weak"] = "n100", "weak", "weak-augmented"
    for name in ("shapes", "mirror", "whole", "flipped", "shifts", "flipped-shifts"):
        pairs[f"n100-{name}"] = "n100", "weak", f"weak-{name}"
    pairs["confirm-n100"] = "confirm-n100", *CONFIRMED
    for label, (prefix, *ways) in pairs.items():
        rows = {
            role: [r for name, r in cells.items() if name.startswith(f"{prefix}-{way}-seed")]
            for role, way in zip(("plain", "augmented"), ways, strict=True)
        }
        seeds = {way: [row["seed"] for row in some] for way, some in rows.items()}
        if not all(rows.values()):
            continue
        part: Record = {"seeds": seeds}
        for way, some in rows.items():
            moments_ = [point["images"] for point in some[0]["curve"]]
            curve = [statistics.mean(at(r["curve"], "kid", m) for r in some) for m in moments_]
            chosen = [min(r["curve"], key=lambda p: p["validation_kid"]) for r in some]
            gaps = [
                statistics.mean(p["train"] - p["held_out"] for p in r["curve"][-5:]) for r in some
            ]
            part[way] = {
                "images": moments_,
                "kid": curve,
                **hump(moments_, curve),
                **spread("final", [r["final_kid"] for r in some]),
                **spread("stopped", [p["kid"] for p in chosen]),
                "stopped_images": [p["images"] for p in chosen],
                **spread("gap", gaps),
            }
        plain, augmented = part["plain"], part["augmented"]
        part["rise"] = plain["peak"] / plain["early"] - 1
        part["gap_share"] = augmented["gap"] / plain["gap"]
        part["gain"] = 1 - augmented["final"] / plain["final"]
        lower = [a < b for a, b in zip(augmented["kid"], plain["kid"], strict=True)]
        if lower[-1]:  # from here on augmentation stays ahead
            part["crossing"] = plain["images"][len(lower) - [*lower[::-1], False].index(False)]
        found[label] = part
    return found


def hump(images: list[int], curve: list[float]) -> dict[str, float]:
    """The lowest KID of the first quarter of a million images, the highest after it, the last."""
    early = min(kid for seen, kid in zip(images, curve, strict=True) if seen <= 256_000)
    start = curve.index(early)
    peak = max(curve[start:])
    return {
        "early": early,
        "early_images": images[start],
        "peak": peak,
        "peak_images": images[curve.index(peak, start)],
        "last": curve[-1],
    }


def spread(name: str, values: list[float]) -> dict[str, Any]:
    more = {f"{name}_sd": statistics.stdev(values)} if len(values) > 1 else {}
    return {name: statistics.mean(values), f"{name}_all": values, **more}


CELLS: dict[str, Cell] = {
    f"n100-{way}-seed{seed}": partial(cell, 100, way, seed, IMAGES[100])
    for seed in SEEDS
    for way in (
        *("plain", "augmented", "weak", "weak-augmented", "weak-shapes", "weak-mirror"),
        *("weak-whole", "weak-flipped", "weak-shifts", "weak-flipped-shifts"),
    )
}
CELLS |= {
    f"n{n}-{way}-seed{seed}": partial(cell, n, way, seed, IMAGES[n])
    for seed in SEEDS
    for n in SIZES[1:]
    for way in ("plain", "augmented")
}
CELLS |= {
    f"tune-{style}-{way}-seed{seed}": partial(tuned, style, way, seed)
    for style in ("fields", "truchet")
    for seed in SEEDS
    for way in ("tuned", "scratch")
}
CELLS |= {f"n100-always-seed{s}": partial(cell, 100, "always", s, 256_000) for s in SEEDS}
CELLS |= {f"n100-gentle-seed{s}": partial(cell, 100, "gentle", s, 320_000) for s in SEEDS}
CELLS |= {f"n100-adaptive-seed{s}": partial(cell, 100, "adaptive", s, 512_000) for s in SEEDS}
CELLS |= {
    f"confirm-n100-{way}-seed{seed}": partial(cell, 100, way, seed, IMAGES[100])
    for seed in CONFIRMING
    for way in CONFIRMED
}
LEAKS: dict[str, tuple[str, ...]] = {
    "leak": ("plain", "augmented", "gentle", "always"),
    "leak-weak": ("weak-augmented",),
    "leak-shapes": ("weak-shapes",),
    "leak-mirror": ("weak-mirror",),
    "leak-whole": ("weak-whole",),
    "leak-flipped": ("weak-flipped",),
    "leak-shifts": ("weak-shifts",),
    "leak-flipped-shifts": ("weak-flipped-shifts",),
    "leak-plain-weak": ("weak",),
}
CELLS |= {f"{name}-seed{s}": partial(leak, s, ways) for name, ways in LEAKS.items() for s in SEEDS}
CELLS |= {f"confirm-leak-seed{s}": partial(leak, s, CONFIRMED) for s in CONFIRMING}
CELLS["summary"] = summary
FOR_A_GPU: dict[str, Cell] = {
    f"long-n300-{way}-seed{s}": partial(cell, 300, way, s, LONG)
    for s in SEEDS
    for way in ("plain", "augmented")
}


def show(record: Record) -> str:
    return f"KID {record['final_kid']:.3f}" if "final_kid" in record else ""


if __name__ == "__main__":
    arguments = grid_parser(__doc__ or "").parse_args()
    wanted = FOR_A_GPU if any(name.startswith("long") for name in arguments.cells) else CELLS
    run_grid("small-data", wanted, arguments, show=show, device=str(device()))
