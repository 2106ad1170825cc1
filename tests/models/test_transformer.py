"""Transformer GAN: attention, symmetries, gates, levels under noise, rates, second derivatives."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gan_book as gb
from gan_book import augment, penalties, recipes
from gan_book.data.batches import Batch
from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator, count_parameters
from gan_book.models import transformer as tf
from gan_book.objectives import (
    DiscriminatorObjective,
    GeneratorObjective,
    ObjectiveSettings,
    Weights,
    draw,
    shard,
)
from gan_book.training import update_average

from .zoo import recipe_parameters

SHAPES = {"square": (3, 16, 16), "wide": (1, 16, 24), "small": (2, 8, 4)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
ZERO = torch.zeros(())
WEIGHTS = Weights(ZERO + 0.1, ZERO + 0.1, ZERO)


def pair(shape: tuple[int, ...] = (3, 16, 16), num_classes: int = 0, **both):
    torch.manual_seed(0)
    options = {"size": shape[1:], "channels": shape[0], "num_classes": num_classes}
    options |= {"width": 12, "heads": 2, "depth": 4, "patch": 4, "levels": 1, **both}
    return build_generator("transformer", z_dim=10, **options), build_discriminator(
        "transformer", **options
    )


def objectives(g, d, **settings):
    settings = ObjectiveSettings(levels=g.levels, **settings)
    rng = torch.Generator().manual_seed(3)
    draws = draw(settings, 8, g.z_dim, g.sample_shape, 0.5, rng)
    real = torch.randn(8, *g.sample_shape, generator=rng)
    labels = torch.arange(8) % g.num_classes if g.num_classes else None
    g_side, d_side = GeneratorObjective(g, d, settings), DiscriminatorObjective(g, d, settings)
    return g_side, d_side, Batch(real, labels), draws


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("classes", [0, 5])
def test_parameters_by_hand(levels, classes) -> None:
    g, d = pair((3, 16, 8), classes, levels=levels, ratio=3)
    c, patch, w_dim, z = 12, 3 * 16, 64, 10
    block = 3 * c * (c + 1) + c * (c + 1) + 3 * c * (c + 1) + c * (3 * c + 1)
    style = 4 * c * (w_dim + 1)
    features = z * (2 if classes else 1)
    mapping = classes * z + w_dim * (features + 1) + w_dim * (w_dim + 1)
    assert count_parameters(g) == mapping + 4 * (block + style) + levels * patch * (c + 1)
    d_first = c * (levels * patch + 1)
    assert count_parameters(d) == d_first + 4 * (block + 2 * c) + c + classes * c


@every_shape
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_shapes(shape, num_classes, levels) -> None:
    g, d = pair(shape, num_classes, levels=levels)
    labels = torch.tensor([0, 1, 2, 1]) if num_classes else None
    z = torch.randn(4, g.z_dim)
    x, every = g(z, labels), g(z, labels, every=True)
    assert x.shape == (4, *shape)
    assert every.shape == (4, levels, *shape)
    assert torch.equal(every[:, -1], x)
    assert g.mapping(z, labels).shape == (4, 64)
    assert d(x, labels).shape == (4,)
    if levels > 1:
        assert d(every, labels, torch.randn(4, levels - 1, *shape)).shape == (4,)


def test_attention_is_the_librarys() -> None:
    torch.manual_seed(0)
    attention = tf.Attention(12, 3).double()
    x = torch.randn(2, 7, 12).double()
    q, k, v = attention._split(x)
    expected = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 7, 12)
    torch.testing.assert_close(attention(x), attention.merge(expected))
    weights = attention.weights(x)
    torch.testing.assert_close(weights.sum(3), torch.ones(2, 3, 7).double())
    torch.testing.assert_close((weights @ v).transpose(1, 2).flatten(2), expected)
    other = nn.MultiheadAttention(12, 3, batch_first=True).double()
    other.load_state_dict(
        {
            "in_proj_weight": attention.project.weight,
            "in_proj_bias": attention.project.bias,
            "out_proj.weight": attention.merge.weight,
            "out_proj.bias": attention.merge.bias,
        }
    )
    y, mean = other(x, x, x)
    torch.testing.assert_close(attention(x), y)
    torch.testing.assert_close(weights.mean(1), mean)


def test_tokens_are_patches_and_back() -> None:
    g, _ = pair((3, 8, 12))
    x = torch.randn(2, 3, 8, 12)
    tokens = F.unfold(x, 4, stride=4).transpose(1, 2)  # as D cuts them
    assert torch.equal(tokens[1, 4], x[1, :, 4:8, 4:8].flatten())
    assert torch.equal(g._picture(tokens), x)


def test_without_positions_patches_have_no_order() -> None:
    g, d = pair()
    x = torch.randn(2, 3, 16, 16)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    shuffled = g._picture(F.unfold(x, 4, stride=4).transpose(1, 2)[:, order])
    assert (d(shuffled) - d(x)).abs().max() > 1e-4
    block, tokens = d.blocks[0], torch.randn(2, 16, 12)
    torch.testing.assert_close(block(tokens[:, order]), block(tokens)[:, order])
    for net in (g, d):
        net.positions.fill_(0.7)  # (zeros would make all of G zero)
    torch.testing.assert_close(d(shuffled), d(x), rtol=1e-4, atol=1e-6)
    made = F.unfold(g(torch.randn(2, g.z_dim)), 4, stride=4)  # G: all patches are one patch
    assert made.std() > 0.01
    torch.testing.assert_close(made, made[:, :, :1].expand_as(made))


@pytest.mark.parametrize("grid", [(4, 4), (2, 9), (1, 1), (16, 16)])
@pytest.mark.parametrize("width", [8, 10, 40])
def test_positions_tell_tokens_apart(grid, width) -> None:
    table = tf.positions(grid, width)
    assert table.shape == (math.prod(grid), width)
    if width % 4 == 0:
        torch.testing.assert_close(table.square().mean(1), torch.ones(len(table)))
    gaps = torch.cdist(table, table) + 9 * torch.eye(len(table))
    assert gaps.min() > 0.05
    quarter = table[:, 0].reshape(grid)[:, 0] / math.sqrt(2)  # sine of the row, fastest wave
    torch.testing.assert_close(quarter, torch.sin(0.5 * math.pi * torch.arange(grid[0])))


@pytest.mark.parametrize("levels", [1, 2])
def test_gain_zero_starts_at_the_identity(levels) -> None:
    g, d = pair(gain=0, levels=levels)
    tokens, w = torch.randn(3, 16, 12), torch.randn(3, 64)
    for net, more in ((g, (w,)), (d, ())):
        for block in net.blocks:
            assert torch.equal(block(tokens, *more), tokens)
    z = torch.randn(3, g.z_dim)
    assert torch.equal(g(z)[0], g(z)[1])  # z has no effect yet
    g_side, d_side, batch, draws = objectives(g, d)
    for side, net in ((g_side, g), (d_side, d)):
        side(batch, draws, WEIGHTS)[0].backward()
        doors = [b.style.weight if net is g else b.scales for b in net.blocks]
        assert all(door.grad.abs().sum() > 0 for door in doors)  # but the doors open
    assert pair(gain=0.3)[1].blocks[2].scales.unique().tolist() == [pytest.approx(0.3)]
    big, small = pair(gain=1.0)[0], pair(gain=0.1)[0]
    ratio = big.blocks[0].style.weight / small.blocks[0].style.weight
    torch.testing.assert_close(ratio, torch.full_like(ratio, 10.0))


def test_modulation_word_by_word() -> None:
    torch.manual_seed(0)
    block = tf.Block(12, 2, 2, 1.0, 6)
    x, w = torch.randn(3, 5, 12), torch.randn(3, 6)
    style = w @ block.style.weight.T + block.style.bias
    a, b, c, d = style.reshape(3, 4, 12).unbind(1)
    rows = []
    for i in range(3):
        y = x[i] + b[i] * block.attention((F.rms_norm(x[i], (12,), eps=1e-8) * (1 + a[i]))[None])[0]
        z = F.rms_norm(y, (12,), eps=1e-8) * (1 + c[i])
        rows.append(y + d[i] * block.second(F.gelu(block.first(z))))
    torch.testing.assert_close(block(x, w), torch.stack(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("engine", penalties.ENGINES)
def test_second_derivatives_by_differences(levels, engine) -> None:
    """The gradient of R1's term with respect to weights, against central differences."""
    _, d = pair((2, 8, 8), levels=levels, gain=0.7)
    d = d.double()
    x = torch.randn(3, 2, 8, 8).double()
    noise = torch.randn(3, levels - 1, 2, 8, 8).double() if levels > 1 else None

    def penalty() -> Tensor:
        _, slope = penalties.logits_and_gradient(lambda y: d(y, None, noise), x, engine)
        return penalties.squared_norm(slope).mean()

    # the inner gradient itself
    _, slope = penalties.logits_and_gradient(lambda y: d(y, None, noise), x, engine)
    direction = torch.randn_like(x)
    with torch.no_grad():
        up, down = (d(x + s * 1e-5 * direction, None, noise) for s in (1, -1))
    torch.testing.assert_close(
        ((up - down) / 2e-5), (slope * direction).flatten(1).sum(1), rtol=1e-6, atol=1e-9
    )
    value = penalty()
    parameters = dict(d.named_parameters())
    found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    for (name, p), gradient in zip(parameters.items(), found, strict=True):
        step = torch.randn_like(p)
        ends = []
        for sign in (1, -2, 1):
            p.data += sign * 1e-5 * step
            ends.append(penalty().detach())
        expected = (ends[0] - ends[1]) / 2e-5
        got = torch.zeros(()) if gradient is None else (gradient * step).sum()
        torch.testing.assert_close(got.double(), expected, rtol=2e-5, atol=1e-7, msg=name)


