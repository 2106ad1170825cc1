"""Walks against closed forms, SeFa and PCA against other libraries, inversion that arrives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from gan_book.errors import GanBookError
from gan_book.latents import (
    EncoderObjective,
    Space,
    inversion_loss,
    invert,
    label_directions,
    move,
    pca,
    sefa,
    slerp,
    truncate,
    walk,
)
from gan_book.models.dcgan import DCGANGenerator
from gan_book.models.mlp import MLPGenerator
from gan_book.models.stylegan import StyleGANGenerator
from gan_book.models.vae import ConvEncoder
from tests.tiny import pictures


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=source(seed), dtype=torch.float64)


def dcgan(z_dim: int = 3, num_classes: int = 0, seed: int = 0) -> DCGANGenerator:
    torch.manual_seed(seed)
    return DCGANGenerator(8, 1, z_dim=z_dim, width=8, num_classes=num_classes).double()


def stylegan(seed: int = 0) -> StyleGANGenerator:
    torch.manual_seed(seed)
    return StyleGANGenerator(8, 3, z_dim=4, w_dim=5, width=6).double()


# Walks


def test_slerp_is_the_rotation_by_equal_angles():
    a, b = torch.tensor([2.0, 0.0]).double(), torch.tensor([0.0, 2.0]).double()
    t = torch.linspace(0, 1, 7).double()
    expected = 2 * torch.stack([(t * math.pi / 2).cos(), (t * math.pi / 2).sin()], 1)  # (7, 2)
    assert torch.allclose(slerp(a, b, t), expected, atol=1e-14)


def test_slerp_keeps_norm_and_speed_and_meets_both_ends():
    a, b = normal(5, 64), normal(5, 64, seed=1)
    b = b * a.norm(dim=1, keepdim=True) / b.norm(dim=1, keepdim=True)
    way = torch.stack([slerp(a, b, t) for t in torch.linspace(0, 1, 33)])  # (33, 5, 64)
    assert torch.allclose(way.norm(dim=2), a.norm(dim=1).expand(33, 5), rtol=1e-12)
    steps = (way[1:] - way[:-1]).norm(dim=2)  # (32, 5)
    assert torch.allclose(steps, steps[:1].expand(32, 5), rtol=1e-6)  # t is float32 above
    assert torch.allclose(way[0], a)
    assert torch.allclose(way[-1], b)


def test_slerp_of_other_norms_and_of_parallel_codes():
    a, b = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 3.0]).double()
    assert slerp(a, b, 0.5).norm() == pytest.approx(2)
    assert torch.allclose(slerp(a, 3 * a, 0.25), 1.5 * a)
    near = a + torch.tensor([0.0, 1e-9]).double()
    assert torch.isfinite(slerp(a, near, 0.5)).all()


def test_slerp_refuses_opposite_codes_and_zero():
    a = normal(4)
    with pytest.raises(GanBookError, match="Opposite"):
        slerp(a, -a, 0.5)
    with pytest.raises(GanBookError, match="zero"):
        slerp(a, 0 * a, 0.5)


@pytest.mark.parametrize("spherical", [True, False])
def test_a_closed_walk_goes_through_its_keys_and_loops(spherical: bool):
    keys = normal(4, 2, 6)
    way = walk(keys, 12, spherical=spherical)
    assert way.shape == (12, 2, 6)
    assert torch.allclose(way[::3], keys)
    again = walk(keys.roll(-1, 0), 12, spherical=spherical)
    assert torch.allclose(way.roll(-3, 0), again)  # no key is special: it loops
    assert not torch.allclose(way[-1], keys[0])


def test_an_open_straight_walk_is_the_polyline():
    keys = normal(3, 6)
    way = walk(keys, 5, spherical=False, closed=False)
    middle = [(keys[0] + keys[1]) / 2, (keys[1] + keys[2]) / 2]
    assert torch.allclose(way, torch.stack([keys[0], middle[0], keys[1], middle[1], keys[2]]))


def test_walks_refuse_what_cannot_be_walked():
    with pytest.raises(GanBookError, match="at least 2 codes"):
        walk(normal(1, 3), 5)
    with pytest.raises(GanBookError, match="frames"):
        walk(normal(4, 3), 3)


def test_truncation_pulls_towards_the_mean():
    codes, mean = normal(6, 3), normal(3, seed=1)
    assert torch.equal(truncate(codes, 1.0), codes)
    assert torch.allclose(truncate(codes, 0.0, mean), mean.expand(6, 3))
    assert torch.allclose(truncate(codes, 0.5, mean), (codes + mean) / 2)
    with pytest.raises(GanBookError, match="psi"):
        truncate(codes, -0.1)


def test_a_style_based_generator_ignores_truncation_in_z():
    space, z = Space(stylegan()), normal(3, 4)
    assert torch.allclose(space.decode(truncate(z, 0.4)), space.decode(z), atol=1e-6)


# Spaces


def test_w_and_z_and_w_plus_decode_to_the_same_pictures():
    g, z = stylegan(), normal(5, 4)
    made = g.synthesis(g.mapping(z))
    for kind, dim in (("z", 4), ("w", 5), ("w+", 5 * g.num_layers)):
        space = Space(g, kind)
        codes = space.encode_z(z)
        assert space.dim == dim == codes.shape[1]
        assert torch.allclose(space.decode(codes), made)


def test_whitened_codes_have_mean_zero_and_covariance_one():
    space = Space(stylegan(), "w")
    codes = space.draw(20_000, 5)[0]
    units = space.whiten(codes)
    assert torch.allclose(units.mean(0), torch.zeros(5).double(), atol=0.05)
    assert torch.allclose(units.T.cov(), torch.eye(5).double(), atol=0.1)
    assert torch.allclose(space.color(units), codes)
    plus = Space(space.generator, "w+")
    assert torch.allclose(
        plus.whiten(codes.repeat(1, plus.generator.num_layers)),
        units.repeat(1, plus.generator.num_layers),
    )


def test_spaces_that_do_not_exist_are_refused():
    with pytest.raises(GanBookError, match="no mapping network"):
        Space(dcgan(), "w")
    with pytest.raises(GanBookError, match="latent space"):
        Space(stylegan(), "v")
    with pytest.raises(GanBookError, match="points"):
        Space(MLPGenerator(z_dim=2))


# Directions


def test_sefa_equals_the_singular_vectors_of_the_first_layer():
    space = Space(dcgan(z_dim=6))
    found, values = sefa(space, 6)
    _, s, rows = np.linalg.svd(space.generator.first.weight.detach().numpy())
    assert np.allclose(values.numpy(), s[:6] ** 2)
    assert np.allclose(np.abs((found.detach().numpy() * rows[:6]).sum(1)), 1)


def test_no_unit_direction_beats_sefa():
    g = dcgan(z_dim=6)
    found, values = sefa(Space(g), 3)
    tried = torch.nn.functional.normalize(normal(20_000, 6), dim=1)
    lengths = (tried @ g.first.weight.T).square().sum(1)  # (20000,)
    assert lengths.max() <= values[0]
    assert lengths.max() > 0.8 * values[0]
    assert torch.allclose((found @ g.first.weight.T).square().sum(1), values)
    second = tried - (tried @ found[0])[:, None] * found[0]  # orthogonal to the first
    second = torch.nn.functional.normalize(second, dim=1)
    assert (second @ g.first.weight.T).square().sum(1).max() <= values[1] + 1e-12


def test_sefa_takes_the_style_layers_in_use():
    g = stylegan()
    w, step = normal(1, 5), 1e-6

    def styles(w: Tensor, i: int) -> Tensor:  # what layer i's style feeds, by watching a forward
        seen: list[Tensor] = []
        nets = [m for m in g.modules() if type(m).__name__ == "ModulatedConv"]
        hooks = [m.style.register_forward_hook(lambda m, x, y: seen.append(y)) for m in nets]
        rows = normal(1, g.num_layers, 5, seed=9)
        rows[:, i] = w
        with torch.no_grad():
            g.synthesis(rows)
        for hook in hooks:
            hook.remove()
        return torch.cat(seen, 1)

    for i in range(g.num_layers):
        found, values = sefa(Space(g, "w"), 5, layers=[i])
        for direction, value in zip(found, values, strict=True):
            change = (styles(w + step * direction, i) - styles(w, i)) / step
            assert float(change.square().sum()) == pytest.approx(float(value), rel=1e-4)


def test_sefa_refuses_what_it_cannot_read():
    with pytest.raises(GanBookError, match="space 'w'"):
        sefa(Space(stylegan()))
    with pytest.raises(GanBookError, match="layers go with w"):
        sefa(Space(dcgan()), 2, layers=[0])
    with pytest.raises(GanBookError, match="k must be"):
        sefa(Space(dcgan()), 4)


def test_pca_agrees_with_scikit_learn():
    values = normal(200, 7) @ normal(7, 7, seed=1) + 3
    found, variances = pca(values, 4)
    theirs = PCA(4, svd_solver="full").fit(values.numpy())
    assert np.allclose(variances.numpy(), theirs.explained_variance_)
    assert np.allclose(np.abs((found.numpy() * theirs.components_).sum(1)), 1)
    with pytest.raises(GanBookError, match="k must be"):
        pca(values, 8)


def test_label_directions_find_the_normal_of_a_plane():
    codes, normal_of = normal(40_000, 5), torch.nn.functional.normalize(normal(5, seed=3), dim=0)
    values = (codes @ normal_of > 0.3).double()
    for regression in (True, False):
        found = label_directions(codes, values, regression=regression)
        assert found.shape == (1, 5)
        assert found[0] @ normal_of > 0.999
    stretched = codes * torch.tensor([1.0, 1, 1, 1, 4])  # the two differ where codes are not white
    plane = (stretched @ normal_of > 0.3).double()
    by_fit = label_directions(stretched, plane)[0] @ normal_of
    by_means = label_directions(stretched, plane, regression=False)[0] @ normal_of
    assert by_fit > 0.999
    assert by_means < 0.99
    with pytest.raises(GanBookError, match="never changes"):
        label_directions(codes, torch.ones(40_000))
    with pytest.raises(GanBookError, match="more codes"):
        label_directions(codes[:6], values[:6] + codes[:6, 0])


def test_moves_go_along_the_direction_in_the_layers_asked_for():
    space, w, d = Space(stylegan(), "w"), normal(3, 5), normal(5, seed=1)
    assert torch.allclose(move(space, w, d, 2.0), w + 2 * d)
    amounts = torch.tensor([0.0, 1.0, 2.0]).double()
    assert torch.allclose(move(space, w, d, amounts), w + amounts[:, None] * d)
    moved = move(space, w, d, 2.0, layers=[1])
    assert torch.allclose(moved[:, 0], w)
    assert torch.allclose(moved[:, 1], w + 2 * d)
    every = move(space, w, d, 2.0, layers=range(space.generator.num_layers))
    assert torch.allclose(space.decode(every), space.decode(w + 2 * d))
    with pytest.raises(GanBookError, match="no layers"):
        move(Space(stylegan()), w[:, :4], d[:4], 1.0, layers=[0])
    with pytest.raises(GanBookError, match="a layer must be"):
        move(space, w, d, 1.0, layers=[99])


# Inversion


def test_the_loss_is_the_posterior_up_to_its_factor():
    made, x, u, sd = normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=1), normal(2, 3, seed=2), 0.3
    loss, squared = inversion_loss(made, x, u, sd)
    pixels = torch.distributions.Normal(made, sd).log_prob(x).flatten(1).sum(1)
    prior = torch.distributions.Normal(0.0, 1.0).log_prob(u).sum(1)
    constant = torch.distributions.Normal(x, sd).log_prob(x).flatten(1).sum(1)
    constant = constant + torch.distributions.Normal(0.0, 1.0).log_prob(torch.zeros(3)).sum()
    assert torch.allclose(loss, -2 * sd**2 / 16 * (pixels + prior - constant))
    assert torch.allclose(squared, (made - x).square().mean((1, 2, 3)))


def test_holes_do_not_count():
    made, x, u = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1), normal(2, 3, seed=2)
    seen = torch.zeros(4, 4)
    seen[:, :2] = 1
    loss, squared = inversion_loss(made, x, u, 0.1, seen)
    half, _ = inversion_loss(made[..., :2], x[..., :2], u, 0.1)
    assert torch.allclose(loss, half)
    assert torch.allclose(squared, (made - x)[..., :2].square().mean((1, 2, 3)))


@pytest.mark.parametrize("kind", ["z", "w", "w+"])
def test_gradients_of_the_loss_equal_central_differences(kind: str):
    space = Space(stylegan(), kind)
    u = space.whiten(space.draw(2, 0)[0]).detach().requires_grad_()
    x = normal(2, 3, 8, 8)

    def loss(u: Tensor) -> Tensor:
        return inversion_loss(space.decode(space.color(u)), x, u, 0.2)[0]

    assert torch.autograd.gradcheck(loss, (u,))


@pytest.mark.parametrize(
    ("space", "limit"),
    [(Space(dcgan()), 1e-2), (Space(stylegan(), "z"), 0.05), (Space(stylegan(), "w"), 0.05)],
    ids=["dcgan z", "stylegan z", "stylegan w"],
)
def test_own_pictures_are_found_again(space: Space, limit: float):
    codes, _ = space.draw(6, 11)
    x = space.decode(codes).detach()
    found = invert(space, x, starts=3, steps=200, sd=0.0, pool=100)
    assert found.error.median() < limit * x.std()  # single ones may end in a local minimum
    assert found.error.max() < 0.15 * x.std()
    assert found.starts.shape == (6, 3)
    assert torch.equal(found.error, found.starts.min(1).values)
    assert torch.allclose(space.decode(found.codes), found.pictures)
    before = invert(space, x, starts=3, steps=0, sd=0.0, pool=100)
    assert (found.error < 0.5 * before.error).all()


def test_starts_are_the_nearest_of_the_pool_in_the_pixels_seen():
    space, x = Space(dcgan()), normal(3, 1, 8, 8).clamp(-1, 1)
    seen = torch.zeros(8, 8)
    seen[2:, 1:] = 1
    found = invert(space, x, starts=2, steps=0, pool=50, seed=3, seen=seen, sd=0.0)
    made = space.decode(space.draw(50, 3)[0])
    gaps = ((made[None] - x[:, None]) * seen).square().sum((2, 3, 4)) / 42  # (3, 50)
    assert torch.allclose(found.starts, gaps.sort(1).values[:, :2].sqrt())


def test_a_stronger_prior_shortens_the_code():
    space, x = Space(dcgan()), pictures(4).images[:, :1].double() / 127.5 - 1
    free, held = (invert(space, x, steps=100, sd=sd, pool=50) for sd in (0.0, 20.0))
    assert (held.codes.norm(dim=1) < 0.5 * free.codes.norm(dim=1)).all()
    assert (held.error > free.error).all()


def test_what_lies_in_a_hole_has_no_influence():
    space = Space(dcgan())
    x = space.decode(space.draw(2, 1)[0]).detach()
    seen = torch.ones(8, 8)
    seen[3:6, 3:6] = 0
    filled = torch.where(seen.bool(), x, 0.9)
    kept, other = (invert(space, p, steps=50, pool=40, seen=seen) for p in (x, filled))
    assert torch.equal(kept.codes, other.codes)
    assert not torch.allclose(kept.codes, invert(space, filled, steps=50, pool=40).codes)


def test_the_features_pull_where_they_are_asked_for():
    torch.manual_seed(0)
    space = Space(DCGANGenerator(8, 3, z_dim=3, width=4))
    x = space.decode(space.draw(2, 1)[0]).detach().roll(1, 3)
    without, with_ = (invert(space, x, steps=5, pool=20, features=f) for f in (0.0, 0.1))
    assert not torch.allclose(without.codes, with_.codes)
    assert with_.starts.shape == (2, 4)


def test_a_conditional_generator_is_inverted_with_the_label_that_fits():
    space = Space(dcgan(num_classes=3))
    labels = torch.tensor([2, 0, 1, 1])
    x = space.decode(normal(4, 3), labels).detach()
    found = invert(space, x, starts=6, steps=200, sd=0.0, pool=300)
    assert found.labels.tolist() == labels.tolist()
    assert found.error.max() < 0.02


def test_no_parameter_of_the_generator_is_touched():
    g = dcgan()
    before = {name: p.clone() for name, p in g.state_dict().items()}
    invert(Space(g), normal(1, 1, 8, 8), steps=3, pool=4)
    assert all(torch.equal(before[name], p) for name, p in g.state_dict().items())
    assert all(p.grad is None for p in g.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"starts": 0}, "starts"),
        ({"steps": -1}, "steps"),
        ({"pool": 2}, "pool"),
        ({"lr": 0}, "lr"),
        ({"seen": torch.zeros(8, 8)}, "at least one pixel"),
        ({"seen": torch.ones(8, 8), "features": 0.1}, "holes"),
    ],
)
def test_inversion_refuses_impossible_options(options: dict, words: str):
    with pytest.raises(GanBookError, match=words):
        invert(Space(dcgan()), normal(2, 1, 8, 8), **options)


def test_inversion_refuses_other_pictures():
    space = Space(dcgan())
    for bad in (normal(2, 3, 8, 8), normal(1, 8, 8), normal(0, 1, 8, 8), pictures(2).images):
        with pytest.raises(GanBookError, match="makes pictures"):
            invert(space, bad)


# The encoder


def test_the_encoder_learns_to_invert_and_gives_a_good_start():
    from gan_book.fitting import fit

    torch.manual_seed(0)
    space = Space(DCGANGenerator(8, 1, z_dim=3, width=8))
    objective = EncoderObjective(space, ConvEncoder(8, 1, z_dim=3, width=8))
    rng = source(1)
    frozen = [p.clone() for p in space.generator.parameters()]
    for p in space.generator.parameters():
        p.requires_grad_(False)  # as opened models have it
    done = fit(objective, lambda: torch.randn(64, 3, generator=rng), rng, steps=300, lr=2e-3)
    assert done.log[-1]["codes"] < 0.3 * done.log[0]["codes"]
    assert all(torch.equal(a, b) for a, b in zip(frozen, space.generator.parameters(), strict=True))
    codes, _ = space.draw(8, 77)
    x = space.decode(codes)
    read = objective.codes(x)
    assert (read - codes).square().mean() < 0.3
    begun = invert(space, x, begin=(read, None), steps=100, sd=0.0)
    assert begun.starts.shape == (8, 1)
    assert (begun.error < invert(space, x, begin=(read, None), steps=0).error).all()


def test_the_encoder_loss_is_its_two_terms():
    space = Space(dcgan())
    encoder = ConvEncoder(8, 1, z_dim=3, width=4).double()
    objective, z = EncoderObjective(space, encoder, pixels=0.5), normal(5, 3)
    with torch.no_grad():
        loss, logs = objective(z)
        read = encoder(space.decode(z))[0]
        codes = (read - z).square().mean()
        pixels = (space.decode(read) - space.decode(z)).square().mean()
    assert loss.item() == pytest.approx(float(codes + 0.5 * pixels))
    assert logs["codes"] == pytest.approx(float(codes))
    with pytest.raises(GanBookError, match="without labels"):
        EncoderObjective(Space(dcgan(num_classes=2)), encoder)
    with pytest.raises(GanBookError, match="weight of pixels"):
        EncoderObjective(space, encoder, pixels=-1)
