"""Diffusion: noise is added in closed form, a network learns to estimate it, a sampler removes it.

``denoiser`` is always a function (x_t, t) -> estimate of eps, x_t (N, ...) and t (N,) in [0, 1]: a
network of ``models.diffusion``, or a closed form. Sources: Sohl-Dickstein et al. (2015, arXiv
1503.03585), Ho et al. (2020, 2006.11239), Song et al. (DDIM, 2010.02502); score: Vincent (2011).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from .errors import known, need, whole
from .models.diffusion import alpha_bar, rates

__all__ = [
    "DDIMGenerator", "DenoisingObjective", "add_noise", "alpha_bar", "rates", "sample", "score",
    "step",
]  # fmt: skip

Denoiser = Callable[[Tensor, Tensor], Tensor]
METHODS = ("ancestral", "ddim")


def add_noise(x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps, eps = ``noise`` as large as x_0."""
    signal, sd = rates(t, x0)  # (N, 1, ...) each
    return signal * x0 + sd * noise  # (N, ...)


class DenoisingObjective(nn.Module):
    """The mean squared error of the estimated noise, per coordinate ("L_simple" of Ho et al.)."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser

    def draw(self, x0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times (N,), uniform on [0, 1], and standard normal noise as large as x0 (N, ...)."""
        device = generator.device
        t = torch.rand(len(x0), generator=generator, device=device)
        noise = torch.randn(x0.shape, generator=generator, device=device)
        return t.to(x0), noise.to(x0)

    def forward(self, x0: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss (0-d) and its log for clean samples x0 (N, ...): 1 for an estimate of 0."""
        estimate = self.denoiser(add_noise(x0, t, noise), t)  # (N, ...)
        loss = (estimate - noise).square().mean()  # 0-d
        return loss, {"loss": loss.detach()}


def score(denoiser: Denoiser, x: Tensor, t: Tensor) -> Tensor:
    """The gradient of log p_t at x (N, ...) that an estimate of the noise amounts to; t > 0."""
    return -denoiser(x, t) / rates(t, x)[1]  # (N, ...)


def step(
    denoiser: Denoiser,
    x: Tensor,
    t: Tensor,
    s: Tensor,
    noise: Tensor | None = None,
    bound: float = float("inf"),
) -> Tensor:
    """From x_t (N, ...) to x_s at earlier times s < t, both (N,), by one call of the denoiser.

    Without ``noise`` the step of DDIM; with fresh noise as large as x the ancestral step of Ho et
    al., its variance that of x_s given x_t and x_0. ``bound``: the estimate of x_0 is
    clipped to +-bound, 1 for pictures.
    """
    (signal, sd), (signal_s, sd_s) = rates(t, x), rates(s, x)  # (N, 1, ...) each
    x0 = ((x - sd * denoiser(x, t)) / signal).clamp(-bound, bound)  # (N, ...)
    eps = (x - signal * x0) / sd  # (N, ...)
    if noise is None:
        return signal_s * x0 + sd_s * eps  # (N, ...)
    fresh = sd_s / sd * (1 - (signal / signal_s) ** 2).sqrt()  # (N, 1, ...)
    kept = (sd_s**2 - fresh**2).clamp(min=0).sqrt()  # (N, 1, ...)
    return signal_s * x0 + kept * eps + fresh * noise  # (N, ...)


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    shape: tuple[int, ...],
    steps: int,
    generator: torch.Generator,
    method: str = "ancestral",
    bound: float = float("inf"),
) -> Tensor:
    """Samples of ``shape`` (N, ...) in ``steps`` equal steps of t from 1 to 0; see ``step``.

    All random numbers come from ``generator``, on whose device the result lives.
    Raises ``GanBookError`` for an unknown method or a bound that is not positive.
    """
    known("sampling method", method, METHODS)
    need(bound > 0, f"The bound of the samples must be positive, not {bound}.")
    times = torch.linspace(1, 0, whole("steps", steps, 1, 100_000) + 1, device=generator.device)

    def draw() -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device)

    x = draw()  # (N, ...)
    for t, s in pairwise(times):
        noise = draw() if method == "ancestral" else None
        x = step(denoiser, x, t.expand(shape[0]), s.expand(shape[0]), noise, bound)  # (N, ...)
    return x


class DDIMGenerator(nn.Module):
    """A diffusion model as a generator: DDIM draws nothing, so pictures are a function of z.

    z (N, C H W), standard normal, is x_1 of ``sample``; ``steps`` equal steps clip the estimate of
    x_0 to [-1, 1]. Without classes: labels are ignored.
    """

    num_classes = 0

    def __init__(self, denoiser: nn.Module, steps: int = 25) -> None:
        super().__init__()
        self.denoiser, self.steps = denoiser, whole("steps", steps, 1, 100_000)
        self.sample_shape: tuple[int, ...] = tuple(denoiser.sample_shape)  # type: ignore[arg-type]
        self.z_dim = math.prod(self.sample_shape)

    def step(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """One step of those, from x_t (N, C, H, W) to x_s; times (N,)."""
        return step(self.denoiser, x, t, s, bound=1.0)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = z.unflatten(1, self.sample_shape)  # (N, C, H, W)
        for t, s in pairwise(torch.linspace(1, 0, self.steps + 1).tolist()):
            x = self.step(x, x.new_full(x.shape[:1], t), x.new_full(x.shape[:1], s))
        return x