def test_the_trap_of_fused_kernels() -> None:
    """What ``Attention`` avoids. If this fails, PyTorch has learned it and the text is old."""
    q = torch.randn(2, 2, 4, 8, requires_grad=True)
    y = F.scaled_dot_product_attention(q, q.detach(), q.detach()).square().sum()
    (slope,) = torch.autograd.grad(y, q, create_graph=True)
    with pytest.raises(RuntimeError, match="not implemented"):
        slope.square().sum().backward()


def test_noise_on_the_levels() -> None:
    t = tf.noise_shares(4)
    torch.testing.assert_close(1 - t, torch.tensor([1 / 8, 1 / 4, 1 / 2, 1.0]))
    assert tf.noise_shares(1).tolist() == [0.0]
    _, d = pair(levels=4)
    x, noise = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 3, 16, 16)
    seen = d.under_noise(x, noise)
    assert torch.equal(seen[:, 3], x)
    for k in range(3):
        torch.testing.assert_close(seen[:, k], (1 - t[k]) * x + t[k] / 2 * noise[:, k])
    every = torch.randn(2, 4, 3, 16, 16)
    expected = every[:, 0] / 8 + noise[:, 0] * 7 / 16
    torch.testing.assert_close(d.under_noise(every, noise)[:, 0], expected)
    assert torch.equal(d(x), d(x, None, d.noise.expand(2, -1, -1, -1, -1)))  # fixed without noise
    assert (d(x) - d(x, None, noise)).abs().max() > 1e-4


