"""A folder of pictures, or a zip of one, as an :class:`ImageSet`, with a report on every file."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_book.data.cache import CacheWriter, cache_key, load_cached, warn_no_cache
from gan_book.data.decode import NOTED_ENLARGE, Preparation, Refusal, decode, quiet_decoders
from gan_book.data.imageset import ImageSet, LoadReport
from gan_book.data.listing import Entry, Listing, list_source, shown
from gan_book.errors import GanBookError

_FILE_COLUMNS = ("file", "filename", "file_name", "path", "image")
_GROUP_COLUMNS = ("artist", "artist_name", "author", "painter", "creator", "group")
_NOBODY = ("", "unknown", "anonym", "n/a", "none", "various", "?", "-")

Decoded = tuple[NDArray[np.uint8], float]


def folder(
    path: str | Path,
    how: Preparation,
    *,
    labels: bool = True,
    cache: bool = True,
    progress: bool = True,
    min_images: int = 2,
) -> ImageSet:
    """Load every usable picture below ``path``, sorted by name.

    Files are recognized by content, not by suffix. EXIF orientation, palettes, CMYK, 16-bit gray
    and alpha are handled; what cannot be used is in ``report.refused`` with its reason. Equal
    files are kept and counted. Where every kept picture lies in one of two or more first-level
    subfolders, their names become labels. A ``metadata.csv`` with a column ``file`` and a column
    ``artist`` gives ``groups``.

    Args:
        path: a folder, or a zip file (read without extracting it).
        how: size, channels, crop and background.
        labels: take labels from subfolders.
        cache: keep the decoded pictures on disk (see :mod:`gan_book.data.cache`).
        progress: show a bar while decoding.
        min_images: fewer usable pictures are an error.

    Raises:
        GanBookError: if the path is no folder or zip, or too few pictures are left.
    """
    return load_listing(
        list_source(Path(path).expanduser()),
        how,
        labels=labels,
        cache=cache,
        progress=progress,
        min_images=min_images,
    )


def load_listing(
    listing: Listing,
    how: Preparation,
    *,
    labels: bool = True,
    cache: bool = True,
    progress: bool = True,
    min_images: int = 2,
    name: str | None = None,
    licence: str = "unknown",
) -> ImageSet:
    """Decode what a listing holds; see :func:`folder`."""
    with quiet_decoders():
        pixels, facts, from_cache = _pixels(listing, how, cache, progress)
    kept: list[str] = facts["kept"]
    both = [*listing.refused, *map(tuple, facts["refused"])]
    refused = tuple((shown(file), reason) for file, reason in sorted(both))
    _check_count(listing, kept, refused, min_images)
    notes: list[str] = []
    groups = _groups(listing, kept, notes)
    found, label_names = _labels(listing, kept) if labels else (None, ())
    report = LoadReport(
        source=listing.source,
        kept=len(kept),
        refused=refused,
        ignored=listing.ignored,
        duplicates=facts["duplicates"],
        upscaled=facts["upscaled"],
        from_cache=from_cache,
        settings=how.to_dict(),
        notes=tuple(notes),
    )
    return ImageSet(
        images=torch.from_numpy(pixels),
        name=name or Path(listing.source).stem or "folder",
        licence=licence,
        labels=found,
        label_names=label_names,
        ids=tuple(shown(file) for file in kept),
        groups=groups,
        report=report,
    )


def _check_count(
    listing: Listing, kept: list[str], refused: tuple[tuple[str, str], ...], min_images: int
) -> None:
    if len(kept) >= max(1, min_images):
        return
    source, tried = shown(listing.source), len(kept) + len(refused)
    if tried == 0:
        beside = f" (only {listing.ignored} other files)" if listing.ignored else ""
        raise GanBookError(f"There are no pictures in {source!r}{beside}.")
    first = "; ".join(f"{file}: {reason}" for file, reason in refused[:3])
    more = f"; and {len(refused) - 3} more" if len(refused) > 3 else ""
    why = f" Refused: {first}{more}." if refused else ""
    raise GanBookError(
        f"Only {len(kept)} of {tried} files in {source!r} are usable pictures, fewer than the "
        f"{max(1, min_images)} needed.{why}"
    )


def _pixels(
    listing: Listing, how: Preparation, cache: bool, progress: bool
) -> tuple[NDArray[np.uint8], dict[str, Any], bool]:
    """Pixels (N, C, H, W), facts about the files, and whether they came from the cache."""
    shape = (how.channels, *how.size)
    if cache and listing.entries:
        files = [(entry.name, _digest(entry)) for entry in listing.entries]
        key = cache_key(how.to_dict(), files)
        stored = load_cached(key, shape)
        if stored is not None and _facts_are_whole(stored[1], len(stored[0])):
            return stored[0], stored[1], True
        try:
            with CacheWriter(key, shape) as writer:
                facts, digests = _decode_all(listing.entries, how, writer.append, progress)
                if facts["kept"] and digests == [content for _, content in files]:
                    writer.finish(facts)
            stored = load_cached(key, shape)
            if stored is not None:
                return stored[0], facts, False
        except OSError as error:  # read-only or full: the run goes on without
            warn_no_cache(error)
    kept: list[NDArray[np.uint8]] = []
    facts, _ = _decode_all(listing.entries, how, kept.append, progress)
    pixels = np.stack(kept) if kept else np.zeros((0, *shape), np.uint8)  # (N, C, H, W)
    return pixels, facts, False


def _facts_are_whole(facts: dict[str, Any], count: int) -> bool:
    """Whether a cache's record has the form that :func:`_decode_all` wrote."""
    kept, refused = facts.get("kept"), facts.get("refused")
    return (
        isinstance(kept, list)
        and len(kept) == count
        and all(isinstance(name, str) for name in kept)
        and isinstance(refused, list)
        and all(isinstance(r, list) and [type(v) for v in r] == [str, str] for r in refused)
        and all(type(facts.get(key)) is int for key in ("duplicates", "upscaled"))
    )


