"""The default feature extractor: pictures in, vectors out, whose distances say how alike they are.

One small convolutional network, trained once by the project and never edited: a new one gets a new
name, because numbers of different extractors cannot be compared. It was trained on the Atelier and
on crops of real paintings to tell style, palette, rotation and kind of damage, to draw a thumbnail
of its input and to take damage off it (`data/models/<name>/card.json`). Features are pooled from
all its depths, so that texture, color and layout count as well as the kind of picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checkpoints import copy_into, load_tensors
from .errors import brief, known, need
from .results import data_path

DEFAULT = "gan-book-1"
SIZE = 64
RESIZE = "64 x 64, bicubic, antialiased"
WIDTHS = (24, 40, 80, 128, 128)
DIM = 192
BOUND = 6.0


class Extractor(Protocol):
    """What measuring needs of a feature network."""

    id: str
    dim: int

    def facts(self) -> dict[str, Any]:
        """Id, hash of the weights, dimension and resize filter: what a number travels with."""

    def __call__(self, images: Tensor) -> Tensor:
        """Features of pictures: uint8 (N, C, H, W) to float32 (N, dim) on the CPU."""


@dataclass(frozen=True)
class Reading:
    """Styles and palettes of the Atelier that a reader sees in N pictures.

    Attributes:
        style, palette: int64 (N,), indices into `STYLES` and the keys of `PALETTES`.
        style_probability, palette_probability: float32 (N,), of the answer given, in (0, 1].
    """

    style: Tensor
    palette: Tensor
    style_probability: Tensor
    palette_probability: Tensor


class Trunk(nn.Module):
    """Five depths of convolutions, from 64 x 64 to 4 x 4, with their statistics as output."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.same = nn.ModuleList(nn.Conv2d(b, b, 3, padding=1) for _, b in steps)
        self.dim = 2 * sum(widths) + 4 * widths[-1]

    def maps(self, x: Tensor) -> list[Tensor]:
        """Pictures in [-1, 1] to the maps of each depth."""
        h = functional.relu(self.stem(x))  # (N, 3, 64, 64) -> (N, 24, 64, 64)
        found = [h]
        for down, same in zip(self.down, self.same, strict=True):
            h = functional.relu(down(h))  # (N, 40, 32, 32), then 80 x 16, 128 x 8, 128 x 4
            h = h + functional.relu(same(h))  # the same shape
            found.append(h)
        return found

    def statistics(self, maps: list[Tensor]) -> Tensor:
        """Mean and deviation of each channel at each depth, and the deepest map as 2 x 2."""
        parts = []
        for h in maps:
            deviation, mean = torch.std_mean(h, dim=(2, 3), correction=0)  # (N, C) each
            parts += [mean, deviation]
        parts.append(functional.adaptive_avg_pool2d(maps[-1], 2).flatten(1))  # (N, 4 * 128)
        return torch.cat(parts, dim=1)  # (N, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.statistics(self.maps(x))  # (N, 3, 64, 64) -> (N, dim)


class FeatureNet(nn.Module):
    """The trunk, the fixed linear map to features, and the reader's two linear layers.

    Features are principal components of the statistics over the training pictures, nearly
    whitened, and bounded softly: z / sqrt(1 + (z / 6)^2), so that a picture unlike all of those
    cannot decide a cubic kernel alone.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS, dim: int = DIM) -> None:
        super().__init__()
        self.trunk = Trunk(widths)
        self.project = nn.Linear(self.trunk.dim, dim)
        self.style = nn.Linear(self.trunk.dim, 12)
        self.palette = nn.Linear(self.trunk.dim, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        s = self.trunk(x)  # (N, 3, 64, 64) -> (N, 1312)
        z = self.project(s)  # (N, 192)
        z = z * torch.rsqrt(1 + (z / BOUND) ** 2)  # (N, 192)
        return z, self.style(s), self.palette(s)  # (N, 192), (N, 12), (N, 8)


def resized(images: Tensor) -> Tensor:
    """Pictures uint8 (N, C, H, W) as the network sees them: float32 (N, 3, 64, 64) in [-1, 1].

    Bicubic with antialiasing, whatever the shape; gray pictures get three equal channels.
    """
    x = images.float().expand(-1, 3, -1, -1)  # (N, 3, H, W)
    if x.shape[-2:] != (SIZE, SIZE):
        x = functional.interpolate(x, (SIZE, SIZE), mode="bicubic", antialias=True)
    return x.clamp(0, 255) / 127.5 - 1


class GanBookExtractor:
    """A shipped extractor: see the module. `net(images)` gives features, `net.read` labels."""

    def __init__(self, name: str, device: torch.device) -> None:
        path = data_path("models", name, "extractor.safetensors")
        tensors, self.card = load_tensors(path)
        self.id, self.dim, self.device = name, DIM, device
        with torch.random.fork_rng(devices=[]):
            self.net = FeatureNet()
        copy_into(self.net.state_dict(), {k: v.float() for k, v in tensors.items()}, str(path))
        # channels_last: measured a third faster on a CPU
        self.net.to(device).to(memory_format=torch.channels_last)
        self.net.eval().requires_grad_(False)

    def facts(self) -> dict[str, Any]:
        return {
            "extractor": self.id,
            "sha256": self.card["sha256"],
            "dim": self.dim,
            "resize": RESIZE,
        }

    @torch.no_grad()
    def _outputs(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        check_pictures(images)
        found: list[tuple[Tensor, ...]] = []
        for batch in images.split(64):
            x = resized(batch.to(self.device)).contiguous(memory_format=torch.channels_last)
            found.append(tuple(part.float().cpu() for part in self.net(x)))
        z, style, palette = (torch.cat(parts) for parts in zip(*found, strict=True))
        return z, style, palette

    def __call__(self, images: Tensor) -> Tensor:
        """Features of pictures: uint8 (N, C, H, W), C 1 or 3, to float32 (N, 192) on the CPU.

        Raises `GanBookError` for anything else.
        """
        return self._outputs(images)[0]

    def read(self, images: Tensor) -> Reading:
        """Which style and palette of the Atelier each picture has; every picture gets an answer."""
        _, style, palette = self._outputs(images)
        p_style, p_palette = style.softmax(1).max(1), palette.softmax(1).max(1)
        return Reading(p_style.indices, p_palette.indices, p_style.values, p_palette.values)


def check_pictures(images: Any) -> None:
    """Raise `GanBookError` unless images are uint8 (N, C, H, W) with N > 0 and C 1 or 3."""
    fits = isinstance(images, Tensor) and images.dtype == torch.uint8 and images.ndim == 4
    what = f"{images.dtype} {list(images.shape)}" if isinstance(images, Tensor) else brief(images)
    need(
        fits and 0 not in images.shape and images.shape[1] in (1, 3),
        "Features are taken of pictures as uint8 (N, C, H, W) with 1 or 3 channels, not of "
        f"{what}; gan_book.to_uint8 makes them from floats in [-1, 1].",
    )


@lru_cache(maxsize=4)
def _open(name: str, device: torch.device) -> Extractor:
    if name == DEFAULT:
        return GanBookExtractor(name, device)
    from .pretrained import NAMES, pretrained

    known("extractor", name, (DEFAULT, *NAMES))
    return pretrained(name, device)


def extractor(name: str = DEFAULT, device: str | torch.device = "auto") -> Extractor:
    """Open a feature extractor by name, once per device: "gan-book-1", "inception", "dinov2".

    The last two are downloaded when first asked for (`gan_book.pretrained`). Raises `GanBookError`
    for other names.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return _open(name, torch.device(device))
