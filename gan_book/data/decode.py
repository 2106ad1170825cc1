"""From the bytes of one image file to pixels of the wanted size, or a sentence why not.

Foreign files are hostile until decoded: only the six formats of ``FORMATS`` are tried (so no
decoder that starts other programs, such as the one for PostScript), dimensions are checked before
pixels are allocated, and whatever a decoder raises becomes a :class:`Refusal`.

Colors are taken as sRGB (embedded color profiles are not applied) and resized as stored, not in
linear light, which is what most published data sets do. The filter is Pillow's ``LANCZOS``, which
is antialiased: it averages over all source pixels when it shrinks.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageOps

from gan_book.errors import GanBookError, need, whole

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
FORMATS_TEXT = "JPEG, PNG, WebP, BMP, TIFF or GIF"
FILTER = "lanczos"
MAX_PIXELS = 178_956_970  # where Pillow, too, takes a picture for a decompression bomb
ALONE_PIXELS = 16_000_000  # larger pictures are decoded one at a time, to bound memory
MAX_ENLARGE = 8.0
NOTED_ENLARGE = 2.0

_ALONE = threading.Lock()
_TOO_LARGE = f"it is too large, perhaps a decompression bomb: over {MAX_PIXELS:,} pixels"

_BEGINNINGS = (  # where, the bytes there, what such a file is
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"GIF8", "GIF"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"PK\x03\x04", "a zip archive or an office document"),
    (0, b"8BPS", "a Photoshop file"),
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyphe", "a HEIC picture"),
    (4, b"ftypm", "a HEIC picture or a video"),
    (4, b"ftyp", "a video"),
)


class Refusal(Exception):
    """A file that cannot be used; the message is the reason, as a sentence about "it"."""


@dataclass(frozen=True)
class Preparation:
    """How every picture is made ready: size (H, W), channels, crop, background under alpha.

    Raises:
        GanBookError: if a value is impossible.
    """

    size: tuple[int, int]
    channels: int = 3
    crop: str = "center"
    background: str = "white"

    def __post_init__(self) -> None:
        for side in self.size:
            whole("each side of size", side, 4, 4096)
        need(self.channels in (1, 3), f"channels must be 1 (gray) or 3, not {self.channels}.")
        crops = ("center", "stretch")
        need(self.crop in crops, f"crop must be 'center' or 'stretch', not {self.crop!r}.")
        self.color()

    def color(self) -> tuple[int, int, int]:
        """The background as (red, green, blue)."""
        try:
            return ImageColor.getrgb(self.background)[:3]
        except (ValueError, TypeError, AttributeError):
            raise GanBookError(
                f"background {self.background!r} is no color such as 'white' or '#ffffff'."
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """All that determines the pixels, for reports and cache keys."""
        return {**asdict(self), "size": list(self.size), "filter": FILTER}


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep Pillow's warnings about odd files (damaged EXIF and such) off the screen."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\..*)?")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def decode(data: bytes, how: Preparation) -> tuple[NDArray[np.uint8], float]:
    """The picture in ``data`` as uint8 (C, H, W), and how many times it was enlarged (below 1:
    shrunk).

    Raises:
        Refusal: with the reason; nothing else, whatever the bytes are.
    """
    if not data:
        raise Refusal("it is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise Refusal(_TOO_LARGE)
            with _ALONE if width * height > ALONE_PIXELS else nullcontext():
                return _prepare(picture, how)
    except Refusal:
        raise
    except Image.UnidentifiedImageError:
        raise Refusal(_unidentified(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(_TOO_LARGE) from None
    except MemoryError:
        raise Refusal("it does not fit in memory when decoded") from None
    except Exception as error:  # noqa: BLE001 - a decoder fed with foreign bytes may raise anything
        raise Refusal(_damaged(error)) from None


def resize(
    picture: Image.Image, how: Preparation, shrunk: float = 1.0
) -> tuple[NDArray[np.uint8], float]:
    """An upright L or RGB picture, cropped and resized with LANCZOS: uint8 (C, H, W), and the
    enlargement, counted from before the decoder shrank it ``shrunk`` times."""
    high, wide = how.size
    width, height = picture.size
    # source pixels per target pixel; rounded, a side times it may be longer than the picture's
    scale = float("inf") if how.crop == "stretch" else min(width / wide, height / high)
    box_w, box_h = min(width, wide * scale), min(height, high * scale)
    left, top = (width - box_w) / 2, (height - box_h) / 2
    enlarged = max(wide / width, high / height) / shrunk
    if enlarged > MAX_ENLARGE:
        raise Refusal(
            f"it is too small: {width} x {height} pixels would be enlarged more than "
            f"{MAX_ENLARGE:.0f} times to {wide} x {high}"
        )
    picture = picture.convert("L" if how.channels == 1 else "RGB")
    if picture.size != (wide, high):
        box = (left, top, left + box_w, top + box_h)
        picture = picture.resize((wide, high), Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    pixels = np.asarray(picture, dtype=np.uint8).reshape(high, wide, how.channels)  # (H, W, C)
    return pixels.transpose(2, 0, 1).copy(), enlarged  # (C, H, W)


def _prepare(picture: Image.Image, how: Preparation) -> tuple[NDArray[np.uint8], float]:
    width = picture.width
    # libjpeg shrinks by 2, 4 or 8 while it decodes; three times the target is left to LANCZOS.
    picture.draft(None, (3 * max(how.size), 3 * max(how.size)))
    picture.load()
    shrunk = width / picture.width
    with suppress(Exception):  # damaged EXIF raises anything and costs no picture
        picture = ImageOps.exif_transpose(picture)
    return resize(_flatten(picture, how), how, shrunk)


def _flatten(picture: Image.Image, how: Preparation) -> Image.Image:
    """Any mode to RGB or L without alpha."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return _gray_from_numbers(picture)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    rgba = picture.convert("RGBA")
    if rgba.getchannel("A").getextrema()[1] == 0:
        raise Refusal("it is completely transparent")
    canvas = Image.new("RGBA", rgba.size, (*how.color(), 255))
    canvas.alpha_composite(rgba)
    return canvas.convert("RGB")


