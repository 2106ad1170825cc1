"""Pictures and 2-D points: where they come from, how they are stored, how batches are drawn."""

from __future__ import annotations

from gan_book.data.batches import Batch, Batches, to_float, to_uint8
from gan_book.data.imageset import ImageSet, LoadReport, Split
from gan_book.data.load import load_images

__all__ = [
    "Batch", "Batches", "ImageSet", "LoadReport", "Split", "load_images", "to_float", "to_uint8",
]  # fmt: skip
