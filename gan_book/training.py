"""Training: the state of a run, one update of one network, and the loop.

The loop, ``run_steps``, knows objectives, optimizers, the moving average of the generator,
schedules that count images, and callbacks; files, measuring, processes, compilation stand outside.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .augment import OverfittingController
from .data.batches import Batch, Batches
from .errors import GanBookError
from .models import build_discriminator, build_generator
from .objectives import (
    DiscriminatorObjective,
    Draws,
    GeneratorObjective,
    ObjectiveSettings,
    Weights,
    draw,
    shard,
)
from .processes import Processes
from .recipes.schema import Recipe


class Callback(Protocol):
    """Called after every step, in the order given, with the state and both objectives' logs.

    Logs are 0-d tensors on the device: reading one waits for it, so callbacks do that rarely.
    """

    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None: ...


class Update:
    """One optimizer step of one network: ``update(batch, draws, weights) -> logs``.

    The objective's ``loss`` is logged as ``loss_name``, so that both networks' logs fit one table.
    """

    def __init__(
        self, objective: nn.Module, optimizer: torch.optim.Optimizer, loss_name: str
    ) -> None:
        self.objective, self.optimizer, self.loss_name = objective, optimizer, loss_name

    def __call__(self, batch: Batch, draws: Draws, weights: Weights) -> dict[str, Tensor]:
        loss, logs = self.objective(batch, draws, weights)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        logs[self.loss_name] = logs.pop("loss")
        return logs


@dataclass
class TrainingState:
    """Everything that changes during a run, and what is needed to change it."""

    recipe: Recipe
    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module  # exponential moving average of the generator: what a run delivers
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    update_g: Callable[[Batch, Draws, Weights], dict[str, Tensor]]
    update_d: Callable[[Batch, Draws, Weights], dict[str, Tensor]]
    batches: Batches
    settings: ObjectiveSettings
    rng: torch.Generator  # z and augmentation, of the global batch
    processes: Processes
    controller: OverfittingController | None
    p: Tensor  # 0-d: probability of augmentation
    weights: Weights
    step: int = 0
    images: int = 0  # real images shown to the discriminator

    def set_schedules(self) -> None:
        """Learning rates, beta2, penalty weights and p as they are at this many images."""
        recipe, now = self.recipe, self.images
        rate = recipe.lr.value(now)
        for optimizer, factor in ((self.optimizer_g, 1.0), (self.optimizer_d, recipe.d_lr_factor)):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # a CUDA graph reads it from this place
                    group["lr"].fill_(rate * factor)
                else:
                    group["lr"] = rate * factor
                    group["betas"] = (recipe.beta1, recipe.beta2.value(now))
        for weight, ramp in zip(self.weights, (recipe.r1, recipe.r2, recipe.gp), strict=True):
            weight.fill_(ramp.value(now))
        if self.controller is None:
            self.p.fill_(recipe.augment_p.value(now))

    def draw(self) -> Draws:
        """z and augmentation draws of this process: its slice of the global batch's."""
        recipe = self.recipe
        draws = draw(
            self.settings,
            recipe.batch_size,
            int(self.generator.z_dim),  # type: ignore[arg-type]
            recipe.sample_shape,
            self.p,
            self.rng,
            self.processes.device,
        )
        return shard(draws, self.processes.rank, self.processes.world)

    def ema_decay(self) -> float:
        """beta = 0.5 ** (images of a step / half-life); half-life <= rampup * images seen."""
        recipe = self.recipe
        half_life = float(recipe.ema_half_life)
        if recipe.ema_rampup > 0:
            half_life = min(half_life, recipe.ema_rampup * max(self.images, recipe.batch_size))
        return 0.5 ** (recipe.images_per_step / half_life) if half_life > 0 else 0.0


