"""The rungs from the DCGAN of 2015 to a small R3GAN, and one run of one rung."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_book.data.batches import Batches, to_uint8
from gan_book.errors import need
from gan_book.metrics import density_coverage, kernel_distance
from gan_book.model import latents
from gan_book.models import DISCRIMINATORS, GENERATORS, count_parameters
from gan_book.models.layers import LEAKY_GAIN, Resample, init_normal
from gan_book.models.r3gan import ResidualBlock
from gan_book.processes import Processes
from gan_book.recipes import Recipe, recipe, recipe_names
from gan_book.training import TrainingState, all_finite, machine_settings, run_steps, start_training

from .comparison_measure import (
    REFERENCE,
    TRAIN,
    Record,
    distances,
    extractors,
    facts,
    features_of,
    picture_file,
    training_set,
)

BATCH, PARTS = 64, 8
LOOKS = (1, 2, 4)  # parts of a run after which learning curves look
EMA = 5_000  # half-life of the averages in images; results are measured without averages, too
PICTURES = 500  # of each measurement
RATES = (1e-3, 3e-3)


@dataclass(frozen=True)
class Scale:
    """One size of pictures: whose layers and penalties, and R3GAN's widths for as many weights."""

    base: str
    seconds: float  # training time of a run: of the processor, or of the clock beside a GPU
    gamma: float
    dense: tuple[int, ...]
    grouped: tuple[int, ...]


SCALES = {
    16: Scale("small-16", 30.0, 0.1, (36, 16, 8), (64, 48, 8)),
    64: Scale("dcgan-64", 600.0, 2.0, (240, 128, 64, 32, 16), (608, 416, 208, 96, 32)),
}


def rungs(scale: Scale) -> dict[str, Record]:
    """What each rung changes on the one below: settings of the recipe, and edits of networks."""

    def r3gan(widths: tuple[int, ...], group: int | str) -> Record:
        options = {"model": "r3gan", "widths": widths, "blocks": 1, "group_width": group}
        return {"generator": {**options, "z_dim": 64}, "discriminator": options}

    classic = {"batch_norm": True}
    plain = {"batch_norm": False}
    return {
        "dcgan": {
            "generator": classic,
            "discriminator": classic,
            "loss": "non-saturating",
            **{"r1": 0.0, "r2": 0.0, "beta1": 0.5, "beta2": 0.999, "d_lr_factor": 1.0},
            **{"policy": (), "augment": "none", "flip": False},
        },
        "relativistic": {"loss": "relativistic"},
        "r1": {"r1": scale.gamma},
        "r2": {"r2": scale.gamma},
        "no-norm": {"generator": plain, "discriminator": plain},
        "residual": {**r3gan(scale.dense, "dense"), "edits": (he_start, box_filters)},
        "zero-init": {"edits": (box_filters,)},
        "filter": {"edits": ()},
        "schedules": {"schedules": True},
        "grouped": r3gan(scale.grouped, 16),
    }


class Box(nn.Module):
    """Doubles by repeating pixels, halves by averaging four: what ``Resample`` improves on."""

    def __init__(self, up: bool) -> None:
        super().__init__()
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0) if self.up else F.avg_pool2d(x, 2)


def he_start(net: nn.Module) -> None:
    """Residual blocks as if they were ordinary layers: each convolution keeps E[x^2]."""
    for block in net.modules():
        if isinstance(block, ResidualBlock):
            for conv in (block.expand, block.mix, block.reduce):
                init_normal(conv.weight, LEAKY_GAIN)


def box_filters(net: nn.Module) -> None:
    """Every ``Resample`` becomes a ``Box``."""
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Resample):
                setattr(parent, name, Box(child.up))


ARCHITECTURES = ("stylegan", "transformer")  # their own recipes, NAME-SIZE
RUNGS = tuple(rungs(SCALES[16]))


def settings(name: str, size: int) -> Record:
    """Everything that the rungs up to this one say."""
    found: Record = {}
    for rung, change in rungs(SCALES[size]).items():
        for key, value in change.items():
            old = found.get(key)
            found[key] = {**old, **value} if isinstance(old, dict) else value
            if isinstance(value, dict) and "model" in value:  # other networks, other options
                found[key] = value
        if rung == name:
            break
    return found


