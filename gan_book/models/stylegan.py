"""A small StyleGAN2 (Karras et al., 2020, arXiv 1912.04958): a style for each layer of G.

A *mapping network* turns z into w, and w scales the channels of every layer of the *synthesis
network*, so layers can take their styles from different pictures. All random numbers come in as
z: its first ``style_dim`` numbers make the style, the others are the noise, a number a pixel and
layer. The same z is the same picture, in an exported file as well.

Ours, unlike theirs: doubling is bilinear and halving averages 2 x 2 pixels, both before the
convolution (cheap on a CPU); leaky ReLU has the gain sqrt(2 / 1.04) that keeps E[x^2]; RGB has one
bias, D's last layer none; D looks at one picture at a time unless asked for more.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import brief, need
from . import checks
from .layers import LEAKY_GAIN, SLOPE, LabelledLatent, needed

MAPPING_RATE = 0.01  # of the mapping network, relative to the others (Karras et al., 2019)
W_MEAN_DECAY = 0.998
EPSILON = 1e-8


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps E[x^2] of a standard normal input at 1."""
    return LEAKY_GAIN * F.leaky_relu(x, SLOPE)


def double(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), the filter [1, 3, 3, 1] on both axes."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


class Equalized(nn.Module):
    """Linear layer, or convolution for ``kernel`` > 0, with equalized learning rate.

    The parameters are N(0, 1 / rate^2); ``rate / sqrt(fan_in)`` is multiplied at each use (Karras
    et al., 2018, arXiv 1710.10196, section 4.1), so that Adam, whose steps have one size, moves
    every layer by the same share. ``bias`` is its first value; None leaves it out.
    (N, in) -> (N, out) or (N, in, H, W) -> (N, out, H, W).
    """

    def __init__(
        self, cin: int, cout: int, kernel: int = 0, bias: float | None = 0.0, rate: float = 1.0
    ) -> None:
        super().__init__()
        shape = (cout, cin, kernel, kernel) if kernel else (cout, cin)
        self.weight = nn.Parameter(torch.randn(shape) / rate)
        self.bias = None if bias is None else nn.Parameter(torch.full((cout,), bias / rate))
        self.scale, self.rate = rate / math.sqrt(math.prod(shape[1:])), rate

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        bias = None if self.bias is None else self.bias * self.rate
        if weight.dim() == 2:
            return F.linear(x, weight, bias)  # (N, out)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)  # (N, out, H, W)


class ModulatedConv(nn.Module):
    """Convolution whose weights a style scales: x (N, in, H, W), w (N, w_dim) -> (N, out, H, W).

    Equations 1 and 3 of the paper, w' = s_i w_ijk and w'' = w' / sqrt(sum w'^2), written as scaled
    inputs and scaled outputs: the same numbers, and one dense convolution for all samples.
    """

    def __init__(
        self, cin: int, cout: int, kernel: int, w_dim: int, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(cout, cin, kernel, kernel))
        self.style = Equalized(w_dim, cin, bias=1.0)
        self.scale, self.demodulate = 1 / math.sqrt(cin * kernel**2), demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        weight = self.weight * self.scale  # (out, in, k, k)
        s = self.style(w)  # (N, in)
        padding = weight.shape[-1] // 2
        y = F.conv2d(x * s[:, :, None, None], weight, padding=padding)  # (N, out, H, W)
        if not self.demodulate:
            return y
        power = s.square() @ weight.square().sum((2, 3)).T  # (N, out): sum of w'^2
        return y * (power + EPSILON).rsqrt()[:, :, None, None]  # (N, out, H, W)


class _Layer(nn.Module):
    """Modulated 3 x 3 convolution, noise times one learned strength, bias, leaky ReLU."""

    def __init__(self, cin: int, cout: int, w_dim: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = ModulatedConv(cin, cout, 3, w_dim)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(cout))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        x = self.conv(double(x) if self.up else x, w)  # (N, out, H, W)
        if noise is not None:
            x = x + self.strength * noise  # (N, 1, H, W) for all channels
        return activate(x + self.bias[:, None, None])  # (N, out, H, W)


