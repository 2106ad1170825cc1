"""One run of the gallery: a short training on two styles of the Atelier, or on the ring, logged."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gan_book.augment import AugmentDraws
from gan_book.data.atelier import ATELIER_VERSION, PALETTES
from gan_book.data.atelier import STYLES as ALL_STYLES
from gan_book.data.batches import Batches, to_float
from gan_book.data.imageset import ImageSet
from gan_book.data.load import load_images
from gan_book.data.toys import ring
from gan_book.features import extractor
from gan_book.machine import write_atomically
from gan_book.metrics import kernel_distance
from gan_book.model import samples
from gan_book.objectives import Draws
from gan_book.processes import Processes
from gan_book.recipes import Recipe, recipe
from gan_book.results import results_folder
from gan_book.training import Guard, TrainingDiverged, TrainingState, machine_settings, run_steps
from gan_book.training import start_training as start

NAME = "gallery"
SIZE = 16
STYLES = ("dunes", "mist")
FRESH = 600  # real pictures that nobody trained on, the reference of every KID
MADE = 300  # generated pictures a measurement
SHOWN = 16  # pictures in a strip
LINES = 40  # of a log
Record = dict[str, Any]
# Constant rates: a run that is cut after a third is the first third of the whole run.
FIXED: Record = {"lr": 1e-3, "d_lr_factor": 2.0}


@lru_cache(maxsize=4)
def painted(n: int, seed: int) -> ImageSet:
    """Pictures of the two styles in equal shares."""
    return load_images("atelier", size=SIZE, styles=list(STYLES), n=n, seed=seed)


@lru_cache(maxsize=1)
def reference() -> Tensor:
    """Features of fresh real pictures, (FRESH, 192)."""
    return extractor(device="cpu")(painted(FRESH, seed=77).images)


@lru_cache(maxsize=1)
def floor() -> Tensor:
    """Features of other fresh real pictures, as many as a generator makes."""
    return extractor(device="cpu")(painted(MADE, seed=78).images)


def begin(chosen: Recipe, data: Any, seed: int) -> TrainingState:
    """Step 0 on one CPU in float32."""
    cpu = torch.device("cpu")
    batches = Batches(data, None, chosen.batch_size, seed=seed, device=cpu)
    return start(chosen, batches, Processes(0, 1, cpu), seed=seed, precision="fp32")


def rounded(values: dict[str, float]) -> Record:
    return {
        name: value if isinstance(value, int) else float(f"{value:.4g}")
        for name, value in values.items()
    }


def measured(pictures: Tensor) -> tuple[Record, Tensor]:
    """KID to fresh real pictures, and kinds (style and palette) as the extractor reads them.

    A kind counts as seen when a tenth of its fair share shows it, read with probability above 1/2.
    """
    net: Any = extractor(device="cpu")
    features, style_logits, palette_logits = net._outputs(pictures)  # (n, 192), (n, 12), (n, 8)
    kid = kernel_distance(features, reference())
    p_style, style = style_logits.softmax(1).max(1)  # (n,)
    p_palette, palette = palette_logits.softmax(1).max(1)  # (n,)
    known = torch.tensor([ALL_STYLES.index(name) for name in STYLES])
    sure = torch.isin(style, known) & (p_style * p_palette > 0.5)  # (n,)
    kinds = torch.bincount((style * len(PALETTES) + palette)[sure], minlength=12 * len(PALETTES))
    fair = len(pictures) / (len(STYLES) * len(PALETTES))
    return {
        "kid": kid.value,
        "kid_error": kid.standard_error,
        "modes": int((kinds >= fair / 10).sum()),
        "recognized": float(sure.float().mean()),
        "style_counts": torch.bincount(style, minlength=len(ALL_STYLES)).tolist(),
        "palette_counts": torch.bincount(palette, minlength=len(PALETTES)).tolist(),
    }, features


def strip(pictures: Tensor, cell: str) -> None:
    """A PNG of a few KB, two rows without gaps."""
    rows = [torch.cat(list(half), dim=2) for half in pictures[:SHOWN].chunk(2)]  # (3, 16, 128)
    flat = torch.cat(rows, dim=1).permute(1, 2, 0).contiguous().numpy()  # (32, 128, 3)
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "PNG", optimize=True)
    path = results_folder() / NAME / f"{cell}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


@torch.no_grad()
def mean_logit(state: TrainingState, pictures: Tensor) -> float:
    return float(state.discriminator(to_float(pictures)).mean())


def train(
    state: TrainingState, images: int, extra: Callable[[TrainingState], Record] | None = None
) -> tuple[list[Record], str]:
    """Train until so many images were seen; the log, and why it ended early, if it did."""
    log: list[Record] = []

    def report(now: TrainingState, averages: dict[str, float]) -> None:
        more = extra(now) if extra else {}
        log.append({"step": now.step, "images": now.images, **rounded({**averages, **more})})

    steps = state.recipe.steps_of(images)
    guard = Guard(max(1, steps // LINES), report)
    try:
        run_steps(state, steps, [guard])
        guard.flush(state)
    except TrainingDiverged as error:
        return log, str(error)
    return log, ""


def pictures_run(
    cell: str,
    seed: int,
    images: int,
    pictures: int = 1_000,
    held_out: bool = False,
    colorless: float = 0.0,
    **settings: Any,
) -> Record:
    """A training on pictures, measured at its end.

    ``held_out`` logs D on training pictures and on unseen ones; ``colorless`` is the probability
    with which the augmentation takes all color off what D sees.
    """
    chosen = recipe("small-16", name="gallery", **settings)
    data = painted(pictures, seed=seed)
    unseen = painted(256, seed=1_000 + seed).images

    def both(state: TrainingState) -> Record:
        seen = data.images[:256]
        return {"train_logit": mean_logit(state, seen), "unseen_logit": mean_logit(state, unseen)}

    with machine_settings(chosen):
        state = begin(chosen, data, seed)
        if colorless:
            state.draw = partial(gray_draw, state, colorless)  # type: ignore[method-assign]
        log, ended = train(state, images, both if held_out else None)
    made = samples(state.average, chosen, MADE, seed=0)
    record = {
        "kind": "pictures",
        "pictures": pictures,
        "colorless": colorless,
        **facts(chosen, seed, settings),
    }
    record |= {"log": log, "ended": ended}
    if not ended:
        record |= measured(made)[0]
        record |= colors(made)
    if seed == 0:
        strip(made, cell)
    return record


def facts(chosen: Recipe, seed: int, settings: Record) -> Record:
    return {
        "seed": seed,
        "loss": chosen.loss,
        "settings": {key: list(v) if isinstance(v, tuple) else v for key, v in settings.items()},
        "styles": list(STYLES),
        "size": SIZE,
        "atelier_version": ATELIER_VERSION,
        "generated": MADE,
        "fresh": FRESH,
        "extractor": extractor(device="cpu").facts(),
    }


def gray_draw(state: TrainingState, p: float) -> Draws:
    """The step's draws; each picture that D sees loses its color with probability p."""
    draws = TrainingState.draw(state)
    n = state.recipe.batch_size
    parts = []
    for _ in range(2):
        hit = torch.rand(n, generator=state.rng) < p  # (n,)
        one, zero = torch.ones(n), torch.zeros(n)
        parts.append(AugmentDraws(zero, torch.where(hit, 0.0, 1.0), one, hit))
    return draws._replace(augment_real=parts[0], augment_fake=parts[1])


