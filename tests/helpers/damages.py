"""Known damages of growing strength: what a metric has to rank in the right order."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional


def blur(images: Tensor, sigma: float, rng: torch.Generator) -> Tensor:
    """Gaussian blur; sigma in pixels of a picture 64 wide."""
    from torchvision.transforms.functional import gaussian_blur

    sigma = sigma * images.shape[-1] / 64
    return gaussian_blur(images, 2 * max(1, round(3 * sigma)) + 1, sigma)


def noise(images: Tensor, deviation: float, rng: torch.Generator) -> Tensor:
    """Normal noise on every pixel and channel; deviation in levels of 255."""
    grain = torch.randn(images.shape, generator=rng)
    return (images + deviation * grain).round().clamp(0, 255).byte()


def posterize(images: Tensor, levels: float, rng: torch.Generator) -> Tensor:
    """So many levels for each channel."""
    steps = levels - 1
    return ((images.float() / 255 * steps).round() / steps * 255).round().byte()


def fade(images: Tensor, contrast: float, rng: torch.Generator) -> Tensor:
    """Less contrast around middle gray."""
    return ((images.float() - 127.5) * contrast + 127.5).round().byte()


def jpeg(images: Tensor, quality: float, rng: torch.Generator) -> Tensor:
    """Compressed and decoded again."""
    from torchvision.io import decode_jpeg, encode_jpeg

    return torch.stack([decode_jpeg(encode_jpeg(x, int(quality))) for x in images])


def shuffle(images: Tensor, swaps: float, rng: torch.Generator) -> Tensor:
    """Cut into 4 x 4 tiles, so many of which change places: texture stays, layout goes."""
    n, _, h, w = images.shape
    tiles = functional.unfold(images.float(), (h // 4, w // 4), stride=(h // 4, w // 4))
    order = torch.arange(16).repeat(n, 1)
    for i in range(n):
        moved = torch.randperm(16, generator=rng)[: int(swaps)]
        order[i, moved] = order[i, moved.roll(1)]
    tiles = tiles.gather(2, order[:, None].expand_as(tiles))
    side = (h // 4 * 4, w // 4 * 4)
    return functional.fold(tiles, side, (h // 4, w // 4), stride=(h // 4, w // 4)).byte()


Damage = Callable[[Tensor, float, torch.Generator], Tensor]
# Kinds of damage and their strengths, weakest first. The extractor learned from the first three.
KNOWN: Mapping[str, tuple[Damage, tuple[float, ...]]] = {
    "blur": (blur, (1.2, 1.8, 2.6, 4.0)),
    "noise": (noise, (16, 32, 48, 64)),
    "posterize": (posterize, (4, 3, 2)),
}
UNKNOWN: Mapping[str, tuple[Damage, tuple[float, ...]]] = {
    "fade": (fade, (0.8, 0.6, 0.4, 0.2)),
    "jpeg": (jpeg, (50, 20, 8, 3)),
    "shuffle": (shuffle, (4, 8, 16)),
}
# Damage at the edge of what 300 pictures can show.
FAINT: Mapping[str, tuple[Damage, tuple[float, ...]]] = {
    "blur": (blur, (0.6,)),
    "noise": (noise, (8,)),
    "posterize": (posterize, (8,)),
    "jpeg": (jpeg, (90,)),
}


def without(groups: Tensor, dropped: int, order: Tensor) -> Tensor:
    """Mask (N,) of the pictures left when the first so many groups of `order` are missing."""
    return ~torch.isin(groups, order[:dropped])


def color_groups(images: Tensor, groups: int = 8) -> Tensor:
    """Groups (N,) of equal size by the first principal component of the mean color."""
    color = images.float().mean((2, 3)).expand(-1, 3)  # (N, 3)
    axis = torch.linalg.svd(color - color.mean(0), full_matrices=False).Vh[0]
    rank = (color @ axis).argsort().argsort()
    return rank * groups // len(images)
