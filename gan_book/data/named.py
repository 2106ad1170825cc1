"""Published picture sets by name: what they are, where they come from, and how to get them.

Nothing is downloaded unless ``download=True``; without it a sentence says what would be fetched,
from where, how large it is and under which licence. Sets in the IDX format (MNIST, Fashion-MNIST)
are also read from files that are already there, without any library.
"""

from __future__ import annotations

import gzip
import math
import os
import sys
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_book.data.cache import cache_dir
from gan_book.data.decode import Preparation, Refusal
from gan_book.data.imageset import ImageSet
from gan_book.data.listing import MAX_FILE_BYTES
from gan_book.errors import GanBookError, need

_IDX_IMAGES, _IDX_LABELS = 2051, 2049  # magic numbers: unsigned bytes in 3 and in 1 dimensions


@dataclass(frozen=True)
class NamedSet:
    """What a reader should know about a set before it is fetched."""

    name: str
    title: str
    pictures: str
    origin: str
    download_mb: int  # 0: comes with a package
    licence: str
    label_names: tuple[str, ...]
    torchvision: str = ""  # the class that downloads it

    def description(self) -> str:
        """Title, pictures, origin, size of the download and licence in one line."""
        size = f"{self.download_mb} MB from {self.origin}" if self.download_mb else self.origin
        return f"{self.title} ({self.pictures}; {size}; licence: {self.licence})"


_DIGITS = tuple("0123456789")
_SETS = (
    NamedSet(
        "fashion-mnist", "Fashion-MNIST", "60,000 gray pictures of clothes, 28x28, 10 classes",
        "Zalando Research (github.com/zalandoresearch/fashion-mnist)",
        31, "MIT",
        ("t-shirt", "trouser", "pullover", "dress", "coat",
         "sandal", "shirt", "sneaker", "bag", "ankle boot"), "FashionMNIST",
    ),
    NamedSet(
        "mnist", "MNIST", "60,000 gray handwritten digits, 28x28, 10 classes",
        "Yann LeCun and Corinna Cortes, through torchvision's mirror",
        12, "CC BY-SA 3.0", _DIGITS, "MNIST",
    ),
    NamedSet(
        "cifar-10", "CIFAR-10", "50,000 color photographs, 32x32, 10 classes",
        "Alex Krizhevsky, University of Toronto (www.cs.toronto.edu/~kriz/cifar.html)",
        170, "none stated by its authors; used for research",
        ("airplane", "automobile", "bird", "cat", "deer",
         "dog", "frog", "horse", "ship", "truck"), "CIFAR10",
    ),
    NamedSet(
        "digits", "Optical digits", "1,797 gray handwritten digits, 8x8, 10 classes",
        "comes with scikit-learn, no download; UCI repository, E. Alpaydin and C. Kaynak",
        0, "CC BY 4.0", _DIGITS,
    ),
)  # fmt: skip
NAMED: dict[str, NamedSet] = {about.name: about for about in _SETS}


def named(
    name: str,
    how: Preparation,
    *,
    n: int | None = None,
    seed: int = 0,
    download: bool = False,
    root: str | Path | None = None,
    progress: bool = True,
) -> ImageSet:
    """A set in ``NAMED``, resized with LANCZOS: its training part, or all of scikit-learn's digits.

    Args:
        name: a key of ``NAMED``.
        how: size, channels and crop.
        n: only this many pictures, drawn with ``seed``; in their original order.
        download: allow the download where the set is not there yet.
        root: a folder that holds the set's files. Otherwise they are looked for in
            ``$GAN_BOOK_REAL_DATA/NAME`` and in the cache, where downloads go.

    Raises:
        GanBookError: if the set is not there and ``download`` is False, or its files are damaged.
    """
    about = NAMED[name]
    if name == "digits":
        pixels, labels = _digits()
    elif name == "cifar-10":
        data = _fetch(about, _places(name, root)[-1], download)
        pixels, labels = data.data, torch.tensor(data.targets)  # (N, 32, 32, 3), (N,)
    else:
        pixels, labels = _idx_set(about, root, download)
    counts = f"{len(pixels)} pictures but {len(labels)} labels"
    need(len(pixels) == len(labels), f"{about.title} has {counts}.")
    chosen = choose(len(pixels), n, seed, about.title)
    pixels, labels = pixels[chosen.numpy()], labels[chosen]  # (M, H, W, C), (M,)
    return ImageSet(
        images=resize_all(pixels, how, progress),
        name=name,
        licence=about.licence,
        labels=labels,
        label_names=about.label_names,
        ids=tuple(str(i) for i in chosen.tolist()),
    )


