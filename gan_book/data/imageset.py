"""The picture set that every other room works with, and its split into training and held-out parts.

An :class:`ImageSet` holds pictures the way they are stored and shown: ``uint8`` with shape
``(N, C, H, W)``. Networks see ``float32`` in ``[-1, 1]``; :func:`gan_book.data.to_float` converts
a batch at a time, after it was gathered, so a set takes one byte a value and may be a
memory-mapped file larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gan_book.errors import GanBookError, need

HELD_OUT_AT_LEAST = 64
HELD_OUT_SHARE = 0.1
SMALL_SET_SHARE = 0.25


@dataclass(frozen=True)
class LoadReport:
    """What became of the files of a source.

    ``refused`` names each file that looked like a picture and could not be used, with the reason
    as a sentence. ``ignored`` counts side files that nobody means as pictures (hidden files,
    ``Thumbs.db``, ``.txt``, ``.csv`` ...). ``duplicates`` counts kept pictures whose file bytes
    equal an earlier kept one; ``upscaled`` counts kept pictures that had to be enlarged more than
    twofold. ``settings`` says how pictures were made ready (size, crop, filter, background).
    """

    source: str
    kept: int
    refused: tuple[tuple[str, str], ...] = ()
    ignored: int = 0
    duplicates: int = 0
    upscaled: int = 0
    from_cache: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person, such as ``1000 pictures kept, 40 refused, 3 duplicates``."""
        parts = [f"{self.kept} pictures kept", f"{len(self.refused)} refused"]
        for count, text in (
            (self.duplicates, "duplicate{s}"),
            (self.upscaled, "enlarged more than twofold"),
            (self.ignored, "side file{s} ignored"),
        ):
            if count:
                parts.append(f"{count} {text.format(s='' if count == 1 else 's')}")
        return ", ".join(parts) + f" ({self.source})"

    def to_dict(self) -> dict[str, Any]:
        """The report as values that JSON can store."""
        return {**vars(self), "settings": dict(self.settings)}


