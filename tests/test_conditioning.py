"""Conditional GANs: closed forms, which term reaches which network, and that training calls it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gan_book.conditioning import (
    AmbiguityObjective,
    AuxiliaryObjective,
    ClassifyingDiscriminator,
    ConcatDiscriminator,
    ConditionalObjective,
    Labelled,
)
from gan_book.errors import GanBookError
from gan_book.fitting import fit
from gan_book.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_book.models.mlp import MLPDiscriminator, MLPGenerator

K, Z = 3, 5


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def painter(classes: int = K) -> DCGANGenerator:
    return DCGANGenerator(8, 1, z_dim=Z, width=4, num_classes=classes)


def plain(channels: int = 1, classes: int = 0) -> DCGANDiscriminator:
    return DCGANDiscriminator(8, channels, width=4, num_classes=classes)


BUILD = {
    "projection": lambda: ConditionalObjective(painter(), plain(classes=K)),
    "concatenation": lambda: ConditionalObjective(
        painter(), ConcatDiscriminator(plain(1 + K), K), 0.3
    ),
    "ac-gan": lambda: AuxiliaryObjective(painter(), ClassifyingDiscriminator(plain(), K), 0.7),
    "ac-gan, real only": lambda: AuxiliaryObjective(
        painter(), ClassifyingDiscriminator(plain(), K), 0.7, fakes=False
    ),
    "can": lambda: AmbiguityObjective(painter(0), ClassifyingDiscriminator(plain(), K), 0.7),
}
X = Labelled((torch.rand(6, 1, 8, 8, generator=source(9)) * 2 - 1).double(), torch.arange(6) % K)


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return BUILD[name]().double()


def gradient(loss: Tensor, net: nn.Module) -> Tensor:
    found = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten()
        for g, p in zip(found, net.parameters(), strict=True)
    ])  # fmt: skip


def r1_r2(critic, real: Tensor, fake: Tensor, gamma: float):
    """Half of gamma times the squared slopes, by autograd, written out."""
    total = 0.0
    for x in (real.detach(), fake.detach()):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        total = total + gamma / 2 * slope.square().flatten(1).sum(1).mean()
    return total


def same(one: Tensor, other: Tensor) -> None:
    assert other.abs().max() > 1e-9
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def hand_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Minus the mean log-probability of the right class, from probabilities."""
    return -logits.softmax(1)[torch.arange(len(labels)), labels].log().mean()


@pytest.mark.parametrize("name", ["projection", "concatenation"])
def test_both_players_are_told_the_label(name: str):
    objective = make(name)
    g, d = objective.generator, objective.discriminator
    (z,) = objective.draw(X, source(1))
    fake = g(z, X.labels)
    game = F.softplus(-d(fake, X.labels)).mean()
    judge = F.softplus(-d(X.images, X.labels)).mean() + F.softplus(d(fake, X.labels)).mean()
    judge = judge + r1_r2(lambda x: d(x, X.labels), X.images, fake, objective.gamma)
    loss, logs = objective(X, z)
    same(gradient(loss, g), gradient(game, g))
    same(gradient(loss, d), gradient(judge, d))
    torch.testing.assert_close(logs["loss"], (game + judge).detach())
    other = objective(Labelled(X.images, (X.labels + 1) % K), z)[1]
    assert all(abs(other[key] - logs[key]) > 1e-6 for key in ("g_loss", "d_loss"))


@pytest.mark.parametrize("name", ["ac-gan", "ac-gan, real only", "can"])
def test_the_classifier_reaches_each_player_as_the_paper_says(name: str):
    objective = make(name)
    g, d = objective.generator, objective.discriminator
    (z,) = objective.draw(X, source(1))
    fake = g(z, X.labels)
    f, guess = d(fake)
    game, told = F.softplus(-f).mean(), hand_cross_entropy(guess, X.labels)
    if name == "can":
        told = (math.log(1 / K) - guess.softmax(1).log()).mean()  # KL(uniform || guess)
    r, r_guess = d(X.images)
    judge = F.softplus(-r).mean() + F.softplus(f).mean()
    judge = judge + r1_r2(lambda x: d(x)[0], X.images, fake, 0.1)
    judge = judge + hand_cross_entropy(r_guess, X.labels)
    if name == "ac-gan":
        judge = judge + hand_cross_entropy(guess, X.labels)
    loss, logs = objective(X, z)
    same(gradient(loss, g), gradient(game + 0.7 * told, g))
    same(gradient(loss, d), gradient(judge, d))
    torch.testing.assert_close(logs["wish"], told.detach())


