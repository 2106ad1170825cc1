"""Directions in which codes can be moved: by the weights, by principal components, by labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import need, whole
from .space import Space


@torch.no_grad()
def sefa(space: Space, k: int = 8, layers: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """SeFa (Shen and Zhou, 2021, arXiv 2007.06600): what moves the first layer most.

    Unit directions (k, d) that maximize ||A n|| one after the other, each orthogonal to those
    before: the leading eigenvectors of A^T A, and its eigenvalues (k,), largest first. A holds the
    weights that meet the code: the first linear layer in z, the style layers in w, of the given
    ``layers`` or of all. Signs: the largest entry is positive.
    Raises ``GanBookError`` for a generator whose z meets no linear layer, or k out of range.
    """
    g: Any = space.generator
    if space.styled:
        need(space.kind == "w", "In a style-based generator SeFa works on codes of the space 'w'.")
        chosen = range(g.num_layers) if layers is None else layers
        parts = [g.layers[i].conv for i in chosen if i < len(g.layers)]
        parts += [g.to_rgb[i // 2] for i in chosen if i % 2]  # it shares the next layer's style
        weight = torch.cat([p.style.weight * p.style.scale for p in parts])  # (out, w_dim)
    else:
        first = getattr(g, "first", None)
        linear = isinstance(first, torch.nn.Linear) and layers is None
        need(linear, "SeFa needs a generator whose z meets a linear layer; layers go with w.")
        weight = first.weight[:, : space.dim]  # type: ignore[union-attr]  # (out, z_dim)
    k = whole("k", k, 1, weight.shape[1])
    values, vectors = torch.linalg.eigh(weight.T @ weight)  # (d,) ascending, (d, d) columns
    return _signed(vectors.T.flip(0)[:k]), values.flip(0)[:k].clamp_min(0)


def pca(values: Tensor, k: int = 8) -> tuple[Tensor, Tensor]:
    """Principal components of ``values`` (N, d): unit directions (k, d), variances (k,).

    GANSpace (Harkonen et al., 2020, arXiv 2004.02546) takes them of many w. The variances divide
    by N - 1. Signs: the largest entry is positive. Raises ``GanBookError`` for k out of range.
    """
    k = whole("k", k, 1, min(values.shape[1], len(values) - 1))
    off = values - values.mean(0)  # (N, d)
    _, s, rows = torch.linalg.svd(off, full_matrices=False)  # (r,), (r, d)
    return _signed(rows[:k]), s[:k].square() / (len(values) - 1)


def label_directions(codes: Tensor, values: Tensor, *, regression: bool = True) -> Tensor:
    """Unit directions (k, d) along which read values (N, k) of the codes (N, d) grow.

    By linear regression on all coordinates with an intercept, or as the difference of means
    between codes whose value is above the mean value and the others. The two agree in expectation,
    up to length, where the codes have covariance I and values are 0 or 1.
    Raises ``GanBookError`` for a value that never changes, or too few codes to regress on.
    """
    values = values.to(codes).reshape(len(codes), -1)  # (N, k)
    need(bool((values.std(0) > 0).all()), "A value that never changes has no direction.")
    if regression:
        need(len(codes) > codes.shape[1] + 1, "Regression needs more codes than coordinates.")
        off = codes - codes.mean(0)  # (N, d)
        found = torch.linalg.lstsq(off, values - values.mean(0)).solution.T  # (k, d)
    else:
        high = (values > values.mean(0)).to(codes)  # (N, k)
        found = (high.T @ codes) / high.sum(0)[:, None]  # (k, d)
        found = found - ((1 - high).T @ codes) / (1 - high).sum(0)[:, None]  # (k, d)
    return found / found.norm(dim=1, keepdim=True)


def move(
    space: Space, codes: Tensor, direction: Tensor, amount: float | Tensor,
    layers: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    """Codes moved by ``amount`` (a number, or (N,)) along ``direction`` (d,).

    (N, dim) -> (N, dim); with ``layers``, in w, only these layers' styles move, and the codes
    become (N, num_layers, w_dim). Raises ``GanBookError`` for layers in z, or that do not exist.
    """
    amount = torch.as_tensor(amount, dtype=codes.dtype, device=codes.device)
    by = amount.reshape(-1, 1) * direction  # (1 or N, d)
    if layers is None:
        return codes + by
    moved = space.layered(codes).clone()  # (N, layers, w_dim)
    for i in layers:
        moved[:, whole("a layer", i, 0, moved.shape[1] - 1)] += by
    return moved


def _signed(directions: Tensor) -> Tensor:
    """Directions (k, d), turned so that the entry of largest size is positive."""
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))  # (k, 1)
    return directions * largest.sign()
