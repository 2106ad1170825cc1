"""A small transformer GAN for pixels: attention among patches instead of convolutions.

In the spirit of GAT (Hyun, Lee and Heo, "Scalable GANs with Transformers", arXiv 2509.24935): a
mapping network turns z into w, which scales and gates every block of G; D's blocks have LayerScale;
pictures are also read from between the blocks of G, and D judges all of them at once, the early
ones under noise; learning rates fall with the width (``width_rate``).

Ours, unlike theirs: pixels, no pretrained VAE or features, labels optional, sines as the
only positions (no rotation of queries), queries and keys as they are (not normalized), GELU for
SwiGLU, a mean over tokens for a class token, noise of its own on each level and none on the last.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import brief, need
from . import checks
from .layers import LabelledLatent, init_normal, needed, zero_
from .stylegan import EPSILON, MAPPING_RATE, Equalized, activate

CLEANEST = 0.125  # the share of the picture that is left on the first level (GAT's code)
NOISE = 0.5  # standard deviation of the noise: about that of pixels in [-1, 1]; GAT's latents: 1
MOST_TOKENS = 4096  # attention weighs each pair of them


def width_rate(rate: float, base_width: int, width: int) -> float:
    """The learning rate for ``width`` that moves outputs as ``rate`` does at ``base_width``.

    rate * base_width / width, GAT's rule: each of Adam's steps changes all weights by about the
    rate, and all changes of a row, width many, pull its output the same way.
    """
    return rate * base_width / width


def noise_shares(levels: int) -> Tensor:
    """t_k for k = 0 ... K - 1: level k shows (1 - t_k) x + t_k NOISE n. (K,), down to 0.

    1 - t_k goes from 1/8 to 1 in equal ratios; a single level is clean.
    """
    return 1 - CLEANEST ** torch.linspace(float(levels > 1), 0, levels)  # (K,)


def rms_norm(x: Tensor) -> Tensor:
    """(..., C) -> the same shape, each vector divided by its root mean square."""
    return x * (x.square().mean(-1, keepdim=True) + EPSILON).rsqrt()


def positions(grid: tuple[int, int], width: int) -> Tensor:
    """Sines and cosines of a token's row and column: (T, width), T = rows * columns, E[x^2] = 1.

    The fastest wave turns by a quarter with each token; the slowest by a quarter over the grid.
    """
    waves = -(-width // 4)
    parts = []
    places = torch.meshgrid(*map(torch.arange, grid), indexing="ij")  # (rows, columns) each
    for side, place in zip(grid, places, strict=True):
        speeds = 0.5 * math.pi * side ** -torch.linspace(0, 1, waves)  # (waves,)
        angles = place.reshape(-1, 1) * speeds  # (T, waves)
        parts += [angles.sin(), angles.cos()]
    return math.sqrt(2) * torch.cat(parts, 1)[:, :width]  # (T, width)


class Attention(nn.Module):
    """Dot-product attention with several heads: (N, T, width) -> (N, T, width).

    softmax(q k^T / sqrt(c)) v word by word (Vaswani et al., 2017, arXiv 1706.03762, eq. 1):
    PyTorch's fused kernels have no second derivative, which R1 and R2 need.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = _linear(width, 3 * width)
        self.merge = _linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self._split(x)  # (N, heads, T, c) each
        y = self._weights(q, k) @ v  # (N, heads, T, c)
        return self.merge(y.transpose(1, 2).flatten(2))  # (N, T, width)

    def weights(self, x: Tensor) -> Tensor:
        """How much token i takes from token j: (N, T, width) -> (N, heads, T, T), rows sum to 1."""
        return self._weights(*self._split(x)[:2])

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.project(x).unflatten(2, (3, self.heads, -1))  # (N, T, 3, heads, c)
        return y.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, c) each

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        return (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(3)  # (N, heads, T, T)


class Block(nn.Module):
    """Attention, then the same two layers on each token, both added to x: (N, T, width) -> same.

    With ``w_dim`` the vector w scales what goes in and gates what comes out (4 numbers a channel;
    DiT's adaLN without shifts, as in GAT); without, what comes out is multiplied by learned
    numbers, LayerScale (Touvron et al., 2021, arXiv 2103.17239). Both start at the size ``gain``: 0
    makes the block the identity.
    """

    def __init__(self, width: int, heads: int, ratio: int, gain: float, w_dim: int = 0) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.first, self.second = _linear(width, ratio * width), _linear(ratio * width, width)
        self.style = _linear(w_dim, 4 * width, gain) if w_dim else None
        self.scales = None if w_dim else nn.Parameter(torch.full((2, width), float(gain)))

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        a, b, c, d = self._modulation(w)  # (N, 1, width) or (width,) each
        x = x + b * self.attention(rms_norm(x) * a)  # (N, T, width)
        y = F.gelu(self.first(rms_norm(x) * c))  # (N, T, ratio * width)
        return x + d * self.second(y)  # (N, T, width)

    def _modulation(self, w: Tensor | None) -> tuple[Tensor | float, ...]:
        """Scale and gate of the attention, scale and gate of the two layers."""
        if self.style is None:
            assert self.scales is not None
            return 1.0, self.scales[0], 1.0, self.scales[1]
        a, b, c, d = self.style(w)[:, None].chunk(4, 2)  # (N, 1, width) each
        return 1 + a, b, 1 + c, d


class _Tokens(nn.Module):
    """What both networks share: sizes, checked, and the patches of a picture."""

    def __init__(self, size: object, channels: object, num_classes: object, patch: object) -> None:
        super().__init__()
        self.size, self.channels, self.num_classes, _ = checks.picture(size, channels, num_classes)
        self.sample_shape = (self.channels, *self.size)
        self.patch = checks.whole("patch", patch)
        need(
            self.size[0] % self.patch == 0 and self.size[1] % self.patch == 0,
            f"patches of {self.patch} x {self.patch} pixels do not fill a picture of "
            f"{self.size[0]} x {self.size[1]}; choose a 'patch' that divides both.",
        )
        self.grid = (self.size[0] // self.patch, self.size[1] // self.patch)
        tokens = math.prod(self.grid)
        need(
            tokens <= MOST_TOKENS,
            f"{tokens:,} tokens are more than the {MOST_TOKENS:,} that are allowed, as attention "
            "weighs each pair; choose a larger 'patch'.",
        )

    def _plan(self, width: int, heads: int, depth: int, levels: int, gain: float) -> None:
        fits = isinstance(gain, int | float) and 0 <= gain <= 10
        need(fits, f"the network option 'gain' must lie between 0 and 10, not {brief(gain)}.")
        checks.whole("width", width)
        need(
            width % checks.whole("heads", heads) == 0,
            f"a width of {width} does not divide into {heads} heads.",
        )
        self.levels = checks.whole("levels", levels, 1, checks.whole("depth", depth, 1, 64))
        self.register_buffer("positions", positions(self.grid, width))


class TransformerGenerator(_Tokens):
    """Pictures from latent vectors: z (N, z_dim) -> (N, channels, H, W), unbounded.

    Every token starts as its position; w reaches each of ``depth`` blocks. ``levels`` K > 1: after
    each K-th part of the blocks a layer of its own adds to the picture; the last sum is the
    picture, ``forward(z, every=True)`` gives all, (N, K, channels, H, W). ``gain``: how strongly w
    acts at the start. ``patch``: side of a token in pixels. A label joins z as a learned vector of
    ``embedding`` numbers (default: z_dim).
    Raises ``GanBookError`` for impossible options.
    """

    positions: Tensor

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        z_dim: int = 64,
        w_dim: int = 64,
        mapping_layers: int = 2,
        width: int = 40,
        heads: int = 4,
        depth: int = 4,
        ratio: int = 2,
        patch: int = 2,
        levels: int = 1,
        gain: float = 0.1,
        embedding: int | None = None,
    ) -> None:
        super().__init__(size, channels, num_classes, patch)
        self.z_dim = checks.whole("z_dim", z_dim)
        self._plan(width, heads, depth, levels, gain)
        embedding = z_dim if embedding is None else checks.whole("embedding", embedding)
        self.latent = LabelledLatent(z_dim, self.num_classes, embedding)
        self.w_dim = checks.whole("w_dim", w_dim)
        sides = [self.latent.features]
        sides += [w_dim] * checks.whole("mapping_layers", mapping_layers, 1, 64)
        self.map = nn.ModuleList(Equalized(a, b, rate=MAPPING_RATE) for a, b in pairwise(sides))
        ratio = checks.whole("ratio", ratio, 1, 64)
        self.blocks = nn.ModuleList(Block(width, heads, ratio, gain, w_dim) for _ in range(depth))
        self.ends = [(k + 1) * depth // levels for k in range(levels)]  # blocks before a picture
        pixels = self.channels * self.patch**2
        self.to_rgb = nn.ModuleList(
            _linear(width, pixels, 0.5 / math.sqrt(levels)) for _ in range(levels)
        )

    def mapping(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """z (N, z_dim) -> w (N, w_dim)."""
        w = rms_norm(self.latent(z, labels))  # (N, z_dim [+ embedding]), all on one sphere
        for layer in self.map:
            w = activate(layer(w))  # (N, w_dim)
        return w

    def forward(self, z: Tensor, labels: Tensor | None = None, every: bool = False) -> Tensor:
        w = self.mapping(z, labels)  # (N, w_dim)
        x = self.positions.to(w.dtype).expand(w.shape[0], -1, -1)  # (N, T, width)
        pictures: list[Tensor] = []
        for i, block in enumerate(self.blocks, start=1):
            x = block(x, w)  # (N, T, width)
            if i in self.ends:
                more = self._picture(self.to_rgb[len(pictures)](rms_norm(x)))  # (N, C, H, W)
                pictures.append(pictures[-1] + more if pictures else more)
        return torch.stack(pictures, 1) if every else pictures[-1]  # (N, [K,] C, H, W)

    def _picture(self, patches: Tensor) -> Tensor:
        """(N, T, channels * patch^2) -> (N, channels, H, W)."""
        x = patches.transpose(1, 2)  # (N, channels * patch^2, T)
        return F.fold(x, self.size, self.patch, stride=self.patch)  # (N, channels, H, W)


class TransformerDiscriminator(_Tokens):
    """A vision transformer as discriminator: (N, channels, H, W) -> logits (N,).

    Patches become tokens, ``depth`` blocks with LayerScale follow, and the mean token is judged;
    labels by projection. With ``levels`` K > 1 a token holds the patches of K pictures, of
    (N, K, channels, H, W) or of one picture K times, all but the last under ``noise``
    (N, K - 1, channels, H, W); without ``noise`` always the same numbers are used.
    Raises ``GanBookError`` for impossible options.
    """

    positions: Tensor
    noise: Tensor
    shares: Tensor

    def __init__(
        self,
        size: int | tuple[int, int] = 64,
        channels: int = 3,
        *,
        num_classes: int = 0,
        width: int = 32,
        heads: int = 4,
        depth: int = 4,
        ratio: int = 2,
        patch: int = 2,
        levels: int = 1,
        gain: float = 0.1,
    ) -> None:
        super().__init__(size, channels, num_classes, patch)
        self._plan(width, heads, depth, levels, gain)
        ratio = checks.whole("ratio", ratio, 1, 64)
        self.register_buffer("noise", torch.randn(levels - 1, *self.sample_shape))
        self.register_buffer("shares", noise_shares(levels)[:-1, None, None, None])
        self.first = _linear(levels * self.channels * self.patch**2, width)
        self.blocks = nn.ModuleList(Block(width, heads, ratio, gain) for _ in range(depth))
        self.head = nn.Linear(width, 1, bias=False)  # relativistic losses never move a bias
        init_normal(self.head.weight)
        self.embed = nn.Embedding(self.num_classes, width) if self.num_classes else None  # N(0, 1)

    def forward(
        self, x: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        if self.levels > 1:
            x = self.under_noise(x, noise).flatten(1, 2)  # (N, K * C, H, W)
        x = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)  # (N, T, K * C * patch^2)
        x = self.first(x) + self.positions.to(x.dtype)  # (N, T, width)
        for block in self.blocks:
            x = block(x)  # (N, T, width)
        x = rms_norm(x.mean(1))  # (N, width)
        logits = self.head(x).squeeze(1)  # (N,)
        if self.embed is not None:
            logits = logits + (x * self.embed(needed(labels))).mean(1) * math.sqrt(x.shape[1])
        return logits  # (N,)

    def under_noise(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """(N, [K,] C, H, W) -> (N, K, C, H, W): level k is (1 - t_k) x_k + t_k NOISE n_k."""
        x = x if x.dim() == 5 else x[:, None].expand(-1, self.levels, -1, -1, -1)  # (N, K, ...)
        noise = self.noise[None] if noise is None else noise  # (N or 1, K - 1, C, H, W)
        t = self.shares.to(x.dtype)  # (K - 1, 1, 1, 1)
        early = (1 - t) * x[:, :-1] + t * NOISE * noise.to(x.dtype)  # (N, K - 1, C, H, W)
        return torch.cat([early, x[:, -1:]], 1)  # (N, K, C, H, W)


def _linear(cin: int, cout: int, gain: float = 1.0) -> nn.Linear:
    """Weights N(0, gain^2 / cin), biases 0."""
    layer = nn.Linear(cin, cout)
    init_normal(layer.weight, gain)
    zero_(layer.bias)
    return layer
