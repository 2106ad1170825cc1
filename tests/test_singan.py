"""SinGAN: patches, scales, the game's closed form, who learns from what, sizes, repeatability."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan_book import checkpoints as files
from gan_book.errors import GanBookError
from gan_book.models.singan import PatchNet, Pyramid, resize, scales
from gan_book.singan import NOISE, StageObjective, patch_loss, train_singan
from tests.benchmarks import one_picture

X = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(4)) * 2 - 1
X = F.interpolate(X, (20, 24), mode="bilinear")
TINY = {"steps": 3, "width": 6, "coarsest": 14, "batch": 2}


def pyramid(sizes=((14, 16), (20, 24)), width: int = 6) -> Pyramid:
    torch.manual_seed(0)
    made = Pyramid(list(sizes), width=width).double()
    made.trained = len(sizes)
    return made


def test_a_patch_net_sees_one_patch() -> None:
    torch.manual_seed(0)
    net = PatchNet(3, 2, width=4, depth=5).double()
    x = torch.randn(1, 3, 15, 17).double()
    assert net(x).shape == (1, 2, 5, 7)
    slopes = torch.autograd.functional.jacobian(lambda x: net(x)[0, :, 2, 3], x)
    seen = slopes.abs().sum((0, 1, 2)).nonzero()
    assert seen.min(0).values.tolist() == [2, 3]
    assert seen.max(0).values.tolist() == [12, 13]  # 11 x 11 pixels
    count = 3 * 4 * 9 + 4 + 3 * (4 * 4 * 9 + 4) + 4 * 2 * 9 + 2
    assert sum(p.numel() for p in net.parameters()) == count


def test_scales() -> None:
    assert scales((64, 64), 16, 0.5) == [(16, 16), (32, 32), (64, 64)]
    assert scales((16, 32), 16) == [(16, 32)]
    sizes = scales((48, 96), 14, 0.75)
    assert sizes[0][0] == 14
    assert sizes[-1] == (48, 96)
    ratios = [a[0] / b[0] for a, b in pairwise(sizes)]
    assert min(ratios) > 0.7
    assert max(ratios) < 0.82
    assert all(abs(w / h - 2) < 0.1 for h, w in sizes)


@pytest.mark.parametrize("gamma", [0.0, 0.7])
def test_loss_of_patches_in_closed_form(gamma) -> None:
    # a critic that multiplies one channel by a: its map has the slope a at each of h w pixels
    a = torch.tensor(1.3, dtype=torch.double)
    real, fake = torch.rand(2, 3, 6, 5).double(), torch.rand(2, 3, 6, 5).double()
    got = patch_loss(lambda x: a * x[:, :1], real, fake, gamma)
    game = F.softplus(a * (fake - real)[:, :1]).mean()
    torch.testing.assert_close(got, game + gamma / 2 * (a**2 + a**2))


def test_equation_3_and_the_border_of_zeros() -> None:
    p = pyramid()
    coarse, noise = torch.randn(2, 3, 14, 16).double(), torch.randn(2, 1, 14, 16).double()
    wide = torch.zeros(2, 3, 24, 26).double()
    wide[:, :, 5:-5, 5:-5] = coarse + noise
    torch.testing.assert_close(p.step(0, coarse, noise), coarse + p.nets[0](wide))
    p.strengths[:] = torch.tensor([1.0, 0.25])
    noises = [torch.randn(2, 1, *s).double() for s in p.sizes]
    first = p.step(0, torch.zeros(2, 3, 14, 16).double(), noises[0])
    expected = p.step(1, resize(first, (20, 24)), 0.25 * noises[1])
    torch.testing.assert_close(p.paint(noises), expected)
    for net in p.nets:  # nets that say nothing leave what comes in
        nn.init.zeros_(net.convs[-1].weight)
    torch.testing.assert_close(p.paint(noises[1:], 1, first), resize(first, (20, 24)))


def stage(i: int, alpha: float = 3.0) -> tuple[StageObjective, Pyramid]:
    p = pyramid()
    p.trained = i
    torch.manual_seed(1)
    judge = PatchNet(3, 1, 6, last_bias=False).double()
    picture = resize(X.double(), p.sizes[i])
    return StageObjective(p, i, picture, judge, 0.5, alpha), p


@pytest.mark.parametrize("i", [0, 1])
def test_each_player_learns_from_its_own_terms(i) -> None:
    objective, p = stage(i)
    x = resize(X.double(), p.sizes[i]).expand(2, -1, -1, -1)
    coarse, noise = objective.draw(x, torch.Generator().manual_seed(0))
    assert coarse.shape == x.shape
    assert noise.shape == (2, 1, *p.sizes[i])
    loss, logs = objective(x, coarse, noise)
    fake = p.step(i, coarse, noise)
    known = p.z if i == 0 else p.z.new_zeros(1, 1, *p.sizes[1])
    start = torch.zeros_like(x[:1]) if i == 0 else resize(p.paint([p.z]), p.sizes[1])
    rec = (p.step(i, start.detach(), known) - x[:1]).square().mean()
    g_loss = F.softplus(objective.judge(x) - objective.judge(fake)).mean()
    d_loss = patch_loss(objective.judge, x, fake.detach(), 0.5)
    torch.testing.assert_close(loss, g_loss + 3 * rec + d_loss)
    torch.testing.assert_close(logs["reconstruction"], rec.detach())
    for net, own in ((objective.net, g_loss + 3 * rec), (objective.judge, d_loss)):
        numbers = list(net.parameters())
        got = torch.autograd.grad(loss, numbers, retain_graph=True)
        expected = torch.autograd.grad(own, numbers, retain_graph=True)
        for a, b in zip(got, expected, strict=True):
            torch.testing.assert_close(a, b)
            assert b.abs().sum() > 0
    if i == 1:  # the coarser scale stays as it is
        assert torch.autograd.grad(loss, list(p.nets[0].parameters()), allow_unused=True) == (
            None,
        ) * len(list(p.nets[0].parameters()))
        lacking = (start - x[:1]).square().mean().sqrt()
        torch.testing.assert_close(p.strengths[1], NOISE * lacking.detach())


def test_training_repeats_and_calls_the_reconstruction() -> None:
    seen = []
    first = train_singan(X, **TINY, callback=lambda i, done: seen.append((i, done.steps)))
    again = train_singan(X, **TINY)
    assert seen == [(0, 3), (1, 3)]
    assert first.sizes == [(14, 17), (20, 24)]
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    errors = [
        (train_singan(X, **{**TINY, "steps": 40}, alpha=a).reconstruct() - X).square().mean()
        for a in (0.0, 100.0)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_penalty_is_called() -> None:
    nets = [train_singan(X, **TINY, gamma=gamma).nets[0] for gamma in (0.0, 50.0)]
    apart = [(a - b).abs().max() for a, b in zip(*(n.parameters() for n in nets), strict=True)]
    assert max(apart) > 1e-6


def test_samples_of_any_size() -> None:
    p = train_singan(X, **TINY)
    assert p.sample(2).shape == (2, 3, 20, 24)
    assert p.sample(1, size=(30, 70)).shape == (1, 3, 30, 70)
    assert p.sample(3, seed=1, start=1, picture=X).shape == (3, 3, 20, 24)
    assert torch.equal(p.sample(2, seed=5), p.sample(2, seed=5))
    assert not torch.equal(p.sample(2, seed=5), p.sample(2, seed=6))
    assert p.reconstruct().shape == X.shape
    # the finest scale alone changes little of the picture whose coarse part it is given
    kept = p.sample(1, start=1, picture=X)
    coarse = resize(resize(X, (14, 17)), (20, 24))
    torch.testing.assert_close(kept, p.step(1, coarse, p.strengths[1] * _noise((14, 17), 0)))


def _noise(_: tuple[int, int], seed: int) -> torch.Tensor:
    return torch.randn(1, 1, 20, 24, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"picture": X[0]}, "one picture"),
        ({"picture": X.expand(2, -1, -1, -1)}, "one picture"),
        ({"coarsest": 30}, "smaller|whole number"),
        ({"coarsest": 4}, "coarsest"),
        ({"factor": 1.0}, "factor"),
        ({"batch": 0}, "batch"),
        ({"steps": 0}, "steps"),
    ],
)
def test_wrong_training_gets_a_sentence(change, words) -> None:
    options = {"picture": X, **TINY, **change}
    with pytest.raises(GanBookError, match=words):
        train_singan(options.pop("picture"), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 2, "picture": X}, "first scale"),
        ({"start": 1}, "goes with"),
        ({"picture": X}, "goes with"),
        ({"size": (4, math.inf)}, "'size'"),
    ],
)
def test_wrong_samples_get_a_sentence(options, words) -> None:
    with pytest.raises(GanBookError, match=words):
        pyramid().float().sample(1, **options)


def test_shipped_pyramid_is_that_of_its_card() -> None:
    card = files.read_json(one_picture.OUT / "card.json")
    tensors, _ = files.load_tensors(one_picture.OUT / "mist.safetensors")
    assert files.digest(tensors) == card["sha256"]
    assert card["settings"] == one_picture.SETTINGS
    pyramid = one_picture.opened()
    assert sum(p.numel() for p in pyramid.parameters()) == card["parameters"]
    picture = one_picture.picture()
    error = (pyramid.reconstruct() - picture).square().mean() / picture.var()
    assert abs(error - card["error of the reconstruction"]) < 1e-4
    assert error < 0.05
