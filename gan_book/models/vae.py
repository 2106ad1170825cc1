"""Encoders: two of them, the module that joins one with a generator, and a judge of pairs (x, z).

Kingma and Welling (2014, arXiv 1312.6114); Rezende, Mohamed and Wierstra (2014, arXiv 1401.4082).
The decoder is a GAN's generator, so that a comparison compares methods and not networks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import brief, need
from . import checks
from .dcgan import DCGANDiscriminator
from .layers import SLOPE, init_normal, zero_
from .mlp import _Layers


class MLPEncoder(_Layers):
    """q(z|x) for points: x (N, inputs) -> mean and log variance of a normal, (N, z_dim) each.

    ``layers`` hidden layers of ``width`` units; 0 makes both linear in x.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(self, inputs: int = 2, z_dim: int = 2, width: int = 64, layers: int = 4) -> None:
        z_dim = checks.whole("z_dim", z_dim)
        hidden = [checks.whole("width", width)] * checks.whole("layers", layers, 0, 64)
        super().__init__([checks.whole("inputs", inputs), *hidden, 2 * z_dim], last_bias=True)
        self.z_dim = z_dim

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        mean, log_variance = super().forward(x).chunk(2, 1)  # (N, z_dim) each
        return mean, log_variance


class ConvEncoder(DCGANDiscriminator):
    """q(z|x) for pictures: x (N, C, H, W) -> mean and log variance of a normal, (N, z_dim) each.

    The stages of ``DCGANDiscriminator`` without batch normalization, under a wider last layer.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 16,
        channels: int = 3,
        *,
        z_dim: int = 64,
        width: int = 32,
    ) -> None:
        super().__init__(size, channels, width=width)
        self.z_dim = checks.whole("z_dim", z_dim)
        self.head = nn.Linear(self.head.in_features, 2 * z_dim)
        init_normal(self.head.weight)
        zero_(self.head.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        features = self.maps(x)[-1].flatten(1)  # (N, C h w)
        mean, log_variance = self.head(features).chunk(2, 1)  # (N, z_dim) each
        return mean, log_variance


class VAE(nn.Module):
    """An encoder q(z|x), a decoder p(x|z) = N(decode(z), sd^2 I), and the prior z ~ N(0, I).

    Args:
        encoder: x (N, ...) -> mean and log variance of z, (N, z_dim) each; has ``z_dim``.
        decoder: z (N, z_dim) -> the mean of x, (N, ...): any generator without labels.
        sd: standard deviation of every number of x around the decoder's mean, in units of x.

    Raises:
        GanBookError: if sd is not positive, or the networks disagree about the length of z.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, sd: float = 0.1) -> None:
        super().__init__()
        positive = isinstance(sd, int | float) and math.isfinite(sd) and sd > 0
        need(positive, f"The decoder's sd must be a positive number, not {brief(sd)}.")
        self.encoder, self.decoder, self.sd = encoder, decoder, sd
        self.z_dim: int = encoder.z_dim  # type: ignore[assignment]
        theirs = getattr(decoder, "z_dim", self.z_dim)
        need(
            theirs == self.z_dim,
            f"The encoder makes {self.z_dim} latent numbers, but the decoder takes {theirs}; "
            "give both the same z_dim.",
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x): x (N, ...) -> (N, z_dim) each."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """The mean of p(x|z): z (N, z_dim) -> (N, ...)."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        """The autoencoder without noise: decode the mean of q(z|x), (N, ...) -> (N, ...)."""
        return self.decode(self.encode(x)[0])

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """The means of p(x|z), without its noise, at n latents from the prior: (n, ...)."""
        z = torch.randn(n, self.z_dim, generator=generator, device=generator.device)
        return self.decode(z)  # (n, ...)


class PairDiscriminator(nn.Module):
    """A logit for each pair: x (N, ...), z (N, z_dim) -> (N,), for BiGAN and ALI.

    ``reader`` is an encoder of its own, not the one that is trained against this judge; both of its
    outputs are features of x here. They join z and pass two hidden layers of ``width`` units.
    Raises ``GanBookError`` for impossible options.
    """

    def __init__(self, reader: nn.Module, z_dim: int, width: int = 64) -> None:
        super().__init__()
        self.reader, self.z_dim = reader, checks.whole("z_dim", z_dim)
        width, features = checks.whole("width", width), 2 * int(reader.z_dim)  # type: ignore[arg-type]
        self.layers = _Layers([features + z_dim, width, width, 1], last_bias=False)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        pair = torch.cat([*self.reader(x), z], 1)  # (N, 2 reader.z_dim + z_dim)
        return self.layers(F.leaky_relu(pair, SLOPE)).squeeze(1)  # (N,)
