"""Fit one objective by one optimizer: a VAE, a diffusion model, a game whose loss is routed.

The schedule and the moving average are those of the games, so that a comparison compares methods.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoints as files
from .errors import need
from .recipes.schema import Ramp
from .training import update_average

PARTS = 1_000_000  # the learning rate's schedule counts millionths of the whole fit


@dataclass
class Fit:
    """What a fit did.

    average: exponential moving average of the whole objective, its networks included.
    log: for each log point "step" and the mean of each log since the one before.
    steps, images: done so far; images are training samples shown, repetitions counted.
    seconds: processor time of the steps, without callbacks.
    """

    average: nn.Module
    log: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    images: int = 0
    seconds: float = 0.0


def fit(
    objective: nn.Module,
    next_batch: Callable[[], Tensor],
    generator: torch.Generator,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.99),
    ema_half_life: int = 0,
    every: int = 100,
    callback: Callable[[Fit], None] | None = None,
    keep: str | Path | None = None,
) -> Fit:
    """Minimize an objective by Adam for so many steps, or so many seconds of processor time.

    Args:
        objective: ``objective(x, *objective.draw(x, generator))`` returns a 0-d loss and logs, as
            ``VAEObjective`` and ``DenoisingObjective`` do. Its parameters are trained in place.
        next_batch: returns the next training samples (N, ...).
        generator: the source of the objective's noise.
        lr: learning rate at the start; it falls on half a cosine to a tenth.
        betas: Adam's two decay rates; where two players move at once the first is best 0.
        ema_half_life: of the average, in images, and at most a twentieth of those seen; 0: no
            averaging.
        every: steps between log points, where ``callback`` is called, too.
        keep: a file in which everything is kept at each log point, after ``callback``. A fit that
            finds it goes on there: bit for bit, where ``next_batch`` draws from ``generator``.

    Raises:
        GanBookError: unless one of ``steps`` and ``seconds`` is given and positive; where the loss
            is not finite at a log point; where the file is damaged or of other networks.
    """
    length = seconds if steps is None else steps
    need(
        (steps is None) != (seconds is None) and length is not None and length > 0,
        f"A fit takes a number of steps or of seconds, one of the two, not {steps} and {seconds}.",
    )
    optimizer = torch.optim.Adam(objective.parameters(), lr=lr, betas=betas)
    rate = Ramp(lr, lr / 10, PARTS)
    done = Fit(copy.deepcopy(objective).requires_grad_(False))
    if keep is not None and Path(keep).is_file():
        _go_on(keep, objective, optimizer, generator, done)
    sums: dict[str, Any] = {}
    started = time.process_time() - done.seconds
    share = (done.seconds if steps is None else done.steps) / length  # type: ignore[operator]
    while share < 1:
        optimizer.param_groups[0]["lr"] = rate.value(int(PARTS * share))
        x = next_batch()  # (N, ...)
        loss, logs = objective(x, *objective.draw(x, generator))  # type: ignore[operator]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done.steps, done.images = done.steps + 1, done.images + len(x)
        half_life = min(ema_half_life, 0.05 * done.images)
        update_average(done.average, objective, 0.5 ** (len(x) / half_life) if half_life else 0.0)
        sums = {name: sums.get(name, 0.0) + value.detach() for name, value in logs.items()}
        done.seconds = time.process_time() - started
        share = (done.seconds if steps is None else done.steps) / length  # type: ignore[operator]
        if done.steps % every == 0 or share >= 1:
            count = done.steps % every or every
            means = {name: float(total) / count for name, total in sums.items()}
            need(
                all(map(math.isfinite, means.values())),
                f"The fit diverged by step {done.steps}: {means}; try a lower learning rate.",
            )
            done.log.append({"step": done.steps, **means})
            sums, paused = {}, time.process_time()
            if callback is not None:
                callback(done)
            if keep is not None:
                _keep(keep, objective, optimizer, generator, done)
            started += time.process_time() - paused
    return done


FACTS = ("log", "steps", "images", "seconds")


def _keep(
    path: str | Path, objective: nn.Module, optimizer: torch.optim.Optimizer,
    generator: torch.Generator, done: Fit,
) -> None:  # fmt: skip
    names = [name for name, _ in objective.named_parameters()]
    parts = {
        "now": objective.state_dict(),
        "average": done.average.state_dict(),
        "adam": files.optimizer_tensors(optimizer, names),
        "draws": {"state": generator.get_state()},
    }
    tensors = {f"{part}.{k}": v for part, found in parts.items() for k, v in found.items()}
    files.save_tensors(path, tensors, {name: getattr(done, name) for name in FACTS})


def _go_on(
    path: str | Path, objective: nn.Module, optimizer: torch.optim.Optimizer,
    generator: torch.Generator, done: Fit,
) -> None:  # fmt: skip
    tensors, facts = files.load_tensors(path)
    for part, net in (("now", objective), ("average", done.average)):
        files.copy_into(net.state_dict(), files.under(tensors, part), str(path))
    names = [name for name, _ in objective.named_parameters()]
    files.load_optimizer(optimizer, names, files.under(tensors, "adam"), str(path))
    generator.set_state(tensors["draws.state"])
    for name in FACTS:
        setattr(done, name, facts[name])
