"""One training step's two losses as modules: networks, loss, penalties and augmentation together.

Compiling and distributing wrap an objective, never a network: a gradient penalty differentiates the
discriminator inside the forward pass, which works there (eager, ``torch.compile(fullgraph=True)``
with the engine "func", and as ``DistributedDataParallel(objective)``), but not through a compiled
or distributed network. With both, compile first: ``DistributedDataParallel(torch.compile(it))``.
Everything random comes in as :class:`Draws`, everything that changes over a training as the 0-d
tensors of :class:`Weights`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from gan_book import augment, losses, penalties
from gan_book.augment import AugmentDraws
from gan_book.errors import GanBookError, known, need

if TYPE_CHECKING:
    from gan_book.data.batches import Batch

Tree = TypeVar("Tree")
Network = Callable[..., Tensor]
FORMS = ("exact", "finite-difference")


class Draws(NamedTuple):
    """The random numbers of one step, N samples; the first dimension is always the batch."""

    z: Tensor  # (N, z_dim), standard normal
    labels: Tensor | None = None  # (N,) int64 for the fakes; None: those of the real batch
    augment_real: AugmentDraws | None = None
    augment_fake: AugmentDraws | None = None
    noise: Tensor | None = None  # (N, 2, ...) finite differences: [:, 0] real, [:, 1] fake
    mix: Tensor | None = None  # (N,) WGAN-GP: the real picture's share, uniform
    path: Tensor | None = None  # (N, ...) path length: y, standard normal


class Weights(NamedTuple):
    """Penalty weights, 0-d tensors on the training device; they may change at every step."""

    r1: Tensor
    r2: Tensor
    gp: Tensor


@dataclass(frozen=True)
class ObjectiveSettings:
    """What an objective is made of.

    Attributes:
        loss: a name out of ``losses.LOSSES``.
        r1, r2: penalize the discriminator's slope at real, at generated pictures.
        gp: the WGAN-GP penalty between them (a third evaluation of the discriminator).
        form: R1 and R2 "exact", or by "finite-difference" (random, equal in expectation).
        engine: "autograd" or "func" for exact penalties; see ``penalties.logits_and_gradient``.
        policy: augmentations out of ``augment.POLICIES`` for what the discriminator sees.
        autocast: dtype in which the networks compute, such as ``torch.bfloat16``; None leaves
            that to the surroundings. Losses and penalties are always float32 or float64. With
            finite differences the discriminator's own step stays in float32, too.
        epsilon: step length of finite differences.
        path_length: weight of path length regularization, for a generator with a mapping network.

    Raises:
        GanBookError: for unknown names and for combinations that do not exist.
    """

    loss: str = "relativistic"
    r1: bool = True
    r2: bool = True
    gp: bool = False
    form: str = "exact"
    engine: penalties.Engine = "autograd"
    policy: tuple[str, ...] = ()
    autocast: torch.dtype | None = None
    epsilon: float = 0.01
    path_length: float = 0.0

    def __post_init__(self) -> None:
        losses.loss(self.loss)
        augment.check_policy(self.policy)
        known("penalty form", self.form, FORMS)
        known("gradient engine", self.engine, penalties.ENGINES)
        need(
            self.form == "exact" or not self.gp,
            "The WGAN-GP penalty needs the exact form: finite differences estimate a squared norm, "
            "not a norm.",
        )
        need(self.epsilon > 0, f"The step of differences must be positive, not {self.epsilon}.")

    @property
    def finite_differences(self) -> bool:
        """Whether a penalty is estimated by finite differences, which need noise."""
        return self.form == "finite-difference" and (self.r1 or self.r2)


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
    labels = noise = mix = real = fake = path = None
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
    return _map(Draws(z, labels, real, fake, noise, mix, path), lambda tensor: tensor.to(device))


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


class _Objective(nn.Module):
    """What both objectives share: calling the networks with labels, autocast and augmentation."""

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, settings: ObjectiveSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        self.loss = losses.loss(settings.loss)
        # Held in a tuple, hence not registered: each objective registers only the network that it
        # trains, and so an optimizer or a process group sees exactly these parameters.
        self._networks = (generator, discriminator)

    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        with self._autocast(z.device):
            return penalties.full_precision(_call(self._networks[0], z, labels))  # (N, ...)

    def _critic(
        self,
        network: Network,
        labels: Tensor | None,
        draws: AugmentDraws | None,
        autocast: bool = True,
    ) -> penalties.Critic:
        """The discriminator as a function of pictures before augmentation: (N, ...) -> (N,)."""

        def critic(images: Tensor) -> Tensor:
            with self._autocast(images.device, autocast):
                seen = images if draws is None else augment.apply(images, draws)  # (N, ...)
                return penalties.full_precision(_call(network, seen, labels))  # (N,)

        return critic

    def _autocast(self, device: torch.device, enabled: bool = True) -> AbstractContextManager[Any]:
        if self.settings.autocast is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.settings.autocast, enabled=enabled)


class DiscriminatorObjective(_Objective):
    """The discriminator's loss with its penalties; registers the discriminator's parameters only.

    Raises:
        GanBookError: if the engine "func" meets a discriminator with batch normalization.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, settings: ObjectiveSettings
    ) -> None:
        super().__init__(generator, discriminator, settings)
        if settings.form == "exact" and (settings.r1 or settings.r2 or settings.gp):
            penalties.check_engine(discriminator, settings.engine)
        self.discriminator = discriminator

    def forward(
        self, batch: Batch, draws: Draws, weights: Weights
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (0-d) and logs (0-d, detached).

        Logs: "loss", "real_logit", "fake_logit" (means) and, where used, "r1" and "r2" (mean
        squared gradient norms) and "gp" (mean squared distance of the norm from 1), unweighted;
        "auxiliary" for a discriminator with a method ``auxiliary_loss(real)``, which is added.
        Gradients reach the discriminator alone; penalties are taken with respect to the pictures
        before augmentation.
        """
        real, real_labels, use = batch.images, batch.labels, self.settings
        fake_labels = real_labels if draws.labels is None else draws.labels  # (N,) or None
        with torch.no_grad():
            fake = self._generate(draws.z, fake_labels)  # (N, ...)
        net, low = self.discriminator, not use.finite_differences  # bfloat16 would drown them
        judge_real = self._critic(net, real_labels, draws.augment_real, low)
        judge_fake = self._critic(net, fake_labels, draws.augment_fake, low)
        noise = (None, None) if draws.noise is None else draws.noise.unbind(1)  # (N, ...) each
        r, r_slope = self._evaluate(judge_real, real, use.r1, noise[0])  # (N,), (N,) or None
        f, f_slope = self._evaluate(judge_fake, fake, use.r2, noise[1])  # (N,), (N,) or None
        loss = self.loss.discriminator(r, f)  # 0-d
        logs = {"real_logit": r.mean(), "fake_logit": f.mean()}
        if r_slope is not None:
            loss, logs["r1"] = loss + penalties.r1(r_slope, weights.r1), r_slope.mean()
        if f_slope is not None:
            loss, logs["r2"] = loss + penalties.r2(f_slope, weights.r2), f_slope.mean()
        if use.gp:
            gap = self._gap_between(judge_real, real, fake, draws.mix)  # (N,)
            loss, logs["gp"] = loss + penalties.wgan_gp(gap, weights.gp), gap.mean()
        if hasattr(net, "auxiliary_loss"):  # what D learns from real pictures besides judging
            with self._autocast(real.device):
                extra: Tensor = net.auxiliary_loss(real)  # type: ignore[operator]
            logs["auxiliary"] = penalties.full_precision(extra)  # 0-d
            loss = loss + logs["auxiliary"]
        logs["loss"] = loss
        return loss, {name: value.detach() for name, value in logs.items()}

    def _evaluate(
        self, critic: penalties.Critic, x: Tensor, penalize: bool, noise: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits (N,) and, where the slope is penalized, squared gradient norms (N,)."""
        if not penalize:
            return critic(x), None
        if self.settings.form == "exact":  # one evaluation serves the loss and the penalty
            logits, gradient = penalties.logits_and_gradient(critic, x, self.settings.engine)
            return logits, penalties.squared_norm(gradient)
        if noise is None:
            raise GanBookError("Finite differences need noise; draw it with the same settings.")
        return penalties.finite_difference_squared_norm(critic, x, noise, self.settings.epsilon)

    def _gap_between(
        self, critic: penalties.Critic, real: Tensor, fake: Tensor, mix: Tensor | None
    ) -> Tensor:
        """How far the slope is from 1 between real and fake pictures, squared: (N,)."""
        if mix is None:
            raise GanBookError("WGAN-GP needs mixing numbers; draw them with the same settings.")
        between = penalties.interpolate(real, fake, mix)  # (N, ...)
        _, gradient = penalties.logits_and_gradient(critic, between, self.settings.engine)
        return penalties.squared_norm_gap(gradient)


class GeneratorObjective(_Objective):
    """The generator's loss; registers the generator's parameters only.

    Raises:
        GanBookError: if path lengths are asked of a generator without a mapping network.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, settings: ObjectiveSettings
    ) -> None:
        super().__init__(generator, discriminator, settings)
        need(
            not settings.path_length or hasattr(generator, "path_mean"),
            "Path length regularization needs a generator with a mapping network: 'stylegan'.",
        )
        self.generator = generator

    def forward(
        self, batch: Batch, draws: Draws, weights: Weights
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (0-d) and logs (0-d, detached): "loss" and, where used, "path_length".

        Gradients reach the generator alone: the discriminator is called with detached parameters,
        so that their gradients are not even computed. It sees the real pictures only where the
        loss compares with them. ``weights`` has no effect here; both objectives are called alike.
        """
        labels = batch.labels if draws.labels is None else draws.labels  # (N,) or None
        judge = frozen(self._networks[1])
        fake = self._generate(draws.z, labels)  # (N, ...)
        f = r = self._critic(judge, labels, draws.augment_fake)(fake)  # (N,)
        if self.loss.needs_real:
            r = self._critic(judge, batch.labels, draws.augment_real)(batch.images)  # (N,)
        loss = self.loss.generator(r, f)  # 0-d
        logs = {}
        if self.settings.path_length:
            how = self.settings.path_length, self.settings.engine
            with self._autocast(fake.device, enabled=False):
                extra, logs["path_length"] = penalties.path_regularization(
                    self.generator, draws.z, labels, draws.path, *how
                )
            loss = loss + extra
        return loss, logs | {"loss": loss.detach()}


def frozen(net: nn.Module) -> Callable[..., Tensor]:
    """``net`` as a function through which gradients pass, but which do not reach its parameters."""
    numbers = {name: value.detach() for name, value in net.named_parameters()}
    return lambda *inputs: torch.func.functional_call(net, numbers, inputs)


def _call(network: Network, x: Tensor, labels: Tensor | None) -> Tensor:
    return network(x) if labels is None else network(x, labels)


def _map(tree: Any, change: Any) -> Any:
    """Apply ``change`` to every tensor of nested (named) tuples; None stays None."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, tuple):
        parts = [_map(part, change) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree
