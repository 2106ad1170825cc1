"""A GAN for a hundred seconds: the challenge's entry "sprint", and a runner in chapter 5.2's race.

What is kept of the modern recipe: the relativistic loss, R1 and R2 on every eighth step, eight
times as heavy, Adam without momentum, averaged weights. What is kept of 2015: batch normalization,
but in G alone: D's penalties need the slope at each picture alone, and batch normalization mixes
pictures. What is saved: D's pictures of a
step, real and generated, are G's too, and D's logits of the real ones are computed once.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gan_book.data.batches import Batches
from gan_book.models import build_discriminator, build_generator
from gan_book.penalties import squared_norm
from gan_book.training import update_average

Z_DIM, GAMMA, EVERY, HALF_LIFE = 64, 0.05, 8, 5_000.0


class Sprint:
    """Networks, optimizers and the step; ``images`` counts what D's updates have seen."""

    def __init__(
        self, shape: tuple[int, ...], batches: Batches, seed: int, *, rate: float, bf16: bool
    ) -> None:
        torch.manual_seed(seed)
        channels, *size = shape
        options: dict[str, Any] = {"size": tuple(size), "channels": channels, "width": 32}
        device = batches.device
        self.generator = build_generator("dcgan", **options, z_dim=Z_DIM, batch_norm=True)
        self.generator.to(device)
        self.discriminator = build_discriminator("dcgan", **options).to(device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        adam: dict[str, Any] = {"lr": rate, "betas": (0.0, 0.99), "fused": True}
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), **adam)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), **adam)
        self.batches, self.rate, self.bf16, self.images, self.step = batches, rate, bf16, 0, 0

    def take(self, left: float) -> None:
        """One step of D and one of G; ``left`` is the share of the budget that is left, 1 to 0.

        In the second half the rates fall to 0.
        """
        rate = self.rate * min(1.0, 2.0 * max(0.0, left))
        self.optimizer_d.param_groups[0]["lr"] = self.optimizer_g.param_groups[0]["lr"] = rate
        real = self.batches.next().images  # (N, C, H, W)
        z = torch.randn(len(real), Z_DIM, device=real.device)  # (N, d)
        fake = self.networks(self.generator, z)  # (N, C, H, W)
        real_logits = self.update_d(real, fake.detach())  # (N,)
        self.discriminator.requires_grad_(False)
        fake_logits = self.networks(self.discriminator, fake)  # (N,)
        minimize(self.optimizer_g, softplus(real_logits - fake_logits).mean())
        self.discriminator.requires_grad_(True)
        self.images, self.step = self.images + len(real), self.step + 1
        half_life = min(HALF_LIFE, 0.05 * self.images)
        update_average(self.average, self.generator, 0.5 ** (len(real) / half_life))

    def update_d(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's step on pictures (N, C, H, W); its logits (N,) of the real ones, before the step."""
        due = self.step % EVERY == 0
        x = torch.cat((real, fake)).requires_grad_(due)  # (2N, C, H, W)
        logits = self.networks(self.discriminator, x)  # (2N,)
        of_real, of_fake = logits.chunk(2)  # (N,), (N,)
        loss = softplus(of_fake - of_real).mean()
        if due:  # the mean over 2N pictures is half of R1's and R2's sum
            (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)  # (2N, C, H, W)
            loss = loss + EVERY * GAMMA * squared_norm(slope).mean()
        minimize(self.optimizer_d, loss)
        return of_real.detach()

    def networks(self, net: torch.nn.Module, x: Tensor) -> Tensor:
        """A network's answer, in bf16 where that is wanted, as fp32."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return net(x).float()


def minimize(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
