"""What tests share: a recipe that takes milliseconds a step, and pictures for it."""

from __future__ import annotations

from typing import Any

import torch

from gan_book.data.imageset import ImageSet
from gan_book.recipes import Recipe, from_dict

TINY: dict[str, Any] = {
    "name": "tiny",
    "size": [8, 8],
    "generator": {"model": "dcgan", "width": 4, "z_dim": 4},
    "discriminator": {"model": "dcgan", "width": 4},
    "batch_size": 8,
    "total_images": 8 * 60,
    "r1": {"start": 1.0, "end": 0.1, "images": 240},
    "r2": {"start": 1.0, "end": 0.1, "images": 240},
    "lr": {"start": 1e-3, "end": 1e-4, "images": 480},
    "ema_half_life": 100,
    "precision": "fp32",
    "log_every": 16,
    "sample_every": 160,
    "checkpoint_every": 32,
}

ADAPTIVE = {
    "policy": ["color", "translation", "cutout"],
    "augment": "adaptive",
    "augment_speed_images": 800,
    "flip": True,
}


def tiny(**changes: Any) -> Recipe:
    """The tiny recipe with some settings changed."""
    return from_dict(TINY | changes)


def pictures(n: int = 40, size: int = 8, classes: int = 0, seed: int = 0) -> ImageSet:
    """Random uint8 pictures, labelled in turn where classes are asked for."""
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (n, 3, size, size), generator=rng, dtype=torch.uint8)
    labels = torch.arange(n) % classes if classes else None
    return ImageSet(pixels, name="noise", licence="none", labels=labels)
