"""Two ideas of FastGAN for few pictures (Liu et al., 2021, arXiv 2101.04775), at any size.

G has skip-layer excitation: a small map gates the channels of a larger one. D is self-supervised:
from its last map, a decoder that is thrown away after training rebuilds real pictures, so that the
map cannot keep only what tells one training picture from another.
Ours, unlike theirs: no normalization (R1 and R2 do its work), skips over two doublings instead of
four, one decoder instead of three, squared error instead of LPIPS, one logit a picture.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import checks
from .dcgan import DCGANDiscriminator
from .layers import LabelledLatent, init_normal, zero_

GLU_GAIN = 1.7267
"""g with g^2 E s(g n)^2 = 1 for n ~ N(0, 1) and the sigmoid s: keeps E[x^2] through layer + GLU."""


def _layer(layer: nn.Linear | nn.Conv2d, gain: float) -> Any:
    init_normal(layer.weight, gain)
    zero_(layer.bias)
    return layer


class _Up(nn.Module):
    """(N, in, H, W) -> (N, out, 2H, 2W): repeat pixels, 3 x 3 convolution, gated linear unit."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = _layer(nn.Conv2d(cin, 2 * cout, 3, 1, 1), GLU_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0)  # (N, in, 2H, 2W)
        return F.glu(self.conv(x), 1)  # (N, out, 2H, 2W)


class SkipExcitation(nn.Module):
    """Gates from a small map, one for each channel of a large one (equation 1 of the paper).

    (N, low, h * k, w * k), (N, high, H, W) -> (N, high, H, W): the large map times gates in
    (0, 2), 1 on average at the start, from a pooled (h, w) map. Theirs lie in (0, 1), before a
    normalization.
    """

    def __init__(self, low: int, high: int, grid: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.pool = pool
        self.squeeze = _layer(nn.Conv2d(low, high, grid), 1.0)
        self.gate = _layer(nn.Conv2d(high, high, 1), 1.0)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        s = self.squeeze(F.avg_pool2d(low, self.pool))  # (N, high, 1, 1)
        return high * 2 * torch.sigmoid(self.gate(F.silu(s)))  # (N, high, H, W)


class FastGANGenerator(nn.Module):
    """Pictures from latent vectors: z (N, z_dim) -> (N, channels, H, W) in (-1, 1).

    A start grid, doublings with 3 x 3 convolutions and gated linear units, and skip-layer
    excitation from each resolution to that ``skip`` doublings above; a convolution and tanh end
    it. ``width``: channels at the full resolution, doubled at each lower one up to ``max_width``
    (default 8 width). Sizes, ``start`` and labels as in ``DCGANGenerator``.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        z_dim: int = 100,
        width: int = 32,
        max_width: int | None = None,
        skip: int = 2,
        start: int | tuple[int, int] | None = None,
        embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, self.z_dim = checks.picture(
            size, channels, num_classes, z_dim
        )
        self.sample_shape = (self.channels, *self.size)
        self.start, doublings = checks.start_grid(self.size, start)
        self.skip = checks.whole("skip", skip)
        widths = checks.widths(width, max_width, doublings + 1)[::-1]  # from the start grid up
        embedding = z_dim if embedding is None else checks.whole("embedding", embedding)

        self.latent = LabelledLatent(z_dim, num_classes, embedding)
        cells = self.start[0] * self.start[1]
        self.first = _layer(nn.Linear(self.latent.features, 2 * widths[0] * cells), GLU_GAIN)
        self.ups = nn.ModuleList(_Up(a, b) for a, b in pairwise(widths))
        self.gates = nn.ModuleList(
            SkipExcitation(a, b, self.start, 1 << i)
            for i, (a, b) in enumerate(zip(widths, widths[self.skip :], strict=False))
        )
        self.last = _layer(nn.Conv2d(widths[-1], self.channels, 3, 1, 1), 1.0)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = self.latent(z, labels)  # (N, z_dim [+ embedding])
        x = F.glu(self.first(z).unflatten(1, (-1, *self.start)), 1)  # (N, C0, h, w)
        maps = [x]
        for i, up in enumerate(self.ups, start=1):
            x = up(x)  # (N, Ci, h * 2^i, w * 2^i)
            if i >= self.skip:
                x = self.gates[i - self.skip](maps[i - self.skip], x)  # the same shape
            maps.append(x)
        return torch.tanh(self.last(x))  # (N, channels, H, W)


class FastGANDiscriminator(DCGANDiscriminator):
    """``DCGANDiscriminator`` that also learns to rebuild real pictures: (N, C, H, W) -> (N,).

    ``auxiliary_loss`` is added to D's loss by ``DiscriminatorObjective``.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        width: int = 32,
        max_width: int | None = None,
        start: int | tuple[int, int] | None = None,
    ) -> None:
        options: Any = {"num_classes": num_classes, "max_width": max_width, "start": start}
        super().__init__(size, channels, width=width, **options)
        widths = checks.widths(width, max_width, len(self.convs))[::-1]  # of the last map and up
        ups = [_Up(a, b) for a, b in pairwise(widths)]
        last = _layer(nn.Conv2d(widths[-1], self.channels, 3, 1, 1), 1.0)
        self.decoder = nn.Sequential(*ups, last, nn.Tanh())

    def rebuild(self, x: Tensor) -> Tensor:
        """The picture at half its size, from the last map: (N, C, H, W) -> (N, C, H/2, W/2)."""
        return self.decoder(self.maps(x)[-1])

    def auxiliary_loss(self, x: Tensor) -> Tensor:
        """Mean squared error of ``rebuild`` in units of [-1, 1]: real pictures (N, ...) -> 0-d."""
        return F.mse_loss(self.rebuild(x), F.avg_pool2d(x, 2))
