"""DCGAN (Radford et al., 2015, arXiv 1511.06434), with and without batch normalization.

Two families share the layout, which is that of 2015 (strided convolutions, no pooling, no hidden
fully connected layers):

- ``batch_norm=True`` is the classic: batch normalization, no biases, ReLU in G, every convolution
  and linear layer N(0, 0.02^2), batch-norm gains N(1, 0.02^2).
- ``batch_norm=False``, our default, has biases (zero) and leaky ReLU 0.2 in both networks.
  Without normalization 0.02 would starve a narrow network (each layer of width 32 would shrink
  the signal about threefold), so weights are N(0, gain^2 / fan_in): gain sqrt(2 / 1.04) after an
  activation (He et al., 2015), 1 elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import known
from . import checks
from .layers import LEAKY_GAIN, SLOPE, LabelledLatent, init_normal, label_vectors, needed, zero_

CLASSIC_SD = 0.02
UPSAMPLING = ("transposed", "resize")
INTERPOLATION = ("nearest", "bilinear")


def _init(layer: nn.Module, classic: bool, gain: float, fan_in: float | None = None) -> None:
    """One convolution or linear layer, as the module's docstring says."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if classic:
        nn.init.normal_(weight, 0.0, CLASSIC_SD)
    else:
        init_normal(weight, gain, fan_in)
    zero_(layer.bias)  # type: ignore[arg-type]


def _norm(channels: int, batch_norm: bool) -> nn.Module:
    if not batch_norm:
        return nn.Identity()
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight, 1.0, CLASSIC_SD)
    return norm


class _Up(nn.Module):
    """(N, in, H, W) -> (N, out, 2H, 2W), without activation.

    "transposed": 4 x 4 transposed convolution with stride 2; "resize": interpolate by 2, then 3 x
    3 convolution, which avoids checkerboards (Odena et al., 2016).
    """

    def __init__(
        self, cin: int, cout: int, upsampling: str, interpolation: str, classic: bool
    ) -> None:
        super().__init__()
        self.mode = interpolation if upsampling == "resize" else None
        if self.mode is None:
            self.conv: nn.Module = nn.ConvTranspose2d(cin, cout, 4, 2, 1, bias=not classic)
            fan_in = cin * 4  # of the 4 x 4 taps, stride 2 lets 2 x 2 meet in one output pixel
        else:
            self.conv = nn.Conv2d(cin, cout, 3, 1, 1, bias=not classic)
            fan_in = cin * 9
        _init(self.conv, classic, LEAKY_GAIN, fan_in)

    def forward(self, x: Tensor) -> Tensor:
        if self.mode is not None:
            x = F.interpolate(x, scale_factor=2.0, mode=self.mode)  # (N, in, 2H, 2W)
        return self.conv(x)  # (N, out, 2H, 2W)


