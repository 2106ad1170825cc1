"""The ELBO and its gap, against closed forms, torch.distributions and a model with a known p(x)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from gan_book.elbo import (
    VAEObjective,
    gaussian_kl,
    gaussian_log_density,
    importance_log_likelihood,
)
from gan_book.errors import GanBookError
from gan_book.models.mlp import MLPGenerator
from gan_book.models.vae import VAE, MLPEncoder


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=source(seed), dtype=torch.float64)


class Linear:
    """x = A z + b + sd eps with a deliberately wrong encoder; all densities are known."""

    def __init__(self, sd: float = 0.7, off: float = 0.2) -> None:
        self.a, self.b, self.sd = random(3, 2, seed=1), random(3, seed=2), sd
        eye = torch.eye(2, dtype=torch.float64)
        self.covariance = torch.linalg.inv(eye + self.a.T @ self.a / sd**2)  # of z given x
        encoder, decoder = MLPEncoder(3, 2, layers=0).double(), nn.Linear(2, 3).double()
        (layer,) = encoder.linears
        with torch.no_grad():
            decoder.weight[:], decoder.bias[:] = self.a, self.b
            gain = self.covariance @ self.a.T / sd**2
            layer.weight[:2], layer.bias[:2] = gain, off - gain @ self.b
            layer.weight[2:], layer.bias[2:] = 0.0, self.covariance.diagonal().log()
        self.vae = VAE(encoder, decoder, sd)

    def log_p(self, x: Tensor) -> Tensor:
        cov = self.a @ self.a.T + self.sd**2 * torch.eye(3, dtype=torch.float64)
        return MultivariateNormal(self.b, cov).log_prob(x)

    def gap(self, x: Tensor) -> Tensor:
        """KL(q(z|x) || p(z|x)), (N,)."""
        mean = (x - self.b) @ (self.covariance @ self.a.T / self.sd**2).T
        with torch.no_grad():
            ours, log_variance = self.vae.encode(x)
        q = MultivariateNormal(ours, torch.diag_embed(log_variance.exp()))
        return kl_divergence(q, MultivariateNormal(mean, self.covariance))


def test_the_kl_term_is_torchs_and_zero_at_the_prior() -> None:
    mean, log_variance = random(5, 3), random(5, 3, seed=9)
    q = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    p = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(gaussian_kl(mean, log_variance), kl_divergence(q, p))
    assert gaussian_kl(torch.zeros(2, 4), torch.zeros(2, 4)).tolist() == [0.0, 0.0]
    z = q.sample((200_000,))
    monte_carlo = (q.log_prob(z) - p.log_prob(z)).mean(0)
    assert (monte_carlo - gaussian_kl(mean, log_variance)).abs().max() < 0.03
    tiny = gaussian_kl(torch.zeros(1, 1), torch.full((1, 1), 1e-3))  # v^2 / 4, in float32
    assert abs(tiny.item() / 2.5e-7 - 1) < 1e-3


def test_the_log_density_is_torchs_with_numbers_and_with_tensors() -> None:
    x, mean, sd = random(4, 3, 2, 2), random(4, 3, 2, 2, seed=1), random(4, 3, 2, 2, seed=2).exp()
    expected = Normal(mean, sd).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(gaussian_log_density(x, mean, sd), expected)
    expected = Normal(0.5, 2.0).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(gaussian_log_density(x, 0.5, 2), expected)


def test_the_objective_is_the_elbo_of_one_latent() -> None:
    vae = VAE(MLPEncoder(2, 3, 8, 1), MLPGenerator(z_dim=3, width=8), sd=0.5).double()
    x = random(6, 2)
    for beta in (1.0, 4.0, 0.0):
        objective = VAEObjective(vae, beta)
        (noise,) = objective.draw(x, source(5))
        assert noise.shape == (6, 3)
        assert noise.dtype == x.dtype
        loss, logs = objective(x, noise)
        mean, log_variance = vae.encode(x)
        q = Normal(mean, (0.5 * log_variance).exp())
        z = mean + q.scale * noise
        fit = Normal(vae.decode(z), 0.5).log_prob(x).sum(1)
        kl = kl_divergence(q, Normal(torch.zeros_like(z), 1.0)).sum(1)
        torch.testing.assert_close(loss, (beta * kl - fit).mean())
        torch.testing.assert_close(logs["reconstruction"], -fit.mean())
        torch.testing.assert_close(logs["kl"], kl.mean())
        torch.testing.assert_close(logs["loss"], loss)
        assert not any(value.requires_grad for value in logs.values())


def test_the_gradient_passes_through_the_latent() -> None:
    vae = VAE(MLPEncoder(2, 2, 6, 1), MLPGenerator(z_dim=2, width=6, layers=1), sd=0.8).double()
    objective, x = VAEObjective(vae), random(5, 2)
    noise = objective.draw(x, source())
    objective(x, *noise)[0].backward()
    for parameter in (vae.encoder.linears[0].weight, vae.decoder.layers.linears[0].weight):
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter[0, 0] += step
                values.append(objective(x, *noise)[0].item())
                parameter[0, 0] -= step
        slope = (values[0] - values[1]) / 2e-5
        assert abs(slope - parameter.grad[0, 0].item()) < 1e-6 * (1 + abs(slope))
        assert abs(slope) > 1e-4


def test_elbo_plus_the_gap_is_log_p_in_a_linear_model() -> None:
    model, n = Linear(), 40_000
    x = random(3, 3, seed=7)
    many = x.repeat_interleave(n, 0)
    objective = VAEObjective(model.vae)
    with torch.no_grad():
        for one, exact, gap in zip(many.split(n), model.log_p(x), model.gap(x), strict=True):
            elbo = -objective(one, *objective.draw(one, source(1)))[0]
            assert abs(elbo + gap - exact) < 0.02
            assert gap > 0.1


def test_the_bound_of_many_samples_rises_to_log_p() -> None:
    model = Linear()
    x = random(1, 3, seed=7).expand(400, 3)
    exact, gap = model.log_p(x)[0], model.gap(x)[0]
    found = [importance_log_likelihood(model.vae, x, k, source(k)).mean() for k in (1, 10, 1000)]
    assert abs(found[0] + gap - exact) < 0.2
    assert found[0] < found[1] < found[2]
    assert abs(found[2] - exact) < 0.02
    # with the true posterior as encoder every weight is p(x): one latent dimension, so diagonal
    decoder, encoder = nn.Linear(1, 1).double(), MLPEncoder(1, 1, layers=0).double()
    with torch.no_grad():
        decoder.weight[:], decoder.bias[:] = 2.0, 0.5
        encoder.linears[0].weight[:] = torch.tensor([[2 / 5], [0.0]])
        encoder.linears[0].bias[:] = torch.tensor([-1 / 5, 0.2]).double()
        encoder.linears[0].bias[1] = torch.tensor(1 / 5).double().log()
    y = random(4, 1)
    one = importance_log_likelihood(VAE(encoder, decoder, 1.0), y, 1, source())
    torch.testing.assert_close(
        one, Normal(0.5, 5**0.5).log_prob(y).squeeze(1), rtol=1e-6, atol=1e-6
    )


def test_draws_repeat_and_leave_the_global_generator_alone() -> None:
    model, x, before = Linear(), random(4, 3), torch.random.get_rng_state()
    one, two = (importance_log_likelihood(model.vae, x, 3, source(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_k_is_a_whole_number(k: object) -> None:
    with pytest.raises(GanBookError, match="k must be a whole number"):
        importance_log_likelihood(Linear().vae, random(2, 3), k, source())


def test_a_negative_beta_is_refused() -> None:
    with pytest.raises(GanBookError, match="beta must not be negative"):
        VAEObjective(Linear().vae, -1.0)
