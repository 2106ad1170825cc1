"""SinGAN, a pyramid of small networks that knows one picture (Shaham et al., 2019, 1905.01164).

The coarsest generator makes a small picture of noise; each finer one enlarges what it gets, adds
noise and corrects it (equations 1 to 3). All are convolutions that see a few pixels, so a trained
pyramid takes any size. Ours, unlike theirs: no normalization, one width at all
scales, noise of one channel that is added to all (theirs: at the coarsest scale only).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import need, whole
from . import checks
from .layers import LEAKY_GAIN, SLOPE, init_normal, zero_

Size = tuple[int, int]
DEPTH = 5  # layers of a network: it sees patches of 11 x 11 pixels


class PatchNet(nn.Module):
    """``depth`` 3 x 3 convolutions without padding: (N, cin, H, W) -> (N, cout, H', W').

    H' = H - 2 depth: each output sees one patch of 2 depth + 1 pixels a side and nothing else.
    """

    def __init__(
        self, cin: int, cout: int, width: int = 32, depth: int = DEPTH, last_bias: bool = True
    ) -> None:
        super().__init__()
        self.depth = checks.whole("depth", depth, 2, 16)
        sides = [cin, *[checks.whole("width", width)] * (depth - 1), cout]
        self.convs = nn.ModuleList()
        for i in range(depth):
            bias = i < depth - 1 or last_bias
            conv = nn.Conv2d(sides[i], sides[i + 1], 3, bias=bias)
            init_normal(conv.weight, LEAKY_GAIN if 0 < i < depth - 1 else 1.0)
            zero_(conv.bias)
            self.convs.append(conv)

    def forward(self, x: Tensor) -> Tensor:
        for i, conv in enumerate(self.convs):
            x = conv(F.leaky_relu(x, SLOPE) if i else x)  # (N, Ci, H - 2 (i + 1), W - 2 (i + 1))
        return x


def resize(x: Tensor, size: Size) -> Tensor:
    """(N, C, H, W) -> (N, C, *size): bicubic, without aliasing when it shrinks."""
    return F.interpolate(x, size, mode="bicubic", antialias=True)


def scales(size: Size, coarsest: int = 16, factor: float = 0.75) -> list[Size]:
    """Sizes from coarse to fine: the last is ``size``, each ``factor`` of the next or a bit less,
    the first has a shorter side of ``coarsest`` pixels. A picture too small for that has one scale.

    Raises ``GanBookError`` for a picture smaller than that and factors outside (0, 1).
    """
    low = 2 * DEPTH + 2  # a few patches
    whole("The shorter side at the coarsest scale", coarsest, low, max(low, min(size)))
    need(coarsest <= min(size), f"A picture of {size} is smaller than its coarsest scale.")
    need(0 < factor < 1, f"The factor between two scales must lie in (0, 1), not {factor}.")
    steps, side = 0, float(min(size))
    while side * factor >= coarsest - 1e-9:
        steps, side = steps + 1, side * factor
    ratio = (coarsest / min(size)) ** (1 / steps) if steps else 1.0
    return [(round(size[0] * ratio**i), round(size[1] * ratio**i)) for i in range(steps, 0, -1)] + [
        size
    ]


class Pyramid(nn.Module):
    """Generators from coarse to fine, one a size; those trained so far make pictures.

    ``sizes``: of the training picture, (H, W) each. Buffers: ``strengths`` (scales,), the noise's
    standard deviation; ``z`` (1, 1, H0, W0), the noise of which the training picture is made.
    """

    strengths: Tensor
    z: Tensor

    def __init__(self, sizes: list[Size], channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.sizes, self.channels = sizes, channels
        self.nets = nn.ModuleList(PatchNet(channels, channels, width) for _ in sizes)
        self.trained = 0
        self.register_buffer("strengths", torch.ones(len(sizes)))
        self.register_buffer("z", torch.randn(1, 1, *sizes[0]))

    def step(self, i: int, coarse: Tensor, noise: Tensor) -> Tensor:
        """Scale i: coarse + net(coarse + noise), equation 3; zeros surround the sum.

        ``coarse`` (N, C, h, w), ``noise`` (N, 1, h, w), already scaled -> (N, C, h, w).
        """
        net = self.nets[i]
        return coarse + net(F.pad(coarse + noise, (net.depth,) * 4))  # type: ignore[arg-type]

    def paint(self, noises: list[Tensor], start: int = 0, picture: Tensor | None = None) -> Tensor:
        """A picture from one noise (N, 1, h, w) of unit size for each scale from ``start`` on.

        The noises' sizes are the picture's. ``picture`` (N, C, h, w) stands for what the scales
        before ``start`` would make; without it the first scale begins with zeros.
        """
        x = noises[0].new_zeros(len(noises[0]), self.channels, 1, 1) if picture is None else picture
        for i, noise in enumerate(noises, start):
            x = resize(x, noise.shape[2:])  # type: ignore[arg-type]  # (N, C, h, w)
            x = self.step(i, x, self.strengths[i] * noise)  # (N, C, h, w)
        return x

    def reconstruct(self) -> Tensor:
        """The training picture as it was learned (1, C, H, W): from z, without other noise."""
        rest = [self.z.new_zeros(1, 1, *s) for s in self.sizes[1 : self.trained]]
        return self.paint([self.z, *rest])

    @torch.no_grad()
    def sample(
        self,
        n: int,
        seed: int = 0,
        *,
        size: Size | None = None,
        start: int = 0,
        picture: Tensor | None = None,
    ) -> Tensor:
        """``n`` pictures (n, C, H, W), of another ``size`` if wanted; about [-1, 1].

        ``start`` > 0 leaves the coarse scales to ``picture`` (1, C, H, W) in [-1, 1].
        Raises ``GanBookError`` for sizes and scales that there are not.
        """
        whole("The first scale", start, 0, self.trained - 1)
        need(
            (start == 0) == (picture is None),
            "A picture goes with a first scale above 0, and only with it.",
        )
        last = self.sizes[-1]
        high, wide = checks.pair("size", last if size is None else size, 8, 4096)
        sizes = [
            (max(1, round(h * high / last[0])), max(1, round(w * wide / last[1])))
            for h, w in self.sizes[: self.trained]
        ]
        rng = torch.Generator().manual_seed(seed)
        noises = [torch.randn(n, 1, *s, generator=rng).to(self.z) for s in sizes[start:]]
        if picture is None:
            return self.paint(noises)  # (n, C, H, W)
        coarse = resize(picture, sizes[start - 1])  # (1, C, h, w)
        return self.paint(noises, start, coarse.expand(n, -1, -1, -1))  # (n, C, H, W)
