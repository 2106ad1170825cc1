"""Conditional GANs: three ways to tell the label, a long tail of kinds, and creative networks.

    python tests/benchmarks/conditional.py              # every cell without a result, 2 hours
    python tests/benchmarks/conditional.py way-ac       # some cells, by the start of their name

Eight kinds of landscapes of 16 x 16: two styles in four palettes each; label = 4 * style + palette.
The same processor time in each cell of a group.

- way: concatenation, auxiliary classifier (AC-GAN), projection, on kinds in equal shares; three
  seeds.
- tail: each kind half as frequent as the one before, in an order that the seed turns; G
  unconditional or conditional; three seeds.
- can: a creative adversarial network, and the same with G's wish switched off; one seed, to look
  at.
- pairs: the 96 pairs of the Atelier at 32 x 32, with a vector for each pair or one for each style
  and each palette, and with penalties that fade or last; "shipped" is the model in data/models,
  "later" the same run where it was stopped (runs/atelier-32-pairs has to be there).
  One seed, 40 minutes each; the best checkpoint by KID on validation pictures is measured.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor, nn

import gan_book as gb
from gan_book.checkpoints import read_json
from gan_book.conditioning import (
    AmbiguityObjective,
    AuxiliaryObjective,
    ClassifyingDiscriminator,
    ConcatDiscriminator,
    ConditionalObjective,
    Labelled,
)
from gan_book.data import load_images, to_float, to_uint8
from gan_book.data.atelier import PALETTES, STYLES
from gan_book.features import extractor
from gan_book.fitting import Fit, fit
from gan_book.metrics import kernel_distance
from gan_book.metrics.classes import spread
from gan_book.models import build_discriminator, build_generator
from gan_book.plots import save_grid
from gan_book.results import results_folder
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid
from tests.benchmarks.showcase import pairs

NAME = "conditional"
CHOSEN, TINTS = ["dunes", "mist"], list(PALETTES)[:4]
K, Z, WIDTH, SIZE = len(CHOSEN) * len(TINTS), 32, 16, 16
SEEDS, BATCH, MADE, PICTURES = range(3), 32, 320, 2_000
EACH = 24  # pictures of each of the 96 pairs
RUNS = Path(__file__).parents[2] / "runs"
FADING = {key: {"start": 2.0, "end": 0.5, "images": 250_000} for key in ("r1", "r2")}
PAIR_LABELS = ("one-vector-fading", "two-vectors-fading", "shipped", "later")
SECONDS = {"way": 40.0, "tail": 40.0, "can": 40.0}
SURE = 0.9  # a picture is readable if the reader gives style and palette this probability
KINDS = [f"{style}, {tint}" for style in CHOSEN for tint in TINTS]


@lru_cache
def kinds(n: int, seed: int, shares: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """uint8 pictures (n, 3, 16, 16) and kinds (n,), in equal shares or in the given ones (K,)."""
    counts = torch.full((K,), n // K) if shares is None else (shares * n).round().long()
    counts[counts.argmax()] += n - counts.sum()
    parts = [
        load_images(
            "atelier", size=SIZE, n=int(counts[k]), seed=10 * seed + k,
            styles=[CHOSEN[k // len(TINTS)]], palettes=[TINTS[k % len(TINTS)]],
        ).images
        for k in range(K)
    ]  # fmt: skip
    return torch.cat(parts), torch.arange(K).repeat_interleave(counts)


@lru_cache
def real() -> tuple[Tensor, Tensor]:
    """Features and kinds of fresh pictures in equal shares."""
    images, labels = kinds(MADE, seed=1)
    return extractor()(images), labels


def read(images: Tensor) -> tuple[Tensor, Tensor]:
    """Kinds (N,) that the reader sees, -1 for any that is none of ours, and whether it is sure."""
    seen = extractor().read(images)  # type: ignore[attr-defined]
    style = torch.full((len(STYLES),), -99)
    for k, name in enumerate(CHOSEN):
        style[STYLES.index(name)] = k
    kind = 4 * style[seen.style] + seen.palette
    kind[(kind < 0) | (seen.palette >= len(TINTS))] = -1
    return kind, (seen.style_probability > SURE) & (seen.palette_probability > SURE)


def networks(way: str) -> ConditionalObjective:
    """Untrained, from torch's global generator."""
    conditional = way not in ("none", "can", "can-off")

    def judge(**options: Any) -> Any:
        return build_discriminator("dcgan", size=SIZE, width=WIDTH, **options)

    painter = build_generator(
        "dcgan", size=SIZE, width=WIDTH, z_dim=Z,
        num_classes=K if conditional else 0, embedding=16 if conditional else None,
    )  # fmt: skip
    if way == "concatenation":
        return ConditionalObjective(painter, ConcatDiscriminator(judge(channels=3 + K), K))
    if way == "projection":
        return ConditionalObjective(painter, judge(num_classes=K))
    if way == "ac":
        return AuxiliaryObjective(painter, ClassifyingDiscriminator(judge(), K))
    if way == "none":
        return ConditionalObjective(painter, judge())
    weight = 1.0 if way == "can" else 0.0
    return AmbiguityObjective(painter, ClassifyingDiscriminator(judge(), K), weight)


