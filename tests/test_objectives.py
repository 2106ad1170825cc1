"""Objectives: the right things are called, each for itself, and no evaluation too many."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gan_book import losses
from gan_book.augment import AugmentDraws
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.objectives import (
    DiscriminatorObjective,
    Draws,
    GeneratorObjective,
    ObjectiveSettings,
    draw,
    shard,
)
from tests.helpers.obj_networks import (
    CLASSES,
    POLICY,
    SHAPE,
    Negative,
    Smooth,
    TwoSlopes,
    gradients,
    inputs,
    networks,
    weights,
)

ALL = ObjectiveSettings(loss="relativistic", r1=True, r2=True, gp=True, policy=POLICY)
BOTH = (DiscriminatorObjective, GeneratorObjective)


def points(n: int = 6) -> tuple[Batch, Draws]:
    source = torch.Generator().manual_seed(0)
    real = torch.rand(n, 2, generator=source, dtype=torch.float64) + 0.1
    return Batch(real), Draws(torch.randn(n, 2, generator=source, dtype=torch.float64))


def slopes(settings: ObjectiveSettings, **by_weight: float) -> tuple[float, float]:
    """Gradients of TwoSlopes, where real points are positive and fakes negative."""
    d = TwoSlopes()
    batch, draws = points()
    if settings.form == "finite-difference":
        noise = torch.randn(6, 2, 2, generator=torch.Generator().manual_seed(1)).double()
        draws = draws._replace(noise=noise)
    if settings.gp:
        draws = draws._replace(mix=torch.linspace(0, 0.9, 6))
    values = {"r1": 0.0, "r2": 0.0, "gp": 0.0} | by_weight
    DiscriminatorObjective(Negative(), d, settings)(batch, draws, weights(**values))[0].backward()
    return d.up.grad.item(), d.down.grad.item()


# --- the right thing is really called ---


@pytest.mark.parametrize("engine", ["autograd", "func"])
def test_r1_and_r2_each_for_itself(engine):
    """R1 alone moves the slope at real points, R2 alone the slope at fakes: w * slope * 2."""
    settings = ObjectiveSettings(engine=engine)
    up, down = slopes(settings)
    by_r1, by_r2 = slopes(settings, r1=10.0), slopes(settings, r2=10.0)
    assert by_r1[0] - up == pytest.approx(10 * 0.7 * 2, rel=1e-12)
    assert by_r1[1] - down == pytest.approx(0, abs=1e-12)
    assert by_r2[0] - up == pytest.approx(0, abs=1e-12)
    assert by_r2[1] - down == pytest.approx(10 * 0.3 * 2, rel=1e-12)


def test_finite_differences_each_for_itself():
    """The same for the estimates, which are random but never touch the other slope."""
    settings = ObjectiveSettings(form="finite-difference", epsilon=1e-4)
    up, down = slopes(settings)
    by_r1, by_r2 = slopes(settings, r1=10.0), slopes(settings, r2=10.0)
    noise = torch.randn(6, 2, 2, generator=torch.Generator().manual_seed(1)).double()
    squares = noise.sum(2).square().mean(0)  # E (v_1 + v_2)^2 takes the place of 2
    assert by_r1[0] - up == pytest.approx(10 * 0.7 * squares[0].item(), rel=1e-6)
    assert by_r1[1] - down == pytest.approx(0, abs=1e-9)
    assert by_r2[0] - up == pytest.approx(0, abs=1e-9)
    assert by_r2[1] - down == pytest.approx(10 * 0.3 * squares[1].item(), rel=1e-6)


@pytest.mark.parametrize("name", ["r1", "r2", "gp"])
def test_a_penalty_left_out_ignores_its_weight(name):
    none = ObjectiveSettings(r1=False, r2=False)
    assert slopes(none, **{name: 10.0}) == slopes(none)
    assert slopes(replace(none, **{name: True}), **{name: 10.0}) != slopes(none)


def test_wgan_gp_between_real_and_fake():
    """At mix 1 the points are real, at mix 0 fake: the penalty moves only that slope."""
    settings = ObjectiveSettings(loss="wasserstein", r1=False, r2=False, gp=True)
    batch, draws = points()
    for mix, slope, other in ((1.0, "up", "down"), (0.0, "down", "up")):
        gradient = {}
        for weight in (0.0, 10.0):
            d = TwoSlopes()
            with_mix = draws._replace(mix=torch.full((6,), mix))
            objective = DiscriminatorObjective(Negative(), d, settings)
            _, logs = objective(batch, with_mix, weights(gp=weight))
            objective(batch, with_mix, weights(gp=weight))[0].backward()
            gradient[weight] = {"up": d.up.grad.item(), "down": d.down.grad.item()}
        norm = {"up": 0.7, "down": 0.3}[slope] * 2**0.5
        assert logs["gp"].item() == pytest.approx((norm - 1) ** 2)
        moved = {key: gradient[10.0][key] - gradient[0.0][key] for key in ("up", "down")}
        assert moved[slope] == pytest.approx(10 * 2 * (norm - 1) * 2**0.5)
        assert moved[other] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_loss_and_logs_of_both_halves(name):
    batch, draws = points()
    g, d, settings = Negative(), TwoSlopes(), ObjectiveSettings(loss=name)
    real, fake = d(batch.images), d(g(draws.z))
    row = losses.loss(name)
    value, logs = DiscriminatorObjective(g, d, settings)(batch, draws, weights(3.0, 5.0))
    expected = row.discriminator(real, fake) + 3 / 2 * 2 * 0.7**2 + 5 / 2 * 2 * 0.3**2
    torch.testing.assert_close(value, expected)
    assert set(logs) == {"loss", "real_logit", "fake_logit", "r1", "r2"}
    assert not any(log.requires_grad for log in logs.values())
    assert all(log.shape == () for log in logs.values())
    torch.testing.assert_close(logs["real_logit"], real.mean().detach())
    torch.testing.assert_close(logs["fake_logit"], fake.mean().detach())
    assert logs["r1"].item() == pytest.approx(2 * 0.7**2)
    assert logs["r2"].item() == pytest.approx(2 * 0.3**2)
    value, logs = GeneratorObjective(g, d, settings)(batch, draws, weights())
    torch.testing.assert_close(value, row.generator(real, fake))
    torch.testing.assert_close(logs, {"loss": value.detach()})


@pytest.mark.parametrize("engine", ["autograd", "func"])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_no_evaluation_too_many(name, engine):
    """D sees each batch once, in the G step real pictures only where the loss needs them."""
    seen = []
    g, d = networks()
    d.register_forward_hook(lambda *_: seen.append(1))
    for settings, calls in (
        (ObjectiveSettings(loss=name, engine=engine), 2),
        (ObjectiveSettings(loss=name, engine=engine, gp=True), 3),
        (ObjectiveSettings(loss=name, form="finite-difference"), 4),
        (ObjectiveSettings(loss=name, form="finite-difference", r2=False), 3),
    ):
        batch, draws = inputs(settings, g)
        seen.clear()
        DiscriminatorObjective(g, d, settings)(batch, draws, weights())
        assert len(seen) == calls
        seen.clear()
        GeneratorObjective(g, d, settings)(batch, draws, weights())
        assert len(seen) == 1 + losses.loss(name).needs_real


@pytest.mark.parametrize("kind", BOTH)
def test_each_objective_trains_its_own_network_only(kind):
    g, d = networks()
    objective = kind(g, d, ALL)
    own, other = (d, g) if kind is DiscriminatorObjective else (g, d)
    assert {id(p) for p in objective.parameters()} == {id(p) for p in own.parameters()}
    batch, draws = inputs(ALL, g)
    objective(batch, draws, weights())[0].backward()
    assert all(value.abs().max() > 0 for value in gradients(own).values())
    assert all(p.grad is None and p.requires_grad for p in other.parameters())


def test_generator_step_computes_no_weight_gradient_of_the_discriminator():
    """Backward through D costs one pass (to the picture), not two (and to the weights)."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, z, labels=None):
            return self.scale * z.view(4, 3, 16, 16)  # (N, C, H, W), no operation that counts

    g, d = Plain(), Smooth()
    z = torch.randn(4, 768, generator=torch.Generator().manual_seed(0))
    settings = ObjectiveSettings(loss="hinge")
    with FlopCounterMode(display=False) as forward:
        d(g(z))
    with FlopCounterMode(display=False) as step:
        GeneratorObjective(g, d, settings)(Batch(g(z)), Draws(z), weights())[0].backward()
    with FlopCounterMode(display=False) as plain:
        losses.loss("hinge").generator(z, d(g(z))).backward()
    assert forward.get_total_flops() > 0
    assert step.get_total_flops() == 2 * forward.get_total_flops()
    assert plain.get_total_flops() == 3 * forward.get_total_flops()
    assert g.scale.grad.abs() > 0


