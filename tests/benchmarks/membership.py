"""Who was among the training pictures? Attacks on small GANs trained on 100, 300 and 1,000.

    python tests/benchmarks/membership.py --train n100-plain-seed0     # one run, 15 seconds
    python tests/benchmarks/membership.py                              # every cell without a result

Atelier pictures at 16 x 16, all styles; two arms, "plain" and "augmented" (DiffAugment's color,
translation and cutout on what D sees, each with probability 0.6), three seeds with different
pictures. Nothing is held out: members are exactly the n training pictures, strangers are 1,000
fresh pictures of the same law. Runs lie in `runs/membership/` and are trained where missing.

Scores, larger for "was a member": the discriminator's logit (Hayes et al. 2019); minus the
distance in pixels to the nearest of the generator's samples (Chen et al. 2020); and each of them
minus its mean over the runs of the other seeds, which saw other pictures (difficulty calibration).
A cell with fewer than three runs trained uses what is there; run it with `--again` later.
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
from torch import Tensor, nn

from gan_book import checkpoints as files
from gan_book.checkpoints import checkpoint_path
from gan_book.data import ImageSet, load_images, to_float
from gan_book.features import extractor
from gan_book.memorization import membership
from gan_book.metrics import kernel_distance
from gan_book.model import samples
from gan_book.models import build_discriminator, build_generator
from gan_book.recipes import Recipe, recipe
from gan_book.runs import train
from tests.benchmarks.grids import Cell, Record, grid_parser, run_grid

NAME, SEEDS = "membership", (0, 1, 2)
RUNS = Path(__file__).parents[2] / "runs" / NAME
COUNTS, ARMS = (100, 300, 1_000), ("plain", "augmented")
IMAGES, EVERY = 25_600, 6_400  # real images that D sees; a checkpoint each
STRANGERS, MADE = 1_000, 1_000
FEW = 400  # pictures on each side of a KID
NET = {"model": "dcgan", "width": 16}


def chosen(arm: str) -> Recipe:
    """The recipe small-16: half the width, small batches, a constant rate, little penalty."""
    extra = {
        "augment": "fixed", "augment_p": 0.6, "policy": ("color", "translation", "cutout"),
    }  # fmt: skip
    return recipe(
        "small-16",
        name=f"membership-{arm}",
        total_images=IMAGES,
        generator={**NET, "z_dim": 64},
        discriminator=NET,
        batch_size=32,
        lr=1e-3,
        r1=0.01,
        r2=0.01,
        checkpoint_every=EVERY,
        sample_every=EVERY,
        keep_checkpoints=10,
        **(extra if arm == "augmented" else {}),
    )


def members(n: int, seed: int) -> ImageSet:
    """The n training pictures; of one seed, fewer are the first of more."""
    return load_images("atelier", size=16, n=max(COUNTS), seed=500 + seed).subset(range(n))


@lru_cache
def strangers(seed: int = 490) -> Tensor:
    return load_images("atelier", size=16, n=STRANGERS, seed=seed).images


def folder(n: int, arm: str, seed: int) -> Path:
    return RUNS / f"n{n}-{arm}-seed{seed}"


def trained(n: int, arm: str, seed: int) -> Path:
    """The run's folder; trained, or trained to its end, where it is not."""
    place = folder(n, arm, seed)
    last = checkpoint_path(place / "checkpoints", chosen(arm).total_steps)
    if not last.exists():
        train(
            chosen(arm), members(n, seed), place, seed=seed, holdout=0, device="cpu",
            resume=(place / "recipe.json").exists(), progress=False,
        )  # fmt: skip
    return place


def networks(path: Path) -> tuple[nn.Module, nn.Module, Recipe]:
    """The averaged generator and the discriminator of one checkpoint, in eval mode."""
    tensors, _ = files.load_tensors(path)
    made = chosen("augmented" if "augmented" in str(path) else "plain")
    nets = (
        build_generator(**made.network_options(made.generator)),
        build_discriminator(**made.network_options(made.discriminator)),
    )
    for net, part in zip(nets, ("average", "discriminator"), strict=True):
        files.copy_into(net.state_dict(), files.under(tensors, part), str(path))
    return nets[0].eval(), nets[1].eval(), made


