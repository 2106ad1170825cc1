"""Decoded pictures on disk, keyed by content, so that a folder is decoded once.

One set is two files: ``KEY.raw`` (the pixels, uint8, N x C x H x W, written picture by picture, so
it may be larger than memory) and ``KEY.json`` (what was kept and refused, and a SHA-256 of both).
Both are written in a temporary folder and moved. The cache may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CACHE_VERSION = 2
IN_MEMORY_BYTES = 256 * 2**20  # larger sets stay memory-mapped
_STALE_SECONDS = 24 * 3600
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # not every Python names it


def cache_dir() -> Path:
    """``$GAN_BOOK_CACHE``, else ``gan_book`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Raises:
        OSError: if there is no home folder to put it in.
    """
    chosen = os.environ.get("GAN_BOOK_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        return Path(chosen or base / "gan_book").expanduser()
    except RuntimeError as error:
        raise OSError("there is no home folder") from error


def cache_key(settings: dict[str, Any], files: Iterable[tuple[str, str]]) -> str:
    """A name for the decoded form of ``files``, pairs of (name, SHA-256 of the bytes)."""
    import PIL

    digest = hashlib.sha256()
    head = {"version": CACHE_VERSION, "pillow": PIL.__version__, "settings": settings}
    digest.update(json.dumps(head, sort_keys=True).encode())
    for name, content in files:
        digest.update(json.dumps([name, content]).encode())
    return digest.hexdigest()[:40]


class CacheWriter:
    """Writes one set picture by picture; as a context manager it leaves no partial file behind.

    Every method raises OSError where the disk does not let it write.
    """

    def __init__(self, key: str) -> None:
        self.folder = cache_dir() / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("partial-*"):  # by a process that was killed
            with contextlib.suppress(OSError):  # another process was faster
                if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                    shutil.rmtree(left)
        self.key, self.count = key, 0
        self._digest = hashlib.sha256()
        self._open = contextlib.ExitStack()
        partial = tempfile.TemporaryDirectory(prefix="partial-", dir=self.folder)
        self._partial = Path(self._open.enter_context(partial))
        pixels = open(self._partial / "pixels", "wb")  # noqa: SIM115 (the stack closes it)
        self._file = self._open.enter_context(pixels)

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Add one picture (C, H, W)."""
        block = pixels.tobytes()
        self._digest.update(block)
        self._file.write(block)
        self.count += 1

    def finish(self, facts: dict[str, Any]) -> None:
        """Complete the set; from now on :func:`load_cached` finds it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._digest.update(json.dumps(facts, sort_keys=True).encode())
        with open(self._partial / "facts", "w", encoding="utf-8") as file:
            json.dump({**facts, "sha256": self._digest.hexdigest()}, file)
        os.replace(self._partial / "pixels", self.folder / f"{self.key}.raw")
        os.replace(self._partial / "facts", self.folder / f"{self.key}.json")

    def __enter__(self) -> CacheWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def map_file(path: Path) -> NDArray[np.uint8]:
    """The bytes of a file, which may be larger than memory: read where used, copied where written.

    Nothing is ever written back. PyTorch wants writable memory, and for that Linux would set aside
    as much as the whole file and refuse one larger than memory; so it is told not to.
    """
    if sys.platform != "linux":
        return np.memmap(path, np.uint8, mode="c")
    with open(path, "rb") as file:
        pages = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE | _NORESERVE)
    return np.frombuffer(pages, np.uint8)


def load_cached(
    key: str, shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], dict[str, Any]] | None:
    """Pixels (N, C, H, W) and facts of a set, or None if it is missing or damaged in any way."""
    try:
        folder = cache_dir() / "images"
        facts = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
        expected = facts.pop("sha256")
        pixels = map_file(folder / f"{key}.raw")
        if pixels.nbytes <= IN_MEMORY_BYTES:
            pixels = np.array(pixels)
        digest = hashlib.sha256(pixels.data)
        digest.update(json.dumps(facts, sort_keys=True).encode())
        if digest.hexdigest() != expected:
            return None
        return pixels.reshape(len(facts["kept"]), *shape), facts
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
