"""The random numbers and the changing weights of a training step, as one global batch.

Every rank draws the numbers of the whole batch from the same generator, and cuts out its share: so
a run does not depend on how many processes it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from gan_book import augment
from gan_book.augment import AugmentDraws
from gan_book.errors import need

if TYPE_CHECKING:
    from gan_book.objectives import ObjectiveSettings

Tree = TypeVar("Tree")


class Draws(NamedTuple):
    """The random numbers of one step, N samples; the first dimension is always the batch."""

    z: Tensor  # (N, z_dim), standard normal
    labels: Tensor | None = None  # (N,) int64 for the fakes; None: those of the real batch
    augment_real: AugmentDraws | None = None
    augment_fake: AugmentDraws | None = None
    noise: Tensor | None = None  # (N, 2, ...) finite differences: [:, 0] real, [:, 1] fake
    mix: Tensor | None = None  # (N,) WGAN-GP: the real picture's share, uniform
    path: Tensor | None = None  # (N, ...) path length: y, standard normal
    levels: Tensor | None = None  # (N, 2, K - 1, ...) on level pictures: [:, 0] real, [:, 1] fake


class Weights(NamedTuple):
    """Penalty weights, 0-d tensors on the training device; they may change at every step."""

    r1: Tensor
    r2: Tensor
    gp: Tensor


def draw(
    settings: ObjectiveSettings,
    n: int,
    z_dim: int,
    image_shape: tuple[int, ...],
    p: float | Tensor,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
    num_classes: int = 0,
) -> Draws:
    """Draw what one objective needs for a global batch of ``n``; :func:`shard` cuts it for a rank.

    Args:
        settings: those of the objective.
        n: samples in the global batch, N.
        z_dim: length of a latent vector.
        image_shape: (C, H, W), or (2,) for points.
        p: augmentation probability, a float or a 0-d tensor.
        generator: source of all numbers; they are drawn on its device.
        device: where the result lives.
        num_classes: 0 lets the fakes take the real batch's labels; K > 0 draws theirs uniformly.

    Raises:
        GanBookError: if points (which have no pixels) are to be augmented.
    """
    need(
        len(image_shape) == 3 or not settings.policy,
        f"Augmentation needs pictures (C, H, W), but the samples have the shape "
        f"{tuple(image_shape)}; use an empty policy.",
    )
    source = generator.device
    z = torch.randn(n, z_dim, generator=generator, device=source)  # (N, z_dim)
    labels = noise = mix = real = fake = path = levels = None
    if num_classes > 0:
        labels = torch.randint(num_classes, (n,), generator=generator, device=source)  # (N,)
    if settings.policy:
        size = (image_shape[1], image_shape[2])
        real = augment.draw(n, size, settings.policy, p, generator, device)
        fake = augment.draw(n, size, settings.policy, p, generator, device)
    if settings.finite_differences:
        noise = torch.randn(n, 2, *image_shape, generator=generator, device=source)  # (N, 2, ...)
    if settings.gp:
        mix = torch.rand(n, generator=generator, device=source)  # (N,)
    if settings.path_length:
        path = torch.randn(n, *image_shape, generator=generator, device=source)  # (N, ...)
    if settings.levels > 1:
        shape = (n, 2, settings.levels - 1, *image_shape)
        levels = torch.randn(shape, generator=generator, device=source)  # (N, 2, K - 1, ...)
    draws = Draws(z, labels, real, fake, noise, mix, path, levels)
    return _map(draws, lambda tensor: tensor.to(device))


def shard(tree: Tree, rank: int, world: int) -> Tree:
    """Rank ``rank``'s part of a batch or of draws: each tensor cut along its first dimension.

    Tuples are entered; 0-d tensors and None stay as they are.

    Raises:
        GanBookError: if a batch cannot be divided by ``world``.
    """

    def cut(tensor: Tensor) -> Tensor:
        if tensor.dim() == 0:
            return tensor
        need(
            len(tensor) % world == 0,
            f"A batch of {len(tensor)} cannot be shared by {world} processes; choose a multiple of "
            f"{world}.",
        )
        return tensor.chunk(world)[rank]

    return tree if world == 1 else _map(tree, cut)


def _map(tree: Any, change: Any) -> Any:
    """Apply ``change`` to every tensor of nested (named) tuples; None stays None."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, tuple):
        parts = [_map(part, change) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree
