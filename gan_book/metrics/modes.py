"""True coverage where the modes are known: which ones appear, and in the expected shares?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import need
from ._features import Result


@dataclass(frozen=True)
class TrueCoverage(Result):
    """Counts of known modes against their expected shares.

    Attributes:
        captured: modes seen at least once; modes: all with a positive share.
        divergence: KL(observed shares || expected shares) in nats, over recognized rows.
        floor, floor_high: mean and 95 % quantile of the divergence of a faithful sample of the
            same size; nothing below floor_high is a fault.
        floor_captured: mean number of modes in such a sample.
        unrecognized: share of rows that belong to no mode.
        n: all rows, with the unrecognized ones.
        counts: rows in each mode, in order.
        missing: modes with a positive share that were not seen.
    """

    captured: int
    modes: int
    divergence: float
    floor: float
    floor_high: float
    floor_captured: float
    unrecognized: float
    n: int
    counts: tuple[int, ...]
    missing: tuple[int, ...]


def _divergence(counts: Tensor, shares: Tensor) -> Tensor:
    """KL of the shares in `counts` (..., K) from `shares` (K,), 0 log 0 = 0."""
    observed = counts / counts.sum(dim=-1, keepdim=True)
    return torch.special.xlogy(observed, observed / shares.clamp(min=1e-300)).sum(dim=-1)


def coverage_of_counts(
    counts: Tensor,
    shares: Tensor | None = None,
    *,
    unrecognized: int = 0,
    generator: torch.Generator | None = None,
    draws: int = 200,
) -> TrueCoverage:
    """Compare counts of known modes with their expected shares.

    Args:
        counts: (K,) integers. shares: (K,) expected shares, summing to 1; equal when None.
        unrecognized: rows that belong to no mode.
        generator: draws the faithful samples of the floor; seed 0 when None.
        draws: number of faithful samples.

    Raises:
        GanBookError: negative counts, none at all, or shares that do not fit.
    """
    observed = torch.as_tensor(counts).double().cpu()
    expected = torch.full_like(observed, 1 / max(len(observed), 1)) if shares is None else shares
    expected = torch.as_tensor(expected, dtype=torch.float64).cpu()
    need(
        observed.ndim == 1 and observed.shape == expected.shape,
        f"Counts {tuple(observed.shape)} and shares {tuple(expected.shape)} must both hold one "
        "number per mode.",
    )
    fits = bool((observed >= 0).all()) and observed.sum() >= 1 and unrecognized >= 0
    need(fits, "Counts must not be negative, and at least one row must have a mode.")
    total = float(expected.sum())
    fits = bool((expected >= 0).all()) and abs(total - 1) <= 1e-6
    need(fits, f"Expected shares must sum to 1; these sum to {total}.")
    fits = not observed[expected == 0].any()
    need(fits, "A mode with expected share 0 was counted; give it a positive share.")
    generator = generator or torch.Generator().manual_seed(0)
    n = int(observed.sum())
    picks = torch.multinomial(expected, n * draws, replacement=True, generator=generator)
    offsets = torch.arange(draws).repeat_interleave(n) * len(expected)
    size = draws * len(expected)
    faithful = torch.bincount(picks + offsets, minlength=size).view(draws, -1).double()
    floors = _divergence(faithful, expected)  # (draws,)
    possible = expected > 0
    seen = observed > 0
    return TrueCoverage(
        captured=int((seen & possible).sum()),
        modes=int(possible.sum()),
        divergence=float(_divergence(observed, expected)),
        floor=float(floors.mean()),
        floor_high=float(floors.quantile(0.95)),
        floor_captured=float((faithful > 0).sum(dim=1).double().mean()),
        unrecognized=unrecognized / (n + unrecognized),
        n=n + unrecognized,
        counts=tuple(int(c) for c in observed),
        missing=tuple((~seen & possible).nonzero().flatten().tolist()),
    )
