"""How fast is our training step, beside a plain PyTorch loop? Images per second, memory, ratios.

    python tests/benchmarks/step.py                   # what this machine can do, 15 minutes
    python tests/benchmarks/step.py --recipes small-32 --seconds 6 --rounds 7
    python tests/benchmarks/step.py --recipes r3gan-64 --batch-sizes 64 256 --label h200   # a GPU

Every variant is measured against the plain loop *in the same round*: blocks of steps alternate
(plain, ours, plain, ours, ...), so that whatever else the machine does hits both alike, and the
ratio is taken round by round; given are its median, smallest and largest value. The plain loop has
the same networks, loss, penalties, optimizer and average, written as public code writes them:
eager, ``autograd.grad`` penalties, ``.item()`` on both losses each step, parameter-by-parameter
averaging; once with its pictures as floats in memory, once with a ``DataLoader`` and two workers.
On a GPU a second rival is the same loop tuned: bf16, fused Adam, channels last, no ``.item()``.

Beside the speed each cell holds how far the weights are from those of the default in fp32 after 20
steps, the bytes kept for the backward pass, and the share of the machine's limit: what the step's
operations and bytes take at the rates that ``step_work.ceilings`` finds in the same run.
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
from gan_book.training import (
    TrainingState,
    build_networks,
    choose_precision,
    machine_settings,
    run_steps,
    start_training,
)
from tests.benchmarks.lazy import make_lazy
from tests.benchmarks.step_work import ceilings, least_seconds, parts, saved_bytes, work

PICTURES = 1000
EQUAL_STEPS = 20
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
    "lazy-4": {"every": 4},
    "lazy-16": {"every": 16},
    "bf16-lazy-4": {"precision": "bf16", "every": 4},
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


def plain_steps(
    chosen: Recipe, data: Iterator[torch.Tensor], device: torch.device, tuned: bool = False
) -> Block:
    """The loop as public code has it, for the relativistic loss with R1 and R2.

    ``tuned``: as somebody writes it who knows the usual advice: bf16 autocast, fused Adam, channels
    last, losses read only at the end of a block.
    """
    g, d = (net.to(device) for net in build_networks(chosen, 0))
    if tuned:
        for net in (g, d):
            net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = copy.deepcopy(g).eval().requires_grad_(False)
    options: dict[str, Any] = {"lr": chosen.lr.start, "fused": tuned or None}
    options["betas"] = (chosen.beta1, chosen.beta2.start)
    opt_g = torch.optim.Adam(g.parameters(), **options)
    opt_d = torch.optim.Adam(d.parameters(), **options)
    gamma = chosen.r1.start
    losses = [0.0, 0.0]
    low = torch.autocast(device.type, torch.bfloat16, enabled=tuned)

    def square(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return gradient.square().sum((1, 2, 3)).mean()

    def steps(count: int) -> None:
        for _ in range(count):
            real = next(data).requires_grad_()
            z = torch.randn(chosen.batch_size, int(g.z_dim), device=device)  # type: ignore[arg-type]
            with low:
                fake = g(z).detach().float().requires_grad_()
                on_real, on_fake = d(real).float(), d(fake).float()
            penalty = 0.5 * gamma * (square(on_real, real) + square(on_fake, fake))
            loss_d = F.softplus(on_fake - on_real).mean() + penalty
            opt_d.zero_grad()
            loss_d.backward()
            opt_d.step()
            real = next(data)
            z = torch.randn(chosen.batch_size, int(g.z_dim), device=device)  # type: ignore[arg-type]
            with low:
                loss_g = F.softplus(d(real).float() - d(g(z)).float()).mean()
            opt_g.zero_grad()
            loss_g.backward()
            opt_g.step()
            if not tuned:
                losses[:] = [loss_d.item(), loss_g.item()]
            with torch.no_grad():
                pair = list(ema.parameters()), list(g.parameters())
                if tuned:
                    torch._foreach_lerp_(*pair, 0.001)
                    continue
                for average, parameter in zip(*pair, strict=True):
                    average.mul_(0.999).add_(parameter, alpha=0.001)

    return steps


def our_state(
    chosen: Recipe, images: ImageSet, device: torch.device, every: int = 1
) -> TrainingState:
    """The package's own training with a recipe; penalties every so many steps."""
    batches = Batches(images, None, chosen.batch_size, seed=0, device=device)
    precision = choose_precision(chosen, device)
    state = start_training(chosen, batches, Processes(0, 1, device), seed=0, precision=precision)
    return make_lazy(state, every)


def counted(
    chosen: Recipe, images: ImageSet, device: torch.device, every: int, limits: dict[str, Any]
) -> dict[str, Any]:
    """Operations, bytes and least seconds of a step: of its eager form, mean over ``every``."""
    eager = recipe(chosen, compile=False, cuda_graphs=False)
    state = our_state(eager, images, device, every)
    run_steps(state, every)  # Adam's moments exist, the cycle of lazy penalties is complete
    memory = saved_bytes(state)
    found = work(lambda: run_steps(state, state.step + every))
    least = least_seconds(found.pop("list"), limits)
    mean = {k: v / every for k, v in (found | {f"least_{k}": v for k, v in least.items()}).items()}
    return {"work": mean, "saved_for_backward_bytes": memory}


def weights_after(state: TrainingState, steps: int) -> torch.Tensor:
    """All weights of both networks in one vector, after so many steps."""
    run_steps(state, steps)
    nets = (state.generator, state.discriminator)
    parts = [p.detach().float().flatten() for net in nets for p in net.parameters()]
    return torch.cat([p.contiguous() for p in parts]).cpu()


