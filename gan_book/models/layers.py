"""Layers and initializers that several networks share."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


class FactoredEmbedding(nn.Module):
    """A vector for each combination of several labels: the sum of one vector for each of them.

    The combinations are counted as digits are, the last label fastest: with factors (12, 8) the
    class 8 i + j has the i-th of 12 vectors plus the j-th of 8, so that 96 classes share 20
    vectors, and a combination can be asked for that no sample had. Each sum is N(0, 1).
    (N,) int64 -> (N, features).
    """

    def __init__(self, factors: Sequence[int], features: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(class_vectors(k, features, 1 / len(factors)) for k in factors)

    @property
    def weight(self) -> Tensor:
        """The vectors of all combinations, (K, features)."""
        tables: list[Tensor] = [part.weight for part in self.parts]  # type: ignore[misc]
        rows = tables[0]
        for table in tables[1:]:
            rows = (rows[:, None] + table).flatten(0, 1)  # (K1 ... Ki, features)
        return rows

    def forward(self, labels: Tensor) -> Tensor:
        return F.embedding(labels, self.weight)  # (N, features)


def class_vectors(num_classes: int, features: int, variance: float = 1.0) -> nn.Embedding:
    """A learned vector for each class, N(0, variance)."""
    embed = nn.Embedding(num_classes, features)
    init_normal(embed.weight, math.sqrt(variance), fan_in=1)
    return embed


def label_vectors(
    num_classes: int, features: int, factors: Sequence[int] | None = None
) -> nn.Module | None:
    """Vectors (features,) of the classes, one each or as sums; None without classes."""
    if factors is not None:
        return FactoredEmbedding(factors, features)
    return class_vectors(num_classes, features) if num_classes else None


class LabelledLatent(nn.Module):
    """z, joined for conditional generators by a learned vector for the label, N(0, 1) like z.

    (N, z_dim), (N,) -> (N, z_dim + embedding); without classes z passes unchanged and labels are
    ignored. ``factors``: see ``FactoredEmbedding``.
    """

    def __init__(
        self,
        z_dim: int,
        num_classes: int,
        embedding: int,
        factors: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.features = z_dim + (embedding if num_classes else 0)
        self.embed = label_vectors(num_classes, embedding, factors)

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
