"""The VAE's objective: minus the evidence lower bound (ELBO), in nats per sample, and its gap.

Kingma and Welling (2014, arXiv 1312.6114); the bound of many samples: Burda, Grosse and
Salakhutdinov (2016, arXiv 1509.00519).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .errors import need, whole
from .models.vae import VAE


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) in nats: two tensors (N, z_dim) -> (N,)."""
    return 0.5 * (mean.square() + log_variance.expm1() - log_variance).flatten(1).sum(1)  # (N,)


def gaussian_log_density(x: Tensor, mean: Tensor | float, sd: Tensor | float) -> Tensor:
    """log N(x; mean, sd^2) in nats, summed over all but the first dimension: (N, ...) -> (N,).

    ``mean`` and ``sd`` are numbers, or tensors that broadcast to x.
    """
    sd = torch.as_tensor(sd, dtype=x.dtype, device=x.device)  # () or (N, ...)
    each = -0.5 * ((x - mean) / sd).square() - sd.log() - 0.5 * math.log(2 * math.pi)  # (N, ...)
    return each.flatten(1).sum(1)  # (N,)


class VAEObjective(nn.Module):
    """Minus the ELBO, averaged over the batch, with one reparameterized latent for each sample.

    ``beta`` weighs the KL term; with another value than 1 (beta-VAE, Higgins et al., 2017) the
    loss is no bound for beta < 1 and a looser one for beta > 1.
    Raises ``GanBookError`` if beta is negative.
    """

    def __init__(self, vae: VAE, beta: float = 1.0) -> None:
        super().__init__()
        need(beta >= 0, f"beta must not be negative, but it is {beta}.")
        self.vae, self.beta = vae, beta

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor]:
        """Standard normal noise for z (N, z_dim), for samples x (N, ...)."""
        size = (len(x), self.vae.z_dim)
        return (torch.randn(size, generator=generator, device=generator.device).to(x),)

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss (0-d) and its logs in nats: "loss", "reconstruction" (-log p(x|z)), "kl"."""
        mean, log_variance = self.vae.encode(x)  # (N, z_dim) each
        z = mean + (0.5 * log_variance).exp() * noise  # (N, z_dim)
        reconstruction = -gaussian_log_density(x, self.vae.decode(z), self.vae.sd).mean()  # 0-d
        kl = gaussian_kl(mean, log_variance).mean()  # 0-d
        loss = reconstruction + self.beta * kl  # 0-d
        logs = {"loss": loss, "reconstruction": reconstruction, "kl": kl}
        return loss, {name: value.detach() for name, value in logs.items()}


@torch.no_grad()
def importance_log_likelihood(vae: VAE, x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """log of the mean of k importance weights p(x|z) p(z) / q(z|x), z from q: (N, ...) -> (N,).

    In expectation a lower bound of log p(x) in nats: the ELBO for k = 1, never lower for a larger
    k, and log p(x) in the limit (Burda et al.). Time grows with k, memory does not.
    Raises ``GanBookError`` unless k is a whole number from 1 to a million.
    """
    mean, log_variance = vae.encode(x)  # (N, z_dim) each
    sd = (0.5 * log_variance).exp()  # (N, z_dim)
    total = torch.full_like(mean[:, 0], -torch.inf)  # (N,)
    for _ in range(whole("k", k, 1, 1_000_000)):
        noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(x)
        z = mean + sd * noise  # (N, z_dim)
        joint = gaussian_log_density(x, vae.decode(z), vae.sd) + gaussian_log_density(z, 0, 1)
        total = torch.logaddexp(total, joint - gaussian_log_density(z, mean, sd))  # (N,)
    return total - math.log(k)  # (N,)