def colors(pictures: Tensor) -> Record:
    """In levels: how far channels are from a pixel's mean, and a value from picture to picture."""
    x = pictures.float()  # (N, 3, H, W)
    away = (x - x.mean(1, keepdim=True)).abs().mean()
    return {"color": float(away), "spread": float(x.std(0).mean())}


def ring_run(cell: str, seed: int, images: int, **settings: Any) -> Record:
    """A training on the ring of eight Gaussians; the modes of G itself are counted as it goes."""
    chosen = recipe("ring", name="gallery", **settings)
    modes = ring()

    def count(state: TrainingState) -> Record:
        z = torch.randn(1_000, 2, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            points = state.generator(z)  # (1000, 2)
        nearest = torch.cdist(points.double(), modes.modes).min(1).indices  # (1000,)
        shares = torch.bincount(nearest, minlength=8) / len(points)  # (8,)
        found = modes.count_modes(points)
        return {
            "modes": found.captured,
            "good": found.high_quality_share,
            "places": int((shares >= 0.0125).sum()),  # modes that samples are nearest to
            "favorite": int(shares.argmax()),
            "favorite_share": float(shares.max()),
        }

    with machine_settings(chosen):
        state = begin(chosen, modes, seed)
        log, ended = train(state, images, count)
    points = samples(state.average, chosen, 2_000, seed=0)
    found = modes.count_modes(points)
    return {
        "kind": "ring",
        **facts(chosen, seed, settings),
        "log": log,
        "ended": ended,
        "modes": found.captured,
        "good": found.high_quality_share,
        "points": [[round(v, 3) for v in point] for point in points[:200].tolist()],
    }


def gamma_run(cell: str, seed: int, gamma: float, images: int, parts: int) -> Record:
    """One constant gamma = r1 = r2; KID after each of ``parts`` equal parts of the budget.

    The short probe is the first part of the long run: rates and gamma are constant, so nothing in
    the run knows how long it will be. Latents, hence pictures, are paired between gammas.
    """
    chosen = recipe("small-16", name="gallery", r1=gamma, r2=gamma, **FIXED)
    data = painted(1_000, seed=seed)
    found, log = [], []
    with machine_settings(chosen):
        state = begin(chosen, data, seed)

        def report(now: TrainingState, averages: dict[str, float]) -> None:
            log.append({"step": now.step, "images": now.images, **rounded(averages)})

        steps = state.recipe.steps_of(images)
        guard = Guard(max(1, steps // LINES), report)
        for part in range(1, parts + 1):
            run_steps(state, steps * part // parts, [guard])
            made = samples(state.average, chosen, MADE, seed=0)
            found.append({"images": state.images, **measured(made)[0]})
    if seed == 0:
        strip(made, cell)
    settings = {"r1": gamma, "r2": gamma, **FIXED}
    return {"kind": "gamma", "gamma": gamma, **facts(chosen, seed, settings), "log": log} | {
        "measured": found, "kid": found[-1]["kid"],
    }  # fmt: skip
