"""Films that play in a notebook and in the built page, without video codec or network.

The player is matplotlib's (``Animation.to_jshtml``) with three changes: its link to an icon font
on a CDN is taken out and the buttons are labeled in text; the frames are our own, stored at their
real size and enlarged by the browser without blurring; and its identifier comes from the content,
so that the same film gives the same HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from gan_book.errors import GanBookError, need, whole
from gan_book.machine import write_atomically
from gan_book.plots import as_pillow, as_uint8, grid
from gan_book.style import PAPER

if TYPE_CHECKING:
    from IPython.display import HTML

MOST_FRAMES = 30
BUDGET = 600_000  # bytes of HTML

# matplotlib's icon -> the character shown in its place; every button keeps its title and aria-label
ICONS = {
    "fa fa-minus": "\N{MINUS SIGN}",
    "fa fa-fast-backward": "|\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}",
    "fa fa-step-backward": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
    "fa fa-play fa-flip-horizontal": "\N{BLACK LEFT-POINTING TRIANGLE}\N{VARIATION SELECTOR-15}",
    "fa fa-pause": "||",
    "fa fa-play": "\N{BLACK RIGHT-POINTING TRIANGLE}\N{VARIATION SELECTOR-15}",
    "fa fa-step-forward": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
    "fa fa-fast-forward": "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}|",
    "fa fa-plus": "+",
}


def film(
    frames: Any,
    path: str | os.PathLike[str] | None = None,
    fps: int = 12,
    caption: str | None = None,
    *,
    alt: str | None = None,
    width: int | None = None,
    budget: int = BUDGET,
) -> HTML:
    """A film as HTML for the last line of a cell; ``path`` (.gif or .webp) also writes it as a
    file.

    ``frames``: a uint8 tensor (T, C, H, W), a list of Pillow pictures or uint8 tensors of one
    size, or a list of matplotlib figures; a frame that is a batch (N, C, H, W) becomes a grid. 2
    to ``MOST_FRAMES`` frames. ``width`` is the width on the page in pixels (default: the
    largest integer multiple of the frames' own up to 420, and at least their own). Where lossless
    frames do not fit ``budget`` (bytes), they are stored as WebP of quality 85, then 70, 50 and 30;
    ``GanBookError`` if none fits.
    """
    from IPython.display import HTML

    pictures = as_frames(frames)
    whole("fps", fps, 1, 60)
    if path is not None:
        save(pictures, Path(path), fps)
    own = pictures[0].width
    shown = whole("width", own * max(1, 420 // own) if width is None else width, 1, 4096)
    for quality in (None, 85, 70, 50, 30):
        uris = [data_uri(picture, quality) for picture in pictures]
        page = player(uris, fps, shown, caption, alt or caption or "film", crisp=shown >= 2 * own)
        if len(page.encode()) <= budget:
            return HTML(page)
    raise GanBookError(
        f"A film of {len(pictures)} frames of {own} x {pictures[0].height} pixels takes "
        f"{len(page.encode()) // 1000} KB, more than {budget // 1000} KB even at low quality; use "
        "fewer frames or fewer or smaller pictures."
    )


def as_frames(frames: Any) -> list[Image.Image]:
    """Frames in any accepted form as Pillow pictures (RGB) of one size."""
    frames = getattr(frames, "images", frames)
    kind = type(frames).__name__
    listed = hasattr(frames, "__len__") and kind not in ("str", "bytes")
    need(listed, f"A film is made of a list of frames, not of a {kind}.")
    count = len(frames)
    fits = 2 <= count <= MOST_FRAMES
    need(fits, f"A film has 2 to {MOST_FRAMES} frames, not {count}; take every second or third.")
    pictures = [as_frame(frame) for frame in frames]
    one_size = len({picture.size for picture in pictures}) == 1
    need(one_size, "All frames of a film must have one size.")
    return pictures


def as_frame(frame: Any) -> Image.Image:
    """One frame as a Pillow picture (RGB): figures are drawn at their own resolution, a batch
    becomes a grid."""
    if hasattr(frame, "savefig"):
        buffer = io.BytesIO()
        frame.savefig(buffer, format="png", dpi=frame.dpi)
        drawn = Image.open(buffer).convert("RGBA")
        page = Image.new("RGBA", drawn.size, PAPER)
        page.alpha_composite(drawn)
        return page.convert("RGB")
    if isinstance(frame, Image.Image):
        return frame.convert("RGB")
    batch = as_uint8(frame)
    return grid(batch, scale=1) if len(batch) > 1 else as_pillow(batch[0])


def data_uri(picture: Image.Image, quality: int | None) -> str:
    """The picture as a data URI: PNG, or WebP of ``quality``."""
    buffer = io.BytesIO()
    kind = "png" if quality is None else "webp"
    picture.save(buffer, kind, quality=quality, method=4)  # PNG ignores both
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def player(
    uris: Sequence[str], fps: int, width: int, caption: str | None, alt: str, crisp: bool
) -> str:
    """matplotlib's player with our frames, text on its buttons and nothing fetched from outside."""
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation

    figure = plt.figure(figsize=(0.1, 0.1), dpi=20, layout="none")  # its frames are replaced below
    try:
        animation = FuncAnimation(figure, lambda _: (), frames=len(uris), interval=1000 / fps)
        page = animation.to_jshtml(fps=fps, default_mode="loop")
    finally:
        plt.close(figure)
    page = re.sub(r"<link\b[^>]*>", "", page)
    for icon, text in ICONS.items():
        page = page.replace(f'<i class="{icon}"></i>', f'<span aria-hidden="true">{text}</span>')
    frame = r'"data:image/[^"]*"'
    rest = re.sub(frame, "", page)  # base64 may spell "http" by chance: in one film of a hundred
    own = iter(uris)
    page, count = re.subn(frame, lambda _: f'"{next(own)}"', page)
    found = re.search(r'id="_anim_img([0-9a-f]{32})"', page)
    foreign = "http" in rest or "fa-" in rest
    if found is None or foreign or count != len(uris):
        raise RuntimeError(
            "This version of matplotlib writes another film player; animation.py must follow it."
        )
    digest = hashlib.sha256(repr((tuple(uris), fps, width, caption)).encode()).hexdigest()[:32]
    page = page.replace(found.group(1), digest)
    style = f"width:{width}px;max-width:100%;height:auto;"
    style += "image-rendering:pixelated;" if crisp else ""
    name = f'id="_anim_img{digest}"'
    still = f'src="{uris[0]}" alt="{html.escape(alt, quote=True)}" style="{style}"'
    page = page.replace(f"<img {name}>", f"<img {name} {still}>")
    page = page.replace(
        'class="anim-slider"', 'class="anim-slider" aria-label="Frame" style="max-width:100%"'
    )
    # on a phone the buttons wrap instead of leaving the page
    page = page.replace(".animation {", ".animation {\n    max-width: 100%;", 1)
    if caption:
        controls = '<div class="anim-controls">'
        above = f'<div class="anim-caption">{html.escape(caption)}</div>\n  '
        page = page.replace(controls, above + controls)
    return page


def save(pictures: Sequence[Image.Image], path: Path, fps: int) -> None:
    """Write the film as .gif or .webp by Pillow, looping; atomic."""
    kinds: dict[str, dict[str, Any]] = {
        ".gif": {"format": "GIF", "disposal": 2},
        ".webp": {"format": "WEBP", "quality": 85},
    }
    suffix = path.suffix.lower()
    need(suffix in kinds, f"A film is saved as .gif or .webp, not as {path.name!r}.")
    buffer = io.BytesIO()
    looped: dict[str, Any] = {"save_all": True, "append_images": pictures[1:], "loop": 0}
    pictures[0].save(buffer, duration=round(1000 / fps), **looped, **kinds[suffix])
    write_atomically(path, buffer.getbuffer())
