"""GANs with an encoder: closed forms, which term reaches which network, compiled, fitted."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gan_book.elbo import VAEObjective, gaussian_kl
from gan_book.encoders import (
    BEGANObjective,
    BiGANObjective,
    EBGANObjective,
    InfoGANObjective,
    VAEGANObjective,
    frozen,
    judge_loss,
)
from gan_book.errors import GanBookError
from gan_book.fitting import fit
from gan_book.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_book.models.mlp import MLPDiscriminator, MLPGenerator
from gan_book.models.vae import VAE, ConvEncoder, MLPEncoder, PairDiscriminator

Z = 5


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vae() -> VAE:
    encoder = ConvEncoder(8, 1, z_dim=Z, width=4)
    return VAE(encoder, DCGANGenerator(8, 1, z_dim=Z, width=4))


def discriminator() -> DCGANDiscriminator:
    return DCGANDiscriminator(8, 1, width=4)


def pairs() -> PairDiscriminator:
    return PairDiscriminator(ConvEncoder(8, 1, z_dim=3, width=4), Z, width=6)


def info(**options: float) -> InfoGANObjective:
    net, reader = DCGANGenerator(8, 1, z_dim=Z, width=4), ConvEncoder(8, 1, z_dim=3, width=4)
    return InfoGANObjective(net, discriminator(), reader, 3, **options)


BUILD = {
    "vae-gan": lambda: VAEGANObjective(vae(), discriminator(), 0.3),
    "bigan": lambda: BiGANObjective(vae(), pairs()),
    "ali": lambda: BiGANObjective(vae(), pairs(), stochastic=True),
    "ebgan": lambda: EBGANObjective(vae().decoder, vae(), 0.7),
    "began": lambda: BEGANObjective(vae().decoder, vae()),
    "infogan": info,
}
X = torch.rand(4, 1, 8, 8, generator=source(9)) * 2 - 1


def make(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return BUILD[name]().double()


def draws(objective: nn.Module) -> tuple[torch.Tensor, ...]:
    return objective.draw(X.double(), source(1))


def gradient(loss: torch.Tensor, net: nn.Module) -> torch.Tensor:
    found = torch.autograd.grad(loss, list(net.parameters()), retain_graph=True, allow_unused=True)
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten()
        for g, p in zip(found, net.parameters(), strict=True)
    ])  # fmt: skip


def routed(objective: nn.Module, net: nn.Module) -> torch.Tensor:
    """The gradient that training gives a network."""
    return gradient(objective(X.double(), *draws(objective))[0], net)


def r1_r2(critic, real, fake, gamma):
    """Half of gamma times the squared slopes, by autograd, written out."""
    total = 0.0
    for x in (real.detach(), fake.detach()):
        x = x.requires_grad_()
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
        total = total + gamma / 2 * slope.square().flatten(1).sum(1).mean()
    return total


def same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert other.abs().max() > 1e-9
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_frozen_lets_gradients_through_and_keeps_them_off_parameters():
    net = discriminator()
    x = X.clone().requires_grad_()
    made = frozen(net)(x)
    torch.testing.assert_close(made, net(x))
    made.sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())


def test_the_judges_loss_against_a_closed_form():
    """D(x) = a x at x = 1, -1 against 2, 2: softplus by hand, slopes a."""
    a = torch.tensor(0.5, requires_grad=True)
    real, fake = torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0], [2.0]])
    loss = judge_loss(lambda x: a * x[:, 0], real, fake, 0.4)
    soft = [math.log1p(math.exp(t)) for t in (-0.5, 0.5, 1.0, 1.0)]
    assert math.isclose(loss.item(), sum(soft) / 2 + 0.2 * 2 * 0.25, rel_tol=1e-6)
    (slope,) = torch.autograd.grad(loss, a)
    s = [1 / (1 + math.exp(-t)) for t in (-0.5, 0.5, 1.0)]
    assert math.isclose(
        slope.item(), (-s[0] + s[1]) / 2 + 2 * s[2] + 0.2 * 2 * 2 * 0.5, rel_tol=1e-6
    )


def test_vae_gan_gives_each_player_its_own_terms_and_no_others():
    objective = make("vae-gan")
    net, d, x = objective.vae, objective.judge.net, X.double()
    noise, prior = draws(objective)
    mean, log_variance = net.encode(x)
    z = mean + (log_variance / 2).exp() * noise
    again = net.decode(z)
    likelihood = 0.5 * (d.maps(again)[-1] - d.maps(x)[-1]).square().flatten(1).sum(1).mean()
    kl = gaussian_kl(mean, log_variance).mean()
    fake = torch.cat([again, net.decode(prior)])
    game = F.softplus(-d(fake)).mean()
    judge = F.softplus(-d(x)).mean() + F.softplus(d(fake)).mean() + r1_r2(d, x, fake, 0.1)
    same(routed(objective, net.encoder), 0.3 * gradient(kl + likelihood, net.encoder))
    same(routed(objective, net.decoder), gradient(0.3 * likelihood + game, net.decoder))
    same(routed(objective, d), gradient(judge, d))
    # what is kept out is not nothing: the game would move E, the likelihood would move D
    assert gradient(game, net.encoder).abs().max() > 1e-6
    assert gradient(likelihood, d).abs().max() > 1e-6
    logs = objective(x, noise, prior)[1]
    torch.testing.assert_close(logs["kl"], kl.detach())
    torch.testing.assert_close(logs["likelihood"], likelihood.detach())


@pytest.mark.parametrize("name", ["bigan", "ali"])
def test_bigan_trains_three_networks_each_on_its_half(name: str):
    objective = make(name)
    net, d, x = objective.vae, objective.discriminator, X.double()
    noise, z = draws(objective)
    mean, log_variance = net.encode(x)
    code = mean + (log_variance / 2).exp() * noise if name == "ali" else mean
    fake = net.decode(z)
    fool = F.softplus(d(x, code)).mean() + F.softplus(-d(fake, z)).mean()
    judge = F.softplus(-d(x, code)).mean() + F.softplus(d(fake, z)).mean()
    for a, b in ((x, code), (fake, z)):
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        slopes = torch.autograd.grad(d(a, b).sum(), (a, b), create_graph=True)
        judge = judge + 0.05 * sum(s.square().flatten(1).sum(1).mean() for s in slopes)
    same(routed(objective, net.encoder), gradient(fool, net.encoder))
    same(routed(objective, net.decoder), gradient(fool, net.decoder))
    same(routed(objective, d), gradient(judge, d))


@pytest.mark.parametrize("name", ["ebgan", "began"])
def test_energies_reach_their_own_player(name: str):
    objective = make(name)
    net, g, x = objective.autoencoder, objective.generator, X.double()
    (z,) = draws(objective)
    fake = g(z)
    if name == "ebgan":
        e = [(net(y) - y).square().flatten(1).mean(1) for y in (x, fake, fake.detach())]
        judge = e[0].mean() + (0.7 - e[2]).clamp(min=0).mean()
    else:
        objective.k.fill_(0.3)
        objective.eval()
        e = [(net(y) - y).abs().flatten(1).mean(1) for y in (x, fake, fake.detach())]
        judge = e[0].mean() - 0.3 * e[2].mean()
    same(routed(objective, g), gradient(e[1].mean(), g))
    same(routed(objective, net), gradient(judge, net))


def test_beyond_the_margin_a_fake_does_not_move_the_judge():
    objective = make("ebgan")
    far = torch.tensor([0.71, 0.9, 50.0]).double().requires_grad_()
    objective.judge(torch.zeros(3).double(), far).backward()
    assert far.grad.tolist() == [0, 0, 0]
    assert objective.judge(torch.tensor([0.2]), torch.tensor([0.5])).item() == pytest.approx(0.4)


def test_began_moves_k_by_the_balance_and_keeps_it_in_range():
    objective = make("began")
    one, three = torch.ones(2), 3 * torch.ones(2)
    assert objective.judge(three, one).item() == 3  # k was 0
    assert objective.k.item() == pytest.approx(1e-3 * (0.5 * 3 - 1))
    before = objective.k.item()
    assert objective.judge(three, one).item() == pytest.approx(3 - before)
    for real, fake, end in ((9e3, 0.0, 1.0), (0.0, 9e3, 0.0)):
        objective.judge(torch.tensor([real]), torch.tensor([fake]))
        assert objective.k.item() == end
    objective.eval()
    objective.judge(three, one)
    assert objective.k.item() == 0
    assert "k" in objective.state_dict()


def test_the_code_reaches_the_picture_and_the_reader_reads_it():
    objective = make("infogan")
    x = X.double()
    z, codes = draws(objective)
    latent = objective.latent(z, codes)
    assert torch.equal(latent[:, :3], F.one_hot(codes, 3).double())
    assert torch.equal(latent[:, 3:], z[:, 3:])
    g, d, reader = objective.generator, objective.discriminator, objective.reader
    fake = g(latent)
    missing = -reader(fake)[0].log_softmax(1).gather(1, codes[:, None]).mean()
    judge = F.softplus(-d(x)).mean() + F.softplus(d(fake)).mean() + r1_r2(d, x, fake, 0.1)
    same(routed(objective, g), gradient(F.softplus(-d(fake)).mean() + missing, g))
    same(routed(objective, reader), gradient(missing, reader))
    same(routed(objective, d), gradient(judge, d))
    logs = objective(x, z, codes)[1]
    assert logs["information"].item() == pytest.approx(math.log(3) - missing.item())


def test_weights_weigh():
    torch.manual_seed(0)
    objective = info(weight=0.0).double()
    assert not routed(objective, objective.reader).any()
    assert routed(objective, objective.discriminator).any()
    heavy, light = (make("infogan") for _ in range(2))
    heavy.gamma = 5.0
    assert not torch.allclose(
        routed(heavy, heavy.discriminator), routed(light, light.discriminator)
    )
    same(routed(heavy, heavy.generator), routed(light, light.generator))


@pytest.mark.parametrize("name", BUILD)
def test_the_loss_is_the_sum_of_the_players_and_draws_repeat(name: str):
    objective = make(name).eval()
    one, two = draws(objective), draws(objective)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert all(len(d) == len(X) for d in one)
    loss, logs = objective(X.double(), *one)
    players = [value for key, value in logs.items() if key.endswith("_loss")]
    assert len(players) >= 2
    torch.testing.assert_close(loss.detach(), torch.stack(players).sum())
    torch.testing.assert_close(loss.detach(), logs["loss"])
    assert not any(value.requires_grad for value in logs.values())


@pytest.mark.parametrize("name", BUILD)
def test_compiled_equals_eager_with_its_gradients(name: str):
    objective = make(name)
    inputs = draws(objective)
    k = objective.k.clone() if name == "began" else None
    compiled = torch.compile(objective, backend="aot_eager", fullgraph=True, dynamic=False)
    results = []
    for call in (objective, compiled):
        if k is not None:
            objective.k = k.clone()
        objective.zero_grad()
        loss, _ = call(X.double(), *inputs)
        loss.backward()
        results.append([loss.detach(), *(p.grad.clone() for p in objective.parameters())])
        if k is not None:
            results[-1].append(objective.k.clone())
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", BUILD)
def test_training_calls_it_and_moves_every_network(name: str):
    objective = make(name)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    done = fit(objective, lambda: X.double(), source(), steps=3, betas=(0.0, 0.99), every=1)
    assert len(done.log) == 3
    still = [key for key, value in objective.named_parameters() if torch.equal(value, before[key])]
    assert not still
    assert set(done.average.state_dict()) == set(before)


def test_betas_reach_the_optimizer():
    ends = []
    for betas in ((0.0, 0.99), (0.9, 0.99)):
        objective = make("bigan")
        fit(objective, lambda: X.double(), source(), steps=3, betas=betas)
        ends.append(torch.cat([p.detach().flatten() for p in objective.parameters()]))
    assert not torch.allclose(*ends)


def test_bigan_learns_an_encoder_of_points():
    """Two far places in the plane: after training G(E(x)) is near x, before it is not."""
    torch.manual_seed(0)
    net = VAE(MLPEncoder(2, 1, 32, 2), MLPGenerator(z_dim=1, width=32, layers=2))
    objective = BiGANObjective(net, PairDiscriminator(MLPEncoder(2, 16, 32, 1), 1, 32))
    rng = source()

    def points(n: int = 128) -> torch.Tensor:  # a line in the plane, thickness 0
        return torch.randn(n, 1, generator=rng) @ torch.tensor([[1.0, -0.5]])

    x = points(500)
    before = (net(x) - x).square().mean().item()
    fit(objective, points, rng, steps=600, lr=3e-3, betas=(0.0, 0.99))
    assert (net(x) - x).square().mean().item() < 0.2 * before


def test_an_autoencoder_is_the_vae_without_noise():
    net = vae()
    torch.testing.assert_close(net(X), net.decode(net.encode(X)[0]))
    assert VAEObjective(net).vae is net


def test_points_are_judged_in_pairs():
    d = PairDiscriminator(MLPEncoder(2, 4, 8, 1), z_dim=3, width=8)
    x, z = torch.randn(6, 2), torch.randn(6, 3)
    assert d(x, z).shape == (6,)
    assert not torch.allclose(d(x, z), d(x, z.flip(0)))
    assert not torch.allclose(d(x, z), d(x.flip(0), z))
    d(x, z).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in d.parameters())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: VAEGANObjective(vae(), discriminator(), 0.0), "weight of the likelihood"),
        (lambda: EBGANObjective(vae().decoder, vae(), -1.0), "margin must be positive"),
        (lambda: BEGANObjective(vae().decoder, vae(), 1.5), "ratio of energies"),
        (lambda: InfoGANObjective(MLPGenerator(), MLPDiscriminator(), MLPEncoder(), 1), "codes"),
        (lambda: info(weight=-1), "must not be negative"),
        (lambda: PairDiscriminator(MLPEncoder(), 0), "'z_dim'"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(build, words: str):
    with pytest.raises(GanBookError, match=words):
        build()
