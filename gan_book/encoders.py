"""GANs with an encoder: VAE-GAN, BiGAN, EBGAN, BEGAN and InfoGAN, each as one loss for ``fit``.

Each player must descend its own terms alone. Here one loss serves all: a term reaches a network
only where the formula says so, because everywhere else the network is called with detached
parameters (``frozen``) or with a detached input. So one ``backward`` gives each parameter the
gradient of its own player, up to a factor, and one Adam moves all at once (simultaneous steps).
Adversarial terms are the non-saturating ones, with R1 and R2 of weight ``gamma`` for the judge.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, relu

from . import losses, penalties
from .elbo import gaussian_kl
from .errors import need, whole
from .models.dcgan import DCGANDiscriminator
from .models.vae import VAE
from .objectives import frozen

GAME = losses.LOSSES["non-saturating"]
Logs = dict[str, Tensor]


def judge_loss(critic: penalties.Critic, real: Tensor, fake: Tensor, gamma: float) -> Tensor:
    """D's half with gamma / 2 (R1 + R2), 0-d; no gradient reaches beyond ``real`` and ``fake``."""
    r, at_real = penalties.logits_and_gradient(critic, real, "func")  # (N,), like x
    f, at_fake = penalties.logits_and_gradient(critic, fake, "func")  # (N,), like x
    slopes = penalties.squared_norm(at_real), penalties.squared_norm(at_fake)  # (N,) each
    return (
        GAME.discriminator(r, f) + penalties.r1(slopes[0], gamma) + penalties.r2(slopes[1], gamma)
    )


def _logs(**values: Tensor) -> tuple[Tensor, Logs]:
    """The sum of the players' losses, and all entries for the log: "loss" is that sum."""
    loss = torch.stack([v for name, v in values.items() if name.endswith("_loss")]).sum()
    return loss, {name: value.detach() for name, value in {"loss": loss, **values}.items()}


class _Encoders(nn.Module):
    """Draws standard normal numbers: one latent for each sample, or two."""

    z_dim: int
    latents = 1

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Standard normal latents (N, z_dim) for samples x (N, ...), as many as forward takes."""
        size = (self.latents, len(x), self.z_dim)
        return torch.randn(size, generator=generator, device=generator.device).to(x).unbind()


class _Features(nn.Module):
    """A discriminator that also shows its last map: x -> logits (N,), features (N, C, h, w)."""

    def __init__(self, discriminator: DCGANDiscriminator) -> None:
        super().__init__()
        self.net = discriminator

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.maps(x)[-1]  # (N, C, h, w)
        return self.net.logits(features), features  # (N,), (N, C, h, w)


class VAEGANObjective(_Encoders):
    """VAE-GAN (Larsen et al., 2016, arXiv 1512.09300, algorithm 1).

    The decoder's likelihood is a normal of variance 1 around D's features instead of pixels.
    The encoder descends KL + likelihood, the decoder weight * likelihood + the game, D the game.
    The encoder's two terms carry ``weight``, too, which Adam does not notice. No constants: the
    likelihood term is half the squared distance of the features, summed.
    Raises ``GanBookError`` if weight is not positive.
    """

    latents = 2

    def __init__(
        self, vae: VAE, discriminator: DCGANDiscriminator, weight: float = 0.01, gamma: float = 0.1
    ) -> None:
        super().__init__()
        need(weight > 0, f"The weight of the likelihood must be positive, but it is {weight}.")
        self.vae, self.judge = vae, _Features(discriminator)
        self.weight, self.gamma, self.z_dim = weight, gamma, vae.z_dim

    def forward(self, x: Tensor, noise: Tensor, prior: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "vae_loss", "g_loss", "d_loss", "kl", "likelihood"."""
        judge: Callable[..., tuple[Tensor, Tensor]] = frozen(self.judge)  # type: ignore[assignment]
        mean, log_variance = self.vae.encode(x)  # (N, z_dim) each
        z = mean + (0.5 * log_variance).exp() * noise  # (N, z_dim)
        kl = gaussian_kl(mean, log_variance).mean()  # 0-d
        off = judge(self.vae.decode(z))[1] - judge(x)[1]  # (N, C, h, w)
        likelihood = 0.5 * off.square().flatten(1).sum(1).mean()  # 0-d
        # the game once more from detached latents: it is the decoder's, not the encoder's
        fake = self.vae.decode(torch.cat([z.detach(), prior]))  # (2N, ...)
        f = judge(fake)[0]  # (2N,)
        return _logs(
            vae_loss=self.weight * (kl + likelihood),
            g_loss=GAME.generator(f, f),
            d_loss=judge_loss(lambda y: self.judge(y)[0], x, fake, self.gamma),
            kl=kl,
            likelihood=likelihood,
        )


