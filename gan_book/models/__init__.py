"""Networks only: generators make samples, discriminators give one logit for each.

``build_generator("dcgan", size=32, channels=3)`` and its twin take what recipes say and refuse
what cannot be built with one sentence. G: z (N, z_dim), labels (N,) int64 or None -> (N, C, H, W),
or (N, 2) for the MLP. D: the same samples, labels -> (N,) logits. All have the attributes ``size``,
``channels``, ``num_classes`` and ``sample_shape``, generators also ``z_dim``. Without classes
labels are ignored. Networks initialize themselves from torch's global generator.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import GanBookError
from . import checks
from .dcgan import DCGANDiscriminator, DCGANGenerator
from .mlp import MLPDiscriminator, MLPGenerator
from .r3gan import R3GANDiscriminator, R3GANGenerator

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLPGenerator,
    "dcgan": DCGANGenerator,
    "r3gan": R3GANGenerator,
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLPDiscriminator,
    "dcgan": DCGANDiscriminator,
    "r3gan": R3GANDiscriminator,
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
    """How many numbers training can change; shared and frozen ones count once, buffers do not."""
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
    if not isinstance(model, str) or model not in table:
        raise GanBookError(
            f"there is no {role} called {checks.shown(model)}; choose one of {', '.join(table)}."
        )
    known = [
        name
        for name, parameter in inspect.signature(table[model]).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "num_classes"
    ]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it knows {', '.join(known)}."
            raise GanBookError(f"the {model} {role} has no option {checks.shown(name)}; {hint}")

    def construct() -> nn.Module:
        return table[model](size, channels, num_classes=num_classes, **options)

    with torch.device("meta"):  # shapes without memory
        parameters = count_parameters(construct())
    if parameters > MAX_PARAMETERS:
        raise GanBookError(
            f"this {model} {role} would have {parameters:,} parameters, more than the "
            f"{MAX_PARAMETERS:,} that are allowed; choose smaller widths."
        )
    return construct()
