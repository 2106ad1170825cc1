"""What training does to networks: second derivatives, compiling, formats, copies, saving."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.models.zoo import CASES, NAMES, Case, wake

every_case = pytest.mark.parametrize("case", CASES, ids=NAMES)
one_of_each = pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[7], CASES[8]])
LABELS = torch.tensor([0, 1, 2])


def penalty_by_autograd(d: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    logits = d(x, LABELS)
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return F.softplus(-logits).mean() + slope.square().flatten(1).sum(1).mean()


def penalty_by_func(d: nn.Module, x: Tensor) -> Tensor:
    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = d(x, LABELS)
        return logits.sum(), logits

    slope, logits = torch.func.grad(total, has_aux=True)(x)
    return F.softplus(-logits).mean() + slope.square().flatten(1).sum(1).mean()


def gradients(
    penalty: Callable[[nn.Module, Tensor], Tensor], d: nn.Module, x: Tensor
) -> list[Tensor]:
    d.zero_grad()
    penalty(d, x).backward()
    return [p.grad.clone() for p in d.parameters()]


@every_case
def test_func_grad_equals_autograd_in_float64(case: Case) -> None:
    d = wake(case.build(3)[1]).double()
    x = case.samples(3).double()
    expected = gradients(penalty_by_autograd, d, x)
    assert all(g.abs().max() > 0 for g in expected)
    torch.testing.assert_close(gradients(penalty_by_func, d, x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", [CASES[0], CASES[2], CASES[6]])
def test_compiled_penalty_equals_eager(case: Case) -> None:
    d = wake(case.build(3)[1])
    x = case.samples(3)
    expected = gradients(penalty_by_autograd, d, x)
    compiled = torch.compile(penalty_by_func, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(gradients(compiled, d, x), expected, rtol=1e-4, atol=1e-5)


@one_of_each
def test_compiled_generator_equals_eager(case: Case) -> None:
    g = wake(case.build(3)[0])
    z = torch.randn(3, g.z_dim)
    compiled = torch.compile(g, backend="aot_eager", fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(z, LABELS), g(z, LABELS), rtol=1e-5, atol=1e-6)


@one_of_each
def test_first_and_second_derivatives_by_finite_differences(case: Case) -> None:
    g, d = (wake(net).double() for net in case.build(3))
    x = case.samples(3).double().requires_grad_()
    name, weight = next((n, p) for n, p in d.named_parameters() if p.ndim > 1 and "embed" not in n)
    weight = weight.detach().clone().requires_grad_()

    def logits(x: Tensor, w: Tensor) -> Tensor:
        return torch.func.functional_call(d, {name: w}, (x, LABELS))

    assert torch.autograd.gradcheck(logits, (x, weight), fast_mode=True)
    assert torch.autograd.gradgradcheck(logits, (x, weight), fast_mode=True)
    z = torch.randn(3, g.z_dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: g(z, LABELS), z, fast_mode=True)


@every_case
def test_state_dict_and_deepcopy(case: Case) -> None:
    for net, other in zip(case.build(3, seed=0), case.build(3, seed=1), strict=True):
        inputs = torch.randn(3, net.z_dim) if hasattr(net, "z_dim") else case.samples(3)
        expected = net(inputs, LABELS)
        assert not torch.equal(other(inputs, LABELS), expected)
        other.load_state_dict({k: v.clone() for k, v in net.state_dict().items()})
        assert torch.equal(other(inputs, LABELS), expected)
        twin = copy.deepcopy(net)
        assert torch.equal(twin(inputs, LABELS), expected)
        for p in twin.parameters():
            p.data.zero_()
        assert torch.equal(net(inputs, LABELS), expected)


@every_case
def test_meta_construction_then_weights(case: Case) -> None:
    with torch.device("meta"):
        shells = case.build(3)
    for net, shell in zip(case.build(3), shells, strict=True):
        assert all(t.is_meta for t in shell.state_dict().values())
        shell.to_empty(device="cpu")
        shell.load_state_dict(net.state_dict())
        inputs = torch.randn(3, net.z_dim) if hasattr(net, "z_dim") else case.samples(3)
        assert torch.equal(shell(inputs, LABELS), net(inputs, LABELS))


@pytest.mark.parametrize("case", CASES[1:], ids=NAMES[1:])
def test_channels_last_and_autocast(case: Case) -> None:
    g, d = (wake(net) for net in case.build(3))
    z, x = torch.randn(3, g.z_dim), case.samples(3)
    fake, logits = g(z, LABELS), d(x, LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        rough = d(x, LABELS).float()
        assert g(z, LABELS).float().sub(fake).square().mean() < 1e-3 * fake.square().mean()
    assert (rough - logits).abs().max() < 0.05 * logits.abs().max() + 0.05
    for net in (g, d):
        net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(g(z, LABELS), fake, rtol=1e-3, atol=1e-4)
    x = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(d(x, LABELS), logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_float64_stays_float64(case: Case) -> None:
    g, d = (net.double() for net in case.build())
    fake = g(torch.randn(2, g.z_dim, dtype=torch.float64))
    assert fake.dtype == d(fake).dtype == torch.float64
