"""A folder of pictures, or a zip of one, as an :class:`ImageSet`, with a report on every file."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gan_book.data.cache import CacheWriter, cache_key, load_cached
from gan_book.data.decode import NOTED_ENLARGE, Preparation, Refusal, decode, quiet_decoders
from gan_book.data.imageset import ImageSet, LoadReport
from gan_book.data.listing import METADATA, Entry, Listing, shown
from gan_book.errors import need

_NOBODY = ("n/a", "none", "various", "?", "-")

Decoded = tuple[NDArray[np.uint8], float]


def load_listing(
    listing: Listing,
    how: Preparation,
    *,
    cache: bool = True,
    progress: bool = True,
    min_images: int = 2,
    name: str | None = None,
    licence: str = "unknown",
) -> ImageSet:
    """Load every usable picture of a listing, sorted by name.

    Files are recognized by content, not by suffix. EXIF orientation, palettes, CMYK, 16-bit gray
    and alpha are handled; what cannot be used is in ``report.refused`` with its reason. Equal
    files are kept and counted. Where every kept picture lies in one of two or more first-level
    subfolders, their names become labels. A ``metadata.csv`` with a column ``file`` and a column
    ``artist`` gives ``groups``.

    Args:
        listing: what lies in a folder, a zip or a set of the hub.
        how: size, channels, crop and background.
        cache: keep the decoded pictures on disk (see :mod:`gan_book.data.cache`).
        progress: show a bar while decoding.
        min_images: fewer usable pictures are an error.
        name, licence: of the set; by default its source's name, and unknown.

    Raises:
        GanBookError: if too few pictures are left.
    """
    with quiet_decoders():
        pixels, facts, from_cache = _pixels(listing, how, cache, progress)
    kept: list[str] = facts["kept"]
    both = [*listing.refused, *map(tuple, facts["refused"])]
    refused = tuple((shown(file), reason) for file, reason in sorted(both))
    _check_count(listing, len(kept), refused, min_images)
    notes: list[str] = []
    groups = _groups(listing, kept, notes)
    labels, label_names = _labels(listing, kept)
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
        labels=labels,
        label_names=label_names,
        ids=tuple(shown(file) for file in kept),
        groups=groups,
        report=report,
    )


def _check_count(
    listing: Listing, kept: int, refused: tuple[tuple[str, str], ...], least: int
) -> None:
    source, tried = shown(listing.source), kept + len(refused)
    beside = f" (only {listing.ignored} other files)" if listing.ignored else ""
    need(tried, f"There are no pictures in {source!r}{beside}.")
    why = "; ".join(f"{file}: {reason}" for file, reason in refused[:3])
    more = f"; and {len(refused) - 3} more" if len(refused) > 3 else ""
    need(
        kept >= least,
        f"Only {kept} of {tried} files in {source!r} are usable pictures, fewer than the {least} "
        f"needed. Refused: {why or 'none'}{more}.",
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
        if stored is not None:
            return *stored, True
        try:
            with CacheWriter(key) as writer:
                facts, digests = _decode_all(listing.entries, how, writer.append, progress)
                if facts["kept"] and digests == [content for _, content in files]:
                    writer.finish(facts)
            stored = load_cached(key, shape)
            if stored is not None:
                return stored[0], facts, False
        except OSError as error:  # read-only or full: the run goes on without
            warnings.warn(
                f"The cache of decoded pictures cannot be used ({error}); the pictures are decoded "
                "anew each time. Set GAN_BOOK_CACHE to a writable folder, or pass cache=False.",
                stacklevel=3,
            )
    kept: list[NDArray[np.uint8]] = []
    facts, _ = _decode_all(listing.entries, how, kept.append, progress)
    pixels = np.stack(kept) if kept else np.zeros((0, *shape), np.uint8)  # (N, C, H, W)
    return pixels, facts, False


def _digest(entry: Entry) -> str:
    """SHA-256 of a file's bytes, or its reason for not having any."""
    try:
        return hashlib.sha256(entry.read()).hexdigest()
    except Refusal as refusal:
        return str(refusal)


def _decode_one(entry: Entry, how: Preparation) -> tuple[str, Decoded | str]:
    """(SHA-256 of the bytes, decoded picture or reason for refusal)."""
    content = ""
    try:
        data = entry.read()
        content = hashlib.sha256(data).hexdigest()
        return content, decode(data, how)
    except Refusal as refusal:
        return content or str(refusal), str(refusal)


def _decode_all(
    entries: list[Entry], how: Preparation, keep: Callable[[NDArray[np.uint8]], Any], progress: bool
) -> tuple[dict[str, Any], list[str]]:
    """Decode in order, pass each picture to ``keep``; return facts and the files' digests.

    Threads are enough: Pillow releases the interpreter lock while it decodes and resizes. A few
    files per thread are in flight, so memory is bounded.
    """
    from tqdm.auto import tqdm

    facts: dict[str, Any] = {"kept": [], "refused": [], "duplicates": 0, "upscaled": 0}
    digests: list[str] = []
    seen: set[str] = set()
    workers = min(16, os.cpu_count() or 1)
    bar = tqdm(total=len(entries), desc="decoding", unit=" files", disable=not progress)
    with bar, ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        for start in range(0, len(entries), 8 * workers):
            some = entries[start : start + 8 * workers]
            decoded = pool.map(partial(_decode_one, how=how), some)
            for entry, (content, result) in zip(some, decoded, strict=True):
                bar.update()
                if isinstance(result, str):
                    facts["refused"].append([entry.name, result])
                else:
                    keep(result[0])
                    facts["kept"].append(entry.name)
                    facts["duplicates"] += content in seen
                    facts["upscaled"] += result[1] > NOTED_ENLARGE
                    seen.add(content)
                digests.append(content)
    return facts, digests


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
        table = csv.DictReader(io.StringIO(text))
        rows = [{str(key).strip().lower(): row[key] for key in row} for row in table]
    except (Refusal, csv.Error) as error:
        notes.append(f"{METADATA} cannot be read ({error}); pictures are not grouped.")
        return None
    artists = {str(row.get("file")).replace("\\", "/"): _artist(row.get("artist")) for row in rows}
    groups = tuple(
        artists.get(name) or artists.get(name.removeprefix(listing.root)) or "" for name in kept
    )
    known = len(set(groups) - {""})
    if not known:
        notes.append(f"{METADATA} names no artist (columns 'file' and 'artist') of a kept picture.")
        return None
    grouped = sum(map(bool, groups))
    notes.append(f"{METADATA} groups {grouped} of {len(kept)} pictures by {known} artists.")
    return groups


def _artist(name: object) -> str:
    """A name to compare, or "" for nobody in particular."""
    plain = " ".join(str(name or "").casefold().split())
    nobody = plain in _NOBODY or plain.startswith(("unknown", "anonym"))
    return "" if nobody else plain
