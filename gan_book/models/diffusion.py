"""Networks that estimate the noise in a noisy sample, and the schedule that says how much is in it.

Noise is added by a turn: x_t = cos(a) x_0 + sin(a) eps with the angle a = 0.98 pi t / 2, t in
[0, 1]. Then alpha_bar = cos(a)^2, the cosine schedule of Nichol and Dhariwal (2021, arXiv
2102.09672) in continuous time; instead of their offset and their clipping the turn ends at 98 %,
where alpha_bar is 0.001. The networks compute F(x_t, t) and return the estimate of eps
sin(a) x_t + cos(a) F, so that the estimate of x_0, cos(a) x_t - sin(a) F, stays exact where
little of x_0 is left (F estimates the v of Salimans and Ho, 2022, arXiv 2202.00512). The last
layer is zero at first: F = 0 is the best linear estimate for data of mean 0 and covariance I.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import need
from . import checks
from .layers import init_normal
from .mlp import _Layers

TURN = 0.98 * math.pi / 2  # the angle at t = 1
FASTEST = 100.0  # radians per unit of time: tells times apart that differ by 0.01
SILU_GAIN = 1.68  # E[silu(z)^2] = 1 / 1.68^2 for z ~ N(0, 1)


def alpha_bar(t: Tensor) -> Tensor:
    """The share of x_0's variance that is left in x_t: from 1 at t = 0 down to 0.001 at t = 1."""
    return torch.cos(TURN * t) ** 2


def rates(t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(alpha_bar) and sqrt(1 - alpha_bar) for times t (N,), each (N, 1, ...) to multiply x.

    Raises ``GanBookError`` unless there is one time for each sample of x (N, ...).
    """
    n = x.shape[0]  # not len(), which would fix the batch of an exported network
    need(
        t.shape == x.shape[:1],
        f"{n} samples need {n} times, one each, but the times have shape {(*t.shape,)}.",
    )
    angle = TURN * t.reshape(-1, *[1] * (x.dim() - 1))  # (N, 1, ...)
    return torch.cos(angle), torch.sin(angle)


def time_features(t: Tensor, features: int) -> Tensor:
    """Sines and cosines of w t, the w in geometric steps from 1 to 100: (N,) -> (N, features)."""
    w = FASTEST ** torch.linspace(0, 1, features // 2, dtype=t.dtype, device=t.device)
    angles = t[:, None] * w  # (N, features / 2)
    return torch.cat([angles.sin(), angles.cos()], 1)  # (N, features)


class MLPDenoiser(nn.Module):
    """The noise in points: x_t (N, inputs), t (N,) in [0, 1] -> estimate of eps (N, inputs).

    ``layers`` hidden layers of ``width`` units, leaky ReLU; 32 features of t join x_t. By default
    54,274 parameters. Raises ``GanBookError`` for impossible options.
    """

    def __init__(self, inputs: int = 2, *, width: int = 128, layers: int = 4) -> None:
        super().__init__()
        self.sample_shape = (checks.whole("inputs", inputs),)
        hidden = [checks.whole("width", width)] * checks.whole("layers", layers, 1, 64)
        self.layers = _Layers([inputs + 32, *hidden, inputs], last_bias=True)
        for parameter in self.layers.linears[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        signal, noise = rates(t, x)  # (N, 1) each
        joined = torch.cat([x, time_features(t, 32).to(x.dtype)], 1)  # (N, inputs + 32)
        return noise * x + signal * self.layers(joined)  # (N, inputs)


class UNetDenoiser(nn.Module):
    """The noise in pictures: x_t (N, C, H, W), t (N,) in [0, 1] -> estimate of eps (N, C, H, W).

    Halves the picture by strided convolutions until its shorter side is 4 to 7 pixels, doubles it
    again (nearest), and adds what each resolution had on the way down. ``width`` channels at full
    resolution, twice as many below; one residual block per resolution and way. Sizes as for
    DCGAN. 16 x 16 in color: 140,489 parameters with width 19, 222,579 with width 24.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self, size: int | tuple[int, int] = 16, channels: int = 3, *, width: int = 24
    ) -> None:
        super().__init__()
        self.size, self.channels, *_ = checks.picture(size, channels, 0)
        self.sample_shape = (self.channels, *self.size)
        _, halvings = checks.start_grid(self.size)
        width = checks.whole("width", width, 1, checks.LARGEST_WIDTH // 2)
        widths = [width, *[2 * width] * halvings]  # from the full resolution down
        steps = list(pairwise(widths))
        self.time = nn.Linear(64, 2 * width)
        self.first = _conv(self.channels, width)
        self.before = nn.ModuleList(_Block(w, 2 * width) for w in widths)
        self.downs = nn.ModuleList(_conv(a, b, stride=2) for a, b in steps)
        self.ups = nn.ModuleList(_conv(b, a) for a, b in steps)
        self.after = nn.ModuleList(_Block(a, 2 * width) for a, _ in steps)
        self.norm = _norm(width)
        self.last = _conv(width, self.channels, gain=0.0)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        signal, noise = rates(t, x)  # (N, 1, 1, 1) each
        e = F.silu(self.time(time_features(t, 64).to(x.dtype)))  # (N, 2 width)
        h, kept = self.first(x), []  # (N, width, H, W)
        for block, down in zip(self.before, self.downs, strict=False):
            kept.append(block(h, e))  # (N, Ci, h, w)
            h = down(kept[-1])  # (N, Ci+1, h/2, w/2)
        h = self.before[-1](h, e)  # (N, 2 width, 4, 4) for squares of 2^k pixels
        for i in reversed(range(len(kept))):
            h = self.ups[i](F.interpolate(h, scale_factor=2.0))  # (N, Ci, h, w)
            h = self.after[i](h + kept[i], e)  # (N, Ci, h, w)
        h = self.last(F.silu(self.norm(h)))  # (N, C, H, W)
        return noise * x + signal * h  # (N, C, H, W)


class _Block(nn.Module):
    """x + two normalized 3 x 3 convolutions, t added between them: zero at first."""

    def __init__(self, width: int, time: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([_norm(width), _norm(width)])
        self.convs = nn.ModuleList([_conv(width, width, SILU_GAIN), _conv(width, width, 0.0)])
        self.time = nn.Linear(time, width)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        h = self.convs[0](F.silu(self.norms[0](x)))  # (N, C, h, w)
        h = h + self.time(e)[:, :, None, None]  # (N, C, h, w)
        return x + self.convs[1](F.silu(self.norms[1](h)))  # (N, C, h, w)


def _norm(width: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(8, width), width)


def _conv(cin: int, cout: int, gain: float = 1.0, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(cin, cout, 3, stride, 1)
    init_normal(conv.weight, gain)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
