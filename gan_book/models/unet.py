"""U-Nets: a generator from picture to picture, and a discriminator that also judges each pixel.

The shape is that of Ronneberger, Fischer and Brox (2015, arXiv 1505.04597): a way down, a way up,
and at each resolution a skip connection that hands over what the way down had there. As a
generator: Isola et al. (2016, arXiv 1611.07004). As a discriminator: Schoenfeld, Schiele and
Khoreva (2020, arXiv 2002.12655). The way down is that of ``DCGANDiscriminator``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import checks
from .dcgan import DCGANDiscriminator, _init, _Up
from .layers import SLOPE


class _WayUp(nn.Module):
    """The maps of the way down, the picture first -> (N, out, H, W), without activation.

    Doubles the last map (resize convolution) and joins the map that the way down had there.
    Without ``skips`` it sees the last map alone.
    """

    def __init__(self, widths: list[int], out: int, skips: bool, bias: bool) -> None:
        super().__init__()
        self.skips = skips
        here = widths[1:]  # channels on the way down, from half the resolution on
        above = [here[0], *here[:-1]]  # what each doubling makes
        joined = [a + (w if skips else 0) for a, w in zip(above, widths[:-1], strict=True)]
        entering = [*joined[1:], here[-1]]
        self.ups = nn.ModuleList(
            _Up(a, b, "resize", "nearest", False) for a, b in zip(entering, above, strict=True)
        )
        self.last = nn.Conv2d(joined[0], out, 3, 1, 1, bias=bias)
        _init(self.last, False, 1.0)

    def forward(self, maps: list[Tensor]) -> Tensor:
        h = maps[-1]  # (N, Ck, h, w)
        for i in reversed(range(len(self.ups))):
            h = F.leaky_relu(self.ups[i](h), SLOPE)  # (N, Ci, 2h, 2w), doubled from here on
            if self.skips:
                h = torch.cat([h, maps[i]], 1)  # (N, Ci + Ci, 2h, 2w)
        return self.last(h)  # (N, out, H, W)


class UNetGenerator(DCGANDiscriminator):
    """A picture from a picture: x (N, channels, H, W) -> (N, out, H, W) in (-1, 1).

    Sizes and ``width`` are as for ``DCGANDiscriminator``; ``out`` is by default ``channels``.
    ``skips=False`` takes the skip connections away: an autoencoder.
    16 x 16 in color with width 16: 18,772 parameters.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        out: int | None = None,
        width: int = 64,
        max_width: int | None = None,
        start: int | tuple[int, int] | None = None,
        skips: bool = True,
    ) -> None:
        super().__init__(size, channels, width=width, max_width=max_width, start=start)
        del self.head  # no logit is asked for
        out = self.channels if out is None else checks.whole("out", out, 1, 256)
        self.sample_shape = (out, *self.size)
        widths = [self.channels, *checks.widths(width, max_width, len(self.convs))]
        self.way_up = _WayUp(widths, out, checks.flag("skips", skips), bias=True)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return torch.tanh(self.way_up(self.maps(x)))  # (N, out, H, W)


class UNetDiscriminator(DCGANDiscriminator):
    """Logits for pictures and for their pixels: x (N, channels, H, W) -> (N,), or see ``both``.

    ``DCGANDiscriminator`` with a way up. Called like any discriminator it gives the logit of the
    whole plus the mean of those of the pixels, so that every objective trains all of it. The
    paper's loss instead takes the loss of each pixel and averages those: ``both`` has what it
    needs. No logit has a bias of its own, as in the other discriminators.
    16 x 16 in color with width 32: 72,667 parameters.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        width: int = 64,
        max_width: int | None = None,
        start: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__(
            size, channels, num_classes=num_classes, width=width, max_width=max_width, start=start
        )
        widths = [self.channels, *checks.widths(width, max_width, len(self.convs))]
        self.way_up = _WayUp(widths, 1, skips=True, bias=False)

    def both(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logit of each picture (N,) and those of its pixels (N, H, W)."""
        maps = self.maps(x)  # the picture, then (N, Ci, H / 2^i, W / 2^i)
        return self.logits(maps[-1], labels), self.way_up(maps).squeeze(1)  # (N,), (N, H, W)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        whole, pixels = self.both(x, labels)  # (N,), (N, H, W)
        return whole + pixels.mean((1, 2))  # (N,)