def _digest(entry: Entry) -> str:
    """SHA-256 of a file's bytes, or its reason for not having any."""
    try:
        return hashlib.sha256(entry.read()).hexdigest()
    except Refusal as refusal:
        return str(refusal)


def _decode_one(entry: Entry, how: Preparation) -> tuple[str, Decoded | str]:
    """(SHA-256 of the bytes, decoded picture or reason for refusal)."""
    try:
        data = entry.read()
    except Refusal as refusal:
        return str(refusal), str(refusal)
    content = hashlib.sha256(data).hexdigest()
    try:
        return content, decode(data, how)
    except Refusal as refusal:
        return content, str(refusal)


def _decode_all(
    entries: list[Entry],
    how: Preparation,
    keep: Callable[[NDArray[np.uint8]], Any],
    progress: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Decode in order, pass each picture to ``keep``; return facts and the files' digests."""
    from tqdm.auto import tqdm

    facts: dict[str, Any] = {"kept": [], "refused": [], "duplicates": 0, "upscaled": 0}
    digests: list[str] = []
    seen: set[str] = set()
    bar = tqdm(total=len(entries), desc="decoding", unit=" files", disable=not progress)
    with bar:
        for entry, (content, result) in _in_threads(entries, how):
            bar.update()
            digests.append(content)
            if isinstance(result, str):
                facts["refused"].append([entry.name, result])
                continue
            pixels, enlarged = result
            keep(pixels)
            facts["kept"].append(entry.name)
            facts["duplicates"] += content in seen
            facts["upscaled"] += enlarged > NOTED_ENLARGE
            seen.add(content)
    return facts, digests


def _in_threads(
    entries: list[Entry], how: Preparation
) -> Iterator[tuple[Entry, tuple[str, Decoded | str]]]:
    """Decoded entries in their order; a few per thread are in flight, so memory is bounded.

    Threads are enough: Pillow releases the interpreter lock while it decodes and resizes.
    """
    workers = min(16, os.cpu_count() or 1)
    waiting: deque[tuple[Entry, Future[tuple[str, Decoded | str]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for entry in entries:
                waiting.append((entry, pool.submit(_decode_one, entry, how)))
                if len(waiting) >= 4 * workers:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _labels(listing: Listing, kept: list[str]) -> tuple[torch.Tensor | None, tuple[str, ...]]:
    """Labels (N,) from first-level subfolders, and their names; none if a picture has none."""
    inside = [name.removeprefix(listing.root) for name in kept]
    tops = [name.partition("/")[0] if "/" in name else "" for name in inside]
    names = sorted(set(tops))
    if "" in names or len(names) < 2:
        return None, ()
    number = {name: i for i, name in enumerate(names)}
    return torch.tensor([number[top] for top in tops]), tuple(shown(name) for name in names)


def _groups(listing: Listing, kept: list[str], notes: list[str]) -> tuple[str, ...] | None:
    """The artist of each kept picture from ``metadata.csv``; "" where none is known."""
    if listing.metadata is None:
        return None
    try:
        text = listing.metadata().decode("utf-8-sig", errors="replace")
        rows = list(csv.DictReader(io.StringIO(text)))
    except (Refusal, csv.Error) as error:
        notes.append(f"metadata.csv cannot be read ({error}); pictures are not grouped.")
        return None
    columns = {column.strip().lower(): column for column in (rows[0] if rows else {}) if column}
    file = next((columns[c] for c in _FILE_COLUMNS if c in columns), None)
    group = next((columns[c] for c in _GROUP_COLUMNS if c in columns), None)
    if file is None or group is None:
        notes.append("metadata.csv has no columns 'file' and 'artist'; pictures are not grouped.")
        return None
    artists = {str(row[file]).replace("\\", "/"): _artist(row[group]) for row in rows if row[file]}
    groups = tuple(
        artists.get(name) or artists.get(name.removeprefix(listing.root)) or "" for name in kept
    )
    known = {artist for artist in groups if artist}
    if not known:
        notes.append("metadata.csv names no artist of a picture that was kept.")
        return None
    notes.append(
        f"metadata.csv groups {sum(map(bool, groups))} of {len(kept)} pictures by "
        f"{len(known)} artists."
    )
    return groups


def _artist(name: object) -> str:
    """A name to compare, or "" for nobody in particular."""
    plain = " ".join(str(name or "").casefold().split())
    nobody = plain in _NOBODY or plain.startswith(("unknown", "anonym"))
    return "" if nobody else plain
