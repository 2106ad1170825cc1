"""The code of a given picture: by optimization from several starts, or by an encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import need, whole
from ..features import extractor, resized
from .space import Space


@dataclass(frozen=True)
class Inversion:
    """What inversion found for N pictures.

    codes (N, dim); labels (N,) or None; pictures (N, C, H, W), what the codes stand for; error
    (N,), root of the mean squared difference over the pixels seen, in units of [-1, 1]; starts
    (N, S), that error for each start, in the order in which they began (nearest first).
    """

    codes: Tensor
    labels: Tensor | None
    pictures: Tensor
    error: Tensor
    starts: Tensor


def inversion_loss(
    made: Tensor, target: Tensor, units: Tensor, sd: float, seen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Loss (N,) and its first term, the mean squared difference (N,).

    ``|made - target|^2 / D + sd^2 |units|^2 / D`` over the D numbers seen: 2 sd^2 / D times the
    negative logarithm of the posterior of units ~ N(0, I) where target ~ N(made, sd^2 I), up to a
    constant. ``seen``: ones where a pixel counts, zeros elsewhere, broadcast over (N, C, H, W).
    """
    off = (made - target).square()  # (N, C, H, W)
    weight = torch.ones_like(off) if seen is None else seen.to(off).expand_as(off)
    count = weight.flatten(1).sum(1)  # (N,)
    squared = (weight * off).flatten(1).sum(1) / count  # (N,)
    return squared + sd**2 * units.flatten(1).square().sum(1) / count, squared


def invert(
    space: Space, images: Tensor, *, starts: int = 4, steps: int = 200, lr: float = 0.05,
    sd: float = 0.1, features: float = 0.0, seen: Tensor | None = None,
    begin: tuple[Tensor, Tensor | None] | None = None, pool: int = 2_000, seed: int = 0,
) -> Inversion:  # fmt: skip
    """Codes whose pictures come closest to ``images`` (N, C, H, W) in [-1, 1].

    Adam descends ``inversion_loss`` in whitened codes, from the ``starts`` nearest of ``pool``
    random codes, and the best end is kept. A conditional generator keeps each start's label.

    Args:
        sd: the deviation with which a pixel may miss; larger lets the prior pull harder.
        features: weight of the mean squared difference of the extractor's features.
        seen: (H, W), (N, 1, H, W) or alike: 1 where a pixel counts, 0 in a hole.
        begin: codes (N, dim) and labels (N,) or None to start from instead of a pool, such as an
            encoder's; then there is one start.
        seed: of the pool.

    Raises:
        GanBookError: for pictures of another shape, a picture of which nothing is seen, numbers out
            of range, and features of pictures with holes.
    """
    shape = tuple(space.generator.sample_shape)
    fits = images.is_floating_point() and images.shape == (max(1, len(images)), *shape)
    given = f"{images.dtype} {tuple(images.shape)}"
    need(fits, f"This generator makes pictures {shape}; give floats (N, C, H, W), not {given}.")
    starts = whole("starts", 1 if begin is not None else starts, 1, 1_000)
    steps, pool = whole("steps", steps, 0, 100_000), whole("pool", pool, starts, 10**6)
    need(lr > 0 and sd >= 0 and features >= 0, "lr must be positive, sd and features not negative.")
    need(seen is None or not features, "Features are of whole pictures; leave them out with holes.")
    x = images.to(next(space.generator.parameters()))  # (N, C, H, W)
    seen = torch.ones_like(x) if seen is None else seen.to(x).expand_as(x)  # (N, C, H, W)
    need(bool(seen.flatten(1).any(1).all()), "Of each picture at least one pixel must be seen.")
    codes, labels = begin or _nearest(space, x, seen, starts, space.draw(pool, seed))
    target, mask = (a.repeat_interleave(starts, 0) for a in (x, seen))  # (N starts, C, H, W)

    def read(pictures: Tensor) -> Tensor:  # (M, C, H, W) in [-1, 1] -> (M, 192)
        net: Any = extractor(device=pictures.device)  # opened once
        return net.net(resized((pictures + 1) * 127.5))[0]

    wanted = read(target) if features else None  # (N starts, 192)
    u = space.whiten(codes).detach().clone().requires_grad_()  # (N starts, dim)
    optimizer = torch.optim.Adam([u], lr=lr)
    for step in range(steps + 1):
        made = space.decode(space.color(u), labels)  # (N starts, C, H, W)
        loss, squared = inversion_loss(made, target, u, sd, mask)  # (N starts,) each
        if wanted is not None:
            loss = loss + features * (read(made) - wanted).square().mean(1)  # (N starts,)
        if step < steps:
            optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            (u.grad,) = torch.autograd.grad(loss.sum(), u)
            optimizer.step()
    rows = torch.arange(len(x), device=x.device)  # (N,)
    best = loss.view(-1, starts).argmin(1) + starts * rows  # (N,), into N starts
    error = squared.detach().sqrt()  # (N starts,)
    return Inversion(
        space.color(u.detach())[best], None if labels is None else labels[best],
        made.detach()[best], error[best], error.view(-1, starts),
    )  # fmt: skip


