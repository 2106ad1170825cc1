"""A generator that is a function of the place: any resolution from one network.

After CIPS (Anokhin et al., 2021, arXiv 2011.13775) and INR-GAN (Skorokhodov et al., 2021, arXiv
2011.12026): the color of a point is a small network of the point's coordinates, whose weights a
style w scales; no layer looks at a neighbor. Coordinates enter as Fourier features (Tancik et al.,
2020, arXiv 2006.10739), sines and cosines of plane waves.

Ours, unlike theirs: the waves are fixed and no faster than ``bandwidth``; there are no learned
vectors for places (CIPS), which would fix the resolution, and no doubling between layers (INR-GAN).

Places: a picture of the training size fills the window (0, 0, 1, 1) = (top, left, bottom, right);
the longer side has the length 1 for the waves, so that "cycles" are cycles per longer side, and the
pixel grid of the training size carries max(H, W) / 2 of them (Nyquist).
"""

from __future__ import annotations

import math
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import brief, need
from . import checks
from .layers import LEAKY_GAIN, SLOPE, LabelledLatent
from .stylegan import EPSILON, MAPPING_RATE, Equalized, activate

WHOLE = (0.0, 0.0, 1.0, 1.0)  # the trained picture
STEPS_PER_CYCLE = 16  # waves are rounded to sixteenths of a cycle: exact in half precision
TILE = 1 << 13  # points computed at a time: their activations fit into the cache
LARGEST_RENDER = 1 << 16  # pixels of one side


def places(size: tuple[int, int], window: tuple[float, ...] = WHOLE) -> Tensor:
    """Pixel centers (H * W, 2), row by row, as (y, x) in units of the trained picture's sides."""
    top, left, bottom, right = window
    y = top + (torch.arange(size[0]) + 0.5) / size[0] * (bottom - top)  # (H,)
    x = left + (torch.arange(size[1]) + 0.5) / size[1] * (right - left)  # (W,)
    return torch.cartesian_prod(y, x)  # (H * W, 2)


class FourierFeatures(nn.Module):
    """Places (P, 2) -> (2 count, P): sqrt(2) times sine and cosine of ``count`` plane waves.

    The waves' vectors k, the buffer ``waves`` (count, 2) in cycles per longer side, have uniform
    lengths up to ``bandwidth`` and uniform directions. E[x^2] = 1 over the whole plane.
    """

    waves: Tensor

    def __init__(self, count: int, bandwidth: float, size: tuple[int, int]) -> None:
        super().__init__()
        angle = 2 * math.pi * torch.rand(count)  # (count,)
        k = torch.stack([angle.sin(), angle.cos()], 1)  # (count, 2)
        k = k * bandwidth * torch.rand(count, 1)  # (count, 2)
        # towards zero, so that no wave gets faster than the bandwidth
        self.register_buffer("waves", (k * STEPS_PER_CYCLE).trunc() / STEPS_PER_CYCLE)
        self.sides = (size[0] / max(size), size[1] / max(size))

    def forward(self, at: Tensor) -> Tensor:
        at = at * at.new_tensor(self.sides)  # (P, 2): in longer sides
        phase = 2 * math.pi * (self.waves @ at.T)  # (count, P)
        return math.sqrt(2) * torch.cat([phase.sin(), phase.cos()])  # (2 count, P)


class ModulatedLinear(nn.Module):
    """A linear layer for points whose weights a style scales: (in, P) or (N, in, P) -> (N, out, P).

    ``stylegan.ModulatedConv`` for kernel 1, its output times ``gain``, but with weights made for
    each sample: points are many more than weights here, so nothing of their number is scaled.
    """

    def __init__(
        self, cin: int, cout: int, w_dim: int, gain: float = 1.0, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(cout, cin))
        self.bias = nn.Parameter(torch.zeros(cout))
        self.style = Equalized(w_dim, cin, bias=1.0)
        self.gain, self.demodulate = gain, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        m = self.weight / math.sqrt(self.weight.shape[1]) * self.style(w)[:, None]  # (N, out, in)
        if self.demodulate:
            m = m * (m.square().sum(2, keepdim=True) + EPSILON).rsqrt()  # (N, out, in), rows of 1
        x = x.expand(m.shape[0], -1, -1)  # (N, in, P)
        return torch.baddbmm(self.bias[:, None], self.gain * m, x)  # (N, out, P)


