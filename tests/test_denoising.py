"""Noise, its estimate and its removal against closed forms of a Gaussian and of a mixture."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from gan_book.data.toys import ring
from gan_book.denoising import (
    DenoisingObjective,
    add_noise,
    alpha_bar,
    rates,
    sample,
    score,
    step,
)
from gan_book.errors import GanBookError
from gan_book.models.diffusion import MLPDenoiser

MEAN = torch.tensor([1.0, -0.5], dtype=torch.float64)
COV = torch.tensor([[0.5, 0.3], [0.3, 0.4]], dtype=torch.float64)


class Exact(torch.nn.Module):
    """E[eps | x_t] for x_0 ~ N(MEAN, COV): sd (a^2 COV + sd^2 I)^-1 (x_t - a MEAN)."""

    calls = 0

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += 1
        signal, sd = (r[..., None] for r in rates(t.double(), x))  # (N, 1, 1)
        cov = signal**2 * COV + sd**2 * torch.eye(2, dtype=torch.float64)  # (N, 2, 2)
        away = x.double()[..., None] - signal * MEAN[:, None]  # (N, 2, 1)
        return (sd * torch.linalg.solve(cov, away))[..., 0].to(x)  # (N, 2)


def gaussian(n: int, seed: int = 0) -> Tensor:
    noise = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return MEAN + noise @ torch.linalg.cholesky(COV).T


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_noisy_samples_have_the_moments_of_the_closed_form(t: float) -> None:
    n = 100_000
    noise = torch.randn(n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    x = add_noise(gaussian(n), torch.full((n,), t, dtype=torch.float64), noise)
    a = math.cos(0.49 * math.pi * t) ** 2
    assert (x.mean(0) - math.sqrt(a) * MEAN).abs().max() < 0.01
    assert (x.T.cov() - a * COV - (1 - a) * torch.eye(2)).abs().max() < 0.015
    assert abs(alpha_bar(torch.tensor(t)).item() - a) < 1e-6


def test_noise_in_two_goes_is_noise_in_one() -> None:
    # x_t given x_s is N(r x_s, (1 - r^2) I) with r^2 = alpha_bar_t / alpha_bar_s
    a_s, a_t = alpha_bar(torch.tensor([0.2, 0.7], dtype=torch.float64))
    ratio = a_t / a_s
    assert abs(ratio * (1 - a_s) + (1 - ratio) - (1 - a_t)) < 1e-15


def test_the_loss_is_least_at_the_conditional_expectation() -> None:
    """There it is E tr Cov[eps | x_t] / d; any other estimate adds its mean squared distance."""
    n, exact = 20_000, Exact()
    objective = DenoisingObjective(exact)
    x0 = gaussian(n)
    t, noise = objective.draw(x0, torch.Generator().manual_seed(3))
    assert t.shape == (n,)
    assert noise.shape == x0.shape
    assert t.dtype == noise.dtype == x0.dtype
    assert 0 <= t.min() < 0.01
    assert 0.99 < t.max() < 1
    assert abs(noise.std() - 1) < 0.02
    loss, logs = objective(x0, t, noise)
    a = alpha_bar(t)[:, None]
    values = torch.linalg.eigvalsh(COV)
    least = (a * values / (a * values + 1 - a)).mean()  # Cov[eps | x_t], in the eigenbasis
    assert abs(loss - least) < 0.01
    assert logs == {"loss": loss}
    assert not logs["loss"].requires_grad
    for other in (lambda x, t: 0.9 * exact(x, t), lambda x, t: exact(x, t) + 0.2):
        worse, _ = DenoisingObjective(other)(x0, t, noise)  # type: ignore[arg-type]
        x = add_noise(x0, t, noise)
        assert abs(worse - least - (other(x, t) - exact(x, t)).square().mean()) < 0.01
    zero, _ = DenoisingObjective(lambda x, t: 0 * x)(x0, t, noise)  # type: ignore[arg-type]
    assert abs(zero - 1) < 0.02


def test_the_score_of_a_mixture_is_that_of_its_noisy_density() -> None:
    """A ring's x_t is a ring again; the gradient of its log density against its E[eps | x_t]."""
    points, t = ring(), torch.full((6,), 0.4, dtype=torch.float64)
    x = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    signal, sd = rates(t, x)
    variance = (signal * points.sd) ** 2 + sd**2  # (6, 1)

    def log_density(x: Tensor) -> Tensor:
        squares = (x[:, None] - signal[:, None] * points.modes).square().sum(2)  # (6, 8)
        return torch.logsumexp(-squares / (2 * variance), 1) - torch.log(variance[:, 0])

    def posterior_noise(x: Tensor, t: Tensor) -> Tensor:
        away = x[:, None] - signal[:, None] * points.modes  # (6, 8, 2)
        weights = torch.softmax(-away.square().sum(2) / (2 * variance), 1)  # (6, 8)
        return (weights[..., None] * away).sum(1) * sd / variance

    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(log_density(leaf).sum(), leaf)
    torch.testing.assert_close(score(posterior_noise, x, t), gradient)