@torch.no_grad()
def _nearest(
    space: Space, x: Tensor, seen: Tensor, count: int, pool: tuple[Tensor, Tensor | None]
) -> tuple[Tensor, Tensor | None]:
    """Of a pool of codes the ``count`` nearest to each picture: codes (N count, dim), labels."""
    codes, labels = pool
    weight, t = seen.flatten(1), (seen * x).flatten(1)  # (N, D) each
    found = []
    for rows in torch.arange(len(codes), device=x.device).split(256):
        made = space.decode(codes[rows], None if labels is None else labels[rows]).flatten(1)
        # sum of weight (made - x)^2, multiplied out, without the term that is the same for all
        found.append(weight @ made.square().T - 2 * t @ made.T)  # (N, 256)
    best = torch.cat(found, 1).topk(count, largest=False).indices.flatten()  # (N count,)
    return codes[best], None if labels is None else labels[best]


class EncoderObjective(nn.Module):
    """Teach an encoder to invert a generator, on the generator's own pictures, for ``fit``.

    ``encoder``: x (N, C, H, W) -> whitened codes (N, dim) first, as ``ConvEncoder``. The loss is
    the mean squared error of the codes plus ``pixels`` times that of the pictures they give. No
    real picture is needed; ``forward`` takes z in its place, and a conditional generator is
    refused by ``GanBookError``.
    """

    def __init__(self, space: Space, encoder: nn.Module, pixels: float = 1.0) -> None:
        super().__init__()
        need(not space.num_classes, "An encoder of codes is for generators without labels.")
        need(pixels >= 0, f"The weight of pixels must not be negative, but it is {pixels}.")
        self.space, self.encoder, self.pixels = space, encoder, pixels

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[()]:
        """Nothing: the batch itself is random."""
        return ()

    def forward(self, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents z (N, z_dim) -> loss (0-d) and logs: "loss", "codes", "pixels"."""
        codes = self.space.encode_z(z)  # (N, dim)
        made = self.space.decode(codes).detach()  # (N, C, H, W)
        found = self.encoder(made)[0]  # (N, dim)
        off = (found - self.space.whiten(codes)).square().mean()  # 0-d
        missed = (self.space.decode(self.space.color(found)) - made).square().mean()  # 0-d
        loss = off + self.pixels * missed  # 0-d
        logs = {"loss": loss, "codes": off, "pixels": missed}
        return loss, {name: value.detach() for name, value in logs.items()}

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Codes (N, dim) of pictures x (N, C, H, W) in [-1, 1], in one pass."""
        return self.space.color(self.encoder(x)[0])  # (N, dim)
