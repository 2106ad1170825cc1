"""Many GANs at once: every seed trains as it would alone, by the package's own objectives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import gan_book as gb
from gan_book.data import toys
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.objectives import (
    DiscriminatorObjective,
    Draws,
    GeneratorObjective,
    ObjectiveSettings,
)
from gan_book.toy_gans import train_many
from gan_book.training import build_networks, run_steps

SMALL = {"model": "mlp", "width": 8, "layers": 2}
KINDS = [
    {"loss": "relativistic", "r1": 0.3, "r2": 0.2},
    {"loss": "non-saturating", "r1": 0.3, "r2": 0.0},
    {"loss": "saturating", "r1": 0.0, "r2": 0.0},
    {"loss": "least-squares", "r1": 0.0, "r2": 0.3},
    {"loss": "hinge", "r1": 0.0, "r2": 0.0},
    {"loss": "wasserstein", "r1": 0.0, "r2": 0.0, "gp": 10.0},
]


def recipe(**changes):
    return gb.recipe("ring", generator=SMALL, discriminator=SMALL, batch_size=16, **changes)


def many(seeds, steps, points=None, dtype=torch.float64, latent="normal", every=0, **changes):
    points = toys.ring() if points is None else points
    return train_many(
        recipe(**changes), points, seeds, steps=steps, dtype=dtype, latent=latent, every=every
    )


def numbers(net, seed_index):
    return {name: p.detach()[seed_index].clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize("how", KINDS, ids=lambda how: how["loss"])
def test_one_update_is_that_of_each_network_alone(how):
    gans = many((3, 5), 2, **how)
    gans.set_schedules()
    batch, draws = gans.batches.next(), gans.draw()
    before = [(numbers(gans.generator, i), numbers(gans.discriminator, i)) for i in (0, 1)]
    settings = ObjectiveSettings(
        loss=how["loss"], r1=how["r1"] > 0, r2=how["r2"] > 0, gp=how.get("gp", 0) > 0
    )
    logs_d = gans.update_d(batch, draws, gans.weights)
    grads_d = {n: p.grad.clone() for n, p in gans.discriminator.named_parameters()}
    after = [numbers(gans.discriminator, i) for i in (0, 1)]
    logs_g = gans.update_g(batch, draws, gans.weights)
    grads_g = {n: p.grad.clone() for n, p in gans.generator.named_parameters()}
    for i, seed in enumerate(gans.seeds):
        g, d = (net.double() for net in build_networks(gans.recipe, seed))
        g.load_state_dict(before[i][0])
        d.load_state_dict(before[i][1])
        own = Batch(batch.images[i]), Draws(*(None if t is None else t[i] for t in draws))
        loss, _ = DiscriminatorObjective(g, d, settings)(*own, gans.weights)
        loss.backward()
        assert math.isclose(loss.item(), logs_d["d_loss"][i].item(), rel_tol=1e-12)
        for name, parameter in d.named_parameters():
            assert torch.allclose(parameter.grad, grads_d[name][i], rtol=1e-9, atol=1e-13), name
        d.load_state_dict(after[i])
        g.zero_grad()
        loss, _ = GeneratorObjective(g, d, settings)(*own, gans.weights)
        loss.backward()
        assert math.isclose(loss.item(), logs_g["g_loss"][i].item(), rel_tol=1e-12)
        for name, parameter in g.named_parameters():
            assert torch.allclose(parameter.grad, grads_g[name][i], rtol=1e-9, atol=1e-13), name
        assert any(p.grad.abs().max() > 0 for p in g.parameters())


def test_a_seed_does_not_depend_on_its_company():
    together, alone = many((0, 7), 15), many((7,), 15)
    for net in ("generator", "discriminator", "average"):
        mine, other = numbers(getattr(together, net), 1), numbers(getattr(alone, net), 0)
        for name in mine:
            assert torch.allclose(mine[name], other[name], rtol=1e-8, atol=1e-11), (net, name)
    assert torch.equal(many((7,), 15).sample(9), alone.sample(9))
    first, second = (numbers(together.generator, i) for i in (0, 1))
    assert not torch.allclose(first["layers.linears.0.weight"], second["layers.linears.0.weight"])


def test_training_starts_from_the_networks_of_the_seed_and_counts_images():
    gans = many((4,), 0)
    g, _ = build_networks(gans.recipe, 4)
    mine = numbers(gans.generator, 0)
    assert all(torch.equal(p.double(), mine[name]) for name, p in g.named_parameters())
    gans = many((4,), 3)
    assert (gans.step, gans.images) == (3, 48)


def test_penalties_change_the_training():
    plain = many((1,), 5, r1=0.0, r2=0.0)
    for name in ("r1", "r2"):
        held = many((1,), 5, **{"r1": 0.0, "r2": 0.0, name: 10.0})
        x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
        assert not torch.allclose(held.logits(x), plain.logits(x), atol=1e-4), name


def test_the_average_follows_the_generator():
    gans = many((1,), 4)
    before = numbers(gans.average, 0)
    run_steps(gans, 5)
    beta = 0.5 ** (16 / min(10_000, 0.05 * 64))
    name = "layers.linears.0.weight"
    expected = beta * before[name] + (1 - beta) * numbers(gans.generator, 0)[name]
    assert torch.allclose(numbers(gans.average, 0)[name], expected, atol=1e-12)


def test_a_finite_set_and_points_of_any_dimension():
    points = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    wide = {
        "generator": SMALL | {"out": 3},
        "discriminator": SMALL | {"inputs": 3},
        "batch_size": 16,
    }
    gans = train_many(gb.recipe("ring", **wide), points, (0, 1), steps=2)
    drawn = gans.batches.next().images
    assert drawn.shape == (2, 16, 3)
    assert {tuple(row.tolist()) for row in drawn.reshape(-1, 3)} == {(1, 2, 3), (4, 5, 6)}
    assert gans.sample(7).shape == (2, 7, 3)

    def cube(n, generator):
        return torch.rand(n, 3, generator=generator)

    assert train_many(gb.recipe("ring", **wide), cube, [0], steps=1).batches.next()[0].min() >= 0


def test_uniform_latents_have_unit_variance_and_a_bound():
    z = many((0, 1), 0, latent="uniform").draw().z
    assert z.shape == (2, 16, 2)
    gans = train_many(
        replace(recipe(), batch_size=20_000), toys.ring(), [0], steps=0, latent="uniform"
    )
    z = gans.draw().z
    assert z.abs().max() <= math.sqrt(3) + 1e-6
    assert abs(z.var() - 1) < 0.03
    quarters = (z / math.sqrt(3)).histc(4, -1, 1) / z.numel()
    assert torch.allclose(quarters, torch.full((4,), 0.25), atol=0.01)


def test_log_points_and_callback():
    seen = []
    gans = train_many(recipe(), toys.ring(), (0, 1, 2), steps=7, every=3,
                      callback=lambda g: seen.append(g.step))  # fmt: skip
    assert seen == [3, 6]
    assert [entry["step"].item() for entry in gans.log] == [3, 6]
    assert gans.log[0]["d_loss"].shape == gans.log[0]["r1"].shape == (3,)


def test_one_bad_seed_leaves_the_others_alone():
    gans, good = many((0, 7), 0), many((7,), 0)
    with torch.no_grad():
        next(gans.generator.parameters())[0].fill_(float("nan"))
    run_steps(gans, 3)
    run_steps(good, 3)
    points = gans.sample(5, average=False)
    assert points[0].isnan().any()
    alone = numbers(good.generator, 0)
    assert all(torch.allclose(p, alone[n]) for n, p in numbers(gans.generator, 1).items())


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"seeds": ()}, "at least one seed"),
        ({"seeds": (1, 1)}, "none of them twice"),
        ({"latent": "cauchy"}, "latent"),
        ({"points": torch.zeros(0, 2)}, "shape"),
        ({"recipe": "small-16"}, "pictures"),
    ],
)
def test_bad_input_gets_a_sentence(wrong, message):
    own = gb.recipe(wrong["recipe"]) if "recipe" in wrong else recipe()
    with pytest.raises(GanBookError, match=message):
        train_many(
            own, wrong.get("points", toys.ring()), wrong.get("seeds", (0,)),
            latent=wrong.get("latent", "normal"), steps=1,
        )  # fmt: skip