def test_labels_reach_both_networks():
    g, d = networks()
    settings = ObjectiveSettings(loss="hinge")
    batch, draws = inputs(settings, g)
    changed = (batch.labels + 1) % CLASSES

    def values(labels, fake_labels):
        found = []
        for kind in BOTH:
            value, logs = kind(g, d, settings)(
                Batch(batch.images, labels), draws._replace(labels=fake_labels), weights()
            )
            found += [value.item(), logs.get("real_logit", value).item()]
        return torch.tensor(found, dtype=torch.float64)  # D loss, real logit, G loss, G loss

    plain, other = values(batch.labels, None), values(changed, None)
    assert (plain - other).abs().min() > 1e-6  # labels of the batch serve both
    own = values(batch.labels, changed)  # the fakes' own labels change all but the real logit
    assert ((own - plain).abs() > 1e-6).tolist() == [True, False, True, True]
    torch.testing.assert_close(values(batch.labels, batch.labels), plain)


def test_each_picture_is_judged_under_its_own_label():
    g, d = networks()
    settings = ObjectiveSettings(gp=True)
    batch, draws = inputs(settings, g)
    draws = draws._replace(labels=(batch.labels + 1) % CLASSES)
    seen = {"g": [], "d": []}
    for name, network in (("g", g), ("d", d)):
        network.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[1]))
    DiscriminatorObjective(g, d, settings)(batch, draws, weights())
    GeneratorObjective(g, d, settings)(batch, draws, weights())
    own, fake = batch.labels, draws.labels  # in D: real, fake, between; fake, real
    for name, expected in (("g", [fake, fake]), ("d", [own, fake, own, fake, own])):
        assert [labels.tolist() for labels in seen[name]] == [e.tolist() for e in expected]