class StyleGANGenerator(nn.Module):
    """Pictures from latent vectors: z (N, z_dim) -> (N, channels, H, W), unbounded.

    The option ``z_dim`` is the length of the style's latent; the attribute ``z_dim`` counts the
    noise too (``style_dim`` + ``noise_dim``). ``forward(z)`` is
    ``synthesis(mapping(z), z[:, style_dim:])``; w has the shape (N, ``num_layers``, ``w_dim``).
    ``width``: channels at the full resolution, doubled at each lower one up to ``max_width``
    (default 8 width). ``mixing``: the share of a training batch in which later layers take the
    style of the sample before, from layer 1, 2, ... on in turn: no random number but z is needed.
    A label joins z as a learned vector of ``embedding`` numbers (default: z_dim).
    Buffers: ``w_mean`` (w_dim,), the running mean of w; ``path_mean`` 0-d, that of path lengths.
    Raises ``GanBookError`` for impossible options.
    """

    w_mean: Tensor
    path_mean: Tensor

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        z_dim: int = 64,
        w_dim: int | None = None,
        mapping_layers: int = 2,
        width: int = 32,
        max_width: int | None = None,
        mixing: float = 0.0,
        start: int | tuple[int, int] | None = None,
        embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, self.style_dim = checks.picture(
            size, channels, num_classes, z_dim
        )
        self.sample_shape = (self.channels, *self.size)
        self.start, doublings = checks.start_grid(self.size, start)
        self.w_dim = checks.whole("w_dim", z_dim if w_dim is None else w_dim)
        fits = isinstance(mixing, int | float) and 0 <= mixing <= 1
        need(fits, f"the network option 'mixing' must lie between 0 and 1, not {brief(mixing)}.")
        self.mixing = float(mixing)
        widths = checks.widths(width, max_width, doublings + 1)[::-1]  # from the start grid up
        embedding = z_dim if embedding is None else checks.whole("embedding", embedding)

        self.latent = LabelledLatent(self.style_dim, self.num_classes, embedding)
        depth = checks.whole("mapping_layers", mapping_layers, 1, 64)
        sides = [self.latent.features] + [self.w_dim] * depth
        self.map = nn.ModuleList(Equalized(a, b, rate=MAPPING_RATE) for a, b in pairwise(sides))
        self.const = nn.Parameter(torch.randn(widths[0], *self.start))
        self.layers = nn.ModuleList([_Layer(widths[0], widths[0], self.w_dim, up=False)])
        for a, b in pairwise(widths):
            self.layers += [_Layer(a, b, self.w_dim, up=True), _Layer(b, b, self.w_dim, up=False)]
        self.to_rgb = nn.ModuleList(
            ModulatedConv(c, self.channels, 1, self.w_dim, demodulate=False) for c in widths
        )
        self.rgb_bias = nn.Parameter(torch.zeros(self.channels))
        self.num_layers = 2 * doublings + 2
        cells = [self.start[0] * self.start[1] << 2 * i for i in range(doublings + 1)]
        self.noise_sizes = [cells[(i + 1) // 2] for i in range(len(self.layers))]
        self.noise_dim = sum(self.noise_sizes)
        self.z_dim = self.style_dim + self.noise_dim
        self.register_buffer("w_mean", torch.zeros(self.w_dim))
        self.register_buffer("path_mean", torch.zeros(()))

    def mapping(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0) -> Tensor:
        """Styles of all layers: z (N, style_dim or more) -> w (N, num_layers, w_dim).

        ``psi`` < 1 pulls w towards ``w_mean`` (truncation): 1 changes nothing, 0 leaves the mean.
        """
        z = self.latent(z[:, : self.style_dim], labels)  # (N, style_dim [+ embedding])
        w = z * (z.square().mean(1, keepdim=True) + EPSILON).rsqrt()  # all z on one sphere
        for layer in self.map:
            w = activate(layer(w))  # (N, w_dim)
        if psi != 1.0:
            w = self.w_mean + psi * (w - self.w_mean)  # (N, w_dim)
        return w[:, None].expand(-1, self.num_layers, -1)  # (N, num_layers, w_dim)

    def synthesis(self, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """w (N, num_layers, w_dim), noise (N, noise_dim) or None -> (N, channels, H, W)."""
        maps: Any = [None] * len(self.layers)
        if noise is not None:
            maps = noise.split(self.noise_sizes, dim=1)  # (N, cells of the layer) each
        h, width = self.start
        x, rgb = self.const.expand(w.shape[0], -1, -1, -1), None  # (N, C0, h, w)
        for i, (layer, flat) in enumerate(zip(self.layers, maps, strict=True)):
            k = (i + 1) // 2  # doublings so far
            plane = None if flat is None else flat.reshape(-1, 1, h << k, width << k)
            x = layer(x, w[:, i], plane)  # (N, Ck, h * 2^k, w * 2^k)
            if i % 2 == 0:  # the last layer of a resolution adds to the picture
                more = self.to_rgb[k](x, w[:, i + 1])  # (N, channels, h * 2^k, w * 2^k)
                rgb = more if rgb is None else double(rgb) + more
        return rgb + self.rgb_bias[:, None, None]  # type: ignore[operator]  # (N, channels, H, W)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        w = self.mapping(z, labels)  # (N, num_layers, w_dim)
        if self.training:
            mean = w[:, 0].detach().mean(0).to(self.w_mean.dtype)  # (w_dim,)
            self.w_mean.lerp_(mean, 1 - W_MEAN_DECAY)
            if self.mixing:
                w = mix(w, w.roll(1, 0), self._cuts(len(w), w.device))  # (N, num_layers, w_dim)
        return self.synthesis(w, z[:, self.style_dim :])  # (N, channels, H, W)

    def _cuts(self, n: int, device: torch.device) -> Tensor:
        """The layer from which on each sample takes its partner's style; num_layers: never."""
        i = torch.arange(n, device=device)  # (N,)
        cuts = 1 + i % (self.num_layers - 1)
        return torch.where(i < self.mixing * n, cuts, self.num_layers)  # (N,)


def mix(w: Tensor, other: Tensor, cut: Tensor | int) -> Tensor:
    """Style mixing: ``w`` in layers before ``cut``, ``other`` from it on; (N, layers, w_dim).

    ``cut`` is one number for all or (N,) int64.
    """
    layer = torch.arange(w.shape[1], device=w.device)  # (layers,)
    early = layer < torch.as_tensor(cut, device=w.device).reshape(-1, 1)  # (N or 1, layers)
    return torch.where(early[:, :, None], w, other)  # (N, layers, w_dim)


class _Down(nn.Module):
    """Residual block of D: (N, in, 2H, 2W) -> (N, out, H, W), the variance of both paths kept."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = Equalized(cin, cin, 3), Equalized(cin, cout, 3)
        self.skip = Equalized(cin, cout, 1, bias=None)

    def forward(self, x: Tensor) -> Tensor:
        y = F.avg_pool2d(activate(self.conv0(x)), 2)  # (N, in, H, W)
        y = activate(self.conv1(y))  # (N, out, H, W)
        return (y + self.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)  # (N, out, H, W)


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """x (N, C, H, W) with one more channel: how much the samples of its group differ.

    The standard deviation over ``group`` neighbors of each feature, averaged over features and
    pixels (Karras et al., 2018, section 3). Raises ``GanBookError`` if groups do not fill N.
    """
    n = len(x)
    group = min(group, n)
    need(n % group == 0, f"a batch of {n} does not divide into groups of {group}.")
    y = x.reshape(-1, group, *x.shape[1:])  # (N / g, g, C, H, W)
    spread = (y.var(1, correction=0) + EPSILON).sqrt().mean((1, 2, 3))  # (N / g,)
    spread = spread.repeat_interleave(group)[:, None, None, None]  # (N, 1, 1, 1)
    return torch.cat([x, spread.expand(n, 1, *x.shape[2:])], 1)  # (N, C + 1, H, W)


class StyleGANDiscriminator(nn.Module):
    """Residual discriminator: (N, channels, H, W) -> logits (N,).

    ``width`` and labels (a projection) as in ``DCGANDiscriminator``. ``minibatch_std`` > 1 lets D
    see how much the pictures of each group of that size differ. Then a logit depends on its
    neighbors, and the gradient of the logits' sum, which R1 and R2 square, is no longer each
    picture's own slope: StyleGAN2 accepted that; here the default, 0, keeps samples apart.
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
        minibatch_std: int = 0,
        start: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, _ = checks.picture(size, channels, num_classes)
        self.sample_shape = (self.channels, *self.size)
        self.start, doublings = checks.start_grid(self.size, start)
        self.group = checks.whole("minibatch_std", minibatch_std, 0)
        widths = checks.widths(width, max_width, doublings + 1)  # from the full resolution down
        top = widths[-1]
        self.first = Equalized(self.channels, widths[0], 1)
        self.blocks = nn.ModuleList(_Down(a, b) for a, b in pairwise(widths))
        self.last = Equalized(top + (self.group > 1), top, 3)
        self.features = Equalized(top * self.start[0] * self.start[1], top)
        self.head = Equalized(top, 1, bias=None)
        self.embed = nn.Embedding(self.num_classes, top) if self.num_classes else None  # N(0, 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = activate(self.first(x))  # (N, C0, H, W)
        for block in self.blocks:
            x = block(x)  # (N, Ci, H / 2^i, W / 2^i)
        if self.group > 1:
            x = minibatch_std(x, self.group)  # (N, C + 1, h, w)
        x = activate(self.last(x))  # (N, C, h, w)
        x = activate(self.features(x.flatten(1)))  # (N, C)
        logits = self.head(x).squeeze(1)  # (N,)
        if self.embed is not None:
            logits = logits + (x * self.embed(needed(labels))).mean(1) * math.sqrt(x.shape[1])
        return logits  # (N,)
