"""Small fully connected networks for games on 2-D points."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import checks
from .layers import LEAKY_GAIN, SLOPE, LabelledLatent, init_normal


class _Layers(nn.Module):
    """Linear layers with leaky ReLU 0.2 between them: (N, widths[0]) -> (N, widths[-1]).

    Weights N(0, gain^2 / fan_in), gain = sqrt(2 / 1.04) after an activation and 1 for the first
    layer and the last; biases uniform in +-1/sqrt(fan_in), because with zero biases every kink of
    a network on the plane would run through the origin.
    """

    def __init__(self, widths: list[int], last_bias: bool) -> None:
        super().__init__()
        last = len(widths) - 2
        self.linears = nn.ModuleList(
            nn.Linear(a, b, bias=last_bias or i < last) for i, (a, b) in enumerate(pairwise(widths))
        )
        for i, linear in enumerate(self.linears):
            assert isinstance(linear, nn.Linear)
            init_normal(linear.weight, 1.0 if i in (0, last) else LEAKY_GAIN)
            if linear.bias is not None:
                bound = 1 / math.sqrt(widths[i])
                nn.init.uniform_(linear.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        *hidden, last = self.linears
        for linear in hidden:
            x = F.leaky_relu(linear(x), SLOPE)  # (N, width)
        return last(x)  # (N, widths[-1])


class MLPGenerator(nn.Module):
    """Points from latent vectors: z (N, z_dim) -> (N, out).

    ``layers`` hidden layers of ``width`` units; by default 4 x 64 with z_dim 2: 12,802 parameters.
    A label joins z as a learned vector of ``embedding`` numbers (default: ``width``).
    ``size`` and ``channels`` are accepted and ignored: points have neither.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: Any = None,
        channels: Any = None,
        *,
        num_classes: int = 0,
        z_dim: int = 2,
        out: int = 2,
        width: int = 64,
        layers: int = 4,
        embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.z_dim = checks.whole("z_dim", z_dim)
        self.num_classes = checks.whole("num_classes", num_classes, 0, checks.LARGEST_CLASSES)
        self.channels = checks.whole("out", out)
        self.size: tuple[int, ...] = ()
        self.sample_shape = (self.channels,)
        hidden = [checks.whole("width", width)] * checks.whole("layers", layers, 1, 64)
        embedding = width if embedding is None else checks.whole("embedding", embedding)
        self.latent = LabelledLatent(z_dim, num_classes, embedding)
        self.layers = _Layers([self.latent.features, *hidden, out], last_bias=True)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        z = self.latent(z, labels)  # (N, z_dim [+ embedding])
        return self.layers(z)  # (N, out)


class MLPDiscriminator(nn.Module):
    """Logits for points: x (N, inputs) -> (N,).

    By default 4 x 64 hidden units: 12,736 parameters. The last layer has no bias: relativistic
    losses only see differences of logits, so it would never move. A label joins x as a learned
    vector of ``embedding`` numbers (default: ``width``). ``size`` and ``channels`` are ignored.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: Any = None,
        channels: Any = None,
        *,
        num_classes: int = 0,
        inputs: int = 2,
        width: int = 64,
        layers: int = 4,
        embedding: int | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = checks.whole("num_classes", num_classes, 0, checks.LARGEST_CLASSES)
        self.channels = checks.whole("inputs", inputs)
        self.size: tuple[int, ...] = ()
        self.sample_shape = (self.channels,)
        hidden = [checks.whole("width", width)] * checks.whole("layers", layers, 1, 64)
        embedding = width if embedding is None else checks.whole("embedding", embedding)
        self.labelled = LabelledLatent(inputs, num_classes, embedding)
        self.layers = _Layers([self.labelled.features, *hidden, 1], last_bias=False)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self.labelled(x, labels)  # (N, inputs [+ embedding])
        return torch.squeeze(self.layers(x), 1)  # (N,)
