"""Who is compared with what people install instead, and the settings each may try; named before
the first run that counts.

A row is a way to train, a setting one choice of its numbers. Every row of a size may try as many
settings; the choice falls on validation pictures, at a quarter of the time, with a seed of its own.

- ``ours``: the package's recipe, in full precision;
- ``ours-bf16``: the same in bf16, for CPUs that have units for it; it tries nothing of its own;
- ``dcgan``: the DCGAN of 2015 with its own loss and Adam, in our loop, with averaged weights;
- ``mimicry-sngan``: SNGAN of torch-mimicry, its networks, its losses and its steps;
- ``torchgan-dcgan``: DCGAN of torchgan, likewise;
- ``lightweight-gan`` and ``stylegan2-pytorch``: on a GPU only;
- ``ours-narrow``: the recipe at half its width. Added after the first round, in which torchgan's
  network, the only narrow one among the settings, beat ours with averaged weights.

The first setting of a library's row is the one that its introduction shows; the others suit short
runs: networks about as large as ours or smaller, higher rates. Three runs of 40 s went before, all
for mimicry-sngan: what width and rate suit a processor, where its own would make three steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Options = dict[str, Any]
SECONDS = {32: 120.0, 64: 1_200.0, 128: 3_600.0}  # of training in a run, by size of pictures
BASES = {32: "small-32", 64: "dcgan-64", 128: "dcgan-64"}  # our recipe for each size
TRIAL, TRIAL_SEED, SEEDS = 0.25, 7, range(3)  # a trial's share of the time; its seed; the others
LOOKS, PARTS = (1, 2, 4), 8  # eighths of a run after which some pictures are measured
EMA = 10_000  # half-life of averaged weights in images, for every row


@dataclass(frozen=True)
class Row:
    """One competitor: who trains it, and the settings it tries."""

    trainer: str  # a name in peers_trainers.TRAINERS
    settings: tuple[Options, ...]
    options: Options = field(default_factory=dict)  # beside every setting
    borrows: str = ""  # the row whose choice it takes instead of trying
    package: str = ""  # what has to be installed


CLASSIC: Options = {  # the DCGAN of 2015 in terms of our recipes
    "generator": {"batch_norm": True},
    "discriminator": {"batch_norm": True},
    "loss": "non-saturating",
    "r1": 0.0,
    "r2": 0.0,
    "beta1": 0.5,
    "beta2": 0.999,
    "d_lr_factor": 1.0,
    "policy": (),
    "augment": "none",
}

OURS = Row(
    "ours",
    (
        {"batch": 64, "rate": 1.0},  # the recipe as it is
        {"batch": 64, "rate": 3.0},
        {"batch": 32, "rate": 2.0},
    ),
)
BASELINE = Row(
    "ours",
    (
        {"batch": 64, "lr": 2e-4},  # of 2015
        {"batch": 64, "lr": 1e-3},
        {"batch": 64, "lr": 3e-3},
    ),
    options={"changes": CLASSIC},
)
HALF = Row("ours", (), options={"precision": "bf16"}, borrows="ours")
NARROW = Row(
    "ours",
    (
        {"batch": 64, "rate": 1.0},
        {"batch": 64, "rate": 2.0},
        {"batch": 32, "rate": 2.0},
    ),
    options={"changes": {"generator": {"width": 16}, "discriminator": {"width": 16}}},
)
CPU_ROWS = {
    "ours": OURS,
    "dcgan": BASELINE,
    "mimicry-sngan": Row(
        "mimicry",
        (
            {"ngf": 256, "ndf": 128, "n_dis": 5, "batch": 64, "lr": 2e-4},
            {"ngf": 64, "ndf": 32, "n_dis": 5, "batch": 64, "lr": 2e-4},
            {"ngf": 32, "ndf": 32, "n_dis": 1, "batch": 64, "lr": 2e-3},
        ),
        package="torch_mimicry",
    ),
    "torchgan-dcgan": Row(
        "torchgan",
        (
            {"step": 16, "batch": 128, "lr": 2e-4},
            {"step": 30, "batch": 64, "lr": 2e-4},
            {"step": 16, "batch": 64, "lr": 1e-3},
        ),
        package="torchgan",
    ),
    "ours-narrow": NARROW,
    "ours-bf16": HALF,
}
GPU_ROWS = {
    "ours": OURS,
    "dcgan": BASELINE,
    "lightweight-gan": Row(
        "lightweight-gan",
        (
            {"batch": 10, "accumulate": 4, "lr": 2e-4},  # of its command line
            {"batch": 32, "accumulate": 1, "lr": 2e-4},
            {"batch": 64, "accumulate": 1, "lr": 4e-4},
        ),
        package="lightweight_gan",
    ),
    "stylegan2-pytorch": Row(
        "stylegan2-pytorch",
        (
            {"batch": 5, "accumulate": 6, "lr": 2e-4, "capacity": 16},  # of its command line
            {"batch": 32, "accumulate": 1, "lr": 2e-4, "capacity": 16},
            {"batch": 32, "accumulate": 1, "lr": 1e-3, "capacity": 8},
        ),
        package="stylegan2_pytorch",
    ),
    "ours-bf16": HALF,
}
ROWS = {32: CPU_ROWS, 64: GPU_ROWS, 128: GPU_ROWS}
