"""One run of the comparison: a family, a seed, a number of steps, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gan_book.data.batches import Batches, to_uint8
from gan_book.denoising import DenoisingObjective
from gan_book.denoising import sample as denoise
from gan_book.errors import GanBookError
from gan_book.fitting import Fit, fit
from gan_book.model import latents
from gan_book.models.dcgan import DCGANGenerator
from gan_book.models.diffusion import UNetDenoiser
from gan_book.processes import Processes
from gan_book.recipes import recipe
from gan_book.training import TrainingState, build_networks, run_steps, start_training

from .comparison_measure import (
    SIZE,
    Record,
    copied,
    distances,
    facts,
    measured,
    picture_file,
    training_set,
)
from .step_work import work

FAMILIES = ("gan", "vae", "diffusion")
Z_DIM, WIDTH = 64, 32  # of the recipe small-16: generator and decoder are the same network
ENCODER_WIDTH, DENOISER_WIDTH = 8, 19  # chosen for equal numbers of trained parameters
EMA = 5_000  # half-life of the averages in images, at most a twentieth of those seen; for all
BATCH = 64
PARTS = 16  # learning curves look after such parts of a run
LOOKS = (1, 2, 4, 8)
STEPS = 25  # of the sampler of the diffusion model (DDIM), where nothing else is said
OTHER_STEPS = (5, 10, 50, 100)
GAMMA = 0.1  # weight of R1 and R2 at the start, as in the recipe; falls to a fifth
SD = 0.1  # the standard deviation of the VAE's decoder, the package's default
RATES = (1e-3, 3e-4, 3e-3)
CPU = torch.device("cpu")
Step = Callable[[], None]
Look = Callable[[nn.Module, int, float, int], None]  # averaged net, steps, seconds, images


@dataclass(frozen=True)
class Setting:
    """What a family was told: its learning rate, and how many training pictures."""

    family: str
    lr: float = 1e-3
    pictures: int = 10_000


def gan_state(setting: Setting, seed: int, steps: int) -> TrainingState:
    """Step 0 of the recipe small-16; its schedules end with the run."""
    images = steps * BATCH
    gamma = {"start": GAMMA, "end": GAMMA / 5, "images": images // 2}
    chosen = recipe(
        "small-16",
        name="comparison",
        total_images=images,
        lr={"start": setting.lr, "end": setting.lr / 10, "images": images},
        r1=gamma,
        r2=gamma,
        ema_half_life=EMA,
    )
    data = training_set(setting.pictures, seed)
    batches = Batches(data, None, BATCH, seed=seed, device=CPU)
    return start_training(chosen, batches, Processes(0, 1, CPU), seed=seed, precision="fp32")


def objective_of(setting: Setting, seed: int) -> nn.Module:
    """The objective of the VAE or of the diffusion model, its networks initialized from seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if setting.family == "diffusion":
            return DenoisingObjective(UNetDenoiser(SIZE, 3, width=DENOISER_WIDTH))
        from gan_book.elbo import VAEObjective
        from gan_book.models.vae import VAE, ConvEncoder

        encoder = ConvEncoder(SIZE, 3, z_dim=Z_DIM, width=ENCODER_WIDTH)
        decoder = DCGANGenerator(SIZE, 3, z_dim=Z_DIM, width=WIDTH)
        return VAEObjective(VAE(encoder, decoder, sd=SD))


def batches_of(setting: Setting, seed: int) -> Batches:
    return Batches(training_set(setting.pictures, seed), None, BATCH, seed=seed, device=CPU)


def parameters(family: str) -> Record:
    """Trained parameters, and those that sampling needs."""
    if family == "gan":
        nets = build_networks(recipe("small-16"), 0)
        g, d = (sum(p.numel() for p in net.parameters()) for net in nets)
        return {"trained": g + d, "sampling": g, "parts": {"generator": g, "discriminator": d}}
    objective = objective_of(Setting(family), 0)
    total = sum(p.numel() for p in objective.parameters())
    if family == "diffusion":
        return {"trained": total, "sampling": total, "parts": {"denoiser": total}}
    decoder = sum(p.numel() for p in objective.vae.decoder.parameters())  # type: ignore[union-attr, operator]
    parts = {"encoder": total - decoder, "decoder": decoder}
    return {"trained": total, "sampling": decoder, "parts": parts}