class BiGANObjective(_Encoders):
    """BiGAN (Donahue et al., 2017, arXiv 1605.09782) and ALI (Dumoulin et al., 2017, 1606.00704).

    D judges pairs: (x, E(x)) against (G(z), z); E and G want them confused. ``stochastic`` draws
    from the encoder's normal (ALI), otherwise its mean is the code (BiGAN).
    """

    latents = 2

    def __init__(
        self, vae: VAE, discriminator: nn.Module, gamma: float = 0.1, stochastic: bool = False
    ) -> None:
        super().__init__()
        self.vae, self.discriminator, self.gamma = vae, discriminator, gamma
        self.stochastic, self.z_dim = stochastic, vae.z_dim

    def forward(self, x: Tensor, noise: Tensor, z: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "g_loss" (of E and G together), "d_loss"."""
        mean, log_variance = self.vae.encode(x)  # (N, z_dim) each
        code = mean + self.stochastic * (0.5 * log_variance).exp() * noise  # (N, z_dim)
        fake = self.vae.decode(z)  # (N, ...)
        judge = frozen(self.discriminator)
        # each side of the game pretends to be the other: real pairs want a low logit
        g_loss = GAME.discriminator(judge(fake, z), judge(x, code))  # 0-d

        def critic(pairs: Tensor) -> Tensor:  # flat, so that penalties see the slope in x and z
            inputs, codes = pairs[:, : -self.z_dim], pairs[:, -self.z_dim :]
            return self.discriminator(inputs.reshape(x.shape), codes)  # (N,)

        real, made = (torch.cat([a.flatten(1), b], 1) for a, b in ((x, code), (fake, z)))
        return _logs(g_loss=g_loss, d_loss=judge_loss(critic, real, made, self.gamma))


class EBGANObjective(_Encoders):
    """EBGAN (Zhao et al., 2017, arXiv 1609.03126, eq. 1 and 2): D is an autoencoder.

    Its energy, the mean squared error of its reconstruction, shall be small at data and reach the
    ``margin`` at generated samples; G wants small energy.
    Raises ``GanBookError`` if the margin is not positive.
    """

    def __init__(self, generator: nn.Module, autoencoder: nn.Module, margin: float = 1.0) -> None:
        super().__init__()
        need(margin > 0, f"The margin must be positive, but it is {margin}.")
        self.generator, self.autoencoder, self.margin = generator, autoencoder, margin
        self.z_dim = int(generator.z_dim)  # type: ignore[arg-type]

    def distance(self, off: Tensor) -> Tensor:
        """The energy (N,) of an error of reconstruction (N, ...)."""
        return off.square().flatten(1).mean(1)  # (N,)

    def judge(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss (0-d) from the energies (N,) of data and of generated samples."""
        return real.mean() + relu(self.margin - fake).mean()  # 0-d

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "g_loss", "d_loss", "real_energy", "fake_energy"."""
        fake = self.generator(z)  # (N, ...)
        g_loss = self.distance(frozen(self.autoencoder)(fake) - fake).mean()  # 0-d
        at_real, at_fake = (self.distance(self.autoencoder(y) - y) for y in (x, fake.detach()))
        energies = {"real_energy": at_real.mean(), "fake_energy": at_fake.mean()}
        return _logs(g_loss=g_loss, d_loss=self.judge(at_real, at_fake), **energies)


class BEGANObjective(EBGANObjective):
    """BEGAN (Berthelot et al., 2017, arXiv 1703.10717, section 3.4).

    D descends E(x) - k E(G(z)) with absolute errors as energy. The buffer ``k`` moves by
    ``gain`` (ratio E(x) - E(G(z))) after each step in train mode, within [0, 1], so that in
    equilibrium generated samples have ``ratio`` times the energy of data.
    Raises ``GanBookError`` unless ratio lies in (0, 1].
    """

    k: Tensor

    def __init__(
        self, generator: nn.Module, autoencoder: nn.Module, ratio: float = 0.5, gain: float = 1e-3
    ) -> None:
        super().__init__(generator, autoencoder)
        need(0 < ratio <= 1, f"The ratio of energies must lie in (0, 1], but it is {ratio}.")
        self.ratio, self.gain = ratio, gain
        self.register_buffer("k", torch.zeros(()))

    def distance(self, off: Tensor) -> Tensor:
        return off.abs().flatten(1).mean(1)  # (N,)

    def judge(self, real: Tensor, fake: Tensor) -> Tensor:
        loss = real.mean() - self.k * fake.mean()  # 0-d
        if self.training:
            step = self.gain * (self.ratio * real.detach().mean() - fake.detach().mean())  # 0-d
            self.k = (self.k + step).clamp(0, 1)  # a new tensor: the loss keeps the old one
        return loss


class InfoGANObjective(_Encoders):
    """InfoGAN (Chen et al., 2016, arXiv 1606.03657) with one categorical code.

    The first ``codes`` numbers of G's latent say the code, one of ``codes`` as a one-hot vector.
    ``reader`` is an encoder, whose first output (N, codes) are the logits of Q(code | picture); G
    and reader descend ``weight`` times its cross-entropy. The paper lets Q share D's layers.
    Raises ``GanBookError`` unless 2 <= codes < z_dim and weight >= 0.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, reader: nn.Module,
        codes: int, weight: float = 1.0, gamma: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.z_dim = int(generator.z_dim)  # type: ignore[arg-type]
        self.codes = whole("the number of codes", codes, 2, self.z_dim - 1)
        need(weight >= 0, f"The weight of the information must not be negative: {weight}.")
        self.generator, self.discriminator, self.reader = generator, discriminator, reader
        self.weight, self.gamma = weight, gamma

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Latents (N, z_dim) and codes (N,), uniform, for samples x (N, ...)."""
        codes = torch.randint(
            self.codes, (len(x),), generator=generator, device=generator.device
        ).to(x.device)
        return *super().draw(x, generator), codes

    def latent(self, z: Tensor, codes: Tensor) -> Tensor:
        """z (N, z_dim) with its first numbers replaced by the codes (N,)."""
        return torch.cat([one_hot(codes, self.codes).to(z), z[:, self.codes :]], 1)  # (N, z_dim)

    def forward(self, x: Tensor, z: Tensor, codes: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "g_loss", "d_loss", "q_loss", "information" (a lower
        bound in nats, log codes - cross-entropy)."""
        fake = self.generator(self.latent(z, codes))  # (N, ...)
        f = frozen(self.discriminator)(fake)  # (N,)
        missing = cross_entropy(self.reader(fake)[0], codes)  # 0-d
        return _logs(
            g_loss=GAME.generator(f, f),
            d_loss=judge_loss(self.discriminator, x, fake, self.gamma),
            q_loss=self.weight * missing,
            information=math.log(self.codes) - missing,
        )
