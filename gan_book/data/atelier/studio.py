"""From a seed to pictures: which style and palette each gets, and painting them in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from gan_book.errors import GanBookError

from . import geometry, landscapes, painterly, patterns
from .dice import Array, Dice, keys_for, mix64
from .easel import Easel
from .palettes import PALETTES

if TYPE_CHECKING:
    from torch import Tensor

    from gan_book.data.imageset import ImageSet

ATELIER_VERSION = 1

PAINTERS: Mapping[str, Callable[[Easel], None]] = MappingProxyType(
    {
        "dunes": landscapes.dunes,
        "mist": landscapes.mist,
        "grid": geometry.grid,
        "discs": geometry.discs,
        "stripes": geometry.stripes,
        "fields": geometry.fields,
        "truchet": patterns.truchet,
        "weave": patterns.weave,
        "blocks": patterns.blocks,
        "scales": patterns.scales,
        "strokes": painterly.strokes,
        "glass": painterly.glass,
    }
)
STYLES: tuple[str, ...] = tuple(PAINTERS)

_CANONICAL = 64  # smaller pictures are painted at least this large and averaged down
_FINE = {"blocks": 2}  # styles whose cells meet without an antialiased edge
_CHOICE = 0x5354594C45  # separates the draw of style and palette from the composition
_BATCH_PIXELS = 1 << 16  # painted together: planes of 256 KB stay in the cache


def paint_batch(style: str, palette: Array, keys: Array, size: tuple[int, int]) -> Array:
    """Paint pictures of one style: palette int (n,), keys uint64 (n,); uint8 (n, 3, H, W)."""
    height, width = size
    factor = -(-_CANONICAL // min(size)) if min(size) < _CANONICAL else 1
    factor *= _FINE.get(style, 1)
    table = np.array(list(PALETTES.values()), np.float32)  # (8, 6, 3)
    easel = Easel(height * factor, width * factor, table[palette], Dice(keys))
    PAINTERS[style](easel)
    fine = np.rint(np.minimum(np.maximum(easel.canvas, 0.0), 255.0))  # (3, n, fH, fW)
    if factor > 1:
        total = np.zeros((3, len(keys), height, width), np.int32)
        for i in range(factor):
            for j in range(factor):
                total += fine[:, :, i::factor, j::factor].astype(np.int32)
        fine = (total * 2 + factor * factor) // (2 * factor * factor)  # rounded mean
    return fine.astype(np.uint8).transpose(1, 0, 2, 3)


def paint(size: tuple[int, int], keys: Array, style: Array, palette: Array) -> Array:
    """Paint picture i in style[i] and palette[i] (indices) from keys[i]: uint8 (N, 3, H, W)."""
    images = np.empty((len(keys), 3, *size), np.uint8)
    batch = max(1, _BATCH_PIXELS // (max(size[0], _CANONICAL) * max(size[1], _CANONICAL)))
    for k in range(len(STYLES)):
        members = np.flatnonzero(style == k)
        for start in range(0, len(members), batch):
            part = members[start : start + batch]
            images[part] = paint_batch(STYLES[k], palette[part], keys[part], size)
    return images


def assign(keys: Array, shares: Sequence[int], palettes: int) -> tuple[Array, Array]:
    """Draw a style, by integer shares, and a palette for each key: two int64 arrays (n,)."""
    chooser = Dice(mix64(keys ^ np.uint64(_CHOICE)))
    bounds = np.cumsum(np.array(shares, np.int64))
    draw = chooser.integer(0, int(bounds[-1]) - 1)[:, 0, 0]
    label = np.searchsorted(bounds, draw, side="right").astype(np.int64)
    return label, chooser.integer(0, palettes - 1)[:, 0, 0]


def atelier(
    n: int = 1000,
    size: int | tuple[int, int] = 32,
    seed: int = 0,
    styles: Sequence[str] | None = None,
    palettes: Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
    version: int = ATELIER_VERSION,
) -> ImageSet:
    """Paint n pictures: an `ImageSet` of uint8 (n, 3, H, W), labelled by style and palette.

    size: side in pixels or (H, W), at least 8. styles, palettes: which of `STYLES` and
    `PALETTES` to use, all by default; label k is the k-th of the chosen styles. weights: relative
    frequency of styles, 1 where not named, for sets with rare styles.

    Picture i is drawn independently of all others from (version, seed, i): it does not depend on
    n, its style and palette are independent draws, and it shows the same composition at every
    size. Below 64 pixels a picture is the box-filtered larger one. Raises GanBookError for
    unknown names, sizes or versions.
    """
    import torch

    from gan_book.data.imageset import ImageSet

    if version != ATELIER_VERSION:
        raise GanBookError(
            f"Atelier version {version} is not in this package: it paints version "
            f"{ATELIER_VERSION}. Install the release that made the pictures you need."
        )
    if n < 1:
        raise GanBookError(f"The Atelier cannot paint {n} pictures: ask for at least one.")
    height, width = _size(size)
    chosen = _names("style", styles, STYLES)
    colors = _names("palette", palettes, tuple(PALETTES))
    keys = keys_for(version, seed, np.arange(n))
    label, tint = assign(keys, _shares(chosen, weights), len(colors))
    style = np.array([STYLES.index(name) for name in chosen])[label]
    palette = np.array([tuple(PALETTES).index(name) for name in colors])[tint]
    images = paint((height, width), keys, style, palette)
    labels = torch.from_numpy(label)
    return ImageSet(
        images=torch.from_numpy(images),
        name="atelier",
        licence="CC0-1.0 (painted by gan_book's Atelier)",
        labels=labels,
        label_names=chosen,
        attributes={"style": labels, "palette": torch.from_numpy(tint)},
        attribute_names={"style": chosen, "palette": colors},
        ids=tuple(f"atelier-v{version}-seed{seed}-{i}" for i in range(n)),
    )


def painting(
    style: str, palette: str, seed: int = 0, size: int | tuple[int, int] = 256, index: int = 0
) -> Tensor:
    """Paint one picture: uint8 tensor (3, H, W).

    The composition depends on (seed, index) and the style; the palette only colors it. It is
    picture `index` of `atelier(seed=seed)`, where that one has this style and palette.
    """
    import torch

    _names("style", (style,), STYLES)
    _names("palette", (palette,), tuple(PALETTES))
    if index < 0:
        raise GanBookError(f"Pictures are counted from 0: there is no picture {index}.")
    key = keys_for(ATELIER_VERSION, seed, np.array([index]))
    tint = np.array([tuple(PALETTES).index(palette)])
    return torch.from_numpy(paint_batch(style, tint, key, _size(size))[0].copy())


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(isinstance(side, int) and 8 <= side <= 8192 for side in pair):
        raise GanBookError(
            f"The Atelier paints pictures of 8 to 8192 pixels a side, not {size!r}: give one "
            "whole number or (height, width)."
        )
    return pair[0], pair[1]


def _names(kind: str, wanted: Sequence[str] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    names = known if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for name in names:
        if name not in known:
            raise GanBookError(
                f"The Atelier has no {kind} called {name!r}; it has {', '.join(known)}."
            )
    if not names or len(set(names)) < len(names):
        raise GanBookError(f"Name at least one {kind} for the Atelier, each of them once.")
    return names


def _shares(chosen: tuple[str, ...], weights: Mapping[str, float] | None) -> list[int]:
    """Relative frequencies as integers (equal ones as 1, others in units of 2**-24)."""
    if weights is None:
        return [1] * len(chosen)
    for name, weight in weights.items():
        if name not in chosen:
            raise GanBookError(f"A weight names {name!r}, which is none of {', '.join(chosen)}.")
        if not (weight >= 0 and math.isfinite(weight)):
            raise GanBookError(f"The weight of {name!r} must be 0 or more, not {weight}.")
    values = [float(weights.get(name, 1.0)) for name in chosen]
    total = math.fsum(values)  # correctly rounded, unlike sum() on older Pythons
    if total == 0:
        raise GanBookError("All weights are 0: at least one style must be painted.")
    return [round(value / total * 2**24) for value in values]
