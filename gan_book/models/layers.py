"""Layers and initializers that several networks share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import GanBookError

SLOPE = 0.2  # of every leaky ReLU for negative inputs (Radford et al., 2015)
LEAKY_GAIN = math.sqrt(
    2 / (1 + SLOPE**2)
)  # keeps E[x^2] through layer + leaky ReLU (He et al., 2015)


def init_normal(weight: Tensor, gain: float = 1.0, fan_in: float | None = None) -> None:
    """Fill ``weight`` with N(0, gain^2 / fan_in) from the global generator, in place.

    ``fan_in`` is the number of inputs that one output sums; by default weight.shape[1:].numel(),
    which is right for linear layers and ordinary convolutions.
    """
    fan_in = weight[0].numel() if fan_in is None else fan_in
    with torch.no_grad():
        weight.normal_(0.0, gain / math.sqrt(fan_in))


def zero_(parameter: Tensor | None) -> None:
    """Set a parameter to exactly zero; None (a layer without bias) is left alone."""
    if parameter is not None:
        nn.init.zeros_(parameter)


class Resample(nn.Module):
    """Doubles or halves the resolution with the binomial filter [1, 3, 3, 1] on both axes.

    The picture is continued by its border pixels, so a constant stays constant up to the edge (a
    zero border, as in StyleGAN2, would darken it). Doubling is then bilinear interpolation;
    halving is its smooth counterpart. Written as padding and depthwise convolution: linear,
    deterministic, differentiable any number of times.
    (N, C, H, W) -> (N, C, 2H, 2W) or, for even H and W, (N, C, H/2, W/2).
    """

    def __init__(self, up: bool) -> None:
        super().__init__()
        self.up = up
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4 if up else 8)
        self.register_buffer("kernel", torch.outer(taps, taps))  # persistent: survives to_empty()

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.get_buffer("kernel").to(x.dtype).expand(channels, 1, 4, 4)  # (C, 1, 4, 4)
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")  # (N, C, H + 2, W + 2)
        if self.up:  # the doubled margin, 3 pixels a side, is cut off
            return F.conv_transpose2d(x, kernel, stride=2, padding=3, groups=channels)
        return F.conv2d(x, kernel, stride=2, groups=channels)  # (N, C, H/2, W/2)

    def extra_repr(self) -> str:
        return "up" if self.up else "down"


class LabelledLatent(nn.Module):
    """z, joined for conditional generators by a learned vector for the label, N(0, 1) like z.

    (N, z_dim), (N,) -> (N, z_dim + embedding); without classes z passes unchanged and labels are
    ignored.
    """

    def __init__(self, z_dim: int, num_classes: int, embedding: int) -> None:
        super().__init__()
        self.features = z_dim + (embedding if num_classes else 0)
        self.embed = nn.Embedding(num_classes, embedding) if num_classes else None
        if self.embed is not None:
            init_normal(self.embed.weight, fan_in=1)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        if self.embed is None:
            return z
        return torch.cat([z, self.embed(needed(labels))], dim=1)  # (N, z_dim + embedding)


def needed(labels: Tensor | None) -> Tensor:
    """The labels of a conditional network, which cannot work without them."""
    if labels is None:
        raise GanBookError(
            "this network was built with num_classes and needs a label for each sample; "
            "pass labels, or build it with num_classes = 0."
        )
    return labels
