"""A folder as people really have them: good pictures of every kind among files of no use."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

# What a sentence of refusal must say about each kind of bad file.
REASONS = {
    "empty": "empty",
    "truncated-jpeg": "truncated",
    "truncated-png": "truncated",
    "text": "text",
    "html": "HTML",
    "noise": "not an image of a known format",
    "bomb": "too large",
    "header": "header is damaged",
    "tiny": "too small",
    "heic": "HEIC",
    "transparent": "transparent",
    "folder": "folder",
    "broken-link": "broken link",
    "pipe": "not a regular file",
    "unreadable": "permission",
}
SUFFIXES = ("jpg", "png", "webp", "bmp", "tif", "gif")


def painting(seed: int, height: int = 40, width: int = 48) -> Image.Image:
    """A smooth RGB picture that differs with its seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """A PNG chunk with a correct checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb_png(side: int = 60_000) -> bytes:
    """A valid PNG of a few hundred bytes that claims side x side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def good_file(i: int) -> tuple[str, bytes]:
    """(suffix, bytes) of a usable picture; 20 combinations of format and mode in turn."""
    p = painting(i)
    gray = np.asarray(p.convert("L"))
    alpha = Image.fromarray(np.maximum(gray, 30))
    rgba = p.copy()
    rgba.putalpha(alpha)
    exif = Image.Exif()
    exif[0x0112] = 1 + i % 8
    makers: list[tuple[str, Callable[[], bytes]]] = [
        ("jpg", lambda: encoded(p, "JPEG")),
        ("jpg", lambda: encoded(p, "JPEG", exif=exif)),
        ("jpg", lambda: encoded(p.convert("L"), "JPEG")),
        ("jpeg", lambda: encoded(p.convert("CMYK"), "JPEG")),
        ("JPG", lambda: encoded(p, "JPEG", progressive=True)),
        ("png", lambda: encoded(p, "PNG")),
        ("png", lambda: encoded(rgba, "PNG")),
        ("png", lambda: encoded(rgba.convert("LA"), "PNG")),
        ("png", lambda: encoded(p.quantize(16), "PNG")),
        ("png", lambda: encoded(p.quantize(16), "PNG", transparency=3)),
        ("png", lambda: encoded(p.convert("1"), "PNG")),
        ("png", lambda: encoded(Image.fromarray(gray.astype(np.uint16) * 257), "PNG")),
        ("webp", lambda: encoded(p, "WEBP", method=0)),
        ("webp", lambda: encoded(rgba, "WEBP", method=0)),
        ("bmp", lambda: encoded(p, "BMP")),
        ("tif", lambda: encoded(p, "TIFF")),
        ("tiff", lambda: encoded(Image.fromarray(gray.astype(np.uint16) * 257), "TIFF")),
        ("tif", lambda: encoded(p.convert("CMYK"), "TIFF", compression="tiff_lzw")),
        ("gif", lambda: encoded(p.quantize(32), "GIF")),
        ("gif", lambda: encoded(p, "GIF", save_all=True, append_images=[painting(i + 1)])),
    ]
    suffix, make = makers[i % len(makers)]
    return suffix, make()


def bad_kinds() -> list[str]:
    """The kinds of bad file that this system and this user can make: 11 anywhere, up to 15."""
    kinds = [kind for kind in REASONS if kind not in ("broken-link", "pipe", "unreadable")]
    if sys.platform != "win32":
        kinds += ["broken-link", "pipe"]
        if os.geteuid() != 0:  # root reads everything
            kinds.append("unreadable")
    return kinds


def _write_bad(path: Path, kind: str, i: int) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "broken-link":
        path.symlink_to(path.with_name("no such file"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "unreadable":
        path.write_bytes(encoded(painting(i), "PNG"))
        path.chmod(0)
    else:
        path.write_bytes(bad_bytes(kind, i))


def bad_bytes(kind: str, i: int = 0) -> bytes:
    """The content of a bad file of a kind that is a plain file."""
    rng = np.random.default_rng(i)
    jpeg = encoded(painting(i, 80, 80), "JPEG")
    png = encoded(Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)), "PNG")
    return {
        "empty": b"",
        "truncated-jpeg": jpeg[: 2 * len(jpeg) // 3],
        "truncated-png": png[: len(png) // 2],
        "text": b"Dear reader, this was a letter before somebody renamed it.\n",
        "html": b"<!DOCTYPE html><html><title>404</title></html>",
        "noise": b"\x07" + rng.bytes(500),
        "bomb": bomb_png(60_000 + i),
        "header": b"\xff\xd8\xff" + bytes([i % 256]) * 200,
        "tiny": encoded(painting(i, 1, 1), "PNG"),
        "heic": b"\0\0\0\x18ftypheic" + rng.bytes(200),
        "transparent": encoded(Image.new("RGBA", (40, 40), (i % 256, 2, 3, 0)), "PNG"),
    }[kind]


def make_hostile_folder(path: str | Path, good: int = 1000, bad: int = 40) -> dict[str, str]:
    """Fill ``path`` with ``good`` usable pictures in two subfolders, ``bad`` useless files of at
    least 11 kinds, and four side files that nobody means as pictures.

    Returns:
        The name of each bad file, relative to ``path`` with ``/``, and its kind (see ``REASONS``).
    """
    root = Path(path)
    for folder in ("bright", "dark"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(good):
        suffix, data = good_file(i)
        (root / ("bright", "dark")[i % 2] / f"good-{i:04d}.{suffix}").write_bytes(data)
    kinds, made = bad_kinds(), {}
    for i in range(bad):
        kind = kinds[i % len(kinds)]
        name = f"{('bright', 'dark')[i % 2]}/bad-{i:02d}-{kind}.{SUFFIXES[i % len(SUFFIXES)]}"
        _write_bad(root / name, kind, i)
        made[name] = kind
    (root / "Thumbs.db").write_bytes(b"\0" * 10)
    (root / "notes.txt").write_text("side file", encoding="utf-8")
    (root / ".hidden.png").write_bytes(b"not a picture")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._good-0000.jpg").write_bytes(b"not a picture")
    return made