def test_training_really_judges_every_level() -> None:
    g, d = pair(levels=3)
    seen: list[tuple[Tensor, Tensor]] = []
    d.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args[0], kwargs["noise"])), with_kwargs=True
    )
    g_side, d_side, batch, draws = objectives(g, d)
    assert draws.levels.shape == (8, 2, 2, 3, 16, 16)
    assert shard(draws, 1, 2).levels.shape[0] == 4
    d_side(batch, draws, WEIGHTS)
    g_side(batch, draws, WEIGHTS)[0].backward()
    every = g(draws.z, every=True)
    assert torch.equal(seen[0][0], batch.images)
    torch.testing.assert_close(seen[1][0], every)
    for (x, noise), which in zip(seen, (0, 1, 1, 0), strict=True):  # D: real, fake; G: fake, real
        assert torch.equal(noise, draws.levels[:, which])
        assert x.dim() == 4 + which
    # the early picture is judged for itself: its layer learns even if the last picture is cut off
    assert g.to_rgb[0].weight.grad.abs().sum() > 0
    every = every.detach().requires_grad_()
    d(every, None, noise=draws.levels[:, 1]).sum().backward()
    assert all(every.grad[:, k].abs().sum() > 0 for k in range(3))
    values = []
    for levels in (draws.levels, draws.levels.roll(1, 0)):
        loss, _ = d_side(batch, draws._replace(levels=levels), WEIGHTS)
        values.append(loss.item())
    assert values[0] != values[1]


