"""Finished models that one loss trained instead of a game: VAE, diffusion model, inversion encoder.

``load_model`` opens what paints, ``load_encoder`` what reads. Both find in the file's header a
``FitRecipe``: the settings of a ``fit`` and the networks that came out of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoints as files
from .denoising import DDIMGenerator
from .errors import GanBookError
from .models import build_generator
from .models.diffusion import UNetDenoiser
from .models.vae import ConvEncoder
from .processes import resolve_device
from .results import shipped

ENCODER = "encoder.safetensors"


@dataclass(frozen=True)
class FitRecipe:
    """Everything that determines a fit, besides the pictures and the device.

    ``kind``: "vae", "diffusion" or "encoder". ``generator``, ``encoder``, ``objective``: options of
    the networks and of the loss; a part without options is not there. ``lr`` falls to a tenth.
    """

    name: str
    kind: str
    total_images: int
    batch_size: int
    lr: float
    generator: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] = field(default_factory=dict)
    objective: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (16, 16)
    channels: int = 3
    ema_half_life: int = 10_000
    seed: int = 0
    num_classes = 0  # not fields: the same for all
    points = False

    @property
    def total_steps(self) -> int:
        return self.total_images // self.batch_size

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ``fit_recipe`` reads it back."""
        return dataclasses.asdict(self) | {"size": list(self.size)}

    def build_generator(self) -> nn.Module:
        """z (N, z_dim) -> pictures: the VAE's decoder, or a denoiser under its sampler."""
        options = dict(self.generator)
        if self.kind != "diffusion":
            return build_generator(size=self.size, channels=self.channels, **options)
        steps = options.pop("steps")
        return DDIMGenerator(UNetDenoiser(self.size, self.channels, **options), steps)

    def build_encoder(self) -> ConvEncoder:
        """Pictures -> mean and log variance of z; of an inversion encoder only the mean is used."""
        return ConvEncoder(self.size, self.channels, **self.encoder)


def fit_recipe(table: Any, where: str) -> FitRecipe:
    """A ``FitRecipe`` from what ``to_dict`` made; ``GanBookError`` for anything else."""
    try:
        return FitRecipe(**{**table, "size": tuple(table["size"])})
    except (KeyError, TypeError) as error:
        raise GanBookError(f"{where} says of no fit how its networks are built.") from error


def load_weights(
    build: Callable[[], nn.Module], tensors: Mapping[str, Tensor], where: str, device: torch.device
) -> nn.Module:
    """A network with stored weights, for use: half precision is computed with in float32."""
    with torch.random.fork_rng(devices=[]):
        net = build()
    full = {k: v.float() if v.dtype == torch.float16 else v for k, v in tensors.items()}
    files.copy_into(net.state_dict(), full, where)
    return net.to(device).eval().requires_grad_(False)


class Encoder(nn.Module):
    """Reads codes off pictures: x (N, C, H, W) in [-1, 1] -> z (N, z_dim), a VAE's mean."""

    def __init__(self, net: nn.Module, recipe: FitRecipe, card: dict[str, Any]) -> None:
        super().__init__()
        self.net, self.recipe, self.card = net, recipe, card

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]  # (N, z_dim)


def load_encoder(source: str | Path, device: str = "auto") -> Encoder:
    """Open a shipped encoder by name ("landscapes-16-encoder", "vae-16"), or a folder with one.

    Raises ``GanBookError`` listing what is shipped when there is no such encoder.
    """
    folder = shipped(source, ENCODER, "encoder")
    path = folder / ENCODER
    tensors, meta = files.load_tensors(path)
    recipe = fit_recipe(meta.get("fit"), str(path))
    net = load_weights(recipe.build_encoder, tensors, str(path), resolve_device(device))
    card = files.read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
    return Encoder(net, recipe, card)
