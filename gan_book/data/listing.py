"""What lies in a folder or a zip: picture files to try, side files to pass over, and hints.

Nothing is ever extracted from a zip: members are read into memory, up to a limit, so a name that
points outside of the archive or a member that unpacks to gigabytes does no harm.
"""

from __future__ import annotations

import os
import stat
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from gan_book.data.decode import Refusal
from gan_book.errors import GanBookError, need

MAX_FILE_BYTES = 256 * 2**20
METADATA = "metadata.csv"

_SIDE_ENDINGS = (
    ".txt .csv .tsv .md .rst .json .jsonl .xml .html .htm .yaml .yml .toml .ini .log .pdf .py "
    ".ipynb .db .sqlite .parquet .npy .npz .zip .tar .gz .bib .url .lnk .xmp .aae"
)
_SIDE_SUFFIXES = frozenset(_SIDE_ENDINGS.split())
_SIDE_NAMES = frozenset(
    ["thumbs.db", "desktop.ini", "icon\r", "license", "licence", "readme", "provenance", "copying"]
)
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class Entry:
    """A file to try: its name relative to the source, with ``/``, and how to get its bytes."""

    name: str
    read: Callable[[], bytes]  # raises Refusal


@dataclass
class Listing:
    """The content of a source in a fixed order: entries sorted by name."""

    source: str
    entries: list[Entry] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0
    metadata: Callable[[], bytes] | None = None
    root: str = ""  # the one folder that wraps everything in a zip, with a closing "/"


def shown(name: str) -> str:
    """A file name fit for a terminal: control characters and broken encodings replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def is_side_file(name: str) -> bool:
    """Whether nobody means this file as a picture: hidden, a system's, text, data, an archive."""
    path = PurePosixPath(name)
    if any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
        return True
    return path.name.lower() in _SIDE_NAMES or path.suffix.lower() in _SIDE_SUFFIXES


def list_source(path: Path) -> Listing:
    """The listing of a folder or a zip file.

    Raises:
        GanBookError: if the path is missing, cannot be opened, or is neither.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise GanBookError(f"There is no file or folder {shown(str(path))!r}.") from None
    except (OSError, ValueError) as error:
        raise GanBookError(f"{shown(str(path))!r} cannot be opened: {_why(error)}.") from None
    if stat.S_ISDIR(mode):
        return _list_folder(path)
    need(stat.S_ISREG(mode), f"{shown(str(path))!r} is neither a folder nor a zip file.")
    return _list_zip(path)


def _why(error: Exception) -> str:
    """The system's words for an error, without number and path."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _list_folder(root: Path) -> Listing:
    listing = Listing(str(root))
    failures: list[OSError] = []
    found: list[tuple[str, Path]] = []
    for where, folders, files in os.walk(root, onerror=failures.append):
        base = Path(where)
        if not (folders or files) and base.suffix.lower() in _PICTURE_SUFFIXES:
            name = base.relative_to(root).as_posix()
            listing.refused.append((name, "it is a folder, not an image"))
        for folder in sorted(folders):
            path = base / folder
            name = path.relative_to(root).as_posix()
            if is_side_file(name + "/x"):
                folders.remove(folder)
                listing.ignored += 1
            elif path.is_symlink():
                folders.remove(folder)
                listing.refused.append((name, "it is a link to a folder; links are not followed"))
        found += [((base / file).relative_to(root).as_posix(), base / file) for file in files]
    for failure in failures:
        place = Path(failure.filename or root)
        if place == root:
            raise GanBookError(f"The folder {shown(str(root))!r} cannot be read: {_why(failure)}.")
        name = place.relative_to(root).as_posix()
        listing.refused.append((name, f"its folder cannot be read: {_why(failure)}"))
    for name, path in sorted(found):
        if name == METADATA:
            listing.metadata = partial(_read_file, path)
        if is_side_file(name):
            listing.ignored += 1
        else:
            listing.entries.append(Entry(name, partial(_read_file, path)))
    return listing


def _read_file(path: Path) -> bytes:
    try:
        if path.is_symlink() and not path.exists():
            raise Refusal("it is a broken link")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
            raise Refusal("it is not a regular file (a pipe, socket or device)")
        if status.st_size > MAX_FILE_BYTES:
            raise Refusal(_too_big(status.st_size))
        with open(path, "rb") as file:
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise Refusal(f"it cannot be read: {_why(error)}") from None


def _too_big(size: int) -> str:
    return f"it is too large: {size / 2**20:.0f} MiB, more than {MAX_FILE_BYTES // 2**20}"


def _list_zip(path: Path) -> Listing:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OSError) as error:
        picture = path.suffix.lower() in _PICTURE_SUFFIXES
        raise GanBookError(
            f"{shown(str(path))!r} is {'a single file' if picture else 'no zip archive'} "
            f"({_why(error)}); give a folder of images or a zip of one."
        ) from None
    listing = Listing(str(path))
    lock = threading.Lock()
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.replace("\\", "/")
        if info.is_dir():
            continue
        parts = PurePosixPath(name).parts
        if ".." in parts or name.startswith("/") or (parts and ":" in parts[0]):
            listing.refused.append((name, "its name points outside of the archive"))
        elif is_side_file(name) and PurePosixPath(name).name != METADATA:
            listing.ignored += 1
        elif name in found:
            listing.refused.append((name, "the archive holds a second file of this name"))
        else:
            found[name] = info
    pictures = [name for name in found if PurePosixPath(name).name != METADATA]
    tops = {name[: name.find("/") + 1] for name in pictures}
    listing.root = tops.pop() if len(tops) == 1 else ""
    for name, info in sorted(found.items()):
        read = partial(_read_member, archive, info, lock)
        if name in (METADATA, listing.root + METADATA):
            listing.metadata = read
        if PurePosixPath(name).name == METADATA:
            listing.ignored += 1
        else:
            listing.entries.append(Entry(name, read))
    return listing


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    if info.flag_bits & 0x1:
        raise Refusal("it is encrypted; unpack the archive with its password first")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Refusal("it is a link inside of the archive")
    if info.file_size > MAX_FILE_BYTES:
        raise Refusal(_too_big(info.file_size))
    try:
        with lock, archive.open(info) as member:
            data = member.read(MAX_FILE_BYTES + 1)  # the size in the header may lie
    except Exception as error:  # noqa: BLE001 - decompressors have error types of their own
        why = _why(error)[:100]
        raise Refusal(f"the archive is damaged or of an unknown kind here ({why})") from None
    if len(data) > MAX_FILE_BYTES:
        raise Refusal(_too_big(len(data)))
    return data