def choose(total: int, n: int | None, seed: int, what: str) -> Tensor:
    """``n`` of ``total`` indices, drawn without replacement and sorted; all where n is None.

    Raises:
        GanBookError: if there are fewer than ``n``.
    """
    if n is None:
        return torch.arange(total)
    need(1 <= n <= total, f"{what} has {total} pictures; n must be 1 to {total}, not {n}.")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    return order[:n].sort().values  # (n,)


def resize_all(pixels: NDArray[np.uint8], how: Preparation, progress: bool = False) -> Tensor:
    """Arrays (N, H, W, C) of one size as uint8 (N, C', H', W')."""
    from PIL import Image
    from tqdm.auto import tqdm

    from gan_book.data.decode import resize

    if pixels.shape[1:] == (*how.size, how.channels):
        return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())  # (N, C, H, W)
    out = torch.empty((len(pixels), how.channels, *how.size), dtype=torch.uint8)
    quiet = not progress or len(pixels) < 5000
    for i, picture in enumerate(tqdm(pixels, desc="resizing", disable=quiet)):
        image = Image.fromarray(
            np.ascontiguousarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
        )
        try:
            out[i] = torch.from_numpy(resize(image, how)[0])  # (C', H', W')
        except Refusal as refusal:
            raise GanBookError(f"These pictures cannot be resized: {refusal}.") from None
    return out


def _digits() -> tuple[NDArray[np.uint8], Tensor]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise GanBookError(
            "The set 'digits' comes with scikit-learn; run: pip install scikit-learn"
        ) from None
    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]  # (N, 8, 8, 1)
    return pixels, torch.from_numpy(data.target.astype(np.int64))


def _places(name: str, root: str | Path | None) -> list[Path]:
    """Folders in which a set's files may lie already; downloads go to the last."""
    if root is not None:
        return [Path(root).expanduser()]
    try:
        downloads = cache_dir() / "named"
    except OSError as error:
        raise GanBookError(f"There is no folder for data ({error}); set GAN_BOOK_CACHE.") from None
    real_data = os.environ.get("GAN_BOOK_REAL_DATA")
    return [Path(real_data) / name, downloads] if real_data else [downloads]


def _fetch(about: NamedSet, target: Path, download: bool) -> Any:
    """The torchvision data set, downloaded if allowed and missing; torchvision checks hashes."""
    from torchvision import datasets

    make = partial(getattr(datasets, about.torchvision), str(target), train=True)
    with suppress(RuntimeError, OSError):
        return make(download=False)
    need(
        download,
        f"'{about.name}' is not on this machine. It would be downloaded to {target}: "
        f"{about.description()}. To allow it, pass download=True (on the command line --download).",
    )
    print(f"Downloading {about.description()} to {target}.", file=sys.stderr)
    try:
        return make(download=True)
    except (RuntimeError, OSError) as error:
        raise GanBookError(f"The download of {about.title} failed: {error}.") from None


def _idx_set(
    about: NamedSet, root: str | Path | None, download: bool
) -> tuple[NDArray[np.uint8], Tensor]:
    places = _places(about.name, root)
    if _find_idx(about, places) is None:
        _fetch(about, places[-1], download)
    files = _find_idx(about, places)
    if files is None:
        raise GanBookError(f"The download of {about.title} left no IDX files behind.")
    pixels = read_idx(files[0], _IDX_IMAGES)[..., None]  # (N, H, W, 1)
    labels = read_idx(files[1], _IDX_LABELS).astype(np.int64)  # (N,)
    return pixels, torch.from_numpy(labels)


def _find_idx(about: NamedSet, places: Iterable[Path]) -> tuple[Path, Path] | None:
    for place in places:
        for folder in (place, place / about.torchvision / "raw"):
            for suffix in (".gz", ""):
                images = folder / f"train-images-idx3-ubyte{suffix}"
                labels = folder / f"train-labels-idx1-ubyte{suffix}"
                if images.is_file() and labels.is_file():
                    return images, labels
    return None


def read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes, gzipped or not, with the expected magic number.

    Raises:
        GanBookError: if it is damaged, of another kind, or larger than 256 MiB.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise GanBookError(f"{path} cannot be read: {error}.") from None
    rank = magic % 256
    head = 4 * (1 + rank)
    need(
        len(data) >= head and int.from_bytes(data[:4], "big") == magic,
        f"{path} is not the IDX file it should be (magic number {magic}).",
    )
    shape = np.frombuffer(data, ">u4", rank, offset=4).tolist()
    found, count = len(data) - head, math.prod(shape)
    need(found == count > 0, f"{path} is damaged: {count} bytes expected, {found} found.")
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)