def timed(
    block: Block, count: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds for ``count`` steps, everything finished."""
    start = clock()
    block(count)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def compare(
    plain: Block,
    ours: Block,
    device: torch.device,
    seconds: float,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Alternate blocks of both; images per second are made of it by the caller."""
    first = timed(ours, 6, device)  # compiles, chooses kernels, records graphs
    timed(plain, 3, device)
    step = min(timed(ours, 4, device, clock), timed(plain, 4, device, clock)) / 4
    count = max(4, 4 * round(seconds / max(step, 1e-5) / 4))  # whole cycles of lazy-4
    times = []
    for i in range(rounds):
        order = (plain, ours) if i % 2 else (ours, plain)
        taken = {block: timed(block, count, device, clock) for block in order}
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


def measure(name: str, batch: int, variants: dict[str, dict[str, Any]], arguments: Any) -> None:
    """All variants of one recipe against the plain loop, each saved as soon as it is measured."""
    device = resolve_device(arguments.device)
    # the plain loop has neither augmentation nor flips, so ours is measured without them
    base = recipe(name, policy=[], augment="none", flip=False, precision="fp32")
    if batch:
        base = recipe(base, batch_size=batch)
    images, cuda = pictures(base), device.type == "cuda"
    exact_batch = f"-batch-{batch}" if batch else ""
    tail = f"{arguments.label or device.type}{exact_batch}"
    alone = torch.get_num_threads() == 1 and not cuda
    with machine_settings(base):
        limits = ceilings(device)
        start = weights_after(our_state(base, images, device), 0)
        reference = weights_after(our_state(base, images, device), EQUAL_STEPS)
        profile = {"seed": 0, "recipe": name, "batch_size": base.images_per_step}
        profile |= {"ceilings": limits, "parts": parts(our_state(base, images, device))}
    for variant, changes in variants.items():
        changes = dict(changes)
        every = changes.pop("every", 1)
        chosen = recipe(base, **changes)
        start_at = time.perf_counter()
        rivals = ["memory"]
        rivals += ["loader"] if variant == "default" and not arguments.no_loader else []
        rivals += ["tuned"] if cuda else []
        for rival in rivals:
            make = from_loader if rival == "loader" else from_memory
            clock = time.process_time if alone and rival != "loader" else time.perf_counter
            with machine_settings(chosen):
                if cuda:
                    torch.cuda.reset_peak_memory_stats(device)
                data = make(images, base.batch_size, device)
                plain = plain_steps(base, data, device, rival == "tuned")
                try:
                    state = our_state(chosen, images, device, every)
                    apart = (weights_after(state, EQUAL_STEPS) - reference).abs().max()
                    ours = lambda count, state=state: run_steps(state, state.step + count)  # noqa: E731
                    found = compare(plain, ours, device, arguments.seconds, arguments.rounds, clock)
                    found |= counted(chosen, images, device, every, limits)
                except (RuntimeError, torch.OutOfMemoryError) as error:
                    print(
                        f"{name:10} {variant:26} failed: {str(error).splitlines()[0]}", flush=True
                    )
                    continue
            found["plain_images_per_second"] = base.images_per_step / found["plain_seconds_a_step"]
            found["our_images_per_second"] = base.images_per_step / found["our_seconds_a_step"]
            found["share_of_limit"] = found["work"]["least_seconds"] / found["our_seconds_a_step"]
            if variant == "default":
                found["data_share"] = data_share(
                    chosen, images, device, found["our_seconds_a_step"]
                )
            networks = build_networks(chosen, 0)
            record = {
                "recipe": name,
                "variant": variant,
                "changes": changes | ({"penalties_every": every} if every > 1 else {}),
                "plain_data": rival,
                "clock": clock.__name__,
                "batch_size": base.images_per_step,
                "parameters_g": count_parameters(networks[0]),
                "parameters_d": count_parameters(networks[1]),
                "peak_memory_bytes": peak_memory(device),
                "apart_after_20_steps": float(apart),
                "moved_in_20_steps": float((reference - start).abs().max()),
                "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
                "seed": 0,
                "seconds": time.perf_counter() - start_at,
                **found,
            }
            save_result("step", f"{name}-{variant}-vs-{rival}-{tail}", record, device=device.type)
            print(
                f"{name:10} {variant:26} vs {rival}: "
                f"{found['our_images_per_second']:8.1f} img/s, plain "
                f"{found['plain_images_per_second']:8.1f}, ratio {found['ratio']:.3f} "
                f"[{found['ratio_least']:.3f}, {found['ratio_most']:.3f}], "
                f"limit {found['share_of_limit']:.0%}, apart {float(apart):.1e}",
                flush=True,
            )
    if not arguments.variants or "parts" in arguments.variants:
        save_result("step", f"{name}-parts-{tail}", profile | {"seconds": 0.0}, device=device.type)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["small-16", "dcgan-64", "r3gan-64"])
    parser.add_argument("--variants", nargs="+", default=[], help="or 'parts'; all by default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--label", default="", help="name of the machine in the result files")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one block")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[0], help="0: the recipe's")
    parser.add_argument("--no-loader", action="store_true", help="leave out the DataLoader")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    cuda = resolve_device(arguments.device).type == "cuda"
    variants = VARIANTS | (CUDA_VARIANTS if cuda else {})
    if arguments.variants:
        variants = {v: variants[v] for v in arguments.variants if v != "parts"}
    for name in arguments.recipes:
        for batch in arguments.batch_sizes:
            measure(name, batch, variants, arguments)


if __name__ == "__main__":
    main()
