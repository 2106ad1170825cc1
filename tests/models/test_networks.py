"""What every network must do: shapes, one training step, labels, independence of samples."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_book.errors import GanBookError
from gan_book.models import count_parameters
from tests.models import sizes
from tests.models.sizes import SIZES
from tests.models.zoo import CASES, NAMES, Case, wake

every_case = pytest.mark.parametrize("case", CASES, ids=NAMES)
LABELS = torch.tensor([0, 1, 2, 1])


@every_case
@pytest.mark.parametrize("num_classes", [0, 4])
def test_shapes_and_attributes(case: Case, num_classes: int) -> None:
    g, d = case.build(num_classes)
    labels = LABELS if num_classes else None
    fake = g(torch.randn(4, g.z_dim), labels)
    assert fake.shape == (4, *case.shape)
    assert d(fake, labels).shape == (4,)
    assert d(case.samples(1), labels if labels is None else labels[:1]).shape == (1,)
    for net in (g, d):
        assert net.sample_shape == case.shape == (net.channels, *net.size)
        assert net.num_classes == num_classes


def test_dcgan_stays_in_range_and_r3gan_does_not() -> None:
    for case in CASES[1:]:
        g, _ = case.build()
        loud = g(50 * torch.randn(8, g.z_dim)).abs().max()
        assert loud <= 1 if "dcgan" in (case.model, case.g_model) else loud > 1


def _step(
    net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor
) -> tuple[set[str], set[str]]:
    """One step; the names of parameters that changed, and of those that did not."""
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    changed = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    return changed, set(before) - changed


def _losses(g: nn.Module, d: nn.Module, real: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
    """The relativistic loss with R1 for D, and G's half."""
    z = torch.randn(len(real), g.z_dim)
    real = real.clone().requires_grad_()
    logits = d(real, labels)
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    with torch.no_grad():
        fake = g(z, labels)
    d_loss = F.softplus(d(fake, labels) - logits).mean() + slope.square().flatten(1).sum(1).mean()
    g_loss = F.softplus(d(real.detach(), labels) - d(g(z, labels), labels)).mean()
    return d_loss, g_loss


@every_case
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("side", ["D", "G"])
def test_steps_reach_every_parameter(case: Case, num_classes: int, side: str) -> None:
    torch.manual_seed(0)
    g, d = case.build(num_classes)
    net = d if side == "D" else g
    labels = LABELS if num_classes else None
    optimizer = torch.optim.Adam(net.parameters(), 1e-2, (0.0, 0.99))
    real = case.samples(4)
    changed, same = _step(net, optimizer, _losses(g, d, real, labels)[side == "G"])
    if case.model == "r3gan":  # a zero last convolution lets no gradient into its block at first
        assert same == {n for n in same | changed if ".expand." in n or ".mix." in n}
        changed, same = _step(net, optimizer, _losses(g, d, real, labels)[side == "G"])
    assert not same


@every_case
def test_no_parameter_is_a_constant_added_to_the_logit(case: Case) -> None:
    # a bias of the last layer has exactly no gradient under the relativistic loss
    _, d = case.build(3)
    x, y = case.samples(4), case.samples(4, seed=1)
    F.softplus(d(x, LABELS) - d(y, LABELS)).mean().backward()
    wake_names = (".expand.", ".mix.") if case.model == "r3gan" else ()
    for name, p in d.named_parameters():
        assert p.grad.abs().max() > 1e-7 or any(w in name for w in wake_names), name


@every_case
def test_labels_matter(case: Case) -> None:
    g, d = case.build(4)
    z, x = torch.randn(4, g.z_dim), case.samples(4)
    zeros = torch.zeros(4, dtype=torch.int64)
    for net, inputs in ((g, z), (d, x)):
        one, other = net(inputs, zeros), net(inputs, zeros + 3)
        apart = (one - other).reshape(4, -1).abs().amax(1)
        assert (apart > 1e-3).all()
        net(inputs, LABELS).square().sum().backward()
        rows = next(p for n, p in net.named_parameters() if "embed" in n).grad.abs().sum(1)
        assert (rows[:3] > 0).all()
        assert rows[3] == 0  # no sample had this label


@every_case
def test_labels_are_needed_or_ignored(case: Case) -> None:
    g, d = case.build(4)
    with pytest.raises(GanBookError, match="label"):
        g(torch.randn(4, g.z_dim))
    with pytest.raises(GanBookError, match="label"):
        d(case.samples(4))
    _, d = case.build()
    assert torch.equal(d(case.samples(4)), d(case.samples(4), LABELS))


@every_case
def test_samples_of_a_batch_do_not_meet(case: Case) -> None:
    g, d = case.build(4)
    x = case.samples(4)
    slopes = torch.autograd.functional.jacobian(lambda x: wake(d)(x, LABELS), x).flatten(
        2
    )  # (4, 4, P)
    strength = slopes.abs().sum(2)  # (logit, picture)
    assert (strength.diagonal() > 0).all()
    assert (strength - torch.diag(strength.diagonal()) == 0).all()
    z = torch.randn(4, g.z_dim)
    torch.testing.assert_close(g(z, LABELS)[:2], g(z[:2], LABELS[:2]), rtol=1e-4, atol=1e-5)


def test_batch_norm_couples_samples_which_is_why_it_is_off() -> None:
    case = Case("classic", "dcgan", (3, 16, 16), {"width": 8, "batch_norm": True})
    _, d = case.build()
    assert any(isinstance(m, nn.BatchNorm2d) for m in d.modules())
    slopes = torch.autograd.functional.jacobian(d, case.samples(3)).flatten(2).abs().sum(2)
    assert slopes[0, 1] > 0
    for other in CASES:
        assert not any(
            isinstance(m, nn.BatchNorm2d) for net in other.build() for m in net.modules()
        )


PUBLISHED = {  # millions, G and D
    "r3gan-cifar10": (20.8, 21.3),
    "r3gan-ffhq-64": (22.4, 22.4),
    "r3gan-ffhq-256": (23.1, 23.0),
    "r3gan-imagenet-32": (82.9, 86.6),
    "r3gan-imagenet-64": (103.6, 107.2),
    "dcgan-64-classic": (3.58, 2.77),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_have_the_parameters_that_are_stated(name: str) -> None:
    with torch.device("meta"):
        counts = [count_parameters(net) for net in SIZES[name]()]
    row = next(line for line in sizes.__doc__.splitlines() if line.startswith(f"| {name} |"))
    assert [int(cell.replace(",", "")) for cell in row.strip("| ").split("|")[2:]] == counts
    for count, millions in zip(counts, PUBLISHED.get(name, ()), strict=False):
        assert abs(count / 1e6 - millions) < (0.005 if "dcgan" in name else 0.055)
    assert len(PUBLISHED.keys() - SIZES.keys()) == 0
