"""Endless seeded batches from a picture set or a 2-D distribution, resumable to the bit.

Every random choice is a function of (seed, epoch) or (seed, batch): the place in the data is one
integer, so a resumed run neither repeats nor skips a picture, and every process of a parallel run
makes the same global choice and takes its slice of it.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gan_book.data.imageset import ImageSet
from gan_book.errors import need

DEVICE_MEMORY_SHARE = 0.4  # the rest of a GPU is for networks, their gradients and activations


class Batch(NamedTuple):
    """What a training step gets.

    ``images``: float32 (N, C, H, W) in [-1, 1], or points (N, 2). ``labels``: int64 (N,) or None.
    """

    images: Tensor
    labels: Tensor | None = None


class Points(Protocol):
    """An endless distribution of points, such as ``gan_book.data.toys`` makes."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, 2) float32."""
        ...


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 to float32 in [-1, 1]: ``x / 127.5 - 1``; any shape."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Float in [-1, 1] to uint8 in 0..255, rounded to nearest and clamped; NaN becomes mid-gray.

    The inverse of :func:`to_float` on all 256 values.
    """
    x = images.detach().to(torch.float32).nan_to_num(nan=0.0)  # a cast of NaN differs by CPU
    return x.add(1.0).mul_(127.5).round_().clamp_(0.0, 255.0).to(torch.uint8)


class Batches:
    """Endless batches: shuffled epochs without replacement, exact resume, slices for ranks.

    A batch that reaches the end of an epoch runs over into the next one, so all batches are full
    and every picture is shown equally often. Points are drawn fresh for each batch.

    Args:
        images: an ImageSet, or an object with ``sample(n, generator) -> (n, 2)``.
        indices: int64 (M,), the pictures to draw from (such as ``split.train``); None for all.
        batch_size: of the global batch; each rank gets ``batch_size // world``.
        seed: of order and flips; all ranks pass the same.
        device: where batches are wanted.
        on_device: keep the uint8 pictures on that device. None: if they fit in 40 % of its free
            memory. Otherwise they are gathered on the host, pinned, and copied asynchronously.
        rank, world: this process and how many there are.
        flip: mirror each picture left to right with probability one half.

    Raises:
        GanBookError: if there is nothing to draw from or the batch cannot be shared out.
    """

    def __init__(
        self,
        images: ImageSet | Points,
        indices: Tensor | None,
        batch_size: int,
        *,
        seed: int,
        device: torch.device | str = "cpu",
        on_device: bool | None = None,
        rank: int = 0,
        world: int = 1,
        flip: bool = False,
    ) -> None:
        need(
            batch_size >= 1 and batch_size % world == 0,
            f"A batch of {batch_size} cannot be shared by {world} processes; choose a positive "
            f"multiple of {world}.",
        )
        need(0 <= rank < world, f"Rank {rank} is outside of 0 to {world - 1}.")
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        self.device = torch.empty(0, device=device).device  # "cuda" becomes "cuda:0"
        self.flip = flip
        self.drawn = 0  # samples drawn so far, over all ranks
        self._epoch = -1  # the epoch that _order and _mirrored belong to
        self._points: Points | None = None
        if isinstance(images, ImageSet):
            self._keep_images(images, indices, on_device)
        else:
            self._points = images
            self.length = 0

    def _keep_images(self, images: ImageSet, indices: Tensor | None, resident: bool | None) -> None:
        index = torch.arange(len(images)) if indices is None else indices.to("cpu", torch.int64)
        self.length = len(index)
        need(self.length, "There is no picture to draw batches from; hold out fewer.")
        inside = bool(((index >= 0) & (index < len(images))).all())
        need(inside, f"A training index is outside of 0 to {len(images) - 1}.")
        pixels, labels = images.images, images.labels
        if resident is None:
            resident = self.device.type != "cpu" and self._fits(self.length * pixels[0].numel())
        elif self.device.type == "cpu":
            resident = False  # the set is already where batches are made
        self.on_device = resident or self.device.type == "cpu"
        if resident:
            pixels = pixels.index_select(0, index).to(self.device)  # (M, C, H, W)
            labels = None if labels is None else labels[index].to(self.device)  # (M,)
            index = torch.arange(self.length)
        self._pixels, self._labels, self._index = pixels, labels, index
        self._order_device = pixels.device

    def _fits(self, size: int) -> bool:
        """Whether ``size`` bytes may stay on the device for the whole run."""
        if self.device.type != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return size <= DEVICE_MEMORY_SHARE * free

    @property
    def epoch(self) -> int:
        """Complete passes over the pictures so far (0 for points)."""
        return self.drawn // self.length if self.length else 0

    def _generator(self, stream: str, counter: int) -> torch.Generator:
        """A CPU generator that depends on seed, stream and counter only."""
        digest = hashlib.sha256(f"{self.seed} {stream} {counter}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

    def _start_epoch(self, epoch: int) -> None:
        generator = self._generator("epoch", epoch)
        order = self._index[torch.randperm(self.length, generator=generator)]  # (M,)
        mirrored = torch.rand(self.length, generator=generator) < 0.5  # (M,)
        self._order = order.to(self._order_device)
        self._mirrored = mirrored.to(self.device)
        self._epoch = epoch

    def _places(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Picture indices (n,) and mirror bits (n,) of the samples start .. start + count - 1."""
        orders, mirrors = [], []
        while count > 0:
            epoch, at = divmod(start, self.length)
            if epoch != self._epoch:
                self._start_epoch(epoch)
            piece = slice(at, min(at + count, self.length))
            orders.append(self._order[piece])
            mirrors.append(self._mirrored[piece])
            start, count = start + piece.stop - at, count - (piece.stop - at)
        if len(orders) == 1:
            return orders[0], mirrors[0]
        return torch.cat(orders), torch.cat(mirrors)

    def next(self) -> Batch:
        """The next batch: this rank's ``batch_size // world`` samples on ``device``."""
        share = self.batch_size // self.world
        start = self.drawn + self.rank * share
        if self._points is not None:
            generator = self._generator("points", self.drawn)
            points = self._points.sample(self.batch_size, generator)  # (B, 2)
            self.drawn += self.batch_size
            mine = points[self.rank * share : (self.rank + 1) * share]  # (n, 2)
            return Batch(mine.to(self.device))
        places, mirrored = self._places(start, share)  # (n,), (n,)
        images = self._gather(self._pixels, places)  # (n, C, H, W) uint8
        if self.flip:
            images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
        labels = None if self._labels is None else self._gather(self._labels, places)  # (n,)
        self.drawn += self.batch_size
        return Batch(to_float(images), labels)

    def _gather(self, values: Tensor, places: Tensor) -> Tensor:
        """``values[places]`` on the device; from the host by way of pinned memory."""
        if values.device == self.device or self.device.type != "cuda":
            return values.index_select(0, places).to(self.device)
        # The caching host allocator keeps a pinned block until its asynchronous copy has ended.
        shape = (len(places), *values.shape[1:])
        pinned = torch.empty(shape, dtype=values.dtype, pin_memory=True)
        torch.index_select(values, 0, places, out=pinned)
        return pinned.to(self.device, non_blocking=True)

    def state(self) -> dict[str, Tensor]:
        """The place in the data, equal on all ranks: int64 tensors for a checkpoint."""
        place = {"drawn": self.drawn, "seed": self.seed, "length": self.length}
        return {key: torch.tensor([value]) for key, value in place.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where :meth:`state` was taken.

        Raises:
            GanBookError: if the state is of another seed or another number of pictures.
        """
        for key, value in self.state().items():
            found = state.get(key, value[:0])
            need(
                found.shape == value.shape and found.dtype == value.dtype,
                f"The checkpoint's data state has no number '{key}'; it is damaged.",
            )
        for key, what in (("seed", "seed"), ("length", "number of training pictures")):
            saved, mine = int(state[key]), getattr(self, key)
            need(
                saved == mine,
                f"The checkpoint was made with {what} {saved}, this run has {mine}; resume with "
                "the same pictures and seed.",
            )
        drawn = int(state["drawn"])
        need(drawn >= 0, f"The checkpoint's place in the data is negative ({drawn}).")
        self.drawn = drawn
