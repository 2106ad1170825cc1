"""How varied the samples of each class are: what a conditional accuracy does not see."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import need, whole


def spread(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean Euclidean distance of two different samples of one class, for each class.

    Args:
        features: (N, d), finite.
        labels: int64 (N,) in 0 ... num_classes - 1; each class at least twice.

    Returns:
        float64 (num_classes,); 0 where all samples of a class are alike.

    Raises:
        GanBookError: where shapes do not fit, or a class has fewer than two samples.
    """
    classes = whole("num_classes", num_classes, 1, 100_000)
    fits = features.ndim == 2 and labels.shape == features.shape[:1]
    need(fits, f"Features (N, d) need labels (N,), not {[*features.shape]} and {[*labels.shape]}.")
    groups = [features[labels == k].double() for k in range(classes)]  # (Nk, d) each
    few = min(len(group) for group in groups)
    need(
        few >= 2 and sum(map(len, groups)) == len(features),
        f"Each of the {classes} classes needs two samples or more (the rarest has {few}), and "
        "there may be no others.",
    )
    return torch.stack([torch.pdist(group).mean() for group in groups])  # (num_classes,)