def train(setting: Setting, seed: int, steps: int, look: Look, parts: Sequence[int]) -> None:
    """Train for so many steps (a multiple of PARTS); look after these of its PARTS.

    Seconds are processor time of training alone. Raises ``GanBookError`` where a run diverges.
    """
    if setting.family == "gan":
        state, seconds = gan_state(setting, seed, steps), 0.0
        for part in range(1, PARTS + 1):
            start = time.process_time()
            run_steps(state, steps * part // PARTS)
            seconds += time.process_time() - start
            finite = all(bool(torch.isfinite(p).all()) for p in state.average.parameters())
            if not finite:
                raise GanBookError(f"The weights of G are not finite after part {part}.")
            if part in parts:
                look(state.average, state.step, seconds, state.images)
        return
    objective, batches = objective_of(setting, seed), batches_of(setting, seed)

    def callback(done: Fit) -> None:
        if done.steps * PARTS // steps in parts:
            look(done.average, done.steps, done.seconds, done.images)

    fit(
        objective,
        lambda: batches.next().images,
        torch.Generator().manual_seed(seed + 1),
        steps=steps,
        lr=setting.lr,
        ema_half_life=EMA,
        every=steps // PARTS,
        callback=callback,
    )


@torch.no_grad()
def sampled(family: str, net: nn.Module, n: int, seed: int, steps: int = STEPS) -> Tensor:
    """Pictures uint8 (n, 3, 16, 16) of an averaged net: G, or the VAE's or diffusion's objective.

    A VAE's pictures are the means of its decoder, without the noise of p(x given z).
    """
    if family == "diffusion":
        rng, made = torch.Generator().manual_seed(seed), []
        for start in range(0, n, 250):
            shape = (min(250, n - start), 3, SIZE, SIZE)
            x = denoise(net.denoiser, shape, steps, rng, method="ddim", bound=1.0)  # type: ignore[arg-type]
            made.append(to_uint8(x))
        return torch.cat(made)
    g: Any = net if family == "gan" else net.vae.decode  # type: ignore[union-attr]
    return torch.cat([to_uint8(g(z)) for z in latents(n, Z_DIM, seed).split(250)])


def run(
    cell: str,
    setting: Setting,
    seed: int,
    steps: int,
    *,
    kind: str,
    looks: Sequence[int] = (),
    final: int = 500,
    sweep: int = 0,
) -> Record:
    """Train and measure.

    ``looks``: KID after these parts of the run. ``final``: pictures of the last measurement;
    ``sweep``: pictures for other numbers of sampling steps (diffusion).
    """
    torch.set_num_threads(1)
    family, curve, last = setting.family, [], {}

    def look(net: nn.Module, step: int, seconds: float, images: int) -> None:
        at = {"step": step, "seconds": seconds, "images": images}
        if step < steps or not looks:
            last["seconds"] = seconds
        if step < steps:
            made = sampled(family, net, 200, seed=0)
            curve.append({**at, **distances(made, most=2_000)})
            return
        last.update(at)
        made = sampled(family, net, final, seed=0)
        if kind == "tune":
            last["measured"] = distances(made, "validation")
            return
        last["measured"] = measured(made)
        if setting.pictures < 10_000:
            data = training_set(setting.pictures, seed).images
            last["measured"]["copies"] = copied(made, data)
        if sweep:
            last["sampling"] = {
                str(k): distances(sampled(family, net, sweep, seed=0, steps=k)) for k in OTHER_STEPS
            }
        if seed == 0:
            picture_file(made, cell, 6 if looks else 3)

    ended = ""
    try:
        train(setting, seed, steps, look, sorted({*looks, PARTS}))
    except GanBookError as error:
        ended = str(error)
    return {
        "kind": kind,
        "family": family,
        "seed": seed,
        "steps": steps,
        "pictures": setting.pictures,
        "lr": setting.lr,
        "training_seconds": last.pop("seconds", None),
        **last,
        "curve": curve,
        "ended": ended,
        "facts": facts(),
    }


def one_step(setting: Setting) -> Step:
    """A function that makes one training step, for timing and counting."""
    if setting.family == "gan":
        state = gan_state(setting, 0, 10_000)
        return lambda: run_steps(state, state.step + 1)
    objective, batches = objective_of(setting, 0), batches_of(setting, 0)
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-4)
    rng = torch.Generator().manual_seed(0)

    def step() -> None:
        x = batches.next().images
        loss, _ = objective(x, *objective.draw(x, rng))  # type: ignore[operator]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def timed(
    jobs: dict[str, Step],
    rounds: int,
    skip: int = 1,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Processor seconds of each job, taken in turns, so that a busy machine meets all alike."""
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for i in range(rounds + skip):
        for name, job in jobs.items():
            start = clock()
            job()
            if i >= skip:
                found[name].append(clock() - start)
    return found


def median(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).median())


def flops_of(job: Step) -> int:
    """Floating-point operations of matrix products and convolutions, forward and backward."""
    return int(work(job)["flops"])


def cost(rounds: int = 40) -> Record:
    """What one step, and one picture, costs each family; floating-point operations of both."""
    torch.set_num_threads(1)
    settings = {family: Setting(family) for family in FAMILIES}
    jobs = {name: one_step(setting) for name, setting in settings.items()}
    spent = timed(jobs, rounds, skip=3)
    training: Record = {}
    for name in settings:
        per_gan = [a / b for a, b in zip(spent[name], spent["gan"], strict=True)]
        training[name] = {
            "seconds_per_step": median(spent[name]),
            "gan_steps": median(per_gan),  # processor time in units of a step of the GAN
            "batch": BATCH,
            "flops_per_step": flops_of(jobs[name]),
        }
    nets = {"gan": gan_state(settings["gan"], 0, 100).average}
    nets |= {family: objective_of(settings[family], 0) for family in FAMILIES[1:]}
    draws: dict[str, Step] = {}
    for family, net in nets.items():
        for n in (1, 64):
            for k in (*OTHER_STEPS, STEPS) if family == "diffusion" else (1,):
                draws[f"{family}/{k}/{n}"] = partial(sampled, family, net, n, 0, k)  # type: ignore[assignment]
    latency: Record = {}
    for name, seconds in timed(draws, 5).items():
        family, k, n = name.split("/")
        latency.setdefault(family, {}).setdefault(k, {})[n] = median(seconds) / int(n)
    flops = {
        family: flops_of(partial(sampled, family, net, 64, 0, 1)) / 64  # type: ignore[arg-type]
        for family, net in nets.items()
    }
    return {
        "kind": "cost",
        "seeds": [0],
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "parameters": {family: parameters(family) for family in FAMILIES},
        "training": training,
        "seconds_per_picture": latency,  # family -> sampling steps -> pictures at once
        "flops_per_picture_and_step": flops,
    }