def test_a_run_trains_all_levels(tmp_path) -> None:
    images = gb.load_images("atelier", size=16, n=32, progress=False)
    options = {"model": "transformer", "width": 8, "heads": 2, "depth": 2, "levels": 2, "patch": 4}
    few = gb.recipe("small-16", generator={**options, "z_dim": 8}, discriminator=options)
    few = gb.recipe(few, batch_size=8, total_images=32, log_every=8)
    few = gb.recipe(few, augment="fixed", policy=["color", "cutout"], augment_p=0.5)
    before, after = [], []

    def look(state, _logs) -> None:
        weights = [layer.weight.detach().clone() for layer in state.generator.to_rgb]
        (after if before else before).extend(weights)

    gb.train(few, images, tmp_path / "run", callbacks=[look], progress=False)
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=False))


def test_levels_are_augmented_alike_and_must_agree() -> None:
    rng, policy = torch.Generator().manual_seed(0), ("color", "translation", "cutout")
    draws = augment.draw(4, (16, 16), policy, 1.0, rng, "cpu")
    every = torch.rand(4, 3, 3, 16, 16)
    seen = augment.apply(every, draws)
    for k in range(3):
        assert torch.equal(seen[:, k], augment.apply(every[:, k], draws))
    (g, _), (_, d) = pair(levels=2), pair(levels=1)
    with pytest.raises(GanBookError, match="as many levels, not 2, 1 and 1"):
        DiscriminatorObjective(g, d, ObjectiveSettings())
    for wrong in ({"form": "finite-difference"}, {"gp": True}):
        with pytest.raises(GanBookError, match="exact R1 and R2"):
            ObjectiveSettings(levels=2, **wrong)


def test_labels_reach_both() -> None:
    g, d = pair(num_classes=3, levels=2)
    z, x = torch.randn(4, g.z_dim), torch.randn(4, 3, 16, 16)
    zero, one = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    assert (g(z, zero) - g(z, one)).abs().max() > 1e-4
    assert (d(x, zero) - d(x, one)).abs().max() > 1e-3
    for net, inputs in ((g, z), (d, x)):
        with pytest.raises(GanBookError, match="needs a label"):
            net(inputs)
    g_side, d_side, batch, draws = objectives(g, d)
    assert torch.isfinite(d_side(batch, draws, WEIGHTS)[0])
    assert torch.isfinite(g_side(batch, draws, WEIGHTS)[0])


def test_width_rule_moves_outputs_alike() -> None:
    """One step of Adam on a linear layer of any width moves the output by the same amount."""
    moved = {}
    for width in (32, 128, 512):
        for rule in (False, True):
            torch.manual_seed(0)
            layer, x = tf._linear(width, 1), tf.rms_norm(torch.randn(1, width))
            rate = tf.width_rate(1e-3, 32, width) if rule else 1e-3
            optimizer = torch.optim.Adam(layer.parameters(), rate, (0.0, 0.99))
            before = layer(x).item()
            layer(x).sum().backward()
            layer.bias.grad.zero_()
            optimizer.step()
            moved[width, rule] = before - layer(x).item()
            expected = rate * x.abs().sum().item()  # every weight moves by the rate, with x's sign
            assert moved[width, rule] == pytest.approx(expected, rel=1e-2)
    assert moved[512, False] / moved[32, False] == pytest.approx(16, rel=0.25)
    assert moved[512, True] / moved[32, True] == pytest.approx(1, rel=0.25)
    assert tf.width_rate(2e-4, 768, 1152) == pytest.approx(2e-4 * 768 / 1152)