def recipe_of(name: str, size: int, lr: float | None, steps: int) -> tuple[Recipe, Any]:
    """The recipe of a rung or an architecture for so many steps, and its edits of networks.

    Raises ``GanBookError`` where an architecture is not there (yet).
    """
    images, scale = steps * BATCH, SCALES[size]
    common: Record = {"total_images": images, "batch_size": BATCH, "ema_half_life": EMA}
    if name in ARCHITECTURES:
        own = f"{name}-{size}"
        there = name in GENERATORS and name in DISCRIMINATORS and own in recipe_names()
        need(there, f"the package has no model '{name}' with a recipe '{own}'.")
        base = recipe(own)
        stretch = images / base.total_images
        for key in ("lr", "r1", "r2", "beta2"):
            ramp = getattr(base, key)
            times = lr / ramp.start if key == "lr" and lr is not None else 1.0
            common[key] = {
                "start": ramp.start * times,
                "end": ramp.end * times,
                "images": round(ramp.images * stretch),
            }
        return recipe(base, **common), ()
    chosen = settings(name, size)
    edits = chosen.pop("edits", ())
    rate = RATES[0] if lr is None else lr
    if chosen.pop("schedules", False):
        gamma = {"start": scale.gamma, "end": scale.gamma / 5, "images": images // 2}
        chosen |= {"r1": gamma, "r2": gamma, "beta1": 0.0}
        chosen["beta2"] = {"start": 0.9, "end": 0.99, "images": images // 2}
        chosen["lr"] = {"start": rate, "end": rate / 10, "images": images}
    else:
        chosen["lr"] = rate
    return recipe(scale.base, name=f"ladder-{name}", **{**common, **chosen}), edits


def start(
    name: str, size: int, lr: float | None, seed: int, steps: int, device: torch.device
) -> TrainingState:
    """Step 0 of a run."""
    chosen, edits = recipe_of(name, size, lr, steps)
    data = training_set(TRAIN, seed, size)
    batches = Batches(data, None, BATCH, seed=seed, device=device)
    state = start_training(chosen, batches, Processes(0, 1, device), seed=seed, precision="fp32")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for edit in edits:
            for net in (state.generator, state.discriminator, state.average):
                edit(net)
    state.average.load_state_dict(state.generator.state_dict())
    return state


def clock_of(device: torch.device) -> Callable[[], float]:
    """Processor time of a CPU; beside a GPU, time on the clock once its work is done."""

    def clock() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock if device.type == "cuda" else time.process_time


@torch.no_grad()
def sampled(net: nn.Module, n: int, device: torch.device) -> Tensor:
    """Pictures uint8 (n, 3, H, W) of a generator in evaluation mode."""
    z = latents(n, int(net.z_dim), 0)  # type: ignore[arg-type]
    return torch.cat([to_uint8(net(part.to(device)).cpu()) for part in z.split(250)])


def scores(made: Tensor) -> Record:
    """KID and coverage by both extractors, against fresh real pictures."""
    found: Record = {}
    for name, net in extractors(made.shape[-1]).items():
        real, z = features_of("reference", REFERENCE, name, made.shape[-1]), net(made)
        kid, dense = kernel_distance(z, real), density_coverage(real[: len(z)], z)
        found[name] = {"kid": kid.value, "kid_error": kid.standard_error}
        found[name] |= {"coverage": dense.coverage, "density": dense.density}
    return found


def run(
    name: str,
    size: int,
    lr: float | None,
    seed: int,
    steps: int,
    device: torch.device,
    *,
    tune: bool = False,
    picture: str = "",
) -> Record:
    """Train and measure. Seconds are those of training alone; a run that diverges says so.

    ``picture``: the name under which a few generated pictures are kept.
    """
    state = start(name, size, lr, seed, steps, device)
    clock, seconds, ended = clock_of(device), 0.0, ""
    curve: list[Record] = []
    last: Record = {}
    with machine_settings(state.recipe):
        for part in range(1, PARTS + 1):
            begin = clock()
            run_steps(state, steps * part // PARTS)
            seconds += clock() - begin
            if not all_finite(state.generator, state.discriminator, state.average):
                ended = f"the weights are not finite after step {state.step}."
                break
            at = {"step": state.step, "seconds": seconds, "images": state.images}
            if part in LOOKS and not tune:
                made = sampled(state.average, 250, device)
                curve.append({**at, **distances(made, most=2_000)})
    if not ended:
        made = sampled(state.average, PICTURES, device)
        if tune:
            last["measured"] = distances(made, "validation")
        else:
            last["measured"] = scores(made)
            raw = copy.deepcopy(state.generator).eval()
            last["without_average"] = scores(sampled(raw, PICTURES, device))
            if picture:
                picture_file(made, picture, 2, grid=grid_name(size))
    return {
        "kind": "tune" if tune else "rung",
        "rung": name,
        "seed": seed,
        "lr": state.recipe.lr.start,
        "steps": state.step,
        "images": state.images,
        "training_seconds": seconds,
        "images_per_second": state.images / seconds,
        "parameters": parameters(state.generator, state.discriminator),
        "n": PICTURES,
        **last,
        "curve": curve,
        "ended": ended,
        "facts": facts(size),
    }


def parameters(generator: nn.Module, discriminator: nn.Module) -> Record:
    g, d = count_parameters(generator), count_parameters(discriminator)
    return {"generator": g, "discriminator": d, "total": g + d}


def grid_name(size: int) -> str:
    return "ladder" if size == 16 else f"ladder-{size}"
