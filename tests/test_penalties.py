"""Penalties against closed forms (linear, quadratic critics), finite differences and statistics."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gan_book import penalties
from gan_book.errors import GanBookError
from tests.helpers.obj_networks import Smooth

ENGINES = penalties.ENGINES


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=source(seed), dtype=torch.float64)


def smooth(seed: int = 0) -> Smooth:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Smooth().double()


@pytest.mark.parametrize("engine", ENGINES)
def test_linear_critic(engine):
    """D(x) = w . x + b has the gradient w everywhere."""
    w = normal(3, 4, 5).requires_grad_()
    x = normal(6, 3, 4, 5, seed=1)
    logits, gradient = penalties.logits_and_gradient(
        lambda v: (v * w).sum((1, 2, 3)) + 2.0, x, engine
    )
    torch.testing.assert_close(logits, (x * w).sum((1, 2, 3)) + 2.0)
    torch.testing.assert_close(gradient, w.detach().expand_as(x))
    squared = penalties.squared_norm(gradient)
    assert squared.shape == (6,)
    penalty = penalties.r1(squared, 10.0)
    assert penalty.item() == pytest.approx(5.0 * w.square().sum().item(), rel=1e-12)
    # d/dw of (10 / 2) |w|^2
    torch.testing.assert_close(torch.autograd.grad(penalty, w)[0], 10.0 * w.detach())


@pytest.mark.parametrize("engine", ENGINES)
def test_quadratic_critic(engine):
    """D(x) = x A x / 2 with symmetric A has the gradient A x: R1 = weight / 2 E |A x|^2."""
    a = normal(4, 4)
    a = (a + a.T).requires_grad_()
    x = normal(7, 4, seed=1)
    logits, gradient = penalties.logits_and_gradient(
        lambda v: 0.5 * torch.einsum("ni,ij,nj->n", v, a, v), x, engine
    )
    torch.testing.assert_close(logits, 0.5 * ((x @ a) * x).sum(1))
    torch.testing.assert_close(gradient, x @ a)
    penalty = penalties.r2(penalties.squared_norm(gradient), torch.tensor(3.0))
    assert penalty.item() == pytest.approx(1.5 * (x @ a).square().sum(1).mean().item(), rel=1e-12)
    # The gradient is (A x + A^T x) / 2 = S x: d/dA of weight/2 E |S x|^2 = weight sym(E S x x^T).
    outer = torch.einsum("ni,nj->ij", x @ a.detach(), x) / len(x)
    expected = 3.0 * (outer + outer.T) / 2
    torch.testing.assert_close(torch.autograd.grad(penalty, a)[0], expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradient_equals_finite_differences_in_the_input(engine):
    critic, x, step = smooth(), normal(2, 3, 8, 8, seed=2), 1e-6
    _, gradient = penalties.logits_and_gradient(critic, x, engine)
    for index in [(0, 0, 0, 0), (1, 2, 7, 3), (0, 1, 4, 4)]:
        moved = torch.zeros_like(x)
        moved[index] = step
        slope = (critic(x + moved) - critic(x - moved))[index[0]] / (2 * step)
        assert gradient[index].item() == pytest.approx(slope.item(), rel=1e-6, abs=1e-11)


@pytest.mark.parametrize("kind", ["r1", "wgan_gp"])
@pytest.mark.parametrize("engine", ENGINES)
def test_parameter_gradient_equals_finite_differences(engine, kind):
    critic, x, step = smooth(), normal(3, 3, 8, 8, seed=3), 1e-6

    def penalty() -> torch.Tensor:
        _, gradient = penalties.logits_and_gradient(critic, x, engine)
        if kind == "r1":
            return penalties.r1(penalties.squared_norm(gradient), 2.0)
        return penalties.wgan_gp(penalties.squared_norm_gap(gradient), 2.0)

    weight = critic.first.weight
    (exact,) = torch.autograd.grad(penalty(), weight)
    assert exact.abs().max() > 1e-4, "the penalty does not reach the parameters"
    for index in [(0, 0, 0, 0), (3, 2, 1, 1), (2, 1, 2, 0)]:
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[index] += sign * step
            values.append(penalty().item())
            with torch.no_grad():
                weight[index] -= sign * step
        assert exact[index].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-9
        )


def test_engines_agree():
    critic, x = smooth(), normal(4, 3, 8, 8, seed=4)
    results = []
    for engine in ENGINES:
        logits, gradient = penalties.logits_and_gradient(critic, x, engine)
        total = logits.mean() + penalties.r1(penalties.squared_norm(gradient), 5.0)
        by_parameter = torch.autograd.grad(total, list(critic.parameters()), allow_unused=True)
        results.append((logits, gradient, *by_parameter))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_evaluation_and_nothing_flows_into_the_input(engine):
    calls = 0

    def critic(v):
        nonlocal calls
        calls += 1
        return v.square().sum(1)

    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x = normal(3, 2).requires_grad_()
    logits, gradient = penalties.logits_and_gradient(lambda v: scale * critic(v), x * 1.0, engine)
    assert calls == 1
    torch.testing.assert_close(gradient, 2 * x.detach())
    (logits.sum() + gradient.sum()).backward()
    assert scale.grad.item() == pytest.approx((x.square().sum() + 2 * x.sum()).item())
    assert x.grad is None


def test_batch_normalization_needs_autograd():
    class Normalized(nn.Sequential):
        def forward(self, v):
            return super().forward(v).squeeze(1)

    critic = Normalized(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = normal(5, 4)
    logits, gradient = penalties.logits_and_gradient(critic, x, "autograd")
    assert logits.shape == (5,)
    penalties.squared_norm(gradient).mean().backward()
    assert critic[0].weight.grad.abs().max() > 0
    with pytest.raises(GanBookError, match=r"'1'.*batch normalization.*autograd"):
        penalties.logits_and_gradient(critic, x, "func")


def test_unknown_engine():
    with pytest.raises(GanBookError, match="autograd, func"):
        penalties.logits_and_gradient(lambda v: v.sum(1), normal(2, 2), "jax")


def test_autograd_engine_refuses_to_be_compiled():
    def penalty(v):
        _, gradient = penalties.logits_and_gradient(lambda t: t.square().sum(1), v, "autograd")
        return penalties.squared_norm(gradient)

    compiled = torch.compile(penalty, backend="aot_eager", fullgraph=True, dynamic=False)
    with pytest.raises(Exception, match="cannot be compiled"):
        compiled(normal(3, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_norms_are_reduced_in_full_precision(dtype):
    gradient = torch.full((2, 1000), 0.1, dtype=dtype)
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    for function in (penalties.squared_norm, penalties.squared_norm_gap):
        assert function(gradient).dtype == expected
    exact = 1000 * gradient[0, 0].double().item() ** 2
    assert penalties.squared_norm(gradient)[0].item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_wgan_gp_of_a_linear_critic(engine):
    """|grad| = |w| everywhere: the penalty is weight (|w| - 1)^2, zero at slope 1."""
    real, fake = normal(4, 3), normal(4, 3, seed=1)
    between = penalties.interpolate(real, fake, torch.rand(4, generator=source()))
    for scale in (0.0, 0.5, 1.0, 3.0):
        w = (scale * torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)).requires_grad_()
        _, gradient = penalties.logits_and_gradient(lambda v, w=w: v @ w, between, engine)
        penalty = penalties.wgan_gp(penalties.squared_norm_gap(gradient), 10.0)
        assert penalty.item() == pytest.approx(10 * (scale - 1) ** 2, abs=1e-12)
        slope = torch.autograd.grad(penalty, w)[0]
        assert torch.isfinite(slope).all()
        if scale > 0:
            torch.testing.assert_close(slope, 20 * (1 - 1 / scale) * w.detach())


def test_interpolation_is_one_number_per_sample():
    real, fake = normal(5, 3, 4, 6), normal(5, 3, 4, 6, seed=1)
    mix = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.9])
    between = penalties.interpolate(real, fake, mix)
    torch.testing.assert_close(between[0], fake[0])
    torch.testing.assert_close(between[1], real[1])
    share = (between - fake) / (real - fake)  # one value per sample if the points are on the line
    torch.testing.assert_close(share, mix.double().view(5, 1, 1, 1).expand_as(share))
    points = penalties.interpolate(real[:, 0, 0, :2], fake[:, 0, 0, :2], mix)
    torch.testing.assert_close(points, between[:, 0, 0, :2])


def test_finite_difference_equals_r1_in_expectation_only():
    """For a linear critic it is (w . v)^2, with mean |w|^2 and standard deviation sqrt(2) |w|^2."""
    n = 40_000
    w = torch.tensor([0.5, -1.0, 2.0, 0.25], dtype=torch.float64, requires_grad=True)
    x, noise = normal(1, 4).expand(n, 4), normal(n, 4, seed=1)
    logits, estimate = penalties.finite_difference_squared_norm(lambda v: v @ w, x, noise, 0.01)
    torch.testing.assert_close(logits, x @ w)
    norm = w.square().sum().item()
    relative = estimate / norm
    assert relative.mean().item() == pytest.approx(1.0, abs=5 * math.sqrt(2 / n))
    assert relative.std().item() == pytest.approx(math.sqrt(2), rel=0.05)
    assert (relative[0] - 1).abs() > 1e-3  # a single probe is not the penalty
    slope = torch.autograd.grad(penalties.r1(estimate, 2.0), w)[0]  # in expectation 2 w
    torch.testing.assert_close(slope, 2 * w.detach(), rtol=0, atol=0.15)


def test_finite_difference_of_a_curved_critic():
    """The bias is O(epsilon^2): (tr(A)^2 + 2 tr(A^2)) epsilon^2 / 4 for D(x) = x A x / 2."""
    n, epsilon = 200_000, 0.5
    a = torch.diag(torch.tensor([1.0, 0.5], dtype=torch.float64))
    x = torch.tensor([[0.3, -0.8]], dtype=torch.float64)
    noise = normal(n, 2, seed=1)
    _, estimate = penalties.finite_difference_squared_norm(
        lambda v: 0.5 * ((v @ a) * v).sum(1), x.expand(n, 2), noise, epsilon
    )
    bias = epsilon**2 / 4 * (a.trace() ** 2 + 2 * (a @ a).trace())
    expected = (x @ a).square().sum() + bias
    error = estimate.std() / math.sqrt(n)
    assert abs(estimate.mean() - expected) < 4 * error
    assert bias > 20 * error  # so the test would notice a missing bias
