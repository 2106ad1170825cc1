"""Divergences of two densities that are known: sums over a grid, in float64, in nats.

They judge a generator in one or two dimensions without any sample. ``p`` and ``q`` are density
values at the same grid points, of any one shape, and ``volume`` is the size of a cell: the
rectangle rule, which is nearly exact for smooth densities that vanish at the grid's edge.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import need


def kl_divergence(p: Tensor, q: Tensor, volume: float) -> float:
    """``KL(p || q) = sum p log(p / q) * volume``; 0 log 0 = 0, infinite where only q vanishes.

    So choose a grid on which q does not underflow where p counts.

    Raises GanBookError for negative densities, other shapes, or a grid that misses more than
    1 % of one of the two.
    """
    p, q = _checked(p, q, volume)
    return float((torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()) * volume


def js_divergence(p: Tensor, q: Tensor, volume: float) -> float:
    """``KL(p || m) / 2 + KL(q || m) / 2`` with ``m = (p + q) / 2``: from 0 to log 2.

    Lin 1991, "Divergence measures based on the Shannon entropy", with natural logarithms.
    Raises GanBookError as `kl_divergence` does.
    """
    p, q = _checked(p, q, volume)
    m = (p + q) / 2
    return (kl_divergence(p, m, volume) + kl_divergence(q, m, volume)) / 2


def _checked(p: Tensor, q: Tensor, volume: float) -> tuple[Tensor, Tensor]:
    p, q = p.detach().double(), q.detach().double()
    need(p.shape == q.shape, f"Two densities on one grid, not {p.shape} and {q.shape} values.")
    for density in (p, q):
        total = float(density.sum()) * volume
        need(float(density.min()) >= 0, "A density is never negative.")
        need(abs(total - 1) < 0.01, f"A density sums to 1 over its grid, not to {total:.3f}.")
    return p, q
