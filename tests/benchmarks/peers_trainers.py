"""The competitors, each behind the same four things: a step, its pictures, its networks, its clock.

A peer's networks, losses, optimizers and steps are its own code, called as its own loop calls them;
the batches come from us, and so does an average of the generator's weights, which neither peer has:
both are measured, with it and without.

The peers are no dependency of this project. An environment for them, beside the project's own:

    pip install --no-deps torch-mimicry torchgan
    pip install tensorboard scikit-image

``--no-deps`` because torch-mimicry asks for TensorFlow, whose library ends the process when it is
loaded after PyTorch's. What has to be put right to run it today is in ``mimicry``, below.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import sys
import tempfile
import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_book.data.batches import Batches, to_uint8
from gan_book.data.imageset import ImageSet
from gan_book.errors import GanBookError
from gan_book.model import latents
from gan_book.models import count_parameters
from gan_book.processes import Processes
from gan_book.recipes import Recipe, recipe
from gan_book.training import TrainingState, run_steps, start_training, update_average

from .peers_rows import BASES, EMA, Options

HINT = "pip install --no-deps torch-mimicry torchgan; pip install tensorboard scikit-image"
CPU = torch.device("cpu")


class Trainer(ABC):
    """What the benchmark asks of a competitor; the subclasses set these and say what a step is."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module  # of the generator's weights, in evaluation mode
    z_dim: int
    device: torch.device = CPU
    images: int = 0  # real pictures that the discriminator has seen

    @abstractmethod
    def step(self) -> None:
        """One update of the generator, with those of the discriminator that belong to it."""

    def parameters(self) -> Options:
        g, d = count_parameters(self.generator), count_parameters(self.discriminator)
        return {"generator": g, "discriminator": d, "total": g + d}

    @torch.no_grad()
    def sample(self, n: int, averaged: bool = True) -> Tensor:
        """Pictures uint8 (n, 3, H, W) of the averaged weights, or of those just trained."""
        net = self.average if averaged else copy.deepcopy(self.generator).eval()
        z = latents(n, self.z_dim, 0)
        return torch.cat([to_uint8(net(part.to(self.device)).cpu()) for part in z.split(250)])


class Ours(Trainer):
    """A recipe of the package in the package's loop; its schedules end with the run."""

    def __init__(
        self, data: ImageSet, seed: int, steps: int, options: Options, device: torch.device
    ) -> None:
        made = recipe_for(data.images.shape[-1], steps, options)
        self.device = device
        batches = Batches(data, None, made.batch_size, seed=seed, device=device)
        alone, precision = Processes(0, 1, device), made.precision
        self.state: TrainingState = start_training(
            made, batches, alone, seed=seed, precision=precision
        )
        self.generator, self.average = self.state.generator, self.state.average
        self.discriminator, self.z_dim = self.state.discriminator, int(self.generator.z_dim)  # type: ignore[arg-type]

    def step(self) -> None:
        run_steps(self.state, self.state.step + 1)
        self.images = self.state.images


def recipe_for(size: int, steps: int, options: Options) -> Recipe:
    """Our recipe of a size for so many steps, with a setting's changes.

    ``rate`` multiplies the recipe's own learning rates, ``lr`` replaces them by a constant.
    """
    base, images = recipe(BASES[size], size=(size, size)), steps * options["batch"]
    changes: Options = {
        "name": "peers",
        "batch_size": options["batch"],
        "total_images": images,
        "ema_half_life": EMA,
        "precision": options.get("precision", "fp32"),
    }
    for key in ("lr", "r1", "r2"):
        ramp, times = getattr(base, key), options.get("rate", 1.0) if key == "lr" else 1.0
        share = round(ramp.images * images / base.total_images)
        changes[key] = {"start": ramp.start * times, "end": ramp.end * times, "images": share}
    for key, value in options.get("changes", {}).items():
        old = getattr(base, key)
        changes[key] = {**old, **value} if isinstance(value, dict) else value
    if "lr" in options:
        changes["lr"] = options["lr"]
    return recipe(base, **changes)


