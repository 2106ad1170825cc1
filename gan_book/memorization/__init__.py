"""Did the model copy? Nearest training pictures, thresholds that mean something, support size."""

from .birthday import SupportSize, support_size
from .inference import Membership, membership
from .report import MemorizationReport, Pair, Roc, memorization, plant_copies, roc, threshold
from .search import (
    Nearest,
    Space,
    feature_space,
    nearest_features,
    nearest_pictures,
    picture_pairs,
    picture_space,
)

__all__ = [
    "Membership", "MemorizationReport", "Nearest", "Pair", "Roc", "Space", "SupportSize",
    "feature_space", "membership", "memorization", "nearest_features", "nearest_pictures",
    "picture_pairs", "picture_space", "plant_copies", "roc", "support_size", "threshold",
]  # fmt: skip
