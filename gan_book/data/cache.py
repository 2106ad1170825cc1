"""Decoded pictures on disk, keyed by content, so that a folder is decoded once.

One set is two files: ``KEY.npy`` (uint8, N x C x H x W, written picture by picture, so it may be
larger than memory) and ``KEY.json`` (what was kept and refused, and the pixels' SHA-256). Both are
written under a temporary name and renamed. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

CACHE_VERSION = 1
IN_MEMORY_BYTES = 256 * 2**20  # larger sets stay memory-mapped
_STALE_SECONDS = 24 * 3600


def cache_dir() -> Path:
    """``$GAN_BOOK_CACHE``, else ``gan_book`` in the platform's folder for caches.

    Raises:
        OSError: if there is no home folder to put it in.
    """
    chosen = os.environ.get("GAN_BOOK_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OSError("there is no home folder") from error
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "gan_book"


def cache_key(settings: dict[str, Any], files: Iterable[tuple[str, str]]) -> str:
    """A name for the decoded form of ``files``, pairs of (name, SHA-256 of the bytes)."""
    import PIL

    digest = hashlib.sha256()
    head = {"version": CACHE_VERSION, "pillow": PIL.__version__, "settings": settings}
    digest.update(json.dumps(head, sort_keys=True).encode())
    for name, content in files:
        digest.update(json.dumps([name, content]).encode())
    return digest.hexdigest()[:40]


def warn_no_cache(error: Exception) -> None:
    """Say that the cache is off for this run and why; the run goes on."""
    warnings.warn(
        f"The cache of decoded pictures cannot be used ({error}); the pictures are decoded anew "
        "each time. Set GAN_BOOK_CACHE to a writable folder, or pass cache=False.",
        stacklevel=3,
    )


class CacheWriter:
    """Writes one set picture by picture; as a context manager it leaves no partial file behind.

    Every method raises OSError where the disk does not let it write.
    """

    def __init__(self, key: str, shape: tuple[int, int, int]) -> None:
        self.folder = cache_dir() / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_stale()
        self.key, self.shape, self.count = key, shape, 0
        self._digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(prefix="partial-", suffix=".npy", dir=self.folder)
        self._path = Path(name)
        self._facts_path: Path | None = None
        self._file: BinaryIO = os.fdopen(handle, "w+b")
        self._header_end = self._write_header()

    def _write_header(self) -> int:
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file,
            {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)},
        )
        return self._file.tell()

    def _remove_stale(self) -> None:
        """Files that a killed process left a day ago or earlier."""
        for path in self.folder.glob("partial-*"):
            try:
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
            except OSError:
                continue  # another process was faster, or may not be disturbed

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Add one picture (C, H, W)."""
        block = pixels.tobytes()
        self._digest.update(block)
        self._file.write(block)
        self.count += 1

    def finish(self, facts: dict[str, Any]) -> None:
        """Complete the set; from now on :func:`load_cached` finds it."""
        if self._write_header() != self._header_end:
            raise OSError("the array header changed its length")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        record = {**facts, "count": self.count, "sha256": self._digest.hexdigest()}
        handle, name = tempfile.mkstemp(prefix="partial-", suffix=".json", dir=self.folder)
        self._facts_path = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file)
        os.replace(self._path, self.folder / f"{self.key}.npy")
        os.replace(self._facts_path, self.folder / f"{self.key}.json")

    def __enter__(self) -> CacheWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()
        finally:
            for path in (self._path, self._facts_path):
                if path is not None:
                    path.unlink(missing_ok=True)


def load_cached(
    key: str, shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], dict[str, Any]] | None:
    """Pixels (N, C, H, W) and facts of a set, or None if it is missing or damaged in any way."""
    try:
        folder = cache_dir() / "images"
        with open(folder / f"{key}.json", encoding="utf-8") as file:
            facts = json.load(file)
        path = folder / f"{key}.npy"
        # Copy-on-write: nothing is ever written back, and PyTorch wants writable memory. Python
        # objects are never unpacked from the file: such an array raises ValueError.
        pixels: NDArray[np.uint8] = np.lib.format.open_memmap(path, mode="c")
        expected = (facts["count"], *shape)
        if pixels.dtype != np.uint8 or pixels.shape != expected:
            return None
        if pixels.nbytes <= IN_MEMORY_BYTES:
            pixels = np.array(pixels)
        if _sha256(pixels) != facts["sha256"]:
            return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return pixels, facts


def _sha256(pixels: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256()
    for picture in pixels:
        digest.update(picture.tobytes())
    return digest.hexdigest()