class INRGenerator(nn.Module):
    """Pictures of any size from latent vectors: z (N, z_dim) -> (N, channels, H, W), unbounded.

    ``forward(z)`` is ``paint(features(places), mapping(z))`` at the size of training, ``render``
    the same at any other. ``width`` units in each of ``layers`` layers, ``waves`` Fourier features
    up to ``bandwidth`` cycles per longer side (default: half of Nyquist, max(H, W) / 4), styles of
    ``w_dim`` numbers (default: z_dim) from ``mapping_layers`` layers. Each layer adds to the color,
    as in CIPS. A label joins z as a learned vector of ``embedding`` numbers (default: z_dim).
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 32,
        channels: int = 3,
        *,
        num_classes: int = 0,
        z_dim: int = 64,
        w_dim: int | None = None,
        mapping_layers: int = 2,
        width: int = 64,
        layers: int = 4,
        waves: int = 64,
        bandwidth: float | None = None,
        embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, self.z_dim = checks.picture(
            size, channels, num_classes, z_dim
        )
        self.sample_shape = (self.channels, *self.size)
        self.w_dim = checks.whole("w_dim", z_dim if w_dim is None else w_dim)
        width, count = checks.whole("width", width), checks.whole("waves", waves)
        most = max(self.size) / 4 if bandwidth is None else bandwidth
        fits = isinstance(most, Real) and not isinstance(most, bool) and 0 < most <= 4096
        need(fits, f"the network option 'bandwidth' must lie in (0, 4096], not {brief(most)}.")
        self.bandwidth = float(most)
        embedding = z_dim if embedding is None else checks.whole("embedding", embedding)

        self.latent = LabelledLatent(self.z_dim, self.num_classes, embedding)
        depth = checks.whole("mapping_layers", mapping_layers, 1, 64)
        sides = [self.latent.features] + [self.w_dim] * depth
        self.map = nn.ModuleList(Equalized(a, b, rate=MAPPING_RATE) for a, b in pairwise(sides))
        self.features = FourierFeatures(count, self.bandwidth, self.size)
        depth = checks.whole("layers", layers, 1, 64)
        self.layers = nn.ModuleList([ModulatedLinear(2 * count, width, self.w_dim)])
        self.layers += [
            ModulatedLinear(width, width, self.w_dim, LEAKY_GAIN) for _ in range(depth - 1)
        ]
        self.to_rgb = nn.ModuleList(
            ModulatedLinear(width, self.channels, self.w_dim, LEAKY_GAIN, demodulate=False)
            for _ in range(depth)
        )

    def mapping(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, z_dim) -> styles w (N, w_dim)."""
        z = self.latent(z, labels)  # (N, z_dim [+ embedding])
        w = z * (z.square().mean(1, keepdim=True) + EPSILON).rsqrt()  # all z on one sphere
        for layer in self.map:
            w = activate(layer(w))  # (N, w_dim)
        return w

    def paint(self, at: Tensor, w: Tensor) -> Tensor:
        """Colors (N, channels, P) at the places (P, 2), as ``places`` gives them, for w."""
        x = self.features(at)  # (2 waves, P)
        rgb: Any = 0.0
        for layer, to_rgb in zip(self.layers, self.to_rgb, strict=True):
            x = F.leaky_relu(layer(x, w), SLOPE)  # (N, width, P)
            rgb = rgb + to_rgb(x, w)  # (N, channels, P)
        return rgb

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        at = places(self.size).to(z)  # (H * W, 2)
        rgb = self.paint(at, self.mapping(z, labels))  # (N, channels, H * W)
        return rgb.unflatten(2, self.size)  # (N, channels, H, W)

    @torch.no_grad()
    def render(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        size: int | tuple[int, int],
        window: tuple[float, float, float, float] = WHOLE,
        tile: int = TILE,
    ) -> Tensor:
        """The pictures of ``z`` at another size, on the CPU: (N, channels, H, W).

        ``window`` (top, left, bottom, right), in units of the trained picture's sides, says what
        is seen: (0, 0, 1, 1) all of it, less is a detail, more goes beyond what D ever judged.
        ``tile`` points are computed at a time: memory is that of the places (2 numbers a point), of
        the result, and of one tile.
        Raises ``GanBookError`` for impossible sizes, windows and tiles.
        """
        size = checks.pair("size", size, 1, LARGEST_RENDER)
        sees = len(window) == 4 and all(map(math.isfinite, window))
        sees = sees and window[0] < window[2] and window[1] < window[3]
        need(sees, f"A window is (top, left, bottom, right), growing, not {brief(window)}.")
        checks.whole("tile", tile, 1, 1 << 30)
        w, at = self.mapping(z, labels), places(size, window)  # (N, w_dim), (H * W, 2)
        out = torch.empty(len(z), self.channels, len(at), dtype=z.dtype)  # (N, channels, H * W)
        for i in range(0, len(at), tile):
            out[:, :, i : i + tile] = self.paint(at[i : i + tile].to(z), w)  # (N, channels, tile)
        return out.unflatten(2, size)  # (N, channels, H, W)
