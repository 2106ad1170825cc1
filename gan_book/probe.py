"""Short measurements before a run: how fast a step is, how much it takes, and whether bf16 pays."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass

import torch

from .data.batches import Batches
from .data.imageset import ImageSet
from .models import count_parameters
from .processes import Processes
from .recipes.schema import Recipe
from .training import TrainingState, choose_precision, machine_settings, run_steps, start_training

GAIN_NEEDED = 1.15  # bf16 must be this much faster than fp32 before a recipe gives up digits for it


@dataclass(frozen=True)
class DryRun:
    """What a run would be and cost: counts, bytes, images per second, seconds to its end."""

    precision: str
    parameters_g: int
    parameters_d: int
    memory_bytes: int  # peak: of the GPU's allocator, or of this process on a CPU
    images_per_second: float
    seconds_to_end: float


def seconds_per_step(state: TrainingState, seconds: float = 3.0, at_least: int = 3) -> float:
    """Median seconds of a training step, after two (six with CUDA graphs) that do not count."""
    device = state.processes.device

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    warm_up = 6 if state.recipe.cuda_graphs else 2
    run_steps(state, state.step + warm_up)
    wait()
    times: list[float] = []
    while len(times) < at_least or sum(times) < seconds:
        start = time.perf_counter()
        run_steps(state, state.step + 1)
        wait()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _picture_set(recipe: Recipe, n: int = 64) -> ImageSet:
    """Gray pictures of the recipe's shape: the cost of a step does not depend on what they show."""
    labels = torch.arange(n) % recipe.num_classes if recipe.num_classes else None
    return ImageSet(
        torch.full((n, recipe.channels, *recipe.size), 127, dtype=torch.uint8), labels=labels
    )


def measure_precision(recipe: Recipe, device: torch.device, seconds: float = 1.0) -> str:
    """``bf16`` if a step of this recipe is at least 1.15 times faster with it here, else ``fp32``.

    Two throw-away trainings on gray pictures; the run's own random numbers are not touched.
    """
    processes = Processes(0, 1, device)
    cost = {}
    with machine_settings(recipe):
        for precision in ("fp32", "bf16"):
            batches = Batches(_picture_set(recipe), None, recipe.batch_size, seed=0, device=device)
            state = start_training(recipe, batches, processes, seed=0, precision=precision)
            cost[precision] = seconds_per_step(state, seconds)
    return "bf16" if cost["fp32"] >= GAIN_NEEDED * cost["bf16"] else "fp32"


def peak_memory(device: torch.device) -> int:
    """Bytes: the most this process has held, on the GPU or, for a CPU, in memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def dry_run(recipe: Recipe, batches: Batches, seconds: float = 3.0) -> DryRun:
    """Start a training on the device of the batches, measure a few steps, throw it away."""
    device = batches.device
    precision, alone = choose_precision(recipe, device), Processes(0, 1, device)
    with machine_settings(recipe):
        state = start_training(recipe, batches, alone, seed=0, precision=precision)
        speed = recipe.images_per_step / seconds_per_step(state, seconds)
    return DryRun(
        precision,
        count_parameters(state.generator),
        count_parameters(state.discriminator),
        peak_memory(device),
        speed,
        recipe.total_images / speed,
    )
