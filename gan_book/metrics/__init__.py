"""How good and how varied: distances between two sets of feature vectors, with uncertainty."""

from .baselines import Floor, pca_gaussian, real_floor
from .classes import spread
from .frechet import (
    FrechetDistance,
    FrechetExtrapolation,
    frechet_at_infinity,
    frechet_distance,
    frechet_from_moments,
    moments,
)
from .kernel import (
    KernelDifference,
    KernelDistance,
    cubic_kernel,
    kernel_distance,
    kernel_distance_from_moments,
    paired_kernel_difference,
)
from .modes import TrueCoverage, coverage_of_counts
from .neighbors import DensityCoverage, PrecisionRecall, density_coverage, precision_recall
from .sliced import SlicedWasserstein, sliced_wasserstein, squared_transport
from .two_sample import (
    NearestNeighborTest,
    RightAnswers,
    classifier_test,
    one_nearest_neighbor,
    right_answers,
)

__all__ = [
    "DensityCoverage", "Floor", "FrechetDistance", "FrechetExtrapolation", "KernelDifference",
    "KernelDistance", "NearestNeighborTest", "PrecisionRecall", "RightAnswers", "SlicedWasserstein",
    "TrueCoverage", "classifier_test", "coverage_of_counts", "cubic_kernel", "density_coverage",
    "frechet_at_infinity", "frechet_distance", "frechet_from_moments", "kernel_distance",
    "kernel_distance_from_moments", "moments", "one_nearest_neighbor", "paired_kernel_difference",
    "pca_gaussian", "precision_recall", "real_floor", "right_answers", "sliced_wasserstein",
    "spread", "squared_transport",
]  # fmt: skip
