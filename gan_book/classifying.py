"""Classifiers trained on real and generated pictures, and paired comparisons of their accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from . import augment
from .errors import need
from .fitting import fit

Logs = dict[str, Tensor]


class Labelled(NamedTuple):
    """Pictures x (N, C, H, W) in [-1, 1] with their labels y (N,) int64."""

    x: Tensor
    y: Tensor


def small_classifier(classes: int, channels: int = 3, width: int = 24) -> nn.Sequential:
    """Two convolutions and a linear layer: pictures (N, C, 16, 16) to logits (N, classes)."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1), nn.ReLU(),  # (N, width, 8, 8)
        nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(),  # (N, 2 width, 4, 4)
        nn.Flatten(), nn.Linear(32 * width, classes),  # (N, 32 width), (N, classes)
    )  # fmt: skip


class MixtureRisk(nn.Module):
    """Mean cross-entropy of a classifier on batches in which a fixed share is generated.

    An objective for ``fit``: a batch is a tensor of picture numbers, those of ``real`` first, which
    ``next_batch`` draws: round(share * n) of n are generated, uniformly with repetition. In the
    mean over draws the loss is (1 - share) * risk on ``real`` + share * risk on ``made``.

    Args:
        policy: augmentations out of ``augment.POLICIES`` for all pictures, each with probability p.

    Raises:
        GanBookError: if the share does not lie in [0, 1], or is not 0 without ``made``.
    """

    def __init__(
        self,
        classifier: nn.Module,
        real: Labelled,
        made: Labelled | None = None,
        share: float = 0.0,
        policy: Sequence[str] = (),
        p: float = 0.8,
    ) -> None:
        super().__init__()
        need(
            0 <= share <= (made is not None),
            f"The share of generated pictures lies between 0 and 1, and is 0 where there are none; "
            f"it is {share}.",
        )
        self.classifier, self.share, self.policy, self.p = classifier, share, policy, p
        pools = [real] if made is None else [real, made]
        self.pictures = Labelled(*(torch.cat(parts) for parts in zip(*pools, strict=True)))
        self.sizes = len(real.x), 0 if made is None else len(made.x)

    def next_batch(self, n: int, generator: torch.Generator) -> Tensor:
        """Numbers of n pictures, (n,): real ones, then generated ones."""
        generated, (real, made) = round(self.share * n), self.sizes
        first = torch.randint(real, (n - generated,), generator=generator)
        return torch.cat(
            [first, real + torch.randint(max(made, 1), (generated,), generator=generator)]
        )

    def draw(self, numbers: Tensor, generator: torch.Generator) -> tuple[augment.AugmentDraws]:
        height, width = self.pictures.x.shape[-2:]
        return (augment.draw(len(numbers), (height, width), self.policy, self.p, generator),)

    def forward(self, numbers: Tensor, draws: augment.AugmentDraws) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs ("loss") on the pictures with these numbers (N,)."""
        x = augment.apply(self.pictures.x[numbers], draws)  # (N, C, H, W)
        loss = cross_entropy(self.classifier(x), self.pictures.y[numbers])  # 0-d
        return loss, {"loss": loss.detach()}


def train_classifier(
    risk: MixtureRisk, seed: int, steps: int = 150, batch: int = 32, lr: float = 2e-3
) -> nn.Module:
    """Fit ``risk.classifier`` in place by Adam and return it."""
    rng = torch.Generator().manual_seed(seed)
    fit(risk, lambda: risk.next_batch(batch, rng), rng, steps=steps, lr=lr, every=steps)
    return risk.classifier


@torch.no_grad()
def accuracy(classifier: nn.Module, pictures: Labelled) -> float:
    """The share of pictures that get their own label."""
    return float((classifier(pictures.x).argmax(1) == pictures.y).float().mean())


def paired_interval(
    ours: Sequence[float], theirs: Sequence[float], level: float = 0.95
) -> tuple[float, float]:
    """Mean of the differences ours - theirs of the same seeds, and half its t-interval's width.

    Raises:
        GanBookError: unless both have the same length, at least 2.
    """
    from scipy.stats import t  # needs its while to load

    need(
        len(ours) == len(theirs) >= 2,
        f"Pairs need two lists of the same length, at least 2, not {len(ours)} and {len(theirs)}.",
    )
    off = torch.tensor(ours, dtype=torch.float64) - torch.tensor(theirs, dtype=torch.float64)
    n = len(off)
    quantile = float(t.ppf((1 + level) / 2, n - 1))
    return float(off.mean()), quantile * float(off.std()) / math.sqrt(n)