def moments(steps: int, method: str) -> tuple[Tensor, Tensor]:
    """Mean (2,) and covariance (2, 2) of what the sampler makes: each step is affine."""
    mean, cov = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    probes = torch.cat([torch.zeros(2, 2), torch.eye(2)]).double()  # x = 0 twice, then e_1, e_2
    noise = torch.zeros(4, 2, dtype=torch.float64)
    noise[1, 0] = 1.0
    for t, s in pairwise(torch.linspace(1, 0, steps + 1, dtype=torch.float64)):
        drawn = noise if method == "ancestral" else None
        out = step(Exact(), probes, t.expand(4), s.expand(4), drawn)
        a = (out[2:] - out[0]).T  # (2, 2)
        mean = out[0] + a @ mean
        cov = a @ cov @ a.T + (out[1, 0] - out[0, 0]) ** 2 * torch.eye(2)
    return mean, cov


@pytest.mark.parametrize("method", ["ddim", "ancestral"])
def test_the_exact_estimate_gives_back_mean_and_covariance(method: str) -> None:
    errors = []
    for steps in (50, 100, 200, 400):
        mean, cov = moments(steps, method)
        assert (mean - MEAN).abs().max() < 0.035  # x_1 starts at 0 instead of 0.03 MEAN
        errors.append((cov - COV).abs().max().item())
    assert errors[-1] < 0.015
    halving = [b / a for a, b in pairwise(errors)]
    assert all(0.4 < h < 0.6 for h in halving)  # first order in the step
    n, exact = 10_000, Exact()
    x = sample(exact, (n, 2), 50, torch.Generator().manual_seed(0), method).double()
    mean, cov = moments(50, method)
    assert exact.calls == 50
    assert (x.mean(0) - mean).abs().max() < 4 * (COV.max() / n).sqrt()
    assert (x.T.cov() - cov).abs().max() < 4 * (2 / n) ** 0.5 * COV.max()


@pytest.mark.parametrize("method", ["ddim", "ancestral"])
def test_one_step_gives_the_posterior_mean_of_the_data(method: str) -> None:
    x1 = torch.randn(1_000, 2, generator=torch.Generator().manual_seed(5))
    found = sample(Exact(), (1_000, 2), 1, torch.Generator().manual_seed(5), method)
    a = alpha_bar(torch.tensor(1.0, dtype=torch.float64))
    noisy = a * COV + (1 - a) * torch.eye(2)
    gain = a.sqrt() * COV @ torch.linalg.inv(noisy)  # (2, 2)
    expected = MEAN + (x1.double() - a.sqrt() * MEAN) @ gain.T
    assert (found - expected).abs().max() < 1e-4
    assert (found - MEAN).norm(dim=1).max() < 0.15  # all near the mean


def test_the_two_steps_in_closed_form() -> None:
    x, noise = torch.tensor([[1.0, -2.0]]).double(), torch.tensor([[0.3, 0.7]]).double()
    t, s = torch.tensor([0.8]).double(), torch.tensor([0.5]).double()
    eps = Exact()(x, t)
    a, b = alpha_bar(t), alpha_bar(s)
    x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
    torch.testing.assert_close(step(Exact(), x, t, s), b.sqrt() * x0 + (1 - b).sqrt() * eps)
    # the posterior of Ho et al., with beta = 1 - a / b
    beta = 1 - a / b
    mean = (b.sqrt() * beta * x0 + (a / b).sqrt() * (1 - b) * x) / (1 - a)
    expected = mean + ((1 - b) / (1 - a) * beta).sqrt() * noise
    torch.testing.assert_close(step(Exact(), x, t, s, noise), expected)
    end = torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(step(Exact(), x, t, end, noise), x0)
    # a bound clips the estimate of x_0, and eps follows
    clipped = x0.clamp(-0.5, 0.5)
    expected = b.sqrt() * clipped + (1 - b).sqrt() * (x - a.sqrt() * clipped) / (1 - a).sqrt()
    assert (x0.abs() > 0.5).any()
    torch.testing.assert_close(step(Exact(), x, t, s, bound=0.5), expected)
    assert sample(Exact(), (50, 2), 3, torch.Generator(), "ddim", bound=0.5).abs().max() <= 0.5


def test_samples_repeat_and_leave_the_global_generator_alone() -> None:
    net, before = MLPDenoiser(width=8, layers=1), torch.random.get_rng_state()
    one, two = (sample(net, (7, 2), 4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert not one.requires_grad
    assert one.shape == (7, 2)
    assert not torch.equal(one, sample(net, (7, 2), 4, torch.Generator().manual_seed(4)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_training_lowers_the_loss_to_the_gaussians_minimum() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        objective = DenoisingObjective(MLPDenoiser(width=32, layers=2))
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for _ in range(300):
        x0 = gaussian(256, int(torch.randint(1 << 30, (), generator=generator))).float()
        loss, _ = objective(x0, *objective.draw(x0, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x0 = gaussian(10_000, 7).float()
    draws = objective.draw(x0, generator)
    with torch.no_grad():
        trained, least = objective(x0, *draws)[0], DenoisingObjective(Exact())(x0, *draws)[0]
        first = DenoisingObjective(MLPDenoiser(width=32, layers=2))(x0, *draws)[0]
    assert trained - least < 0.02 < 0.1 < first - least


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "dimm"}, "did you mean 'ddim'"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"bound": 0.0}, "bound .* must be positive"),
    ],
)
def test_what_cannot_be_sampled_is_refused(change: dict, words: str) -> None:
    options = {"steps": 2, "generator": torch.Generator(), "method": "ddim"} | change
    with pytest.raises(GanBookError, match=words):
        sample(Exact(), (3, 2), **options)
