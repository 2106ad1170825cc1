"""The random numbers of book/_assets/live/xoshiro.js, number by number, in Python."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MASK = 0xFFFFFFFF


def _turn(x: int, k: int) -> int:
    return ((x << k) | (x >> (32 - k))) & MASK


class Stream:
    """xoshiro128**, filled from a seed by a 32-bit mixer."""

    def __init__(self, seed: int) -> None:
        self.s = []
        for i in range(1, 5):
            mixed = (seed + i * 0x9E3779B9) & MASK
            z = (mixed ^ mixed >> 16) * 0x85EBCA6B & MASK
            z = (z ^ z >> 13) * 0xC2B2AE35 & MASK
            self.s.append(z ^ z >> 16)
        self.spare: float | None = None

    def word(self) -> int:
        s = self.s
        result = _turn(s[1] * 5 & MASK, 7) * 9 & MASK
        t = s[1] << 9 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = _turn(s[3], 11)
        return result

    def uniform(self) -> float:
        high = self.word() >> 5
        return (high * 67108864 + (self.word() >> 6)) / 9007199254740992

    def normal(self) -> float:
        if self.spare is not None:
            value, self.spare = self.spare, None
            return value
        radius = math.sqrt(-2 * math.log(1 - self.uniform()))
        angle = 2 * math.pi * self.uniform()
        self.spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def below(self, n: int) -> int:
        return math.floor(self.uniform() * n)

    def normals(self, *shape: int) -> Tensor:
        """Standard normal numbers, float64, filled row by row."""
        flat = [self.normal() for _ in range(math.prod(shape))]
        return torch.tensor(flat, dtype=torch.float64).reshape(shape)

    def uniforms(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), float64, filled row by row."""
        flat = [self.uniform() for _ in range(math.prod(shape))]
        return torch.tensor(flat, dtype=torch.float64).reshape(shape)


def sample(points, n: int, stream: Stream) -> Tensor:
    """n points of a `gan_book` point set from such a stream, float64 (n, 2)."""
    places, noise = [], []
    for _ in range(n):
        curved = points.curve is not None
        places.append(stream.uniform() if curved else stream.below(len(points.centers)))
        noise.append((stream.normal(), stream.normal()))
    at = torch.tensor(places, dtype=torch.float64 if points.curve else torch.int64)
    centers = points.centers[at] if points.curve is None else points.curve(at)
    return centers + points.sd * torch.tensor(noise, dtype=torch.float64)
