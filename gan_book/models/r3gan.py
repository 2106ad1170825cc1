"""R3GAN's residual networks without normalization (Huang et al., 2024, arXiv 2501.05441).

Written from the paper's numbers. A residual block is 1 x 1 (C -> 2C), leaky ReLU, grouped 3 x 3,
leaky ReLU, 1 x 1 (2C -> C), added to its input; its two inner convolutions have biases.
Initialization: weights N(0, gain^2 / fan_in), where the first two convolutions of a block have
gain sqrt(2 / 1.04) * L^(-1/4) for L blocks in the network and the third is exactly zero (Fixup;
Zhang et al., 2019), so that the network begins as a linear map; every other layer has gain 1,
biases are zero.

Group convolutions of width 16 are for GPUs. On a CPU they are slower than their arithmetic
suggests: use ``group_width="dense"`` with smaller widths there.

One deliberate difference: resampling continues a picture by its border pixels
(``layers.Resample``).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import known, need
from . import checks
from .layers import (
    LEAKY_GAIN,
    SLOPE,
    LabelledLatent,
    Resample,
    init_normal,
    label_vectors,
    needed,
    zero_,
)


class ResidualBlock(nn.Module):
    """(N, C, H, W) -> (N, C, H, W); the identity at the start of training."""

    def __init__(self, width: int, hidden: int, groups: int, gain: float) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, hidden, 1)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups)
        self.reduce = nn.Conv2d(hidden, width, 1, bias=False)
        for conv in (self.expand, self.mix):
            init_normal(conv.weight, gain)
            zero_(conv.bias)
        zero_(self.reduce.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.expand(x), SLOPE)  # (N, 2C, H, W)
        y = F.leaky_relu(self.mix(y), SLOPE)  # (N, 2C, H, W)
        return x + self.reduce(y)  # (N, C, H, W)


def _conv1x1(cin: int, cout: int) -> nn.Module:
    """A linear map of channels with gain 1, or nothing where the numbers agree."""
    if cin == cout:
        return nn.Identity()
    conv = nn.Conv2d(cin, cout, 1, bias=False)
    init_normal(conv.weight)
    return conv


class _Layout:
    """Start grid, widths and blocks per resolution, lowest first, from a network's options."""

    def __init__(
        self,
        size: tuple[int, int],
        start: Any,
        widths: Any,
        blocks: Any,
        group_width: Any,
        expansion: Any,
    ) -> None:
        doublings = len(widths) - 1 if isinstance(widths, (list, tuple)) else None
        need(
            doublings is None or 1 <= doublings <= 10,
            "the network option 'widths' needs 2 to 11 entries, one for each resolution.",
        )
        self.start, doublings = checks.start_grid(size, start, doublings)
        stages = doublings + 1
        if widths is None:  # 768 up to 8 x the start grid, then half at each doubling
            widths = tuple(max(16, 768 >> max(0, i - 3)) for i in range(stages))
        self.widths = checks.per_stage("widths", widths, stages, 1, checks.LARGEST_WIDTH)
        self.blocks = checks.per_stage("blocks", blocks, stages, 0, 64)
        expansion = checks.whole("expansion", expansion, 1, 16)
        if isinstance(group_width, str):
            known("network option group_width", group_width, ("dense",))
        else:
            checks.whole("group_width", group_width)
        self.hidden = tuple(expansion * w for w in self.widths)
        self.groups = tuple(1 if group_width == "dense" else h // group_width for h in self.hidden)
        for h, g in zip(self.hidden, self.groups, strict=True):
            need(
                g >= 1 and (group_width == "dense" or h % group_width == 0),
                f"groups of {group_width} channels do not divide the {h} channels inside a block "
                f"(expansion {expansion} x width {h // expansion}); choose other widths, another "
                "group_width, or group_width = 'dense'.",
            )
        # L of the docstring; a network without blocks has no weights that need it
        self.gain = LEAKY_GAIN * max(1, sum(self.blocks)) ** -0.25

    def residual_blocks(self, stage: int) -> list[nn.Module]:
        width, hidden, groups = self.widths[stage], self.hidden[stage], self.groups[stage]
        return [ResidualBlock(width, hidden, groups, self.gain) for _ in range(self.blocks[stage])]


class R3GANGenerator(nn.Module):
    """Pictures from latent vectors: z (N, z_dim) -> (N, channels, H, W), not confined to [-1, 1].

    A learned start grid (C, h, w), multiplied channel by channel with a linear map of z, passes
    through the stages; between stages 1 x 1 (where widths differ) and doubling; a 1 x 1
    convolution ends it, without tanh.

    ``widths``: channels per resolution from the start grid up (a list fixes the number of
    doublings; one number is used for all); default 768 up to 8 x the start grid, then half at
    each doubling.
    ``blocks``: residual blocks per resolution (list or number). ``group_width``: channels in a
    group of the 3 x 3 convolutions, a divisor of ``expansion`` * width, or "dense". A label joins
    z as a learned vector of ``embedding`` numbers (default: z_dim). Published sizes: FFHQ-64 22.4
    M, CIFAR-10 (conditional) 20.8 M parameters.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        z_dim: int = 64,
        widths: Any = None,
        blocks: Any = 2,
        group_width: int | str = 16,
        expansion: int = 2,
        start: int | tuple[int, int] | None = None,
        embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, self.z_dim = checks.picture(
            size, channels, num_classes, z_dim
        )
        self.sample_shape = (self.channels, *self.size)
        layout = _Layout(self.size, start, widths, blocks, group_width, expansion)
        self.start, widths = layout.start, layout.widths
        embedding = z_dim if embedding is None else checks.whole("embedding", embedding)

        self.latent = LabelledLatent(z_dim, num_classes, embedding)
        self.basis = nn.Parameter(torch.randn(widths[0], *self.start))
        self.first = nn.Linear(self.latent.features, widths[0], bias=False)
        init_normal(self.first.weight)
        self.stages = nn.ModuleList()
        for i in range(len(widths)):
            change = [_conv1x1(widths[i - 1], widths[i]), Resample(up=True)] if i else []
            self.stages.append(nn.Sequential(*change, *layout.residual_blocks(i)))
        self.last = nn.Conv2d(widths[-1], self.channels, 1, bias=False)
        init_normal(self.last.weight)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = self.latent(z, labels)  # (N, z_dim [+ embedding])
        x = self.basis * self.first(z)[:, :, None, None]  # (N, C0, h, w)
        for stage in self.stages:
            x = stage(x)  # (N, Ci, h * 2^i, w * 2^i)
        return self.last(x)  # (N, channels, H, W)


class R3GANDiscriminator(nn.Module):
    """Logits for pictures: x (N, channels, H, W) -> (N,), the generator in reverse.

    1 x 1 convolution from the channels; per stage residual blocks, halving, 1 x 1 where widths
    differ; after the blocks on the start grid a depthwise convolution with a kernel as large as
    the grid and a linear layer without bias (relativistic losses only see differences of logits).
    Options as in ``R3GANGenerator``. Conditional: the linear layer has C outputs, and the logit
    is their inner product with a learned vector for the label, times 1/sqrt(C) (projection;
    Miyato and Koyama, 2018). Published sizes: FFHQ-64 22.4 M, CIFAR-10 (conditional) 21.3 M
    parameters.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        widths: Any = None,
        blocks: Any = 2,
        group_width: int | str = 16,
        expansion: int = 2,
        start: int | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, _ = checks.picture(size, channels, num_classes)
        self.sample_shape = (self.channels, *self.size)
        layout = _Layout(self.size, start, widths, blocks, group_width, expansion)
        self.start, widths = layout.start, layout.widths

        self.first = nn.Conv2d(self.channels, widths[-1], 1, bias=False)
        init_normal(self.first.weight)
        self.stages = nn.ModuleList()
        for i in reversed(range(len(widths))):
            change = [Resample(up=False), _conv1x1(widths[i], widths[i - 1])] if i else []
            self.stages.append(nn.Sequential(*layout.residual_blocks(i), *change))
        self.pool = nn.Conv2d(widths[0], widths[0], self.start, groups=widths[0], bias=False)
        self.head = nn.Linear(widths[0], widths[0] if self.num_classes else 1, bias=False)
        init_normal(self.pool.weight)
        init_normal(self.head.weight)
        self.embed = label_vectors(self.num_classes, widths[0])

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.first(x)  # (N, C, H, W)
        for stage in self.stages:
            x = stage(x)  # (N, Ci, H / 2^i, W / 2^i), at last (N, C0, h, w)
        features = self.head(self.pool(x).flatten(1))  # (N, 1) or (N, C0)
        if self.embed is None:
            return features.squeeze(1)  # (N,)
        match = (features * self.embed(needed(labels))).sum(1)  # (N,)
        return match / features.shape[1] ** 0.5  # (N,)
