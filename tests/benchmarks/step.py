"""How fast is our training step, beside a plain PyTorch loop? Images per second, memory, ratios.

    python tests/benchmarks/step.py                   # what this machine can do, 10 minutes
    python tests/benchmarks/step.py --recipes small-32 --seconds 6 --rounds 7

Every variant is measured against the plain loop *in the same round*: blocks of steps alternate
(plain, ours, plain, ours, ...), so that whatever else the machine does hits both alike, and the
ratio is taken round by round; given are its median, smallest and largest value. The plain loop has
the same networks, loss, penalties, optimizer and average, written as public code writes them:
eager, ``autograd.grad`` penalties, ``.item()`` on both losses each step, parameter-by-parameter
averaging; once with its pictures as floats in memory, once with a ``DataLoader`` and two workers.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

from gan_book.data.batches import Batches, to_float
from gan_book.data.imageset import ImageSet
from gan_book.models import count_parameters
from gan_book.probe import peak_memory
from gan_book.processes import Processes, resolve_device
from gan_book.recipes import Recipe, recipe
from gan_book.results import save_result
from gan_book.training import build_networks, machine_settings, run_steps, start_training

PICTURES = 1000
Block = Callable[[int], None]  # do so many steps

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "not-fused": {"fused": False},
    "channels-last": {"channels_last": True},
    "channels-first": {"channels_last": False},
    "finite-difference": {"penalty_form": "finite-difference"},
    "compiled": {"compile": True},
    "bf16": {"precision": "bf16"},
    "bf16-channels-last": {"precision": "bf16", "channels_last": True},
}
CUDA_VARIANTS: dict[str, dict[str, Any]] = {
    "cuda-graphs": {"cuda_graphs": True},
    "bf16-cuda-graphs": {"precision": "bf16", "cuda_graphs": True, "channels_last": True},
    "bf16-compiled": {"precision": "bf16", "compile": True, "channels_last": True},
    "bf16-compiled-cuda-graphs": {
        "precision": "bf16", "compile": True, "cuda_graphs": True, "channels_last": True,
    },
}  # fmt: skip


def pictures(chosen: Recipe) -> ImageSet:
    """Noise of the recipe's shape: a step costs the same whatever the pictures show."""
    rng = torch.Generator().manual_seed(0)
    shape = (PICTURES, chosen.channels, *chosen.size)
    return ImageSet(torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8))


class PlainDataset(torch.utils.data.Dataset[torch.Tensor]):
    """One picture at a time, converted in the worker: what a folder loader costs at the least."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images.images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index].float() / 127.5 - 1.0


def from_memory(images: ImageSet, batch: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Float pictures already on the device, shuffled anew each epoch."""
    everything = to_float(images.images).to(device)
    while True:
        for index in torch.randperm(len(everything), device=device).split(batch):
            if len(index) == batch:
                yield everything[index]


def from_loader(images: ImageSet, batch: int, device: torch.device) -> Iterator[torch.Tensor]:
    """The usual DataLoader with two workers."""
    loader = torch.utils.data.DataLoader(
        PlainDataset(images), batch, shuffle=True, drop_last=True, num_workers=2,
        persistent_workers=True, pin_memory=device.type == "cuda",
    )  # fmt: skip
    while True:
        for x in loader:
            yield x.to(device)


