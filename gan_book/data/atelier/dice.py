"""Random numbers for the Atelier: counter-based, integer, the same on every machine.

Everything is SplitMix64 (Steele, Lea, Flood 2014) used as a hash of (key, counter), so picture i
does not depend on how many pictures are painted beside it. Uniform numbers are 24-bit integers
divided by 2**24, exact in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_GOLDEN = 0x9E3779B97F4A7C15


def mix64(z: Array) -> Array:
    """SplitMix64's finalizer: uint64 array to well-mixed uint64 array of the same shape."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def keys_for(version: int, seed: int, indices: Array) -> Array:
    """One uint64 key for each picture index of a seed (any Python integer) and version."""
    root = np.array([version], np.uint64)
    for _ in range(2):  # 128 bits of the seed, sign included, enter the key
        word = np.array([seed & 0xFFFFFFFFFFFFFFFF], np.uint64)
        root = mix64(root * np.uint64(_GOLDEN) + word)
        seed >>= 64
    return mix64(root + (indices.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))


def hash01(key: Array, *lattice: Array) -> Array:
    """Noise in [0, 1), float32, for integer lattice coordinates; all arrays broadcast.

    key: uint32. The integer hash is Wellons' lowbias32 (public domain constants).
    """
    h = key
    for step, coordinate in zip((0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D), lattice, strict=False):
        h = h + coordinate.astype(np.uint32) * np.uint32(step)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x7FEB352D)
    h = (h ^ (h >> np.uint32(15))) * np.uint32(0x846CA68B)
    h = h ^ (h >> np.uint32(16))
    return (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


class Dice:
    """A stream of draws for each of n pictures; draw k of a picture is a hash of (key, k).

    Every draw has shape (n, 1, 1), ready to broadcast against pixels (n, H, W); with `count` it
    gets a leading axis: (count, n, 1, 1).
    """

    def __init__(self, keys: Array) -> None:
        self._keys = keys  # uint64 (n,)
        self._counter = 0

    def bits(self, count: int | None = None) -> Array:
        """Uniform uint64."""
        many = 1 if count is None else count
        steps = np.arange(self._counter + 1, self._counter + many + 1, dtype=np.uint64)
        self._counter += many
        words = mix64(self._keys[None, :] + (steps * np.uint64(_GOLDEN))[:, None])  # (count, n)
        shaped = words[:, :, None, None]
        return shaped[0] if count is None else shaped

    def uniform(self, low: float = 0.0, high: float = 1.0, count: int | None = None) -> Array:
        """Uniform float32 in [low, high)."""
        unit = (self.bits(count) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        return low + (high - low) * unit

    def integer(self, low: int, high: int, count: int | None = None) -> Array:
        """Uniform int64 in low ... high, both included."""
        word = self.bits(count) >> np.uint64(32)
        span = np.uint64(high - low + 1)
        return low + ((word * span) >> np.uint64(32)).astype(np.int64)

    def chance(self, probability: float, count: int | None = None) -> Array:
        """True with the given probability."""
        return self.uniform(count=count) < probability

    def sign(self) -> Array:
        """-1 or 1 as float32."""
        return self.integer(0, 1).astype(np.float32) * 2 - 1

    def order(self, length: int) -> Array:
        """A permutation of 0 ... length - 1: int64 (length, n, 1, 1)."""
        return np.argsort(self.bits(length), axis=0, kind="stable")

    def key32(self) -> Array:
        """A uint32 key for `hash01`."""
        return (self.bits() >> np.uint64(32)).astype(np.uint32)