def test_ambiguity_is_zero_exactly_where_no_style_stands_out():
    wish = make("can").wish
    even = torch.full((4, K), 2.5)
    assert wish(even, X.labels[:4]).abs() < 1e-6
    torch.testing.assert_close(  # half, quarter, quarter: log 3 below the cross-entropy
        wish(torch.tensor([[0.5, 0.25, 0.25]]).log(), X.labels[:1]),
        torch.tensor((math.log(2) + 2 * math.log(4)) / 3 - math.log(3)),
    )


def test_a_concatenated_label_is_a_plane_of_ones():
    seen = []

    class Spy(nn.Module):
        channels = 2 + K

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.sum((1, 2, 3))

    x, labels = torch.randn(2, 2, 4, 6), torch.tensor([2, 0])
    assert ConcatDiscriminator(Spy(), K)(x, labels).shape == (2,)
    torch.testing.assert_close(seen[0][:, :2], x)
    assert seen[0][:, 2:].mean((2, 3)).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert seen[0][:, 2:].unique().tolist() == [0, 1]


def test_a_classifying_discriminator_reads_the_judges_own_features():
    torch.manual_seed(0)
    net = plain()
    d = ClassifyingDiscriminator(net, K)
    x = X.images.float()
    logits, guess = d(x)
    torch.testing.assert_close(logits, net(x))
    torch.testing.assert_close(guess, d.classes(net.maps(x)[-1].flatten(1)))
    assert guess.shape == (6, K)


@pytest.mark.parametrize("name", BUILD)
def test_training_calls_it_and_moves_every_network(name: str):
    objective = make(name)
    before = {key: value.clone() for key, value in objective.named_parameters()}
    done = fit(objective, lambda: X, source(), steps=3, betas=(0.0, 0.99), every=1)
    assert done.images == 18
    assert len(done.log) == 3
    assert not [k for k, value in objective.named_parameters() if torch.equal(value, before[k])]


def trained(objective: nn.Module) -> Tensor:
    objective.double()
    fit(objective, lambda: X, source(), steps=3, betas=(0.0, 0.99))
    return torch.cat([p.detach().flatten() for p in objective.parameters()])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AuxiliaryObjective, [{}, {"weight": 0.0}, {"fakes": False}, {"gamma": 0.0}]),
        (AmbiguityObjective, [{}, {"weight": 0.0}, {"gamma": 0.0}]),
    ],
)
def test_each_term_changes_the_training(kind, options):
    ends = []
    for chosen in options:
        torch.manual_seed(0)
        classes = 0 if kind is AmbiguityObjective else K
        net = ClassifyingDiscriminator(plain(), K)
        ends.append(trained(kind(painter(classes), net, **chosen)))
    for i, one in enumerate(ends):
        for other in ends[:i]:
            assert (one - other).abs().max() > 1e-4


def test_a_conditional_game_puts_each_class_in_its_place():
    """Two classes of points, at -2 and at 2: after 300 steps each is painted where it belongs."""
    torch.manual_seed(0)
    rng, classes = source(), 2
    objective = ConditionalObjective(
        MLPGenerator(z_dim=2, out=1, width=16, layers=2, num_classes=classes),
        MLPDiscriminator(inputs=1, width=16, layers=2, num_classes=classes),
    )

    def points(n: int = 64) -> Labelled:
        labels = torch.arange(n) % classes
        return Labelled(4.0 * labels[:, None] - 2 + 0.2 * torch.randn(n, 1, generator=rng), labels)

    fit(objective, points, rng, steps=300, lr=3e-3, betas=(0.0, 0.99))
    labels = torch.arange(200) % classes
    with torch.no_grad():
        made = objective.generator(torch.randn(200, 2, generator=rng), labels)[:, 0]
    assert abs(made[labels == 0].mean() + 2) < 0.7
    assert abs(made[labels == 1].mean() - 2) < 0.7


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ConcatDiscriminator(plain(3), 3), "num_classes"),
        (lambda: ClassifyingDiscriminator(plain(), 1), "num_classes"),
        (lambda: AuxiliaryObjective(painter(), plain(), -1.0), "must not be negative"),
        (lambda: AmbiguityObjective(painter(), plain(), -1.0), "must not be negative"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(build, words: str):
    with pytest.raises(GanBookError, match=words):
        build()