def plain_steps(chosen: Recipe, data: Iterator[torch.Tensor], device: torch.device) -> Block:
    """The loop as public code has it, for the relativistic loss with R1 and R2."""
    g, d = (net.to(device) for net in build_networks(chosen, 0))
    ema = copy.deepcopy(g).eval().requires_grad_(False)
    betas = (chosen.beta1, chosen.beta2.start)
    opt_g = torch.optim.Adam(g.parameters(), lr=chosen.lr.start, betas=betas)
    opt_d = torch.optim.Adam(d.parameters(), lr=chosen.lr.start, betas=betas)
    gamma = chosen.r1.start
    losses = [0.0, 0.0]

    def square(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean()

    def steps(count: int) -> None:
        for _ in range(count):
            real = next(data).requires_grad_()
            z = torch.randn(chosen.batch_size, int(g.z_dim), device=device)  # type: ignore[arg-type]
            fake = g(z).detach().requires_grad_()
            on_real, on_fake = d(real), d(fake)
            penalty = 0.5 * gamma * (square(on_real, real) + square(on_fake, fake))
            loss_d = F.softplus(on_fake - on_real).mean() + penalty
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
            real = next(data)
            z = torch.randn(chosen.batch_size, int(g.z_dim), device=device)  # type: ignore[arg-type]
            loss_g = F.softplus(d(real) - d(g(z))).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            losses[:] = [loss_d.item(), loss_g.item()]
            with torch.no_grad():
                for average, parameter in zip(ema.parameters(), g.parameters(), strict=True):
                    average.mul_(0.999).add_(parameter, alpha=0.001)

    return steps


def our_steps(chosen: Recipe, images: ImageSet, device: torch.device) -> Block:
    """The package's own loop with a recipe."""
    batches = Batches(images, None, chosen.batch_size, seed=0, device=device)
    precision = chosen.precision if chosen.precision in ("fp32", "bf16") else "fp32"
    state = start_training(chosen, batches, Processes(0, 1, device), seed=0, precision=precision)
    return lambda count: run_steps(state, state.step + count)


def timed(block: Block, count: int, device: torch.device) -> float:
    """Seconds for ``count`` steps, everything finished."""
    start = time.perf_counter()
    block(count)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(
    plain: Block, ours: Block, device: torch.device, seconds: float, rounds: int
) -> dict[str, Any]:
    """Alternate blocks of both; images per second are made of it by the caller."""
    first = timed(ours, 6, device)  # compiles, chooses kernels, records graphs
    timed(plain, 3, device)
    step = min(timed(ours, 3, device), timed(plain, 3, device)) / 3
    count = max(3, round(seconds / max(step, 1e-5)))
    times = []
    for i in range(rounds):
        order = (plain, ours) if i % 2 else (ours, plain)
        taken = {block: timed(block, count, device) for block in order}
        times.append((taken[plain], taken[ours]))
    ratios = sorted(p / o for p, o in times)
    return {
        "steps_a_block": count,
        "rounds": rounds,
        "plain_seconds_a_step": statistics.median(p for p, _ in times) / count,
        "our_seconds_a_step": statistics.median(o for _, o in times) / count,
        "ratio": statistics.median(ratios),
        "ratio_least": ratios[0],
        "ratio_most": ratios[-1],
        "first_steps_seconds": first,
    }


def data_share(chosen: Recipe, images: ImageSet, device: torch.device, step: float) -> float:
    """Our data path's part of a step: two batches drawn and converted, over the step."""
    batches = Batches(images, None, chosen.batch_size, seed=0, device=device)

    def draw(count: int) -> None:
        for _ in range(2 * count):
            batches.next()

    draw(5)
    return min(timed(draw, 50, device) for _ in range(5)) / 50 / step


def measure(name: str, variants: dict[str, dict[str, Any]], arguments: Any) -> None:
    """All variants of one recipe against the plain loop, each saved as soon as it is measured."""
    device = resolve_device(arguments.device)
    # the plain loop has neither augmentation nor flips, so ours is measured without them
    base = recipe(name, policy=[], augment="none", flip=False, precision="fp32")
    if arguments.batch_size:
        base = recipe(base, batch_size=arguments.batch_size)
    images = pictures(base)
    for variant, changes in variants.items():
        chosen = recipe(base, **changes)
        start = time.perf_counter()
        loaders = ("memory", "loader") if variant == "default" else ("memory",)
        for loader in loaders:
            make = from_memory if loader == "memory" else from_loader
            with machine_settings(chosen):
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                plain = plain_steps(base, make(images, base.batch_size, device), device)
                try:
                    ours = our_steps(chosen, images, device)
                    found = compare(plain, ours, device, arguments.seconds, arguments.rounds)
                except (RuntimeError, torch.OutOfMemoryError) as error:
                    print(
                        f"{name:10} {variant:26} failed: {str(error).splitlines()[0]}", flush=True
                    )
                    continue
            batch = base.images_per_step
            found["plain_images_per_second"] = batch / found["plain_seconds_a_step"]
            found["our_images_per_second"] = batch / found["our_seconds_a_step"]
            if variant == "default":
                found["data_share"] = data_share(
                    chosen, images, device, found["our_seconds_a_step"]
                )
            record = {
                "recipe": name,
                "variant": variant,
                "changes": changes,
                "plain_data": loader,
                "batch_size": batch,
                "parameters_g": count_parameters(build_networks(chosen, 0)[0]),
                "parameters_d": count_parameters(build_networks(chosen, 0)[1]),
                "peak_memory_bytes": peak_memory(device),
                "seed": 0,
                "seconds": time.perf_counter() - start,
                **found,
            }
            cell = f"{name}-{variant}-vs-{loader}-{arguments.label or device.type}"
            save_result("step", cell, record, device=device.type)
            print(
                f"{name:10} {variant:26} vs plain ({loader}): "
                f"{found['our_images_per_second']:8.1f} img/s, plain "
                f"{found['plain_images_per_second']:8.1f}, ratio {found['ratio']:.3f} "
                f"[{found['ratio_least']:.3f}, {found['ratio_most']:.3f}]",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["small-32", "dcgan-64", "r3gan-64"])
    parser.add_argument("--variants", nargs="+", default=[])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--label", default="", help="name of the machine in the result files")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one block")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=0, help="instead of the recipe's")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    cuda = resolve_device(arguments.device).type == "cuda"
    variants = VARIANTS | (CUDA_VARIANTS if cuda else {})
    if arguments.variants:
        variants = {name: variants[name] for name in arguments.variants}
    for name in arguments.recipes:
        measure(name, variants, arguments)


if __name__ == "__main__":
    main()
