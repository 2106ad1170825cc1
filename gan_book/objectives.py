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
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gan_book import augment, losses, penalties
from gan_book.augment import AugmentDraws
from gan_book.draws import Draws as Draws
from gan_book.draws import Weights as Weights
from gan_book.draws import draw as draw
from gan_book.draws import shard as shard
from gan_book.errors import GanBookError, known, need

if TYPE_CHECKING:
    from gan_book.data.batches import Batch

Network = Callable[..., Tensor]
FORMS = ("exact", "finite-difference")


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
            finite differences the discriminator stays in float32 in its own step, too.
        epsilon: step length of finite differences.
        path_length: weight of path length regularization, for a generator with a mapping network.
        levels: K > 1 for networks built with that many levels (``models.transformer``): D judges
            all K pictures of the generator at once, all but the last under noise.

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
    levels: int = 1

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
        need(
            self.levels == 1 or (self.form == "exact" and not self.gp),
            "Several levels go with exact R1 and R2, not with finite differences or WGAN-GP.",
        )
        need(self.epsilon > 0, f"The step of differences must be positive, not {self.epsilon}.")

    @property
    def finite_differences(self) -> bool:
        """Whether a penalty is estimated by finite differences, which need noise."""
        return self.form == "finite-difference" and (self.r1 or self.r2)


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
        found = [getattr(net, "levels", 1) for net in self._networks]
        need(
            found == [settings.levels] * 2,
            f"Generator, discriminator and objective must have as many levels, not {found[0]}, "
            f"{found[1]} and {settings.levels}.",
        )

    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        every = {"every": True} if self.settings.levels > 1 else {}
        with self._autocast(z.device):
            pictures = _call(self._networks[0], z, labels, **every)  # (N, [K,] ...)
            return penalties.full_precision(pictures)

    def _critic(
        self,
        network: Network,
        labels: Tensor | None,
        draws: AugmentDraws | None,
        noise: Tensor | None = None,
        autocast: bool = True,
    ) -> penalties.Critic:
        """D as a function of pictures before augmentation and noise: (N, [K,] ...) -> (N,)."""
        more = {} if noise is None else {"noise": noise}

        def critic(images: Tensor) -> Tensor:
            with self._autocast(images.device, autocast):
                seen = images if draws is None else augment.apply(images, draws)  # (N, ...)
                return penalties.full_precision(_call(network, seen, labels, **more))  # (N,)

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
        on_real, on_fake = _halves(draws.levels)  # (N, K - 1, ...) or None
        judge_real = self._critic(net, real_labels, draws.augment_real, on_real, low)
        judge_fake = self._critic(net, fake_labels, draws.augment_fake, on_fake, low)
        noise = _halves(draws.noise)  # (N, ...) or None
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
        on_real, on_fake = _halves(draws.levels)  # (N, K - 1, ...) or None
        f = r = self._critic(judge, labels, draws.augment_fake, on_fake)(fake)  # (N,)
        if self.loss.needs_real:
            judge_real = self._critic(judge, batch.labels, draws.augment_real, on_real)
            r = judge_real(batch.images)  # (N,)
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
    return lambda *inputs, **more: torch.func.functional_call(net, numbers, inputs, more)


def _call(network: Network, x: Tensor, labels: Tensor | None, **more: Any) -> Tensor:
    return network(x, **more) if labels is None else network(x, labels, **more)


def _halves(noise: Tensor | None) -> Any:
    """What is meant for real and for generated pictures, of (N, 2, ...); or twice None."""
    return (None, None) if noise is None else noise.unbind(1)
