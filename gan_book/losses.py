"""Adversarial losses: one table, with a half for the discriminator and a half for the generator.

All functions take logits, the discriminator's output before any sigmoid, as tensors of one shape,
usually (N,), and return a 0-d tensor: a mean over the batch. Both halves are to be minimized. With
``r = D(x)`` for real and ``f = D(G(z))`` for generated pictures:

================  =======================================  ===================================
name              discriminator                            generator
================  =======================================  ===================================
non-saturating    E softplus(-r) + E softplus(f)           E softplus(-f)
saturating        E softplus(-r) + E softplus(f)           -E softplus(f)
least-squares     1/2 E (r - 1)^2 + 1/2 E f^2              1/2 E (f - 1)^2
hinge             E max(0, 1 - r) + E max(0, 1 + f)        -E f
wasserstein       E f - E r                                -E f
relativistic      E softplus(f - r), paired by index       E softplus(r - f), paired by index
================  =======================================  ===================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import relu, softplus

from gan_book.errors import GanBookError, known

__all__ = ["LOSSES", "Loss", "loss"]

Half = Callable[[Tensor, Tensor], Tensor]


class Loss(NamedTuple):
    """The two halves of a GAN loss; each maps ``(real_logits, fake_logits)`` to a 0-d tensor.

    ``needs_real`` tells whether the generator's half looks at the real logits. Where it does not,
    the generator's step need not evaluate the discriminator on real pictures.
    """

    discriminator: Half
    generator: Half
    needs_real: bool


def cross_entropy_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``-E log s(r) - E log(1 - s(f))`` with the sigmoid s; log 4 where D says 1/2 everywhere.

    Goodfellow et al. 2014 (arXiv 1406.2661), eq. 1 with its sign turned: D descends. Written with
    ``softplus(-r) = -log s(r)``, which stays finite for any logit.
    """
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def saturating_generator(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``E log(1 - s(f))``, the minimax game's own half; -log 2 where D says 1/2.

    Goodfellow et al. 2014, eq. 1. Its slope, ``-s(f)``, vanishes where D is sure of a fake.
    """
    return -softplus(fake_logits).mean()


def non_saturating_generator(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``-E log s(f)``; log 2 where D says 1/2.

    Goodfellow et al. 2014, section 3: the same fixed point as the minimax half, with its largest
    slope where D is sure of a fake.
    """
    return softplus(-fake_logits).mean()


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``1/2 E (r - b)^2 + 1/2 E (f - a)^2`` with the targets a = 0 (fake) and b = 1 (real).

    Mao et al. 2017 (arXiv 1611.04076), eq. 9, the 0-1 coding; 1/4 where D says 1/2. Their eq. 8
    has the other targets, a = -1, b = 1, c = 0, for which G's criterion, with its term at real
    pictures and D at its optimum, is half of Pearson's chi-squared between p + q and 2 q.
    """
    return 0.5 * (real_logits - 1).square().mean() + 0.5 * fake_logits.square().mean()


def least_squares_generator(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``1/2 E (f - c)^2`` with the target c = 1. Mao et al. 2017, eq. 9."""
    return 0.5 * (fake_logits - 1).square().mean()


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``E max(0, 1 - r) + E max(0, 1 + f)``; 2 where D says 0.

    Lim and Ye 2017 (arXiv 1705.02894); Miyato et al. 2018 (arXiv 1802.05957), eq. 16. A logit
    beyond its margin has no gradient.
    """
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``E f - E r``: minus the critic's estimate of the Wasserstein-1 distance.

    Arjovsky et al. 2017 (arXiv 1701.07875), eq. 3. Unbounded below unless something, such as a
    gradient penalty, keeps the critic's slope in check.
    """
    return fake_logits.mean() - real_logits.mean()


def critic_generator(_real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``-E f``: the generator's half of the hinge and of the Wasserstein loss.

    Arjovsky et al. 2017, theorem 3; Miyato et al. 2018, eq. 17.
    """
    return -fake_logits.mean()


def relativistic_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``E softplus(-(r_i - f_i))``: real picture i shall look more real than fake picture i.

    Jolicoeur-Martineau 2018 (arXiv 1807.00734), relativistic standard GAN; Huang et al. 2024
    (arXiv 2501.05441), section 2. Pairs are formed by index, without averaging over the other
    half. log 2 where D is constant; adding a constant to all logits changes nothing, so a logit is
    no probability here.

    Raises:
        GanBookError: if the two batches differ in shape, because then there are no pairs.
    """
    return softplus(fake_logits - _paired(real_logits, fake_logits)).mean()


def relativistic_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``E softplus(-(f_i - r_i))``: fake picture i shall look more real than real picture i.

    Jolicoeur-Martineau 2018; Huang et al. 2024, section 2; the non-saturating form.

    Raises:
        GanBookError: if the two batches differ in shape, because then there are no pairs.
    """
    return softplus(_paired(real_logits, fake_logits) - fake_logits).mean()


def _paired(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    # Without this check shapes (N, 1) and (N,) would broadcast to all N x N pairs, silently.
    if real_logits.shape != fake_logits.shape:  # no text is made inside of a compiled graph
        raise GanBookError(
            f"The relativistic loss pairs real with fake logits by index, but their shapes are "
            f"{tuple(real_logits.shape)} and {tuple(fake_logits.shape)}; give both the same shape."
        )
    return real_logits


LOSSES: Mapping[str, Loss] = {
    "non-saturating": Loss(cross_entropy_discriminator, non_saturating_generator, False),
    "saturating": Loss(cross_entropy_discriminator, saturating_generator, False),
    "least-squares": Loss(least_squares_discriminator, least_squares_generator, False),
    "hinge": Loss(hinge_discriminator, critic_generator, False),
    "wasserstein": Loss(wasserstein_discriminator, critic_generator, False),
    "relativistic": Loss(relativistic_discriminator, relativistic_generator, True),
}


def loss(name: str) -> Loss:
    """Return the loss called ``name``.

    Raises:
        GanBookError: if there is no such loss; the message lists those there are.
    """
    known("loss", name, LOSSES)
    return LOSSES[name]