def train(way: str, seed: int, seconds: float, images: Tensor, labels: Tensor) -> Fit:
    torch.manual_seed(seed)
    objective = networks(way)
    x, rng = to_float(images), torch.Generator().manual_seed(seed)

    def batch() -> Any:
        index = torch.randint(len(x), (BATCH,), generator=rng)
        return Labelled(x[index], labels[index])

    return fit(
        objective, batch, rng, seconds=seconds, lr=2e-3, betas=(0.0, 0.99), ema_half_life=2_000
    )


@torch.no_grad()
def paint(done: Fit, labels: Tensor, seed: int) -> Tensor:
    """uint8 pictures, one for each label; a generator without classes ignores them."""
    z = torch.randn(len(labels), Z, generator=torch.Generator().manual_seed(1_000 + seed))
    return to_uint8(done.average.generator(z, labels))  # type: ignore[operator]


def judged(made: Tensor, asked: Tensor) -> dict[str, Any]:
    """Accuracy and variety of each kind, and KID, beside fresh real pictures."""
    truth, there = real()
    features, seen = extractor()(made), read(made)[0]
    right = seen == asked
    style, tint = seen // 4 == asked // 4, (seen % 4 == asked % 4) & (seen >= 0)
    ratio = spread(features, asked, K) / spread(truth, there, K)  # (K,)
    return {
        "accuracy": float(right.float().mean()),
        "style": float((style & (seen >= 0)).float().mean()),
        "palette": float(tint.float().mean()),
        "accuracy_by_kind": [float(right[asked == k].float().mean()) for k in range(K)],
        "spread": float(ratio.mean()),
        "spread_by_kind": ratio,
        "kid": kernel_distance(truth, features).value,
    }


def facts(done: Fit, seed: int) -> Record:
    log = {key: value for key, value in done.log[-1].items() if key != "step"}
    return {"seed": seed, "kinds": KINDS, "steps": done.steps, "images": done.images, "log": log}


def way(kind: str, seed: int) -> Record:
    done = train(kind, seed, SECONDS["way"], *kinds(PICTURES, seed=0))
    asked = torch.arange(MADE) % K
    return facts(done, seed) | judged(paint(done, asked, seed), asked)


def tail(kind: str, seed: int) -> Record:
    order = (torch.arange(K) + 3 * seed) % K  # kinds, the most frequent first
    shares = torch.empty(K).index_put((order,), 0.5 ** torch.arange(1.0, K + 1))
    images, labels = kinds(PICTURES, 0, shares / shares.sum())
    done = train("none" if kind == "unconditional" else "projection", seed, SECONDS["tail"],
                 images, labels)  # fmt: skip
    asked = torch.arange(MADE) % K
    made = paint(done, asked, seed)
    record = facts(done, seed) | {"order": order, "shown": torch.bincount(labels, minlength=K)}
    if kind == "conditional":
        return record | judged(made, asked)
    seen, sure = read(made)
    return record | {
        "made": MADE,
        "read": torch.bincount(seen[seen >= 0], minlength=K),
        "read_surely": torch.bincount(seen[sure & (seen >= 0)], minlength=K),
    }


