"""Picture sets from the Hugging Face hub, through the optional package ``datasets``."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gan_book.data.decode import FORMATS_TEXT, Preparation, Refusal
from gan_book.data.folder import load_listing
from gan_book.data.imageset import ImageSet
from gan_book.data.listing import Entry, Listing
from gan_book.errors import GanBookError, need

HUB_PREFIX = "hf:"


def from_hub(name: str, how: Preparation, *, download: bool = False, **reading: Any) -> ImageSet:
    """The ``train`` part of a Hugging Face data set, ``"hf:owner/name"``.

    The first column of pictures is used, and the first column of class labels. Pictures go
    through the same decoder as files, so damaged ones are refused and named. Needs the optional
    package ``datasets``; no code from the data set is run. ``reading``: options of
    :func:`gan_book.data.folder.load_listing`.

    Raises:
        GanBookError: if the download is not allowed or fails, or there is no column of pictures.
    """
    path = name.removeprefix(HUB_PREFIX)
    page = f"huggingface.co/datasets/{path}"
    owner, _, title = path.partition("/")
    need(owner and title and "/" not in title, f"{name!r} is not of the form 'hf:owner/name'.")
    need(
        download,
        f"'{name}' would be downloaded from {page}, where its size and licence stand; read them "
        "there. To allow it, pass download=True (on the command line --download).",
    )
    try:
        import datasets
    except ImportError:
        raise GanBookError(
            f"'{name}' needs a package that is missing; run: pip install datasets"
        ) from None
    try:
        info = datasets.load_dataset_builder(path).info
        size = f"{info.download_size / 1e6:.0f} MB" if info.download_size else "size not stated"
        licence = info.license or "not stated"
        print(f"Downloading {path} ({size}; {page}; licence: {licence}).", file=sys.stderr)
        data = datasets.load_dataset(path, split="train")
        pictures = [k for k, v in data.features.items() if isinstance(v, datasets.Image)]
        if pictures:
            data = data.cast_column(pictures[0], datasets.Image(decode=False))
    except Exception as error:  # noqa: BLE001 - the hub's clients raise errors of several libraries
        reason = " ".join(str(error).split())[:200]
        raise GanBookError(f"The data set {path!r} cannot be loaded: {reason}.") from None
    need(pictures, f"The data set {path!r} has no column of pictures ({FORMATS_TEXT}).")
    read = partial(_hub_bytes, data, pictures[0])
    listing = Listing(name, [Entry(f"{i:08d}", partial(read, i)) for i in range(len(data))])
    images = load_listing(listing, how, name=path, licence=licence, **reading)
    classes = [k for k, v in data.features.items() if isinstance(v, datasets.ClassLabel)]
    if not classes:
        return images
    return _with_labels(images, data[classes[0]], tuple(data.features[classes[0]].names))


def _hub_bytes(data: Any, column: str, i: int) -> bytes:
    cell = data[i][column] or {}
    if cell.get("bytes"):
        return bytes(cell["bytes"])
    if not cell.get("path"):
        raise Refusal("it is missing in the data set")
    try:
        return Path(cell["path"]).read_bytes()
    except OSError as error:
        raise Refusal(f"it cannot be read: {error.strerror}") from None


def _with_labels(images: ImageSet, values: Any, names: tuple[str, ...]) -> ImageSet:
    """Labels of the kept pictures; none where one of them is not labelled (-1)."""
    column = list(values)
    labels = torch.tensor([int(column[int(i)]) for i in images.ids])  # (N,)
    if len(labels) and int(labels.min()) < 0:
        return images
    return replace(images, labels=labels, label_names=names)
