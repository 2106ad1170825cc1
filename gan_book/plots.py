"""Pictures as grids, real beside generated, and training curves with what is healthy marked.

Grids are made with Pillow, not drawn by matplotlib: every picture lands on whole pixels, enlarged
by an integer factor with nearest neighbor, and the PNG stays small. The curves are in
``gan_book.training_curves``, the style in ``gan_book.style``.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin
from torch import Tensor

from gan_book.errors import need, whole
from gan_book.machine import write_atomically
from gan_book.style import INK, PAPER, use_style
from gan_book.training_curves import curves

__all__ = ["as_uint8", "curves", "grid", "png_bytes", "save_grid", "sheet", "show", "use_style"]

WIDTH = 560  # pixels: what a grid aims at; a page column is about 700 wide
PNG_BUDGET = 150_000  # bytes


def as_uint8(images: Any) -> Tensor:
    """Pictures in any of the forms readers have, as one uint8 tensor (N, C, H, W) on the CPU, C =
    1 or 3.

    Takes an ``ImageSet``, a uint8 tensor (N, C, H, W) or (C, H, W), a Pillow picture or a list of
    these, all of one size. Raises ``GanBookError`` for anything else; float pictures in [-1, 1]
    go through ``gan_book.data.to_uint8``.
    """
    images = getattr(images, "images", images)
    if isinstance(images, Image.Image):
        mode = "L" if images.mode in ("1", "L") else "RGB"
        array = np.array(images.convert(mode))  # (H, W) or (H, W, 3)
        return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)[None]
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images)
    if isinstance(images, (list, tuple)):
        parts = [as_uint8(image) for image in images]
        need(parts, "There are no pictures to show: the list is empty.")
        sizes = sorted({f"{p.shape[3]} x {p.shape[2]}, {p.shape[1]} channels" for p in parts})
        need(
            len(sizes) == 1,
            f"The pictures of one grid must have one size; these have {len(sizes)}: "
            f"{'; '.join(sizes[:4])}.",
        )
        return torch.cat(parts)
    kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
    need(
        kind == torch.uint8,
        f"Pictures are a uint8 tensor (N, C, H, W), an ImageSet or a list, not {kind}; "
        "gan_book.data.to_uint8 converts from [-1, 1].",
    )
    if images.ndim == 3:
        images = images[None]
    need(
        images.ndim == 4 and images.shape[1] in (1, 3) and 0 not in images.shape,
        "Pictures have the shape (N, C, H, W) with 1 or 3 channels and at least one picture, "
        f"not {tuple(images.shape)}.",
    )
    return images.detach().cpu()


def layout(n: int, width: int) -> tuple[int, int]:
    """Columns and enlargement for ``n`` pictures ``width`` pixels wide: rows about equally full,
    ``WIDTH`` wide."""
    most = min(8 if n <= 64 else 16, max(1, 2 * WIDTH // (width + 2)))
    rows = math.ceil(n / most)
    columns = math.ceil(n / rows)
    return columns, min(8, max(1, WIDTH // (max(columns, 4) * width)))


def grid(
    images: Any,
    columns: int | None = None,
    scale: int | None = None,
    *,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    background: str = PAPER,
) -> Image.Image:
    """All pictures on one Pillow image (RGB), row by row, each enlarged ``scale`` times by
    nearest neighbor.

    The picture in row r and column c starts at pixel ``margin + c * (W * scale + gap)`` from the
    left with ``gap = margin = 2 * scale`` (at most 8), and likewise from the top where neither
    title nor labels are given.
    """
    pictures = as_uint8(images)
    n, _, height, width = pictures.shape
    auto_columns, auto_scale = layout(n, width)
    columns = min(n, whole("columns", auto_columns if columns is None else columns, 1, 1000))
    scale = whole("scale", auto_scale if scale is None else scale, 1, 64)
    texts = [None] * n if labels is None else list(labels)
    need(len(texts) == n, f"There are {n} pictures but {len(texts)} labels; give one for each.")
    gap = min(8, 2 * scale)
    caption = 16 if labels is not None else 0
    head = 24 if title else 0
    rows = math.ceil(n / columns)
    cell_w, cell_h = width * scale + gap, height * scale + gap + caption
    sheet_ = Image.new("RGB", (columns * cell_w + gap, head + rows * cell_h + gap), background)
    draw = ImageDraw.Draw(sheet_)
    if title:
        write(draw, (gap, 4), title, 14, sheet_.width - 2 * gap)
    for i in range(n):
        row, column = divmod(i, columns)
        left, top = gap + column * cell_w, head + gap + row * cell_h
        enlarged = ImageOps.scale(as_pillow(pictures[i]), scale, Image.Resampling.NEAREST)
        sheet_.paste(enlarged, (left, top))
        if labels is not None:
            write(draw, (left, top + height * scale + 1), str(texts[i]), 11, width * scale)
    return sheet_


def as_pillow(picture: Tensor) -> Image.Image:
    """uint8 (C, H, W) as a Pillow picture (RGB)."""
    return Image.fromarray(picture.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, width: int) -> None:
    """One line of text in matplotlib's own font, shortened with an ellipsis where it is wider
    than ``width``."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(path), size)
    text = line = " ".join(text.split())
    while text and font.getlength(line) > width:
        text = text[:-1]
        line = text + "…"
    draw.text(at, line, fill=INK, font=font)