@dataclass(frozen=True, eq=False)
class Split:
    """Indices (int64, ascending) of the training, validation and test pictures of one set."""

    train: Tensor
    validation: Tensor
    test: Tensor

    @property
    def held_out(self) -> Tensor:
        """Validation and test indices together, ascending."""
        return torch.cat([self.validation, self.test]).sort().values  # (V + T,)

    def counts(self) -> dict[str, int]:
        """``{"train": ..., "validation": ..., "test": ...}``."""
        return {name: len(getattr(self, name)) for name in ("train", "validation", "test")}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures with what is known about them.

    Args:
        images: uint8 of shape (N, C, H, W) on the CPU, C = 1 or 3; may be memory-mapped.
        name, licence: shown in reports and model cards.
        labels: int64 of shape (N,), each in [0, len(label_names)) where there are names.
        attributes: further labels by name, each int64 of shape (N,).
        ids: file name or index of each picture.
        groups: a name per picture (such as its artist); the split keeps equal names on one side.
            An empty name means "no group".
        report: how the set was loaded.

    Raises:
        GanBookError: if shapes, types or lengths do not fit together.
    """

    images: Tensor
    name: str = "images"
    licence: str = "unknown"
    labels: Tensor | None = None
    label_names: tuple[str, ...] = ()
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    attribute_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    report: LoadReport | None = None

    def __post_init__(self) -> None:
        x = self.images
        if not isinstance(x, Tensor) or x.dtype != torch.uint8 or x.ndim != 4:
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise GanBookError(
                f"An ImageSet needs a uint8 tensor of shape (N, C, H, W), not {got}; "
                "gan_book.data.to_uint8 converts pictures in [-1, 1]."
            )
        need(x.shape[1] in (1, 3), f"Pictures have 1 or 3 channels, not {x.shape[1]}.")
        labelled = self.attributes if self.labels is None else {"labels": self.labels}
        for key, values in {**labelled, **self.attributes}.items():
            need(
                values.dtype == torch.int64 and values.shape == (len(x),),
                f"'{key}' must be int64 of shape ({len(x)},), "
                f"not {values.dtype} {tuple(values.shape)}.",
            )
        if self.labels is not None and len(x) and self.label_names:
            low, high, count = int(self.labels.min()), int(self.labels.max()), len(self.label_names)
            need(
                0 <= low <= high < count,
                f"Labels run from {low} to {high}, but there are {count} label names.",
            )
        for key, names in (("ids", self.ids or x), ("groups", self.groups or x)):
            need(len(names) == len(x), f"There are {len(x)} pictures but {len(names)} {key}.")

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def __repr__(self) -> str:
        h, w = self.size
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        return f"ImageSet({self.name!r}: {len(self)} pictures, {self.channels}x{h}x{w}{classes})"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.images.shape[2]), int(self.images.shape[3])

    @property
    def channels(self) -> int:
        return int(self.images.shape[1])

    @property
    def num_classes(self) -> int:
        """The number of label names, or the largest label + 1; 0 without labels."""
        if self.labels is None:
            return 0
        if self.label_names:
            return len(self.label_names)
        return int(self.labels.max()) + 1 if len(self) else 0

    def subset(self, indices: Tensor | Sequence[int]) -> ImageSet:
        """The pictures at ``indices``, in that order (repeats allowed); pixels are copied.

        The report stays that of the whole source.
        """
        index = torch.as_tensor(indices, dtype=torch.int64).reshape(-1)  # (M,)
        inside = bool(((index >= 0) & (index < len(self))).all())
        need(inside, f"An index is outside of 0 to {len(self) - 1}.")
        order = index.tolist()
        return replace(
            self,
            images=self.images.index_select(0, index),  # (M, C, H, W)
            labels=None if self.labels is None else self.labels[index],
            attributes={key: values[index] for key, values in self.attributes.items()},
            ids=tuple(self.ids[i] for i in order) if self.ids else (),
            groups=None if self.groups is None else tuple(self.groups[i] for i in order),
        )

    @cached_property
    def _hashes(self) -> tuple[str, ...]:
        head = f"uint8 {tuple(self.images.shape[1:])} ".encode()
        pictures = (image.numpy().tobytes() for image in self.images)  # (C, H, W) each
        return tuple(hashlib.sha256(head + pixels).hexdigest() for pixels in pictures)

    def content_hashes(self) -> tuple[str, ...]:
        """SHA-256 (hex) of each picture's shape and pixels; computed once."""
        return self._hashes

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all pictures and labels in their order: equal sets, equal value."""
        digest = hashlib.sha256("\n".join(self._hashes).encode())
        if self.labels is not None:
            digest.update(b"labels " + self.labels.numpy().astype("<i8").tobytes())
        return digest.hexdigest()

    def split(self, holdout: str | float = "auto", seed: int = 0) -> Split:
        """Set pictures aside for validation (choosing) and test (reporting), half each.

        Which pictures are held out depends on their content (and group names) and ``seed`` only,
        never on the order of files. Equal pictures, and pictures of equal ``groups``, stay on one
        side. A group too large for the places that are left goes to training, so the held-out
        parts have exactly the asked size whenever enough single pictures or small groups exist.

        Args:
            holdout: ``"auto"`` is the larger of 64 and 10 %, but never more than a quarter of
                the set (so a set of fewer than 256 pictures holds out a quarter). A fraction
                below 1, a count, or 0 for nothing held out.
            seed: another seed holds out other pictures.

        Raises:
            GanBookError: if too few pictures would be left, or groups are too large to hold out.
        """
        total = len(self)
        wanted = _held_out_count(holdout, total)
        if wanted == 0:
            empty = torch.zeros(0, dtype=torch.int64)
            return Split(torch.arange(total), empty, empty.clone())
        units = _units(self._hashes, self.groups, seed)
        room = {"validation": wanted // 2, "test": wanted - wanted // 2}
        asked = dict(room)
        sides: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
        for _, members in units:
            side = next((name for name in room if len(members) <= room[name]), "train")
            if side != "train":
                room[side] -= len(members)
            sides[side].extend(members)
        need(
            all(room[name] <= asked[name] // 2 for name in room) and sides["train"],
            f"Cannot hold out {wanted} of {total} pictures: they form only {len(units)} groups of "
            "equal pictures or equal artists, which are never cut apart; hold out another number, "
            "add pictures, or train with holdout 0 (nothing held out, no measurement).",
        )
        index = {k: torch.tensor(sorted(v), dtype=torch.int64) for k, v in sides.items()}
        return Split(index["train"], index["validation"], index["test"])


def _held_out_count(holdout: str | float, total: int) -> int:
    """How many of ``total`` pictures ``holdout`` asks to set aside; checked."""
    if holdout == "auto":
        usual = max(HELD_OUT_AT_LEAST, round(HELD_OUT_SHARE * total))
        count = min(usual, int(SMALL_SET_SHARE * total))
        need(
            count >= 2,
            f"A set of {total} pictures is too small to hold any out for measuring (at least 8 are "
            "needed); add pictures, or train without measuring: --holdout 0 (holdout=0).",
        )
        return count
    try:
        value = float(holdout)
    except (TypeError, ValueError):
        value = -1.0
    need(
        0 <= value < 1 or (value.is_integer() and not isinstance(holdout, bool)),
        f"holdout is 'auto', a fraction such as 0.1, or a count such as 64, not {holdout!r}.",
    )
    if value == 0:
        return 0
    count = round(value * total) if value < 1 else int(value)
    need(
        2 <= count < total,
        f"holdout {holdout} of {total} pictures would hold out {count}; at least 2 must be held "
        "out (or none: --holdout 0, holdout=0) and at least 1 must be left for training.",
    )
    return count


def _units(
    hashes: Sequence[str], groups: Sequence[str] | None, seed: int
) -> list[tuple[str, list[int]]]:
    """Pictures that must stay together, as (key, indices), in an order that ignores file order.

    Two pictures are in one unit if a chain of equal contents and equal group names joins them.
    """
    parent = list(range(len(hashes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    keys = []
    for i, content in enumerate(hashes):
        group = groups[i] if groups is not None else ""
        # A group's place is decided by its name, so that it stays when the artist gains a picture.
        named = f"group {group}" if group else f"picture {content}"
        keys.append(hashlib.sha256(f"{seed} {named}".encode()).hexdigest())
        for tie in [("picture", content)] + ([("group", group)] if group else []):
            parent[root(i)] = root(first.setdefault(tie, i))
    members: dict[int, list[int]] = {}
    for i in range(len(hashes)):
        members.setdefault(root(i), []).append(i)
    return sorted((min(keys[i] for i in unit), unit) for unit in members.values())