class Peer(Trainer):
    """A competitor with code of its own: batches from us, and averaged weights beside its own."""

    def start(self, data: ImageSet, seed: int, batch: int, images_per_step: int) -> None:
        """Batches and average, once the networks stand."""
        self.batches = Batches(data, None, batch, seed=seed, device=self.device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.per_step = images_per_step

    def averaged(self) -> None:
        """After a step: count its images, follow with the average as our own loop does."""
        half_life = min(EMA, 0.05 * max(self.images, self.per_step))
        update_average(self.average, self.generator, 0.5 ** (self.per_step / half_life))
        self.images += self.per_step


class Mimicry(Peer):
    """torch-mimicry's SNGAN: hinge loss, spectral norm, Adam, learning rates that fall to zero.

    The step is that of its ``Trainer.train``, which wants a data loader with labels and writes
    files; so its ``train_step`` and its ``LRScheduler`` are called here in the order of that loop.
    """

    def __init__(
        self, data: ImageSet, seed: int, steps: int, options: Options, device: torch.device
    ) -> None:
        sngan, training = mimicry()
        torch.manual_seed(seed)
        self.generator = sngan.SNGANGenerator32(ngf=options["ngf"])
        self.discriminator = sngan.SNGANDiscriminator32(ndf=options["ndf"])
        self.z_dim, self.log = int(self.generator.nz), training.metric_log.MetricLog  # type: ignore[arg-type]
        adam = {"lr": options["lr"], "betas": (0.0, 0.9)}
        self.opt_g = torch.optim.Adam(self.generator.parameters(), **adam)
        self.opt_d = torch.optim.Adam(self.discriminator.parameters(), **adam)
        self.scheduler = training.scheduler.LRScheduler(
            lr_decay="linear", optD=self.opt_d, optG=self.opt_g, num_steps=steps
        )
        self.n_dis, self.done = options["n_dis"], 0
        self.start(data, seed, options["batch"], options["batch"] * self.n_dis)

    def step(self) -> None:
        log = self.log()
        for _ in range(self.n_dis):
            real = self.batches.next().images
            batch = (real, torch.zeros(len(real)))
            log = self.discriminator.train_step(  # type: ignore[operator]
                real_batch=batch, netG=self.generator, optD=self.opt_d, log_data=log, device=CPU
            )
        log = self.generator.train_step(  # type: ignore[operator]
            real_batch=batch, netD=self.discriminator, optG=self.opt_g, log_data=log, device=CPU
        )
        self.done += 1
        self.scheduler.step(log_data=log, global_step=self.done)
        self.averaged()


class TorchGAN(Peer):
    """torchgan's DCGAN: its Trainer with the minimax losses, its ``train_iter`` for each batch."""

    def __init__(
        self, data: ImageSet, seed: int, steps: int, options: Options, device: torch.device
    ) -> None:
        need_package("torchgan")
        losses, models = (importlib.import_module(f"torchgan.{m}") for m in ("losses", "models"))
        trainer = importlib.import_module("torchgan.trainer")
        torch.manual_seed(seed)
        adam = {"name": torch.optim.Adam, "args": {"lr": options["lr"], "betas": (0.5, 0.999)}}
        width = {"step_channels": options["step"]}
        nets = {"generator": models.DCGANGenerator, "discriminator": models.DCGANDiscriminator}
        with tempfile.TemporaryDirectory() as folder:  # it makes its folders at once
            self.trainer = trainer.Trainer(
                {k: {"name": net, "args": width, "optimizer": adam} for k, net in nets.items()},
                [losses.MinimaxGeneratorLoss(), losses.MinimaxDiscriminatorLoss()],
                device=CPU,
                checkpoints=f"{folder}/gan",
                recon=folder,
            )
        self.generator, self.discriminator = self.trainer.generator, self.trainer.discriminator
        self.z_dim = int(self.generator.encoding_dims)  # type: ignore[arg-type]
        self.trainer.batch_size = options["batch"]
        self.start(data, seed, options["batch"], options["batch"])

    def step(self) -> None:
        self.trainer.real_inputs = self.batches.next().images
        loss_g, loss_d, times_g, times_d = self.trainer.train_iter()
        told = self.trainer.loss_information  # what decides whose turn it is
        told["generator_losses"] += loss_g
        told["discriminator_losses"] += loss_d
        told["generator_iters"] += times_g
        told["discriminator_iters"] += times_d
        self.averaged()


def need_package(name: str) -> None:
    """Raises ``GanBookError`` where a peer is not installed, with what to do."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(name)
    except ImportError as error:
        raise GanBookError(f"{name} does not load here ({error}); {HINT}") from error


def mimicry() -> tuple[Any, Any]:
    """torch-mimicry's ``nets.sngan`` and ``training``.

    Put right: two of its parts, of which nothing here is used, do not load today and stay out.
    ``datasets`` asks for ``torch._six``, gone since PyTorch 2.0; ``metrics`` for TensorFlow.
    """
    for part in ("datasets", "metrics"):
        sys.modules.setdefault(f"torch_mimicry.{part}", types.ModuleType(part))
    need_package("torch_mimicry")
    return tuple(importlib.import_module(f"torch_mimicry.{m}") for m in ("nets.sngan", "training"))  # type: ignore[return-value]


TRAINERS: dict[str, Callable[[ImageSet, int, int, Options, torch.device], Trainer]] = {
    "ours": Ours,
    "mimicry": Mimicry,
    "torchgan": TorchGAN,
}
