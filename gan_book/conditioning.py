"""Ways to tell a GAN what to paint, each as one loss for ``fit``, and a way to tell it what not to.

Labels may enter D's input (``ConcatDiscriminator``), a projection (a discriminator built with
``num_classes``), or be read back by an auxiliary classifier. A creative adversarial network asks
that no style can be read back. As in ``encoders``, a term reaches a network only where its formula
says so; the game is the non-saturating one, with R1 and R2 of weight ``gamma``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, one_hot

from .encoders import GAME, Logs, _logs, judge_loss
from .errors import need, whole
from .models.dcgan import DCGANDiscriminator
from .models.layers import init_normal, zero_
from .objectives import frozen


@dataclass(frozen=True)
class Labelled:
    """Samples with labels, as ``fit`` takes them: images (N, ...), labels int64 (N,); len is N."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.images)


class ConcatDiscriminator(nn.Module):
    """The label as further channels of D's input (Mirza and Osindero, 2014, arXiv 1411.1784).

    Class k is a constant plane of ones in channel k of K, the other planes are zero. ``net`` is a
    discriminator without classes that takes the picture's channels and K more.
    x (N, C, H, W), labels (N,) -> logits (N,).
    Raises ``GanBookError`` unless net has more than K channels.
    """

    def __init__(self, net: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.num_classes = whole("num_classes", num_classes, 1, int(net.channels) - 1)  # type: ignore[arg-type]
        self.net = net

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        told = one_hot(labels, self.num_classes).to(x)  # (N, K)
        planes = told[:, :, None, None].expand(-1, -1, *x.shape[2:])  # (N, K, H, W)
        return self.net(torch.cat([x, planes], 1))  # (N, C + K, H, W) -> (N,)


class ClassifyingDiscriminator(nn.Module):
    """D with a second head (Odena et al., 2017, arXiv 1610.09585): logits and class logits.

    Both heads are linear and read the last map of the same network, which has no classes itself.
    x (N, C, H, W) -> (N,), (N, K).
    """

    def __init__(self, net: DCGANDiscriminator, num_classes: int) -> None:
        super().__init__()
        self.net = net
        self.classes = nn.Linear(net.head.in_features, whole("num_classes", num_classes, 2, 10_000))
        init_normal(self.classes.weight)
        zero_(self.classes.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.net.maps(x)[-1]  # (N, C', h, w)
        return self.net.logits(features), self.classes(features.flatten(1))  # (N,), (N, K)


class ConditionalObjective(nn.Module):
    """The conditional game: D(x, label), G(z, label), both told the label of the real sample.

    How D uses the label is D's affair: concatenation or projection. Networks built without
    classes ignore it, so the same objective trains an unconditional pair.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, gamma: float = 0.1) -> None:
        super().__init__()
        self.generator, self.discriminator, self.gamma = generator, discriminator, gamma
        self.z_dim = int(generator.z_dim)  # type: ignore[arg-type]

    def draw(self, batch: Labelled, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Standard normal latents (N, z_dim) for a batch of N."""
        size = (len(batch), self.z_dim)
        return (torch.randn(size, generator=generator, device=generator.device).to(batch.images),)

    def forward(self, batch: Labelled, z: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "g_loss", "d_loss"."""
        x, labels = batch.images, batch.labels  # (N, ...), (N,)
        fake = self.generator(z, labels)  # (N, ...)
        f = frozen(self.discriminator)(fake, labels)  # (N,)
        d_loss = judge_loss(lambda y: self.discriminator(y, labels), x, fake, self.gamma)
        return _logs(g_loss=GAME.generator(f, f), d_loss=d_loss)


class AuxiliaryObjective(ConditionalObjective):
    """AC-GAN (Odena et al., 2017, arXiv 1610.09585, section 3): D judges blindly and also reads.

    D, for example a ``ClassifyingDiscriminator``, gives logits and class logits. It descends the
    game and the cross-entropy at real samples and, with ``fakes`` as in the paper, at generated
    ones; G descends the game and ``weight`` times the cross-entropy of its own samples.
    Raises ``GanBookError`` for a negative weight.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module,
        weight: float = 1.0, gamma: float = 0.1, fakes: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, gamma)
        need(weight >= 0, f"The weight of G's wish must not be negative: {weight}.")
        self.weight, self.fakes = weight, fakes

    def wish(self, guess: Tensor, labels: Tensor) -> Tensor:
        """What G wants to be small (0-d), from class logits (N, K) at its own samples."""
        return cross_entropy(guess, labels)  # 0-d

    def forward(self, batch: Labelled, z: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "g_loss", "d_loss", "c_loss", "wish"."""
        x, labels = batch.images, batch.labels  # (N, ...), (N,)
        fake = self.generator(z, labels)  # (N, ...)
        judge: Callable[..., tuple[Tensor, Tensor]] = frozen(self.discriminator)  # type: ignore[assignment]
        f, guess = judge(fake)  # (N,), (N, K)
        wish = self.wish(guess, labels)  # 0-d
        missed = cross_entropy(self.discriminator(x)[1], labels)  # 0-d
        if self.fakes:
            missed = missed + cross_entropy(self.discriminator(fake.detach())[1], labels)
        return _logs(
            g_loss=GAME.generator(f, f) + self.weight * wish,
            d_loss=judge_loss(lambda y: self.discriminator(y)[0], x, fake, self.gamma),
            c_loss=missed,
            wish=wish,
        )


class AmbiguityObjective(AuxiliaryObjective):
    """CAN (Elgammal et al., 2017, arXiv 1706.07068): art, but of no known style.

    The classifier learns styles from real samples alone. G, without labels, descends the game and
    ``weight`` times KL(uniform || styles that the classifier sees in its samples), the
    cross-entropy with the uniform distribution less its least value, log K. (The paper's loss sums
    K binary cross-entropies against 1/K; its minimum is the same.)
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module,
        weight: float = 1.0, gamma: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__(generator, discriminator, weight, gamma, fakes=False)

    def wish(self, guess: Tensor, labels: Tensor) -> Tensor:
        return -log_softmax(guess, 1).mean() - math.log(guess.shape[1])  # 0-d
