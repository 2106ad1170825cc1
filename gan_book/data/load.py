"""One call for every source of pictures: the Atelier, a named set, a folder, a zip."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan_book.data.decode import Preparation
from gan_book.data.folder import load_listing
from gan_book.data.hub import HUB_PREFIX, from_hub
from gan_book.data.imageset import ImageSet
from gan_book.data.listing import list_source
from gan_book.data.named import NAMED, choose, named, resize_all
from gan_book.errors import GanBookError, known, need, whole

ATELIER = "atelier"
NAMES = (ATELIER, *NAMED)


def load_images(
    source: str | Path | ImageSet,
    size: int | tuple[int, int] = 32,
    *,
    n: int | None = None,
    channels: int = 3,
    seed: int = 0,
    crop: str = "center",
    labels: bool = True,
    cache: bool = True,
    progress: bool = True,
    min_images: int = 2,
    download: bool = False,
    background: str = "white",
    root: str | Path | None = None,
    **atelier_options: Any,
) -> ImageSet:
    """Pictures of one size from any source.

    Args:
        source: ``"atelier"`` (painted by the package), a name in ``NAMES``, ``"hf:owner/name"``,
            a folder, a zip file, or an ImageSet, which is resized. A name goes before a folder of
            the same name; write ``"./atelier"`` for the folder.
        size: side in pixels, or (H, W); 4 to 4096, of the Atelier from 8 on.
        n: how many pictures; drawn with ``seed`` where the source has more. The Atelier paints
            1,000 if n is None; of others all are taken.
        channels: 3 (color) or 1 (gray).
        seed: of the Atelier's pictures, or of the draw of ``n``.
        crop: ``"center"`` keeps proportions and cuts what sticks out; ``"stretch"`` keeps all.
        labels: take labels where the source has some.
        cache: keep decoded folders on disk.
        progress: show a bar while decoding.
        min_images: fewer usable pictures in a folder, zip or set of the hub are an error.
        download: allow the download of a named set.
        background: the color under transparent pictures, a name or ``#rrggbb``.
        root: a folder that already holds the files of a named set.
        **atelier_options: ``styles`` and ``palettes``, for ``"atelier"`` only.

    Returns:
        uint8 pictures (N, C, H, W), with labels, ids, groups and a report where there are any.

    Raises:
        GanBookError: with a sentence on what is wrong with the source or an option.
    """
    how = Preparation(_size(size), channels, crop, background)
    n = None if n is None else whole("n", n, 1, 10**9)
    reading: dict[str, Any] = {
        "cache": cache,
        "progress": progress,
        "min_images": whole("min_images", min_images, 1, 10**9),
    }
    names = ", ".join(sorted(atelier_options))
    need(
        source == ATELIER or not names,
        f"Unknown options for this source: {names} (only 'atelier' has more).",
    )
    total = n
    if isinstance(source, ImageSet):
        images = _again(source, how)
    elif source == ATELIER:
        images, total = _atelier(how, n, seed, atelier_options), None
    elif isinstance(source, str) and source in NAMED:
        images = named(source, how, n=n, seed=seed, download=download, root=root, progress=progress)
        total = None
    elif isinstance(source, str) and source.startswith(HUB_PREFIX):
        images = from_hub(source, how, download=download, **reading)
    else:
        images = load_listing(list_source(_path(source).expanduser()), how, **reading)
    if total is not None:
        images = images.subset(choose(len(images), total, seed, f"The source '{images.name}'"))
    return images if labels else replace(images, labels=None, label_names=())


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    try:
        high, wide = (size, size) if isinstance(size, int) else size
    except (TypeError, ValueError):
        raise GanBookError(f"size must be a number or a pair (H, W), not {size!r}.") from None
    return high, wide


def _path(source: str | Path) -> Path:
    """The source as a path; a string that is neither a name nor a path gets a suggestion."""
    need(
        isinstance(source, str | Path),
        f"The source of pictures is a name, a folder or a zip, not a {type(source).__name__}.",
    )
    path, text = Path(source), str(source)
    if isinstance(source, str) and not (
        "/" in text or "\\" in text or path.suffix or os.path.exists(text)
    ):
        known("file, folder or set", text, (*NAMES, "hf:owner/name"))
    return path


def _atelier(how: Preparation, n: int | None, seed: int, options: dict[str, Any]) -> ImageSet:
    from gan_book.data.atelier import atelier

    for name in options:
        known("option of the Atelier", name, ("styles", "palettes", "weights", "version"))
    return _again(atelier(1000 if n is None else n, how.size, seed=seed, **options), how)


def _again(images: ImageSet, how: Preparation) -> ImageSet:
    """An ImageSet at another size or number of channels; itself where nothing changes."""
    if images.size == how.size and images.channels == how.channels:
        return images
    pixels = images.images.permute(0, 2, 3, 1).numpy()  # (N, H, W, C)
    return replace(images, images=resize_all(pixels, how))
