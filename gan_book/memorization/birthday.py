"""How many different pictures can a model make? The birthday paradox counts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from ..errors import need
from ..metrics._features import Result
from .search import Space, picture_space


@dataclass(frozen=True)
class SupportSize(Result):
    """Estimate from near-duplicates among independent draws.

    Attributes:
        value: 1 / probability that two draws collide: the number of pictures if all were equally
            likely, otherwise a smaller, effective number. Infinite when no pair collides.
        low, high: 95 % interval, from an interval of a Poisson count widened for pairs that share
            a picture. When nothing collides, `low` is pairs / 3, a bound at 95 % for pictures that
            are equally likely; with a single favorite only n^2 / 22.5 is sure, a quarter of it.
        collisions: pairs at most `threshold` apart, out of `pairs`; n: draws.
        batch: draws among which a duplicate is as likely as not, sqrt(2 ln 2 value).
    """

    value: float
    low: float
    high: float
    collisions: int
    pairs: int
    n: int
    threshold: float

    @property
    def batch(self) -> float:
        return math.sqrt(2 * math.log(2) * self.value)


def support_size(pictures: Tensor, threshold: float, *, space: Space | None = None) -> SupportSize:
    """Effective number of different pictures, from near-duplicates among n independent draws.

    With S equally likely pictures two draws are equal with probability 1 / S, so n draws hold
    about n^2 / 2S equal pairs, and some already at n near sqrt(S). Every pair is used, not only
    whether a batch has one. The estimate stands and falls with `threshold`: judge it beside the
    same number for real pictures.

    Args:
        pictures: (n, C, H, W), or (n, d) features with `feature_space()`; independent draws.
        threshold: largest distance of a duplicate, in the distances of `space.pairs`.
        space: `picture_space()` when None.

    Raises:
        GanBookError: fewer than 2 pictures, or what the space raises.

    Source: Arora and Zhang 2017, "Do GANs actually learn the distribution? An empirical study",
    sections 2 and 3.
    """
    need(len(pictures) >= 2, "A duplicate needs two pictures; draw more.")
    n = len(pictures)
    near = (space or picture_space()).pairs(pictures) <= threshold  # (n, n)
    near.fill_diagonal_(False)
    degree = near.sum(dim=1).double()  # duplicates of each picture
    total, pairs = int(degree.sum()) // 2, n * (n - 1) // 2
    if not total:
        # No event: if pairs are independent, 95 % sure that fewer than 3.0 were expected.
        return SupportSize(math.inf, pairs / 3.0, math.inf, 0, pairs, n, threshold)
    # Jackknife over pictures on the log of the collision rate; Poisson noise as its floor.
    left = ((total - degree) / ((n - 1) * (n - 2) / 2)).clamp(min=1e-300) if n > 2 else degree
    rate = total / pairs
    deviation = float((left - left.mean()).square().sum() * (n - 1) / n) ** 0.5 / rate
    deviation = max(deviation, 1 / math.sqrt(total))
    low, high = (math.exp(side * 1.96 * deviation) / rate for side in (-1, 1))
    return SupportSize(1 / rate, low, high, total, pairs, n, threshold)