def test_unconditional_networks_of_one_argument():
    class Bare(nn.Module):
        def forward(self, x):
            return x.square().sum(1)

    class BareGenerator(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

        def forward(self, z):
            return self.scale * z

    batch, draws = points()
    for kind in BOTH:
        value, _ = kind(BareGenerator(), Bare(), ObjectiveSettings())(batch, draws, weights())
        assert torch.isfinite(value)


def test_augmentation_comes_after_the_penalty_point():
    """A hole over everything: the logit's slope is zero in front of the augmentation."""
    g, d = Smooth(), Smooth()
    fake = torch.rand(4, 3, 8, 8)
    g.forward = lambda z, labels=None: fake
    hole = torch.tensor([[0, 8, 0, 8]]).expand(4, 4)
    plain = AugmentDraws(hole=torch.zeros(4, 4, dtype=torch.long))
    settings = ObjectiveSettings(policy=("cutout",))
    for real, other in ((AugmentDraws(hole=hole), plain), (plain, AugmentDraws(hole=hole))):
        draws = Draws(torch.zeros(4, 2), augment_real=real, augment_fake=other)
        _, logs = DiscriminatorObjective(g, d, settings)(Batch(fake + 0.1), draws, weights())
        assert (logs["r1"] == 0) == (real is not plain)
        assert (logs["r2"] == 0) == (other is not plain)


# --- draws and settings ---


def test_draw_makes_what_the_settings_need():
    source = torch.Generator().manual_seed(0)
    plain = draw(ObjectiveSettings(), 6, 5, (2,), 0.5, source)
    assert plain.z.shape == (6, 5)
    assert plain[1:] == (None,) * 7
    settings = ObjectiveSettings(form="finite-difference", policy=POLICY)
    draws = draw(settings, 6, 5, SHAPE, 0.5, source, num_classes=4)
    assert draws.noise.shape == (6, 2, *SHAPE)
    assert draws.labels.shape == (6,)
    assert draws.labels.max() < 4
    assert not torch.equal(draws.augment_real.brightness, draws.augment_fake.brightness)
    assert not torch.equal(draws.noise[:, 0], draws.noise[:, 1])
    mix = draw(ObjectiveSettings(gp=True), 5000, 2, (2,), 0, source).mix
    assert mix.shape == (5000,)
    assert mix.min() >= 0
    assert mix.max() < 1
    assert mix.mean().item() == pytest.approx(0.5, abs=0.02)  # uniform, not normal
    assert mix.var().item() == pytest.approx(1 / 12, abs=0.005)
    with pytest.raises(GanBookError, match="pictures"):
        draw(settings, 6, 5, (2,), 0.5, source)


def test_equal_generators_draw_equally():
    settings = ObjectiveSettings(form="finite-difference", policy=POLICY)
    one, other = (
        draw(settings, 4, 3, SHAPE, 0.5, torch.Generator().manual_seed(2)) for _ in range(2)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_shards_together_are_the_global_batch():
    source = torch.Generator().manual_seed(0)
    settings = ObjectiveSettings(form="finite-difference", policy=("color", "cutout"))
    draws = draw(settings, 6, 5, SHAPE, 0.5, source)
    parts = [shard(draws, rank, 3) for rank in range(3)]
    assert all(isinstance(part, Draws) for part in parts)
    assert torch.equal(torch.cat([part.z for part in parts]), draws.z)
    assert torch.equal(torch.cat([part.noise for part in parts]), draws.noise)
    holes = torch.cat([part.augment_fake.hole for part in parts])
    assert torch.equal(holes, draws.augment_fake.hole)
    assert parts[0].labels is None
    assert parts[0].augment_real.shift is None
    assert shard(weights(2.0), 1, 2) == weights(2.0)
    assert shard(draws, 0, 1) is draws
    with pytest.raises(GanBookError, match="6 cannot be shared by 4"):
        shard(draws, 0, 4)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"loss": "vanilla"}, "relativistic"),
        ({"form": "lazy"}, "finite-difference"),
        ({"engine": "jax"}, "func"),
        ({"policy": ("rotate",)}, "translation"),
        ({"gp": True, "form": "finite-difference"}, "WGAN-GP"),
        ({"epsilon": 0.0}, "positive"),
    ],
)
def test_impossible_settings_get_a_sentence(options, words):
    with pytest.raises(GanBookError, match=words):
        ObjectiveSettings(**options)


def test_draws_of_other_settings_get_a_sentence():
    batch, draws = points()
    for settings, words in (
        (ObjectiveSettings(form="finite-difference"), "noise"),
        (ObjectiveSettings(gp=True), "mixing"),
    ):
        with pytest.raises(GanBookError, match=words):
            DiscriminatorObjective(Negative(), TwoSlopes(), settings)(batch, draws, weights())
