"""Named sizes: each entry builds a generator and its discriminator, freshly initialized.

The numbers of parameters are tested. "Dense" sizes are for CPUs, grouped ones for GPUs. The
published R3GAN sizes are those of Huang et al. (2024), the classic DCGAN that of Radford et al.
(2015).

| name | pictures | G | D |
| --- | --- | ---: | ---: |
| points | 2-D points, MLPs 4 x 64 | 12,802 | 12,736 |
| dcgan-16 | 16 x 16, no normalization, base width 32, z 64 | 100,899 | 35,424 |
| dcgan-32 | 32 x 32, no normalization, base width 32, z 64 | 298,595 | 167,648 |
| dcgan-64 | 64 x 64, no normalization, base width 64, z 100 | 3,583,427 | 2,764,736 |
| dcgan-64-classic | 64 x 64, batch normalization in both | 3,576,704 | 2,765,568 |
| r3gan-16-dense | 16 x 16, widths 64, 32, 8, expansion 1 | 64,680 | 60,648 |
| r3gan-32-dense | 32 x 32, widths 96, 48, 24, 8, expansion 1 | 147,768 | 141,720 |
| r3gan-cifar10 | 32 x 32, 10 classes | 20,781,952 | 21,280,512 |
| r3gan-ffhq-64 | 64 x 64 | 22,429,824 | 22,381,440 |
| r3gan-ffhq-256 | 256 x 256 | 23,057,952 | 23,009,568 |
| r3gan-imagenet-32 | 32 x 32, 1,000 classes | 82,914,304 | 86,548,992 |
| r3gan-imagenet-64 | 64 x 64, 1,000 classes | 103,570,432 | 107,205,120 |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from gan_book.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_book.models.mlp import MLPDiscriminator, MLPGenerator
from gan_book.models.r3gan import R3GANDiscriminator, R3GANGenerator

Pair = tuple[nn.Module, nn.Module]


def _pair(
    generator: type[nn.Module], discriminator: type[nn.Module], z_dim: int, **options: Any
) -> Pair:
    return generator(z_dim=z_dim, **options), discriminator(**options)


_mlp = partial(_pair, MLPGenerator, MLPDiscriminator)
_dcgan = partial(_pair, DCGANGenerator, DCGANDiscriminator)
_r3gan = partial(_pair, R3GANGenerator, R3GANDiscriminator, 64)
_dense = partial(_r3gan, group_width="dense", blocks=1, expansion=1)

SIZES: dict[str, Callable[[], Pair]] = {
    "points": partial(_mlp, 2),
    "dcgan-16": partial(_dcgan, 64, size=16, width=32),
    "dcgan-32": partial(_dcgan, 64, size=32, width=32),
    "dcgan-64": partial(_dcgan, 100, size=64, width=64),
    "dcgan-64-classic": partial(_dcgan, 100, size=64, width=64, batch_norm=True),
    "r3gan-16-dense": partial(_dense, size=16, widths=[64, 32, 8]),
    "r3gan-32-dense": partial(_dense, size=32, widths=[96, 48, 24, 8]),
    "r3gan-cifar10": partial(_r3gan, size=32, widths=[768] * 4, num_classes=10),
    "r3gan-ffhq-64": partial(_r3gan, size=64, widths=[768, 768, 768, 768, 384]),
    "r3gan-ffhq-256": partial(_r3gan, size=256, widths=[768, 768, 768, 768, 384, 192, 96]),
    "r3gan-imagenet-32": partial(
        _r3gan, size=32, widths=[1536] * 4, group_width=32, num_classes=1000
    ),
    "r3gan-imagenet-64": partial(
        _r3gan, size=64, widths=[1536] * 5, group_width=32, num_classes=1000
    ),
}