def can(kind: str, seed: int) -> Record:
    done = train(kind, seed, SECONDS["can"], *kinds(PICTURES, seed=0))
    made = paint(done, torch.zeros(MADE, dtype=torch.long), seed)
    average: Any = done.average
    truth, _ = real()
    fresh, features = kinds(MADE, seed=1)[0], extractor()(made)
    if seed == 0:
        save_grid(made[:24], results_folder() / NAME / f"{kind}.png", columns=12, scale=3)
    record = facts(done, seed) | {
        "spread": float(torch.pdist(features).mean() / torch.pdist(truth).mean()),
        "kid": kernel_distance(truth, features).value,
    }
    for name, x in (("made", made), ("real", fresh)):
        with torch.no_grad():
            guess = average.discriminator(to_float(x))[1]  # (N, K)
        seen, sure = read(x)
        record[f"{name}_ambiguity"] = float(average.wish(guess, guess))
        record[f"{name}_readable"] = float((sure & (seen >= 0)).float().mean())
    return record


@lru_cache
def real_pairs() -> tuple[Tensor, Tensor]:
    """Features and labels of fresh pictures, EACH of every pair."""
    images = [
        load_images("atelier", size=32, n=EACH, seed=3, styles=[style], palettes=[tint]).images
        for style in STYLES
        for tint in PALETTES
    ]
    return extractor()(torch.cat(images)), torch.arange(len(images)).repeat_interleave(EACH)


@torch.no_grad()
def judged_pairs(generator: nn.Module) -> Record:
    """Obedience, variety and KID of a generator of the 96 pairs, and both by style."""
    truth, asked = real_pairs()
    z = torch.randn(len(asked), generator.z_dim, generator=torch.Generator().manual_seed(0))  # type: ignore[call-overload]
    made = to_uint8(generator(z, asked))  # (N, 3, 32, 32)
    features, seen = extractor()(made), extractor().read(made)  # type: ignore[attr-defined]
    tints, count = len(PALETTES), len(STYLES) * len(PALETTES)
    style, tint = seen.style == asked // tints, seen.palette == asked % tints  # (N,) each
    ratio = spread(features, asked, count) / spread(truth, asked, count)  # (96,)
    return {
        "made": len(made),
        "style": float(style.float().mean()),
        "palette": float(tint.float().mean()),
        "covered": int((style & tint).view(count, -1).any(1).sum()),
        "spread": float(ratio.mean()),
        "style_by_style": style.float().view(len(STYLES), -1).mean(1),
        "spread_by_style": ratio.view(len(STYLES), -1).mean(1),
        "kid": kernel_distance(truth, features).value,
    }


def pair_labels(kind: str) -> Record:
    if kind == "shipped":
        model = gb.load_model("atelier-32-pairs", device="cpu")
        facts = {"images": model.card["images seen"], "recipe": model.card["recipe"]}
        return {"seed": 0} | facts | judged_pairs(model.generator)
    if kind == "later":
        run = gb.load_run(RUNS / "atelier-32-pairs", device="cpu")
        facts = {"images": run.images_seen, "recipe": run.recipe.to_dict()}
        return {"seed": 0} | facts | judged_pairs(run.generator)
    recipe = gb.recipe("atelier-32-pairs", **FADING)
    if kind == "one-vector-fading":
        nets = {"generator": recipe.generator, "discriminator": recipe.discriminator}
        plain = {
            side: {k: v for k, v in net.items() if k != "factors"} for side, net in nets.items()
        }
        recipe = replace(recipe, **plain)
    folder = RUNS / f"pairs-{kind}"
    run = gb.train(recipe, pairs(32), folder, resume=True, select=True)
    facts = {"images": read_json(folder / "best.json")["images"], "trained": run.images_seen}
    return {"seed": 0} | facts | {"recipe": recipe.to_dict()} | judged_pairs(run.best.generator)


CELLS: dict[str, Cell] = {
    f"{name}-seed{seed}": partial(run, kind, seed)
    for seed in SEEDS
    for name, run, kind in (
        ("way-concatenation", way, "concatenation"),
        ("way-ac", way, "ac"),
        ("way-projection", way, "projection"),
        ("tail-unconditional", tail, "unconditional"),
        ("tail-conditional", tail, "conditional"),
    )
}
CELLS |= {f"{kind}-seed0": partial(can, kind, 0) for kind in ("can", "can-off")}
CELLS |= {f"pairs-{kind}": partial(pair_labels, kind) for kind in PAIR_LABELS}


def show(record: Record) -> str:
    keys = ("images", "accuracy", "spread", "kid", "made_ambiguity", "read_surely")
    return " ".join(f"{key} {record[key]}" for key in keys if key in record)


if __name__ == "__main__":
    run_grid(NAME, CELLS, grid_parser(__doc__ or "").parse_args(), show=show)
