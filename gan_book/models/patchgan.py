"""A discriminator that judges patches: one logit for each, none for the whole.

Isola et al. (2017, arXiv 1611.07004, section 3.2.2 and appendix 6.1.2) without normalization, as
our other discriminators: their "70 x 70" is three halvings, their "16 x 16" is one.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from . import checks
from .dcgan import _init
from .layers import LEAKY_GAIN, SLOPE

KERNEL = 4


def receptive_field(halvings: int) -> int:
    """Side in pixels of what one logit sees: 9 * 2^halvings - 2, so 7, 16, 34, 70, ...

    A layer adds (kernel - 1) times the product of all strides below it: 3 (2^n - 1) for the n
    halvings together, then 3 * 2^n for each of the two layers with stride 1, and 1 to begin with.
    """
    return 1 + (KERNEL - 1) * (2**halvings - 1) + 2 * (KERNEL - 1) * 2**halvings


class PatchDiscriminator(nn.Module):
    """Logits for overlapping patches: x (N, channels, H, W) -> (N, h, w), any large enough H and W.

    ``halvings`` convolutions with stride 2, one with stride 1, and one that reads the logits, all
    4 x 4 with a border of 1: h = H / 2^halvings - 2 where H can be halved so often. A logit sees
    ``receptive_field(halvings)`` pixels a side, border included. ``width`` channels after the
    first layer, doubled at each up to ``max_width`` (default 8 width). No logit has a bias.
    Six channels (a pair of color pictures), one halving, width 32: 36,960 parameters.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self, channels: int = 3, *, width: int = 64, max_width: int | None = None, halvings: int = 1
    ) -> None:
        super().__init__()
        self.channels = checks.whole("channels", channels, 1, 256)
        self.halvings = checks.whole("halvings", halvings, 0, 8)
        widths = checks.widths(width, max_width, self.halvings + 1)
        self.convs = nn.ModuleList()
        for i, (cin, cout) in enumerate(zip([self.channels, *widths], widths, strict=False)):
            stride = 2 if i < self.halvings else 1
            conv = nn.Conv2d(cin, cout, KERNEL, stride, 1)
            _init(conv, False, LEAKY_GAIN if i else 1.0)
            self.convs.append(conv)
        self.last = nn.Conv2d(widths[-1], 1, KERNEL, 1, 1, bias=False)
        _init(self.last, False, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)  # (N, Ci, H / 2^i, W / 2^i), at last one row less
        return self.last(x).squeeze(1)  # (N, h, w)
