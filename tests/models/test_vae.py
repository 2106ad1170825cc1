"""The encoders and the module that joins one with a generator: shapes, gradients, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_book.errors import GanBookError
from gan_book.models import count_parameters
from gan_book.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_book.models.mlp import MLPGenerator
from gan_book.models.vae import VAE, ConvEncoder, MLPEncoder

CASES = {
    "points": (lambda: VAE(MLPEncoder(3, 2, 8, 2), MLPGenerator(z_dim=2, out=3, width=8)), (3,)),
    "linear": (lambda: VAE(MLPEncoder(3, 2, layers=0), nn.Linear(2, 3)), (3,)),
    "one latent": (
        lambda: VAE(ConvEncoder(8, 1, z_dim=1, width=4), DCGANGenerator(8, 1, z_dim=1, width=4)),
        (1, 8, 8),
    ),
    "pictures": (
        lambda: VAE(
            ConvEncoder((16, 24), 3, z_dim=5, width=4),
            DCGANGenerator((16, 24), 3, z_dim=5, width=4),
        ),
        (3, 16, 24),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shapes_gradients_and_samples_that_do_not_mix(case: str) -> None:
    build, shape = CASES[case]
    vae = build()
    x = torch.randn(6, *shape, generator=torch.Generator().manual_seed(0))
    mean, log_variance = vae.encode(x)
    assert mean.shape == log_variance.shape == (6, vae.z_dim)
    assert vae.decode(mean).shape == x.shape
    alone = torch.cat([vae.encode(x[i : i + 1])[1] for i in range(6)])
    torch.testing.assert_close(log_variance, alone, rtol=1e-4, atol=1e-5)
    (vae.decode(mean).square().sum() + log_variance.square().sum()).backward()
    dead = [n for n, p in vae.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead


def test_mean_and_log_variance_are_two_halves_of_the_last_layer() -> None:
    x = torch.randn(4, 3)
    encoder = MLPEncoder(3, 2, layers=0)
    (linear,) = encoder.linears
    mean, log_variance = encoder(x)
    expected = x @ linear.weight.T + linear.bias
    torch.testing.assert_close(mean, expected[:, :2])
    torch.testing.assert_close(log_variance, expected[:, 2:])


def test_the_picture_encoder_is_the_discriminator_with_a_wider_head() -> None:
    encoder, plain = ConvEncoder(16, 3, z_dim=64, width=32), DCGANDiscriminator(16, 3, width=32)
    features = plain.head.in_features
    assert count_parameters(encoder) - count_parameters(plain) == 127 * features + 128
    assert abs(encoder.head.weight.std().item() * features**0.5 - 1) < 0.05
    assert not encoder.head.bias.any()
    # the trunk is shared: with D's weights in one row, that row is D's logit
    encoder.load_state_dict({k: v for k, v in plain.state_dict().items() if "head" not in k}, False)
    with torch.no_grad():
        encoder.head.weight[0] = plain.head.weight[0]
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(encoder(x)[0][:, 0], plain(x))


def test_samples_are_means_at_latents_from_the_prior_and_repeat() -> None:
    vae = CASES["points"][0]()
    one, two = (vae.sample(7, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert not one.requires_grad
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(one, vae.decode(z).detach())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: VAE(MLPEncoder(), MLPGenerator(), sd=0.0), "sd must be a positive number"),
        (lambda: VAE(MLPEncoder(), MLPGenerator(), sd=float("nan")), "positive number, not nan"),
        (lambda: VAE(MLPEncoder(z_dim=3), MLPGenerator()), "makes 3 latent numbers.* takes 2"),
        (lambda: MLPEncoder(0), "'inputs'"),
        (lambda: MLPEncoder(layers=-1), "'layers'"),
        (lambda: ConvEncoder(16, z_dim=0), "'z_dim'"),
        (lambda: ConvEncoder(17), "nearest possible size"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(build, words: str) -> None:
    with pytest.raises(GanBookError, match=words):
        build()