def run_steps(state: TrainingState, until: int, callbacks: Sequence[Callback] = ()) -> None:
    """Train to step ``until``: D on real and generated pictures, then G against the new D."""
    while state.step < until:
        state.set_schedules()
        for _ in range(state.recipe.d_steps):
            logs = state.update_d(state.batches.next(), state.draw(), state.weights)
        # a fresh real batch: G's relativistic loss must not reuse what D has just learned from
        logs = logs | state.update_g(state.batches.next(), state.draw(), state.weights)
        update_average(state.average, state.generator, state.ema_decay())
        state.step += 1
        state.images += state.recipe.images_per_step
        for callback in callbacks:
            callback(state, logs)


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * net for parameters; buffers are copied.

    Copied because a running statistic is already an average, and a filter or counter is no number
    to be averaged at all.
    """
    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1.0 - decay)
    for mine, other in zip(average.buffers(), net.buffers(), strict=True):
        mine.copy_(other)


def build_networks(recipe: Recipe, seed: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator of a recipe, initialized from ``seed``, on the CPU.

    The global random state is forked: what the caller draws afterwards does not change. Raises
    ``GanBookError`` for options that cannot be built or do not fit the recipe's samples.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nets = []
        for build, table in (
            (build_generator, recipe.generator),
            (build_discriminator, recipe.discriminator),
        ):
            net = build(**recipe.network_options(table))
            if net.sample_shape != recipe.sample_shape:
                raise GanBookError(
                    f"The recipe '{recipe.name}' wants samples {recipe.sample_shape}, its "
                    f"'{table['model']}' is built for {net.sample_shape}; change its options."
                )
            nets.append(net)
    return nets[0], nets[1]


def choose_precision(recipe: Recipe, device: torch.device) -> str:
    """``fp32`` or ``bf16`` for this recipe on this device.

    ``auto``: bf16 on GPUs with bf16 units (Ampere and later), else fp32. ``probe`` also lets a CPU
    use bf16 if a short measurement finds it at least 1.15 times faster: with bf16 units it was 1.2
    to 1.6 times faster, without them 2 to 10 times slower (measured in the chapter Speed).
    """
    if recipe.precision in ("fp32", "bf16"):
        return recipe.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if recipe.precision == "auto" or recipe.points:
        return "fp32"
    from .probe import measure_precision

    return measure_precision(recipe, device)


def start_training(
    recipe: Recipe, batches: Batches, processes: Processes, *, seed: int, precision: str
) -> TrainingState:
    """Everything for step 0: networks, optimizers, objectives, random draws."""
    device = processes.device
    generator, discriminator = build_networks(recipe, seed)
    layout = torch.channels_last if recipe.channels_last and not recipe.points else None
    for net in (generator, discriminator):
        net.to(device)
        if layout is not None:
            net.to(memory_format=layout)  # type: ignore[call-overload]
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    settings = ObjectiveSettings(
        loss=recipe.loss,
        r1=recipe.r1.start + recipe.r1.end > 0,
        r2=recipe.r2.start + recipe.r2.end > 0,
        gp=recipe.gp.start + recipe.gp.end > 0,
        form=recipe.penalty_form,
        engine="func" if recipe.compile else "autograd",
        policy=recipe.policy,
        autocast=torch.bfloat16 if precision == "bf16" else None,
        path_length=recipe.path_length,
        levels=getattr(generator, "levels", 1),
    )
    graphs = recipe.cuda_graphs and device.type == "cuda" and processes.world == 1
    updates, optimizers = [], []
    for net, objective_class, loss_name in (
        (generator, GeneratorObjective, "g_loss"),
        (discriminator, DiscriminatorObjective, "d_loss"),
    ):
        optimizer = torch.optim.Adam(
            net.parameters(),
            lr=torch.tensor(recipe.lr.value(0), device=device) if graphs else recipe.lr.value(0),
            betas=(recipe.beta1, recipe.beta2.value(0)),
            eps=recipe.eps,
            fused=recipe.fused or None,
            capturable=graphs,
        )
        objective = objective_class(generator, discriminator, settings)
        if recipe.compile:
            objective = torch.compile(objective, fullgraph=True, dynamic=False)  # type: ignore[assignment]
        update: Any = Update(processes.wrap(objective), optimizer, loss_name)
        if graphs or recipe.accumulate > 1:
            from .accumulation import arranged

            update = arranged(update, recipe.accumulate, graphs)
        updates.append(update)
        optimizers.append(optimizer)
    return TrainingState(
        recipe=recipe,
        generator=generator,
        discriminator=discriminator,
        average=average,
        optimizer_g=optimizers[0],
        optimizer_d=optimizers[1],
        update_g=updates[0],
        update_d=updates[1],
        batches=batches,
        settings=settings,
        rng=torch.Generator(device).manual_seed(seed + 1),
        processes=processes,
        controller=OverfittingController(target=recipe.augment_target, device=device)
        if recipe.augment == "adaptive"
        else None,
        p=torch.zeros((), device=device),
        weights=Weights(*(torch.zeros((), device=device) for _ in range(3))),
    )


@contextmanager
def machine_settings(recipe: Recipe) -> Iterator[None]:
    """Threads as the recipe asks and full fp32 (no TF32) inside; everything put back after.

    Second derivatives of the penalties lose too much to TF32's ten-bit mantissa. Memory that runs
    out inside, on the device or the host, becomes a ``GanBookError``.
    """
    threads = torch.get_num_threads()
    tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    benchmark = torch.backends.cudnn.benchmark
    if recipe.cpu_threads:
        torch.set_num_threads(recipe.cpu_threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise GanBookError(
                f"The recipe '{recipe.name}' does not fit into this device's memory; "
                f"try a smaller batch_size than {recipe.batch_size} or a smaller recipe."
            ) from error
        raise
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = benchmark


class Guard:
    """Averages the logs, and at log points stops a run that has diverged, with a diagnosis.

    ``report(state, averages)`` receives the mean of each log since the last log point.
    """

    def __init__(
        self, every: int, report: Callable[[TrainingState, dict[str, float]], None]
    ) -> None:
        self.every, self.report = every, report
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        for name, value in logs.items():
            total = self.sums.get(name)
            self.sums[name] = value.clone() if total is None else total.add_(value)
        self.count += 1
        if state.step % self.every == 0:
            self.flush(state)

    def flush(self, state: TrainingState) -> None:
        """Read the averages (the only place that waits for the device), check and report them."""
        if not self.count:
            return
        names = list(self.sums)
        sums = torch.stack([self.sums[name].float() for name in names])
        means = (state.processes.mean(sums) / self.count).tolist()
        self.sums, self.count = {}, 0
        averages = dict(zip(names, means, strict=True))
        bad = [name for name, value in averages.items() if not math.isfinite(value)]
        if bad or abs(averages["d_loss"]) > 1e8:
            raise TrainingDiverged(diagnosis(state, averages, bad))
        self.report(state, averages)


class TrainingDiverged(GanBookError):
    """Losses or weights are not finite, or D's loss is huge; the message says what to try."""


def diagnosis(state: TrainingState, averages: dict[str, float], bad: list[str]) -> str:
    """One paragraph: what went wrong, when, and the settings to try."""
    recipe = state.recipe
    what = f"{', '.join(bad)} not finite" if bad else f"d_loss {averages['d_loss']:.3g}"
    used = [name for name in Weights._fields if getattr(state.settings, name)]
    now = " and ".join(f"{name} (now {getattr(state.weights, name).item():g})" for name in used)
    advice = f"raise {now}" if used else "add a gradient penalty (this recipe has none: r1 and r2)"
    last = "or precision = 'fp32'" if state.settings.autocast else "or a larger batch"
    return (
        f"Training diverged by step {state.step} ({state.images} images): {what}. "
        f"Try a lower learning rate (now {recipe.lr.value(state.images):g}), {advice}, {last}."
    )


def all_finite(*nets: nn.Module) -> bool:
    """Whether every parameter and buffer is finite: checked before a checkpoint is written."""
    tensors = [t for net in nets for t in (*net.parameters(), *net.buffers())]
    flags = [torch.isfinite(t).all() for t in tensors if t.is_floating_point()]
    return bool(torch.stack(flags).all())
