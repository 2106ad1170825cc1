"""Augmentation against a plain loop, its distribution and derivatives; the controller of p."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_book import augment
from gan_book.augment import POLICIES, AugmentDraws, OverfittingController
from gan_book.errors import GanBookError
from gan_book.losses import loss


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, channels: int = 3, size: tuple[int, int] = (8, 12), seed: int = 5):
    return torch.rand(n, channels, *size, generator=source(seed)) * 2 - 1


def reference(images: torch.Tensor, draws: AugmentDraws) -> torch.Tensor:
    """The same operations one after the other and picture by picture, with slices."""
    results = []
    for i, x in enumerate(images):
        channels, height, width = x.shape
        x = x.clone()
        if draws.brightness is not None:
            x = x + draws.brightness[i]
            gray = x.mean(0, keepdim=True)
            x = (x - gray) * draws.saturation[i] + gray
            x = (x - x.mean()) * draws.contrast[i] + x.mean()
        if draws.flipped is not None and draws.flipped[i]:
            x = torch.flip(x, [2])
        if draws.shift is not None:
            down, right = draws.shift[i].tolist()
            canvas = torch.zeros(channels, 3 * height, 3 * width)
            canvas[:, height + down : 2 * height + down, width + right : 2 * width + right] = x
            x = canvas[:, height : 2 * height, width : 2 * width].clone()
        if draws.hole is not None:
            top, bottom, left, right = (max(0, edge) for edge in draws.hole[i].tolist())
            x[:, top:bottom, left:right] = 0
        results.append(x)
    return torch.stack(results)


@pytest.mark.parametrize("p", [0.4, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", [POLICIES, *((name,) for name in POLICIES)])
def test_equals_a_plain_loop(policy, channels, p):
    images = pictures(32, channels)
    draws = augment.draw(32, (8, 12), policy, p, source())
    seen = augment.apply(images, draws)
    assert seen.shape == images.shape
    assert seen.dtype == images.dtype
    torch.testing.assert_close(seen, reference(images, draws), rtol=0, atol=2e-6)
    assert not torch.equal(seen, images)


@pytest.mark.parametrize("p", [0.0, torch.tensor(0.0)])
@pytest.mark.parametrize("policy", [POLICIES, *((name,) for name in POLICIES), ()])
def test_probability_zero_changes_no_bit(policy, p):
    images = pictures(16)
    images[0, 0, 0, 0], images[1, 0, 0, 0] = -0.0, 1e-30
    seen = augment.apply(images, augment.draw(16, (8, 12), policy, p, source()))
    assert torch.equal(seen.view(torch.int32), images.view(torch.int32))


def test_probability_may_be_a_tensor_and_is_not_read():
    """On the meta device nothing can be read back; equal numbers must follow from equal p."""
    p = torch.tensor(0.3)
    for one, other in zip(
        augment.draw(50, (8, 8), POLICIES, p, source()),
        augment.draw(50, (8, 8), POLICIES, 0.3, source()),
        strict=True,
    ):
        assert torch.equal(one, other)
    p = torch.tensor(0.3, device="meta")
    draws = augment.draw(4, (8, 8), POLICIES, p, source(), device="meta")
    assert all(field.device.type == "meta" for field in draws)


def test_saturation_leaves_one_channel_alone():
    images = pictures(8, channels=1)
    n = torch.zeros(8)
    draws = AugmentDraws(n, n + 0.3, n + 1, recolored=torch.ones(8, dtype=torch.bool))
    assert torch.equal(augment.apply(images, draws), images)


def test_strengths_at_probability_one():
    """Ranges and moments of uniform draws; DiffAugment's numbers."""
    n, (height, width) = 20_000, (16, 24)
    draws = augment.draw(n, (height, width), POLICIES, 1.0, source())
    for field, low, high in (
        (draws.brightness, -0.5, 0.5),
        (draws.saturation, 0.0, 2.0),
        (draws.contrast, 0.5, 1.5),
    ):
        assert field.dtype == torch.float32
        share = (field - low) / (high - low)
        assert share.min() >= 0
        assert share.max() <= 1
        assert share.mean().item() == pytest.approx(0.5, abs=0.01)
        assert share.var().item() == pytest.approx(1 / 12, abs=0.003)
    assert draws.recolored.all()
    assert draws.flipped.float().mean().item() == pytest.approx(0.5, abs=0.02)
    for column, side in ((0, height), (1, width)):
        values, counts = draws.shift[:, column].unique(return_counts=True)
        assert values.tolist() == list(range(-side // 8, side // 8 + 1))
        assert (counts / n - 1 / len(values)).abs().max() < 0.02
    top, bottom, left, right = draws.hole.unbind(1)
    assert (bottom - top).unique().tolist() == [height // 2]
    assert (right - left).unique().tolist() == [width // 2]
    middle = top + height // 4
    assert (middle.min(), middle.max()) == (0, height)


@pytest.mark.parametrize("p", [0.2, 0.75])
def test_every_picture_and_operation_has_its_own_coin(p):
    n = 20_000
    draws = augment.draw(n, (16, 16), POLICIES, p, source())
    shifted = (draws.shift != 0).any(1)
    coins = torch.stack(
        [
            draws.brightness != 0,
            draws.saturation != 1,
            draws.contrast != 1,
            draws.flipped,
            shifted,
            draws.hole[:, 1] > draws.hole[:, 0],
        ]
    ).double()
    # A mirror is one of two pictures; 1 of 25 shifts is no shift.
    expected = torch.tensor([p, p, p, p / 2, p * 24 / 25, p], dtype=torch.float64)
    assert (coins.mean(1) - expected).abs().max() < 0.015
    correlation = torch.corrcoef(coins) - torch.eye(6)
    assert correlation.abs().max() < 0.03
    neighbors = torch.corrcoef(torch.stack([coins[0, 1:], coins[0, :-1]]))[0, 1]
    assert neighbors.abs() < 0.03
    recolored = (coins[:3].sum(0) > 0).bool()
    assert torch.equal(draws.recolored, recolored)


def test_pictures_do_not_mix():
    images = pictures(6).double().requires_grad_()
    draws = augment.draw(6, (8, 12), POLICIES, 0.9, source(3))
    seen = augment.apply(images, draws)
    for i in range(6):
        own = AugmentDraws(*(field[i : i + 1] for field in draws))
        torch.testing.assert_close(augment.apply(images[i : i + 1], own)[0], seen[i])
        (slope,) = torch.autograd.grad(seen[i].square().sum(), images, retain_graph=True)
        assert slope[i].abs().max() > 0
        assert slope[torch.arange(6) != i].abs().max() == 0


def test_differentiable_twice():
    images = pictures(2, size=(4, 6)).double().requires_grad_()
    draws = augment.draw(2, (4, 6), POLICIES, 1.0, source(1))

    def curved(x):
        return augment.apply(x, draws).pow(3).sum((1, 2, 3))

    assert torch.autograd.gradcheck(curved, (images,))
    assert torch.autograd.gradgradcheck(curved, (images,))


def test_unknown_operation():
    with pytest.raises(GanBookError, match=r"rotate.*flip, color"):
        augment.draw(2, (8, 8), ("flip", "rotate"), 0.5, source())


def trained_discriminator(shift: float, seed: int = 0):
    """A discriminator after 150 steps on 24 fixed real vectors; reals lie ``shift`` from fakes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(48, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
        train, held_out = torch.randn(24, 48) + shift, torch.randn(200, 48) + shift
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(150):
            fake = torch.randn(24, 48)
            value = loss("relativistic").discriminator(net(train), net(fake))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        with torch.no_grad():
            return net(train), net(held_out), net(torch.randn(200, 48))


def test_controller_raises_p_where_the_discriminator_memorizes():
    controller = OverfittingController(step=0.01, p_max=0.6)
    logits = trained_discriminator(shift=0.0)  # nothing to tell real from fake but memory
    for expected in (0.01, 0.02, 0.03):
        assert controller.update(*logits).item() == pytest.approx(expected)
    assert controller.r > 0.9
    for _ in range(100):
        controller.update(*logits)
    assert controller.p.item() == pytest.approx(0.6)


def test_controller_lowers_p_where_the_discriminator_generalizes():
    controller = OverfittingController(step=0.01, p=0.05)
    logits = trained_discriminator(shift=1.0)
    assert controller.update(*logits).item() == pytest.approx(0.04)
    assert controller.r < 0.3
    for _ in range(10):
        controller.update(*logits)
    assert controller.p == 0


def test_controller_ratio_and_target():
    """E D: train 3, fake 1, held out 1.8 -> r = 1.2 / 2 = 0.6."""
    logits = torch.tensor([2.0, 4.0]), torch.tensor([1.8]), torch.tensor([0.5, 1.0, 1.5])
    below, above = OverfittingController(target=0.55, p=0.5), OverfittingController(0.65, p=0.5)
    assert below.update(*logits) > 0.5
    assert above.update(*logits) < 0.5
    assert above.r.item() == pytest.approx(0.6)


def test_controller_sees_differences_only():
    logits = trained_discriminator(shift=0.4)
    plain, shifted = (OverfittingController(p=0.4, step=0.03) for _ in range(2))
    for _ in range(3):
        plain.update(*logits)
        shifted.update(*(part + 50.0 for part in logits))
    assert plain.p != 0.4
    assert torch.equal(plain.p, shifted.p)
    torch.testing.assert_close(plain.r, shifted.r, rtol=1e-4, atol=1e-4)


def test_controller_lowers_p_where_fakes_are_rated_above_training_pictures():
    one = torch.ones(4)
    for held_out in (5 * one, -5 * one):
        controller = OverfittingController(p=0.5, step=0.1)
        assert controller.update(one, held_out, 2 * one).item() == pytest.approx(0.4)
        assert controller.r == 0


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_controller_ignores_broken_logits(broken):
    controller, one = OverfittingController(p=0.5), torch.ones(4)
    controller.update(one, one * broken, 0 * one)
    assert controller.p == 0.5


def test_controller_goes_on_where_it_stopped():
    controller = OverfittingController(p=0.2)
    controller.update(torch.ones(3), torch.zeros(3), torch.zeros(3))
    state = controller.state()
    resumed = OverfittingController()
    address = resumed.p
    resumed.load_state(state)
    assert resumed.p is address  # objectives may hold the tensor
    assert torch.equal(resumed.p, controller.p)
    assert torch.equal(resumed.r, controller.r)
    controller.update(torch.ones(3), torch.zeros(3), torch.zeros(3))
    assert not torch.equal(state["p"], controller.p)  # a copy, not a view
    with pytest.raises(GanBookError, match="'p'"):
        resumed.load_state({"r": torch.zeros(())})
    with pytest.raises(GanBookError, match="'r'"):
        resumed.load_state({"p": torch.zeros(()), "r": torch.zeros(2)})


@pytest.mark.parametrize(
    "options", [{"target": 0.0}, {"target": 1.5}, {"step": 0.0}, {"p": 0.9}, {"p_max": 1.1}]
)
def test_controller_refuses_impossible_numbers(options):
    with pytest.raises(GanBookError, match=r"controller's|probability"):
        OverfittingController(**options)
