"""Small networks and inputs for the tests of losses, penalties and objectives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_book.data.batches import Batch
from gan_book.models import build_discriminator, build_generator
from gan_book.objectives import Draws, ObjectiveSettings, Weights, draw

POLICY = ("flip", "color", "translation", "cutout")
SHAPE = (3, 16, 16)
CLASSES = 3


class TwoSlopes(nn.Module):
    """Slope ``up`` where the input is positive, ``down`` where it is negative; x (N, 2)."""

    def __init__(self, up: float = 0.7, down: float = 0.3) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.tensor(up, dtype=torch.float64))
        self.down = nn.Parameter(torch.tensor(down, dtype=torch.float64))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.up * x.clamp_min(0) + self.down * x.clamp_max(0)).sum(1)  # (N,)


class Negative(nn.Module):
    """A generator whose points have negative coordinates only; z (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return -self.scale * (z.abs() + 0.1)  # (N, 2)


class Smooth(nn.Module):
    """A small convolutional discriminator without kinks; x (N, C, H, W)."""

    def __init__(self, channels: int = 3, width: int = 4, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=bias)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=bias)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        x = torch.tanh(self.first(x))  # (N, width, H/2, W/2)
        return torch.nn.functional.softplus(self.second(x)).mean((1, 2, 3))  # (N,)


def networks(
    dtype: torch.dtype = torch.float64, num_classes: int = CLASSES
) -> tuple[nn.Module, nn.Module]:
    """A generator and a discriminator for 16x16 pictures, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        options = {"size": SHAPE[1:], "channels": SHAPE[0], "num_classes": num_classes, "width": 4}
        generator = build_generator("dcgan", **options)
        discriminator = build_discriminator("dcgan", **options)
    return generator.to(dtype), discriminator.to(dtype)


def inputs(
    settings: ObjectiveSettings,
    generator: nn.Module,
    n: int = 8,
    dtype: torch.dtype = torch.float64,
    seed: int = 1,
    p: float = 0.7,
    num_classes: int = CLASSES,
) -> tuple[Batch, Draws]:
    """A batch with labels and draws, equal for equal seeds."""
    source = torch.Generator().manual_seed(seed)
    images = torch.rand(n, *SHAPE, generator=source, dtype=torch.float64) * 2 - 1
    labels = torch.randint(num_classes, (n,), generator=source)
    draws = draw(settings, n, generator.z_dim, SHAPE, p, source)
    return Batch(images.to(dtype), labels), draws._replace(z=draws.z.to(dtype))


def weights(
    r1: float = 1.0, r2: float = 1.0, gp: float = 1.0, dtype: torch.dtype = torch.float64
) -> Weights:
    return Weights(*(torch.tensor(value, dtype=dtype) for value in (r1, r2, gp)))


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """Gradients by parameter name, which must all exist."""
    found = {}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        found[name] = parameter.grad.clone()
    return found