def _gray_from_numbers(picture: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float gray to 8 bits, rounded to nearest."""
    values = np.asarray(picture)
    if picture.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 255):  # also catches NaN
            raise Refusal("its floating-point values are not between 0 and 1 or 0 and 255")
        gray = np.rint(values * (255.0 if high <= 1 else 1.0))
    else:
        if values.min() < 0 or values.max() > 65535:
            raise Refusal("its 32-bit values have no known range; save it with 8 or 16 bits")
        gray = (values.astype(np.uint32) + 128) // 257  # 65535 = 255 * 257
    return Image.fromarray(gray.astype(np.uint8))


def _unidentified(data: bytes) -> str:
    known = (kind for place, start, kind in _BEGINNINGS if data.startswith(start, place))
    kind = next(known, None) or _text(data[:512])
    if kind in FORMATS:
        return f"it begins as {kind}, but its header is damaged or cut off"
    return f"it is {kind}; it must be {FORMATS_TEXT}"


def _text(head: bytes) -> str:
    """What kind of text a file begins with, if it is text."""
    text = head.decode("utf-8", errors="ignore").lower()
    cut_off = len(head) - len(text.encode())  # the end may fall into a character
    if cut_off > 3 or any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return "not an image of a known format"
    if "<html" in text:
        return "an HTML page, as a failed download leaves it"
    return "an SVG drawing" if "<svg" in text else "text"


def _damaged(error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in text or "end of file" in text:
        return "it is truncated: the file ends before the picture does"
    return f"it is damaged and cannot be decoded ({ascii(text or type(error).__name__)[:120]})"