class DCGANGenerator(nn.Module):
    """Pictures from latent vectors: z (N, z_dim) -> (N, channels, H, W) in (-1, 1).

    A linear layer makes the start grid, each stage doubles it, a tanh ends it. ``size`` is (H, W)
    or one side: start grid * 2^stages (``checks.start_grid``), the grid chosen automatically or
    by ``start``. ``width`` is the number of channels before the last stage, doubled at each lower
    resolution up to ``max_width`` (default 8 width). A label joins z as a learned vector of
    ``embedding`` numbers (default: z_dim); with ``factors``, classes are combinations of several
    labels, and their vectors are sums (``layers.FactoredEmbedding``).
    ``size=64, batch_norm=True``, the network of a co-author's code (kernels 4 x 4; the figure of
    the paper has 5 x 5 and twice the channels), has 3,576,704 parameters.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        z_dim: int = 100,
        width: int = 64,
        max_width: int | None = None,
        batch_norm: bool = False,
        upsampling: str = "transposed",
        interpolation: str = "nearest",
        start: int | tuple[int, int] | None = None,
        embedding: int | None = None,
        factors: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, self.z_dim = checks.picture(
            size, channels, num_classes, z_dim
        )
        self.sample_shape = (self.channels, *self.size)
        self.start, stages = checks.start_grid(self.size, start)
        known("network option upsampling", upsampling, UPSAMPLING)
        known("network option interpolation", interpolation, INTERPOLATION)
        classic = checks.flag("batch_norm", batch_norm)
        self.slope = 0.0 if classic else SLOPE
        widths = checks.widths(width, max_width, stages)[::-1]  # from the start grid up
        embedding = z_dim if embedding is None else checks.whole("embedding", embedding)

        factors = checks.factors(factors, num_classes)
        self.latent = LabelledLatent(z_dim, num_classes, embedding, factors)
        cells = self.start[0] * self.start[1]
        self.first = nn.Linear(self.latent.features, widths[0] * cells, bias=not classic)
        _init(self.first, classic, 1.0)
        self.norms = nn.ModuleList(_norm(w, classic) for w in widths)
        self.ups = nn.ModuleList(
            _Up(a, b, upsampling, interpolation, classic)
            for a, b in zip(widths, [*widths[1:], self.channels], strict=True)
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = self.latent(z, labels)  # (N, z_dim [+ embedding])
        x = self.first(z)  # (N, C0 * h * w)
        x = x.unflatten(1, (-1, *self.start))  # (N, C0, h, w)
        for norm, up in zip(self.norms, self.ups, strict=True):
            x = F.leaky_relu(norm(x), self.slope)  # (N, Ci, h, w)
            x = up(x)  # (N, Ci+1, 2h, 2w), h and w doubled from here on
        return torch.tanh(x)  # (N, channels, H, W)


class DCGANDiscriminator(nn.Module):
    """Logits for pictures: x (N, channels, H, W) -> (N,).

    Each stage halves the resolution by a 4 x 4 convolution with stride 2 down to the grid from
    which G starts; a linear layer reads the logit. It has no bias: relativistic losses only see
    differences of logits, so a last bias would never move. ``width`` channels at the highest
    resolution, doubled at each lower one up to ``max_width`` (default 8 width). ``batch_norm``
    normalizes all stages but the first, couples the samples of a batch and so does not go with
    gradient penalties; it is off by default.
    Conditional: projection (Miyato and Koyama, 2018), the inner product of the mean features with
    a learned vector for the label, times 1/sqrt(features), is added to the logit. ``factors``: as
    in the generator.
    ``size=64, batch_norm=True``, the network of that code, has 2,765,568 parameters.
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
        batch_norm: bool = False,
        start: int | tuple[int, int] | None = None,
        factors: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, _ = checks.picture(size, channels, num_classes)
        self.sample_shape = (self.channels, *self.size)
        self.start, stages = checks.start_grid(self.size, start)
        classic = checks.flag("batch_norm", batch_norm)
        widths = checks.widths(width, max_width, stages)  # from the full resolution down

        self.convs = nn.ModuleList()
        for i, (cin, cout) in enumerate(zip([self.channels, *widths], widths, strict=False)):
            conv = nn.Conv2d(cin, cout, 4, 2, 1, bias=not classic)
            _init(conv, classic, LEAKY_GAIN if i else 1.0)
            self.convs.append(conv)
        self.norms = nn.ModuleList(_norm(w, classic and i > 0) for i, w in enumerate(widths))
        self.head = nn.Linear(widths[-1] * self.start[0] * self.start[1], 1, bias=False)
        _init(self.head, classic, 1.0)
        factors = checks.factors(factors, self.num_classes)
        self.embed = label_vectors(self.num_classes, widths[-1], factors)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The picture and what each stage makes of it: (N, Ci, H/2^i, W/2^i)."""
        maps = [x]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            maps.append(F.leaky_relu(norm(conv(maps[-1])), SLOPE))  # (N, Ci, H / 2^i, W / 2^i)
        return maps

    def logits(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (N,) from the last map, x (N, C, h, w), and the labels (N,)."""
        logits = self.head(x.flatten(1)).squeeze(1)  # (N,)
        if self.embed is None:
            return logits
        features = x.mean((2, 3))  # (N, C)
        match = (features * self.embed(needed(labels))).sum(1)  # (N,)
        return logits + match / features.shape[1] ** 0.5  # (N,)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.logits(self.maps(x)[-1], labels)  # (N, Ck, h, w) -> (N,)