def png_bytes(picture: Image.Image, budget: int | None = PNG_BUDGET) -> bytes:
    """``picture`` as PNG within ``budget`` bytes where that costs at most 4 of 255 levels per
    channel.

    Lossless if that fits; else the coarsest of 7, 6 and 5 bits per channel needed (black and
    white stay exact, errors of at most 1, 2 and 4 levels). Beyond that the file is larger than
    the budget.
    """
    data = b""
    for bits in (8, 7, 6, 5):
        steps = 2**bits - 1
        table = [round(round(v * steps / 255) * 255 / steps) for v in range(256)]
        buffer = io.BytesIO()
        picture.point(table * 3).save(buffer, "PNG", compress_level=6)
        data = buffer.getvalue()
        if budget is None or len(data) <= budget:
            break
    return data


def shown(picture: Image.Image, return_figure: bool) -> Image.Image | None:
    """Return a picture, or display it in a notebook as PNG; elsewhere (a script) do nothing:
    ``save_grid`` writes a file."""
    if return_figure:
        return picture
    try:
        from IPython import get_ipython
        from IPython.display import Image as Displayed
        from IPython.display import display
    except ImportError:
        return None
    if get_ipython() is not None:
        display(Displayed(data=png_bytes(picture), format="png"))
    return None


def show(
    images: Any,
    columns: int | None = None,
    scale: int | None = None,
    title: str | None = None,
    labels: Any = None,
    *,
    limit: int = 64,
    return_figure: bool = False,
) -> Image.Image | None:
    """Show pictures as a crisp grid: an ``ImageSet``, uint8 (N, C, H, W) or (C, H, W), or a list.

    ``labels``: one text per picture, class numbers, or True for the names in the ``ImageSet``. At
    most ``limit`` pictures are shown, and the title then says so. With ``return_figure`` the grid
    is returned as a Pillow image and not shown.
    """
    pictures = as_uint8(images)
    texts = None if labels is None or labels is False else label_texts(images, labels)
    if len(pictures) > whole("limit", limit, 1, 100_000):
        note = f"the first {limit} of {len(pictures):,}"
        title = f"{title} ({note})" if title else note
        count = len(texts or pictures)
        need(count == len(pictures), f"There are {len(pictures)} pictures but {count} labels.")
        pictures, texts = pictures[:limit], texts and texts[:limit]
    picture = grid(pictures, columns, scale, labels=texts, title=title)
    return shown(picture, return_figure)


def label_texts(images: Any, labels: Any) -> list[str]:
    """Labels as texts; class numbers become names where the ``ImageSet`` has names."""
    names = tuple(getattr(images, "label_names", ()))
    if labels is True:
        labels = getattr(images, "labels", None)
        need(labels is not None, "These pictures have no labels; leave out labels=True.")
    values = labels.tolist() if isinstance(labels, (Tensor, np.ndarray)) else list(labels)
    named = dict(enumerate(names))
    return [named.get(value, str(value)) for value in values]


def sheet(
    real: Any,
    generated: Any,
    *,
    n: int = 24,
    columns: int = 4,
    scale: int | None = None,
    headings: tuple[str, str] = ("real", "generated"),
    return_figure: bool = False,
) -> Image.Image | None:
    """Real pictures on the left, generated ones on the right: the first ``n`` of each, at one
    scale.

    Nothing is chosen: where a sheet shows a choice, its heading has to say so.
    """
    left, right = as_uint8(real), as_uint8(generated)
    need(
        left.shape[2:] == right.shape[2:],
        f"Real pictures have the size {tuple(left.shape[2:])}, generated ones "
        f"{tuple(right.shape[2:])}; load the real ones at the generator's size.",
    )
    n = min(whole("n", n, 1, 10_000), len(left), len(right))
    columns = min(whole("columns", columns, 1, 100), n)
    if scale is None:
        scale = min(8, max(1, WIDTH // (2 * max(columns, 3) * left.shape[3])))
    halves = [
        grid(half[:n], columns, scale, title=heading)
        for half, heading in zip((left, right), headings, strict=True)
    ]
    between = 12
    picture = Image.new("RGB", (2 * halves[0].width + between, halves[0].height), PAPER)
    picture.paste(halves[0], (0, 0))
    picture.paste(halves[1], (halves[0].width + between, 0))
    return shown(picture, return_figure)


def save_grid(
    images: Any,
    path: str | os.PathLike[str],
    *,
    columns: int | None = None,
    scale: int | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Path:
    """Write a grid as a lossless PNG whose text chunks carry ``metadata`` (recipe, seed, ...);
    atomic.

    Raises ``GanBookError`` for a name that does not end in .png, ``OSError`` where the place cannot
    be written to.
    """
    return save_png(
        grid(images, columns, scale), path, {"Software": "gan_book", **(metadata or {})}
    )


def save_png(
    picture: Image.Image, path: str | os.PathLike[str], metadata: Mapping[str, object]
) -> Path:
    """Write a picture as lossless PNG with ``metadata`` as text chunks; errors as `save_grid`."""
    target = Path(path)
    is_png = target.suffix.lower() == ".png"
    need(is_png, f"A picture is saved as PNG: give a name that ends in .png, not {str(target)!r}.")
    info = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        info.add_itxt(str(key), str(value))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=6, pnginfo=info)
    write_atomically(target, buffer.getbuffer())
    return target
