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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from gan_book.errors import GanBookError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
FORMATS_TEXT = "JPEG, PNG, WebP, BMP, TIFF or GIF"
FILTER = "lanczos"
MAX_PIXELS = 178_956_970  # where Pillow, too, takes a picture for a decompression bomb
ALONE_PIXELS = 16_000_000  # larger pictures are decoded one at a time, to bound memory
MAX_ENLARGE = 8.0
NOTED_ENLARGE = 2.0

_ALONE = threading.Lock()

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"GIF8": "GIF",
}
_FOREIGN = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an office document",
    b"8BPS": "a Photoshop file",
    b"gimp xcf": "a GIMP file",
    b"\x00\x00\x01\x00": "an icon file",
    b"%!PS": "a PostScript file",
    b"\xff\x0a": "a JPEG XL file",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL file",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
_TURNS = {  # EXIF orientation: how the stored picture must be turned to stand upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
        if not all(isinstance(v, int) and 4 <= v <= 4096 for v in self.size):
            raise GanBookError(f"size must be 4 to 4096 pixels a side, not {self.size}.")
        if self.channels not in (1, 3):
            raise GanBookError(f"channels must be 1 (gray) or 3 (color), not {self.channels}.")
        if self.crop not in ("center", "stretch"):
            raise GanBookError(f"crop must be 'center' or 'stretch', not {self.crop!r}.")
        self.color()

    def color(self) -> tuple[int, int, int]:
        """The background as (red, green, blue)."""
        try:
            return ImageColor.getrgb(self.background)[:3]
        except (ValueError, TypeError, AttributeError):
            raise GanBookError(
                f"background {self.background!r} is no color; use a name such as 'white' or a "
                "code such as '#ffffff'."
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
            _check_pixels(width, height)
            if width * height > ALONE_PIXELS:
                with _ALONE:
                    return _prepare(picture, how)
            return _prepare(picture, how)
    except Refusal:
        raise
    except Image.UnidentifiedImageError:
        raise Refusal(_unidentified(data)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(_too_many_pixels("more than twice Pillow's limit of")) from None
    except MemoryError:
        raise Refusal("it does not fit in memory when decoded") from None
    except Exception as error:  # noqa: BLE001 - a decoder fed with foreign bytes may raise anything
        raise Refusal(_damaged(error)) from None


def resize(
    picture: Image.Image, how: Preparation, original: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], float]:
    """An upright L or RGB picture, cropped and resized with LANCZOS: uint8 (C, H, W), and the
    enlargement, counted from ``original`` (width, height) where that differs."""
    high, wide = how.size
    width, height = picture.size
    scale = min(width / wide, height / high)  # source pixels per target pixel
    box_w, box_h = (width, height) if how.crop == "stretch" else (wide * scale, high * scale)
    left, top = (width - box_w) / 2, (height - box_h) / 2
    whole = original or (width, height)
    enlarged = max(wide / whole[0], high / whole[1])
    if enlarged > MAX_ENLARGE:
        raise Refusal(
            f"it is too small: {whole[0]} x {whole[1]} pixels would be enlarged more than "
            f"{MAX_ENLARGE:.0f} times to {wide} x {high}"
        )
    picture = picture.convert("L" if how.channels == 1 else "RGB")
    if picture.size != (wide, high):
        box = (left, top, left + box_w, top + box_h)
        picture = picture.resize((wide, high), Image.Resampling.LANCZOS, box, reducing_gap=3.0)
    pixels = np.asarray(picture, dtype=np.uint8).reshape(high, wide, how.channels)  # (H, W, C)
    return pixels.transpose(2, 0, 1).copy(), enlarged  # (C, H, W)


def _prepare(picture: Image.Image, how: Preparation) -> tuple[NDArray[np.uint8], float]:
    original = picture.size
    if picture.format in ("JPEG", "MPO"):
        # libjpeg shrinks by 2, 4 or 8 while it decodes; three times the target is left to LANCZOS.
        picture.draft(None, (3 * max(how.size), 3 * max(how.size)))
    picture.load()
    turn = _TURNS.get(_orientation(picture))
    flat = _flatten(picture, how)
    if turn is not None:
        flat = flat.transpose(turn)
        if turn in (
            Image.Transpose.TRANSPOSE,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
            Image.Transpose.ROTATE_270,
        ):
            original = (original[1], original[0])
    return resize(flat, how, original)


def _orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where it is missing or the EXIF block is damaged."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything and costs no picture
        return 1


def _flatten(picture: Image.Image, how: Preparation) -> Image.Image:
    """Any mode to L or RGB without alpha."""
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        return _gray_from_numbers(picture)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        alpha = rgba.getchannel("A").getextrema()
        if alpha[1] == 0:
            raise Refusal("it is completely transparent")
        canvas = Image.new("RGBA", rgba.size, (*how.color(), 255))
        canvas.alpha_composite(rgba)
        return canvas.convert("RGB")
    if mode in ("L", "RGB"):
        return picture
    if mode == "1":
        return picture.convert("L")
    if mode in ("P", "CMYK", "YCbCr", "HSV", "RGBX"):
        return picture.convert("RGB")
    raise Refusal(f"its color mode {mode} is not supported; save it as RGB")


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


def _check_pixels(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise Refusal(f"it has no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise Refusal(_too_many_pixels(f"{width} x {height}, more than"))


def _too_many_pixels(what: str) -> str:
    return (
        f"it is too large, perhaps a decompression bomb: {what} {MAX_PIXELS // 1_000_000} million "
        "pixels"
    )


def _looks_like(data: bytes) -> str | None:
    """What the first bytes say a foreign file is."""
    for start, kind in _FOREIGN.items():
        if data.startswith(start):
            return kind
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in (b"avif", b"avis"):
            return "an AVIF picture"
        if brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
            return "a HEIC picture"
        return "a video"
    head = data[:512]
    try:
        text = head.decode("utf-8", errors="strict" if len(data) <= 512 else "ignore")
    except UnicodeDecodeError:
        return None
    if len(text) < 0.9 * len(head) or any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return None
    lowered = text.lstrip().lower()
    if lowered.startswith(("<!doctype html", "<html")):
        return "an HTML page, as a failed download leaves it"
    if "<svg" in lowered:
        return "an SVG drawing"
    return "text"


def _unidentified(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "it begins as WebP, but its header is damaged or cut off"
    for start, name in _SIGNATURES.items():
        if data.startswith(start):
            return f"it begins as {name}, but its header is damaged or cut off"
    kind = _looks_like(data)
    if kind is None:
        return f"it is not an image of a known format ({FORMATS_TEXT})"
    if kind.endswith(("picture", "drawing", "file")):
        return f"it is {kind}; convert it to {FORMATS_TEXT}"
    return f"it is {kind}, not an image"


def _damaged(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    lowered = text.lower()
    if isinstance(error, EOFError) or "truncated" in lowered or "end of file" in lowered:
        return "it is truncated: the file ends before the picture does"
    detail = "".join(c for c in text if c.isprintable()) or type(error).__name__
    return f"it is damaged and cannot be decoded ({detail})"