def test_recipes_follow_the_size_and_the_width_rule() -> None:
    counts = [recipe_parameters(name) for name in ("transformer-16", "small-16")]
    for mine, theirs in zip(*counts, strict=True):
        assert abs(mine / theirs - 1) < 0.1
    small, large = (recipes.recipe(f"transformer-{size}") for size in (16, 64))
    widths = [(r.generator["width"], r.discriminator["width"]) for r in (small, large)]
    for recipe, (wide_g, wide_d) in zip((small, large), widths, strict=True):
        # 3.2 times what the width rule says: with that alone D falls behind G for good
        assert recipe.d_lr_factor == pytest.approx(3.2 * tf.width_rate(1.0, wide_g, wide_d))
    assert large.generator["levels"] == large.discriminator["levels"] > 1
    expected = tf.width_rate(small.lr.start, widths[0][0], widths[1][0])
    assert large.lr.start == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_the_recipe_keeps_its_discriminator_alive() -> None:
    """At the rates of the width rule alone D went flat within 100 steps and G painted noise."""
    few = gb.recipe("transformer-16", batch_size=32)
    images = gb.load_images("atelier", size=16, n=256, styles=["dunes", "mist"], progress=False)
    slopes = []
    for factor, rate in ((few.d_lr_factor, few.lr.start), (1.25, 2e-3)):
        logs: list[float] = []
        gb.train(
            gb.recipe(few, lr=rate, d_lr_factor=factor),
            images,
            steps=100,
            holdout=0.0,
            device="cpu",
            progress=False,
            callbacks=[lambda _, log, kept=logs: kept.append(log["r1"].item())],
        )
        slopes.append(sum(logs[-20:]) / 20)
    assert slopes[0] > 0.05 > 10 * slopes[1]


def test_impossible_options() -> None:
    for options, words in (
        ({"patch": 3}, "do not fill"),
        ({"heads": 5}, "does not divide"),
        ({"levels": 5}, "'levels'"),
        ({"levels": 0}, "'levels'"),
        ({"depth": 0}, "'depth'"),
        ({"gain": -1}, "'gain'"),
        ({"gain": "small"}, "'gain'"),
        ({"width": 2.5}, "'width'"),
        ({"ratio": 0}, "'ratio'"),
        ({"patch": 1, "shape": (3, 128, 128)}, "16,384 tokens"),
    ):
        shape = options.pop("shape", (3, 16, 16))
        with pytest.raises(GanBookError, match=words):
            pair(shape, **options)
        if "heads" in options:
            with pytest.raises(GanBookError, match=words):
                build_discriminator("transformer", size=16, width=12, heads=5)


def test_the_average_follows_and_keeps_the_picture() -> None:
    g, _ = pair(levels=2)
    average = copy.deepcopy(g).eval()
    z = torch.randn(2, g.z_dim)
    torch.testing.assert_close(average(z), g(z))  # nothing depends on the mode
    for p in g.parameters():
        p.data += 0.1
    update_average(average, g, 0.75)
    mine, other = average.blocks[0].style.weight, g.blocks[0].style.weight
    torch.testing.assert_close(mine, other - 0.075, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 3])
def test_compiled_equals_eager_and_steps_reach_everything(levels) -> None:
    results = []
    for compiled in (False, True):
        torch._dynamo.reset()
        g, d = pair(levels=levels, depth=3)
        g_side, d_side, batch, draws = objectives(g, d, engine="func", policy=("color",))
        for side in (g_side, d_side):
            run = torch.compile(side, fullgraph=True, backend="aot_eager") if compiled else side
            run(batch, draws, WEIGHTS)[0].backward()
        grads = [p.grad for net in (g, d) for p in net.parameters()]
        assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
        results.append(grads)
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)


def test_export_keeps_the_picture() -> None:
    g, d = pair(levels=2)
    z, more = torch.randn(3, g.z_dim), torch.randn(5, g.z_dim)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(g.eval(), (z,), dynamic_shapes={"z": {0: batch}}, strict=True)
    torch.testing.assert_close(exported.module()(z), g(z))
    torch.testing.assert_close(exported.module()(more), g(more), rtol=1e-4, atol=1e-5)
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(torch.export.export(d, (x,), strict=True).module()(x), d(x))
