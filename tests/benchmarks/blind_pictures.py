"""The pictures of the blind test: real paintings, generated ones, fourteen kinds that are none."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from gan_book.data import load_images, to_float, to_uint8
from gan_book.errors import need
from gan_book.metrics import pca_gaussian, right_answers
from gan_book.model import Model, load_model
from gan_book.models import build_generator
from tests.benchmarks.challenge import real_folder
from tests.benchmarks.editing import clouds
from tests.benchmarks.grids import Record

MODEL, SIZE = "paintings-32", 32
MADE, CONTROLS = 200, 100  # fresh pictures a seed: generated ones, and of each kind that is none
SEEN = ("gaussian", "blocks", "atelier", "recolored")
UNSEEN = ("pixels", "phases", "fashion", "untrained", "atelier-32", "inr-32")
LATER = ("clouds", "noise", "stylegan-16")
LAST = ("gradients",)


@lru_cache(maxsize=1)
def paintings() -> dict[str, Tensor]:
    """Real paintings uint8 (N, 3, 32, 32): "train", and what nobody trained on by its use.

    Of the model's held-out paintings those are left out that ``gan-book-1`` was trained on.
    """
    file = real_folder() / "paintings-pd-128.zip"
    small = load_images(file, size=SIZE, progress=False)
    card = load_model(MODEL, "cpu").card
    same = small.fingerprint() == card["fingerprint of the pictures"]
    need(same, f"these are not the paintings that {MODEL} was trained on.")
    large = load_images(file, size=128, progress=False)  # the extractor's split, see extractor.py
    read = {large.ids[i] for i in large.split().train.tolist()}
    split = small.split()
    parts = {"train": small.images[split.train]}
    for use in ("validation", "test"):
        rows = [i for i in getattr(split, use).tolist() if small.ids[i] not in read]
        parts[use] = small.images[rows]
    return parts


def shuffled(x: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """Pictures (n, 3, H, W) whose squares of ``side`` pixels stand in a random order each."""
    n, _, height, width = x.shape
    blocks = functional.unfold(x.float(), side, stride=side)  # (n, 3 side^2, B)
    order = torch.rand(n, 1, blocks.shape[2], generator=rng).argsort(2)  # (n, 1, B)
    blocks = blocks.gather(2, order.expand_as(blocks))
    return functional.fold(blocks, (height, width), side, stride=side).to(x.dtype)


def phases(x: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures uint8 (n, 3, H, W) with the amplitudes of their waves, and other phases.

    The three channels are shifted alike, so colors stay correlated as they were.
    """
    noise = torch.fft.rfft2(torch.randn(len(x), 1, *x.shape[2:], generator=rng))
    turn = noise / noise.abs()  # (n, 1, H, W / 2 + 1)
    turn[..., 0, 0] = 1  # means stay
    return to_uint8(torch.fft.irfft2(torch.fft.rfft2(to_float(x)) * turn, s=x.shape[2:]))


def recolored(x: Tensor, like: Tensor) -> Tensor:
    """Pictures uint8 (n, 3, H, W) with mean and covariance of the colors of as many others."""
    flat, wanted = (to_float(y).flatten(2) for y in (x, like))  # (n, 3, H W) each
    means = [y.mean(2, keepdim=True) for y in (flat, wanted)]  # (n, 3, 1) each
    eye = 1e-4 * torch.eye(3)  # a gray picture has no covariance to divide by
    roots = [
        torch.linalg.cholesky((y - m) @ (y - m).mT / y.shape[2] + eye)  # (n, 3, 3)
        for y, m in zip((flat, wanted), means, strict=True)
    ]
    moved = roots[1] @ torch.linalg.solve_triangular(roots[0], flat - means[0], upper=False)
    return to_uint8((moved + means[1]).unflatten(2, x.shape[2:]))


def two_colors(gray: Tensor, like: Tensor, rng: torch.Generator) -> Tensor:
    """Gray pictures (n, 1, H, W) between two colors, those of two pixels of a painting."""
    n, pixels = len(gray), like.flatten(2).float()  # (n, 3, H W)
    places = torch.randint(pixels.shape[2], (n, 1, 2), generator=rng).expand(-1, 3, -1)
    ends = pixels.gather(2, places)[..., None, None]  # (n, 3, 2, 1, 1)
    return (ends[:, :, 0] + (ends[:, :, 1] - ends[:, :, 0]) * gray / 255).round().to(torch.uint8)


def not_painting(kind: str, n: int, use: str, seed: int) -> Tensor:
    """n pictures uint8 (n, 3, 32, 32) of a kind that is none; "train" and "test" differ."""
    number = 2 * seed + (use == "test")
    rng = torch.Generator().manual_seed(number)
    own = paintings()[use]
    some = own[torch.randint(len(own), (n,), generator=rng)]  # (n, 3, 32, 32)
    if kind == "gaussian":
        return pca_gaussian(paintings()["train"], n, generator=rng)
    if kind in ("blocks", "pixels"):
        return shuffled(some, 8 if kind == "blocks" else 1, rng)
    if kind == "phases":
        return phases(some, rng)
    if kind in ("atelier", "recolored"):
        drawn = load_images("atelier", size=SIZE, n=n, seed=700 + number, progress=False).images
        return drawn if kind == "atelier" else recolored(drawn, some)
    if kind == "fashion":
        clothes = load_images("fashion-mnist", size=SIZE, n=n, seed=number, progress=False).images
        return two_colors(clothes[:, :1].float(), some, rng)
    if kind == "untrained":
        recipe = load_model(MODEL, "cpu").recipe
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            net = build_generator(**recipe.network_options(recipe.generator))
        return Model(net, recipe).sample(n, seed=number)
    if kind == "gradients":  # from one color to another, in any direction
        angle = 2 * torch.pi * torch.rand(n, 1, 1, generator=rng)
        y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="ij")  # (H, W) each
        ramp = angle.cos() * x + angle.sin() * y  # (n, H, W)
        ramp = ramp / ramp.abs().amax((1, 2), keepdim=True)
        return two_colors(127.5 * (1 + ramp[:, None]), some, rng)
    if kind == "clouds":
        return clouds(n, SIZE, number)
    if kind == "noise":
        return to_uint8(0.5 * torch.randn(n, 3, SIZE, SIZE, generator=rng))
    drawn = load_model(kind, "cpu").sample(n, seed=number)
    if drawn.shape[-1] == SIZE:
        return drawn
    return to_uint8(functional.interpolate(to_float(drawn), SIZE, mode="bicubic"))


def fresh(kind: str, seed: int) -> Tensor:
    """What the frozen judges meet, uint8 (n, 3, 32, 32)."""
    if kind == "paintings":
        return paintings()["test"]
    if kind == MODEL:
        return load_model(MODEL, "cpu").sample(MADE, seed=1_000 + seed)
    return not_painting(kind, CONTROLS, "test", seed)


def counted(called: int, n: int) -> Record:
    """Count and share of "painting", and its exact 95 % interval."""
    told = right_answers(called, n)
    return {"called": called, "n": n, "share": told.share, "low": told.low, "high": told.high}


def share(says: Tensor) -> Record:
    """The same of answers (n,), 1 for "painting"."""
    return counted(int(says.sum()), len(says))


def finds(called: Record) -> bool:
    """Whether generated paintings are called so more often than each kind that is none."""
    others = [called[kind]["high"] for kind in called if kind not in (MODEL, "paintings")]
    return bool(called[MODEL]["low"] > max(others))