@torch.no_grad()
def logits(net: nn.Module, x: Tensor) -> Tensor:
    """uint8 (n, C, H, W) -> (n,) float64."""
    return torch.cat([net(to_float(part)).double().flatten() for part in x.split(256)])


def nearness(x: Tensor, keys: Tensor) -> Tensor:
    """Minus the distance of each row of x (n, d) to the nearest row of keys; (n,)."""
    return -torch.cdist(x.double(), keys.double()).min(1).values


def pixels(x: Tensor) -> Tensor:
    """uint8 (n, C, H, W) -> (n, d) in units in which the root mean square is that of 255 levels."""
    return x.flatten(1).double() / x[0].numel() ** 0.5


def report(score: Tensor, n: int) -> Record:
    """AUC with interval and true positive rates; the first n scores are the members'."""
    found = membership(score[:n], score[n:])
    return {
        "auc": found.auc,
        "low": found.low,
        "high": found.high,
        "tpr_at_1": found.rate(0.01),
        "tpr_at_10": found.rate(0.1),
    }


def runs_of(n: int, arm: str) -> list[int]:
    """The seeds to attack: those that are trained, or all, trained now, where none is."""
    last = chosen(arm).total_steps
    there = [s for s in SEEDS if checkpoint_path(folder(n, arm, s) / "checkpoints", last).exists()]
    return there or [s for s in SEEDS if trained(n, arm, s)]


def cell(n: int, arm: str) -> Record:
    seeds, net = runs_of(n, arm), extractor(device="cpu")
    paths = {s: files.checkpoint_files(folder(n, arm, s) / "checkpoints") for s in seeds}
    nets = {s: networks(paths[s][-1]) for s in seeds}
    made = {s: samples(g, r, MADE, seed=9) for s, (g, _, r) in nets.items()}
    outside, rows = net(strangers()[:FEW]), []
    for seed in seeds:
        x = torch.cat([members(n, seed).images, strangers(), strangers(491)])
        by = {
            "logit": {s: logits(d, x) for s, (_, d, _) in nets.items()},
            "pixels": {s: nearness(pixels(x), pixels(m)) for s, m in made.items()},
        }
        row: Record = {"seed": seed}
        for attack, score in by.items():
            own, control = score[seed][: n + STRANGERS], score[seed][n:]
            row[attack] = report(own, n)
            row[f"{attack}_control"] = report(control, STRANGERS)  # strangers against strangers
            others = [score[s] for s in seeds if s != seed]
            if others:
                mean = torch.stack(others).mean(0)[: n + STRANGERS]
                row[f"{attack}_calibrated"] = report(own - mean, n)
        kid = kernel_distance(net(made[seed][:FEW]), outside)
        row["kid"], row["kid_error"] = kid.value, kid.standard_error
        row["curve"] = [
            {
                "images": int(path.stem.removeprefix("step-")) * nets[seed][2].batch_size,
                "logit": report(logits(networks(path)[1], x[: n + STRANGERS]), n)["auc"],
            }
            for path in paths[seed]
        ]
        rows.append(row)
    return {
        "seeds": seeds,
        "n": n,
        "arm": arm,
        "images": IMAGES,
        "strangers": STRANGERS,
        "made": MADE,
        "features_of": FEW,
        "extractor": net.facts(),
        "runs": rows,
    }


CELLS: dict[str, Cell] = {
    f"n{n}-{arm}": lambda n=n, arm=arm: cell(n, arm)  # type: ignore[misc]
    for n in COUNTS
    for arm in ARMS
}


def show(record: Record) -> str:
    names = ("logit", "logit_calibrated", "logit_control", "pixels", "pixels_calibrated")
    return "".join(
        "\n" + " ".join(f"{k} {r[k]['auc']:.3f}" for k in names if k in r) + f" kid {r['kid']:.4f}"
        for r in record["runs"]
    )


if __name__ == "__main__":
    parser = grid_parser(__doc__ or "")
    parser.add_argument("--train", metavar="RUN", help="train one run, such as n100-plain-seed0")
    arguments = parser.parse_args()
    if arguments.train:
        torch.set_num_threads(1)
        count, arm, seed = arguments.train.removeprefix("n").split("-")
        trained(int(count), arm, int(seed.removeprefix("seed")))
    else:
        run_grid(NAME, CELLS, arguments, show=show)
