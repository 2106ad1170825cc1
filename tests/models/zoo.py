"""The small networks on which these tests run: each kind, square and not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gan_book import recipes
from gan_book.models import build_discriminator, build_generator, count_parameters


@dataclass(frozen=True)
class Case:
    """One pair of networks: what to build and the shape its samples must have."""

    name: str
    model: str
    shape: tuple[int, ...]
    both: dict[str, Any] = field(default_factory=dict)
    only_g: dict[str, Any] = field(default_factory=dict)
    g_model: str = ""  # for a discriminator that has no generator of its kind

    def build(self, num_classes: int = 0, seed: int = 0) -> tuple[nn.Module, nn.Module]:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            base = {"num_classes": num_classes, **self.both}
            if len(self.shape) == 3:
                base |= {"channels": self.shape[0], "size": self.shape[1:]}
            generator = build_generator(self.g_model or self.model, **base, **self.only_g)
            return generator, build_discriminator(self.model, **base)

    def samples(self, n: int, seed: int = 0) -> Tensor:
        return torch.randn(n, *self.shape, generator=torch.Generator().manual_seed(seed))


DENSE = {"group_width": "dense", "blocks": 1}
CASES = [
    Case("mlp", "mlp", (2,), {"width": 16, "layers": 3}),
    Case("dcgan", "dcgan", (3, 16, 16), {"width": 8}, {"z_dim": 12}),
    Case("dcgan 2 x 3", "dcgan", (1, 16, 24), {"width": 6}, {"z_dim": 12}),
    Case("dcgan 28", "dcgan", (1, 28, 28), {"width": 4}, {"z_dim": 5}),
    Case("dcgan nearest", "dcgan", (3, 16, 16), {"width": 8}, {"upsampling": "resize"}),
    Case(
        "dcgan bilinear",
        "dcgan",
        (3, 24, 16),
        {"width": 8},
        {"upsampling": "resize", "interpolation": "bilinear"},
    ),
    Case("r3gan dense", "r3gan", (3, 16, 16), {"widths": [16, 12, 8], **DENSE}, {"z_dim": 12}),
    Case("r3gan 3 x 2", "r3gan", (3, 24, 16), {"widths": [16, 16, 8], **DENSE}),
    Case("r3gan grouped", "r3gan", (1, 8, 8), {"widths": 16, "group_width": 8, "blocks": 2}),
    Case("fastgan", "dcgan", (3, 16, 24), {"width": 6}, {"z_dim": 12}, g_model="fastgan"),
    Case("stylegan", "stylegan", (3, 16, 24), {"width": 6}, {"z_dim": 12}),
    Case("transformer", "transformer", (3, 16, 24), {"width": 12, "patch": 4}, {"z_dim": 12}),
    Case("unet", "unet", (3, 16, 24), {"width": 8}, {"z_dim": 12}, g_model="dcgan"),
    Case("inr", "stylegan", (3, 16, 24), {"width": 6}, {"z_dim": 12}, g_model="inr"),
]
NAMES = [case.name for case in CASES]


def wake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give zero-initialized weights and biases small random values, so that every path is open."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return module


def recipe_parameters(name: str) -> list[int]:
    """How many parameters the generator and the discriminator of a recipe have."""
    recipe = recipes.recipe(name)
    with torch.device("meta"):
        nets = (
            build_generator(**recipe.network_options(recipe.generator)),
            build_discriminator(**recipe.network_options(recipe.discriminator)),
        )
    return [count_parameters(net) for net in nets]
