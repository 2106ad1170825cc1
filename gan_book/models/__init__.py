"""Networks only: generators make samples, discriminators give one logit for each.

``build_generator("dcgan", size=32, channels=3)`` and its twin take what recipes say and refuse
what cannot be built with one sentence. G: z (N, z_dim), labels (N,) int64 or None -> (N, C, H, W),
or (N, 2) for the MLP. D: the same samples, labels -> (N,) logits. All have the attributes ``size``,
``channels``, ``num_classes`` and ``sample_shape``, generators also ``z_dim``. Without classes
labels are ignored. Networks initialize themselves from torch's global generator.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import known, need
from .dcgan import DCGANDiscriminator, DCGANGenerator
from .fastgan import FastGANDiscriminator, FastGANGenerator
from .inr import INRGenerator
from .mlp import MLPDiscriminator, MLPGenerator
from .r3gan import R3GANDiscriminator, R3GANGenerator
from .stylegan import StyleGANDiscriminator, StyleGANGenerator
from .transformer import TransformerDiscriminator, TransformerGenerator
from .unet import UNetDiscriminator

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLPGenerator,
    "dcgan": DCGANGenerator,
    "r3gan": R3GANGenerator,
    "fastgan": FastGANGenerator,
    "stylegan": StyleGANGenerator,
    "transformer": TransformerGenerator,
    "inr": INRGenerator,
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLPDiscriminator,
    "dcgan": DCGANDiscriminator,
    "r3gan": R3GANDiscriminator,
    "fastgan": FastGANDiscriminator,
    "stylegan": StyleGANDiscriminator,
    "transformer": TransformerDiscriminator,
    "unet": UNetDiscriminator,
}
MAX_PARAMETERS = 500_000_000
"""Largest network that is built: 2 GB of weights in fp32, 5 times the largest published R3GAN."""


def build_generator(
    model: str, *, size: Any = None, channels: Any = 3, num_classes: Any = 0, **options: Any
) -> nn.Module:
    """A freshly initialized generator of a kind in ``GENERATORS``.

    ``size`` is (H, W) or one side in pixels; ``options`` are the keywords of the kind's
    constructor.
    Raises ``GanBookError`` for unknown kinds and options, impossible values, and networks of more
    than ``MAX_PARAMETERS`` parameters, before any memory is taken.
    """
    return _build("generator", GENERATORS, model, size, channels, num_classes, options)


def build_discriminator(
    model: str, *, size: Any = None, channels: Any = 3, num_classes: Any = 0, **options: Any
) -> nn.Module:
    """A freshly initialized discriminator of ``DISCRIMINATORS``; see ``build_generator``."""
    return _build("discriminator", DISCRIMINATORS, model, size, channels, num_classes, options)


def count_parameters(module: nn.Module) -> int:
    """How many numbers the parameters hold; shared ones count once, frozen ones too, no buffers."""
    return sum(p.numel() for p in module.parameters())


def _build(
    role: str,
    table: Mapping[str, Callable[..., nn.Module]],
    model: Any,
    size: Any,
    channels: Any,
    num_classes: Any,
    options: Mapping[str, Any],
) -> nn.Module:
    known(role, model, table)
    parameters = inspect.signature(table[model]).parameters.values()
    names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "num_classes"]
    for name in options:
        known(f"option of the {model} {role}", name, names)

    def construct() -> nn.Module:
        return table[model](size, channels, num_classes=num_classes, **options)

    with torch.device("meta"):  # shapes without memory
        count = count_parameters(construct())
    need(
        count <= MAX_PARAMETERS,
        f"this {model} {role} would have {count:,} parameters, more than the {MAX_PARAMETERS:,} "
        "that are allowed; choose smaller widths.",
    )
    return construct()
