"""The spaces in which a generator's pictures have codes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import known, need

SPACES = ("z", "w", "w+")
DRAWS = 4_096  # from which mean and covariance of w are taken
LEAST_SHARE = 1e-4  # of the largest variance: directions that w hardly uses count as this wide


class Space:
    """Codes of one generator, and the pictures they stand for.

    ``kind``: "z", what the generator draws; "w", the one style that a mapping network makes of it
    (Karras et al., 2019, arXiv 1812.04948); "w+", a style of its own for each layer (Abdal et al.,
    2019, arXiv 1904.03189), which the generator never saw in training unless it mixed styles, and
    which fits pictures that are none of its own. Noise is no part of any code: a style-based
    generator paints without it here.
    ``dim`` is the length of a code. The generator is switched to eval mode.
    Raises ``GanBookError`` for an unknown kind, and where the generator has no such space.
    """

    def __init__(self, generator: nn.Module, kind: str = "z") -> None:
        known("latent space", kind, SPACES)
        g: Any = generator.eval()
        need(len(g.sample_shape) == 3, "Codes are of pictures; this generator makes points.")
        self.styled = hasattr(g, "synthesis")
        need(
            kind == "z" or self.styled,
            f"This generator has no mapping network and so no space {kind!r}, only 'z'.",
        )
        self.generator, self.kind, self.num_classes = g, kind, int(g.num_classes)
        self.z_dim = int(g.style_dim if self.styled else g.z_dim)
        self.dim = self.z_dim if kind == "z" else int(g.w_dim)
        if kind == "w+":
            self.dim *= g.num_layers

    def decode(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (N, C, H, W) of codes (N, dim), labels (N,) for a conditional generator in z.

        In w and w+ a code may also be (N, layers, w_dim). Differentiable.
        """
        g = self.generator
        if not self.styled:
            return g(codes, labels)  # (N, C, H, W)
        if self.kind == "z":
            return g.synthesis(g.mapping(codes, labels))  # (N, C, H, W)
        return g.synthesis(self.layered(codes))  # (N, C, H, W)

    def layered(self, codes: Tensor) -> Tensor:
        """Codes of w or w+ with a row for each layer: (N, dim) -> (N, layers, w_dim)."""
        need(self.kind != "z", "Codes in z have no layers; map them into w first.")
        g = self.generator
        return codes.reshape(len(codes), -1, g.w_dim).expand(-1, g.num_layers, -1)

    @torch.no_grad()
    def encode_z(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The codes (N, dim) of latents z (N, z_dim or more): themselves, or what G maps them to.

        A style-based generator's noise, the rest of z, is cut off.
        """
        if self.kind == "z":
            return z[:, : self.z_dim]  # (N, z_dim)
        w = self.generator.mapping(z, labels)  # (N, layers, w_dim)
        return w[:, 0] if self.kind == "w" else w.flatten(1)  # (N, dim)

    def draw(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """``n`` random codes (n, dim), and labels (n,) that go through the classes, if any."""
        like = next(self.generator.parameters())
        z = torch.randn(n, self.z_dim, generator=torch.Generator().manual_seed(seed)).to(like)
        labels = (
            torch.arange(n, device=like.device) % self.num_classes if self.num_classes else None
        )
        return self.encode_z(z, labels), labels

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean (d,) of w, principal axes (d, d) as columns, and their deviations (d,)."""
        w = Space(self.generator, "w").draw(DRAWS, 0)[0]  # (DRAWS, d)
        variances, axes = torch.linalg.eigh(w.T.cov())  # (d,), (d, d)
        return w.mean(0), axes, variances.clamp_min(LEAST_SHARE * float(variances[-1])).sqrt()

    def whiten(self, codes: Tensor) -> Tensor:
        """Codes (N, dim) in units in which those of the generator have mean 0 and covariance I."""
        if self.kind == "z":
            return codes
        mean, axes, deviations = self._moments
        w = codes.unflatten(1, (-1, len(mean)))  # (N, 1 or layers, d)
        return (((w - mean) @ axes) / deviations).flatten(1)  # (N, dim)

    def color(self, units: Tensor) -> Tensor:
        """The inverse of ``whiten``: (N, dim) -> (N, dim)."""
        if self.kind == "z":
            return units
        mean, axes, deviations = self._moments
        u = units.unflatten(1, (-1, len(mean)))  # (N, 1 or layers, d)
        return (mean + (u * deviations) @ axes.T).flatten(1)  # (N, dim)
