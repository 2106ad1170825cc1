"""Membership inference: can a score tell training pictures from fresh ones of the same law?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import need
from .report import threshold

NORMAL_975 = 1.959964


@dataclass(frozen=True, eq=False)
class Membership:
    """How well a score, larger for members, separates members from strangers.

    Attributes:
        auc: probability that a member scores above a stranger (ties count half); 1/2 is blind.
        error: its standard error. low, high: 95 % interval.
        members, strangers: the scores (n,) and (m,), float64.
    """

    auc: float
    error: float
    low: float
    high: float
    members: Tensor
    strangers: Tensor

    def rate(self, false_alarms: float) -> float:
        """Share of members accused when a fresh stranger is accused with at most that probability.

        The cut is the conformal `threshold` of the strangers; 0 where they are too few for one.
        """
        return float((-self.members <= threshold(-self.strangers, false_alarms)).double().mean())


def membership(members: Tensor, strangers: Tensor) -> Membership:
    """Judge an attack by its scores of training pictures (n,) and of fresh pictures (m,).

    The error is that of DeLong et al. 1988: the area is a mean over pairs, and its variance that
    of each member's and each stranger's share in it, S10 / n + S01 / m. The interval is symmetric
    in log(auc / (1 - auc)), so it stays inside [0, 1]; where the scores separate completely the
    estimated variance is 0, and so is the interval's width.

    Raises GanBookError for fewer than two scores on a side, or scores that are not finite.
    """
    x, y = (side.detach().double().flatten().cpu() for side in (members, strangers))
    need(min(len(x), len(y)) >= 2, "An attack is judged by at least two pictures on each side.")
    finite = bool(torch.isfinite(x).all() and torch.isfinite(y).all())
    need(finite, "A score is not finite; an attack must give every picture a number.")
    shares = []
    for own, others in ((x, y), (-y, -x)):  # how many of the others each one beats
        ranked = others.sort().values
        beaten = torch.searchsorted(ranked, own) + torch.searchsorted(ranked, own, right=True)
        shares.append(beaten.double() / (2 * len(others)))
    auc = float(shares[0].mean())
    error = float(sum(share.var() / len(share) for share in shares)) ** 0.5
    low = high = auc
    if 0 < auc < 1:
        middle = torch.tensor(auc, dtype=torch.float64).logit()
        half = NORMAL_975 * error / (auc * (1 - auc))
        low, high = torch.stack([middle - half, middle + half]).sigmoid().tolist()
    return Membership(auc, error, low, high, x, y)
