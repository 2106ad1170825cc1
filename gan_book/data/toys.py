"""Two-dimensional toy distributions whose modes are known: ring, grid, spiral, two moons, Dirac.

A generator trained on one of them can be judged exactly: every sample either lies near a known
mode or it does not. The ring of 8 and the grid of 25 Gaussians are those of Metz et al. 2017
(arXiv 1611.02163) and Srivastava et al. 2017 (VEEGAN, arXiv 1705.07761); counting modes by
high-quality samples within three standard deviations follows the latter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gan_book.errors import need

_CHUNK = 1 << 17  # sample-to-center distances held at once: 1 MB, stays in the cache
_POINT_SCALE = 0.01  # stands in for sd where a distribution has none (Dirac)


class ModeCount(NamedTuple):
    """What `PointSet.count_modes` found.

    captured: number of modes that hold enough high-quality samples.
    high_quality_share: share of all samples within the radius of some mode, in [0, 1].
    shares: float64 (K,), share of all samples that are high-quality samples of mode k; they
        sum to `high_quality_share`.
    """

    captured: int
    high_quality_share: float
    shares: Tensor


@dataclass(frozen=True, eq=False)
class PointSet:
    """An endless distribution of points in the plane with known modes.

    name: what it is called.
    modes: float64 (K, 2). For a curve these are the midpoints of K arcs of equal probability.
    sd: standard deviation of the isotropic Gaussian noise around each center (0 for Dirac).
    centers: float64 (M, 2), equally likely; the modes themselves for a Gaussian mixture, many
        points along the curve otherwise.
    mode_of_center: int64 (M,), the mode to which each center belongs.
    curve: for a curve, maps u in (0, 1), shape (n,), to points (n, 2); None for a mixture.
    """

    name: str
    modes: Tensor
    sd: float
    centers: Tensor
    mode_of_center: Tensor
    curve: Callable[[Tensor], Tensor] | None = None

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n independent points, float32 (n, 2), on the device of `generator`."""
        need(n >= 0, f"Cannot draw {n} points from '{self.name}': n must be 0 or more.")
        device = generator.device
        if self.curve is None:
            picked = torch.randint(len(self.centers), (n,), generator=generator, device=device)
            points = self.centers.to(device)[picked]  # (n, 2)
        else:
            u = torch.rand(n, generator=generator, device=device, dtype=torch.float64)
            points = self.curve(u)  # (n, 2)
        noise = torch.randn(n, 2, generator=generator, device=device, dtype=torch.float64)
        return (points + self.sd * noise).float()

    def log_density(self, x: Tensor) -> Tensor:
        """Natural logarithm of the density at x (N, 2), float64 (N,).

        log p(x) = logsumexp_m(-|x - c_m|^2 / (2 sd^2)) - log(2 pi sd^2) - log M. Exact for the
        Gaussian mixtures. For a curve it is the midpoint rule over M centers of the integral
        over the curve's parameter, within 0.2 % of it for points of the distribution.
        Raises GanBookError where there is no density (sd = 0).
        """
        need(self.sd, f"'{self.name}' has no density: all its probability sits in single points.")
        x = self._points(x)  # (N, 2)
        centers = self.centers.to(x.device)  # (M, 2)
        constant = math.log(2 * math.pi * self.sd**2) + math.log(len(centers))
        parts = [
            torch.logsumexp(-_squared_distances(part, centers) / (2 * self.sd**2), dim=1)
            for part in x.split(max(1, _CHUNK // len(centers)))
        ]
        return torch.cat(parts) - constant  # (N,)

    def density(self, x: Tensor) -> Tensor:
        """The density at x (N, 2), float64 (N,); see `log_density`."""
        return self.log_density(x).exp()

    def count_modes(
        self, samples: Tensor, radius_sd: float = 3.0, min_share: float = 0.1
    ) -> ModeCount:
        """Count the modes that `samples` (N, 2) capture by high-quality samples.

        A sample is of high quality when it lies within `radius_sd` standard deviations of its
        nearest center (for Dirac, which has none, within `radius_sd` hundredths). A mode is
        captured when its high-quality samples number at least one and at least `min_share` of
        the mode's fair part N / K. A perfect sampler's high-quality share is
        1 - exp(-radius_sd^2 / 2) for separated modes, 0.989 at 3.
        """
        need(
            radius_sd > 0 and 0 <= min_share <= 1,
            f"Cannot count modes with radius_sd={radius_sd} and min_share={min_share}: "
            "the radius must be positive and the share between 0 and 1.",
        )
        samples = self._points(samples)  # (N, 2)
        need(len(samples), f"Cannot count modes of '{self.name}' in an empty set of samples.")
        centers = self.centers.to(samples.device)  # (M, 2)
        radius = radius_sd * (self.sd or _POINT_SCALE)
        counts = torch.zeros(len(self.modes), dtype=torch.float64)  # (K,)
        for part in samples.split(max(1, _CHUNK // len(centers))):
            squared, nearest = _squared_distances(part, centers).min(dim=1)  # (n,), (n,)
            good = nearest[squared <= radius**2].cpu()  # high-quality samples only
            counts += torch.bincount(self.mode_of_center[good], minlength=len(self.modes))
        needed = max(1.0, min_share * len(samples) / len(self.modes))
        shares = counts / len(samples)  # (K,)
        return ModeCount(int((counts >= needed).sum()), float(shares.sum()), shares)

    def _points(self, x: Tensor) -> Tensor:
        need(
            x.ndim == 2 and x.shape[1] == 2,
            f"'{self.name}' lives in the plane: points have shape (N, 2), not {tuple(x.shape)}.",
        )
        return x.detach().double()


def _squared_distances(x: Tensor, centers: Tensor) -> Tensor:
    # Differences first: the usual |x|^2 - 2xc + |c|^2 loses digits when sd is small.
    dx = x[:, None, 0] - centers[None, :, 0]  # (N, M)
    dy = x[:, None, 1] - centers[None, :, 1]  # (N, M)
    return dx * dx + dy * dy


def _mixture(name: str, modes: Tensor, sd: float) -> PointSet:
    need(0 <= sd < math.inf, f"The toy set '{name}' needs a standard deviation >= 0, not {sd}.")
    return PointSet(name, modes, float(sd), modes, torch.arange(len(modes)))


def _along(
    name: str, curve: Callable[[Tensor], Tensor], modes: int, sd: float, resolution: int
) -> PointSet:
    need(0 < sd < math.inf, f"The toy set '{name}' needs a standard deviation > 0, not {sd}.")
    need(modes >= 1, f"The toy set '{name}' needs at least one mode, not {modes}.")
    total = modes * max(1, -(-resolution // modes))  # centers, the same number in each arc
    u = (torch.arange(total, dtype=torch.float64) + 0.5) / total
    middle = (torch.arange(modes, dtype=torch.float64) + 0.5) / modes
    belongs = torch.arange(total) * modes // total
    return PointSet(name, curve(middle), float(sd), curve(u), belongs, curve)


def ring(modes: int = 8, radius: float = 2.0, sd: float = 0.02) -> PointSet:
    """Equally likely Gaussians on a circle, the first at angle 0."""
    need(modes >= 1, f"A ring needs at least one mode, not {modes}.")
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return _mixture("ring", radius * torch.stack([angle.cos(), angle.sin()], dim=1), sd)


def grid(side: int = 5, spacing: float = 2.0, sd: float = 0.05) -> PointSet:
    """side x side equally likely Gaussians on a square lattice centered at the origin."""
    need(side >= 1, f"A grid needs at least one mode a side, not {side}.")
    line = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return _mixture("grid", torch.cartesian_prod(line, line).reshape(-1, 2), sd)


def spiral(turns: float = 2.0, radius: float = 2.0, sd: float = 0.04, modes: int = 16) -> PointSet:
    """Archimedes' spiral r = radius * t, angle = 2 pi turns t for t in (0.1, 1), with noise.

    t = sqrt(0.01 + 0.99 u) with u uniform on (0, 1): nearly uniform in arc length. Its modes are
    the midpoints of arcs of equal probability, so that coverage along the curve can be counted
    like modes.
    """

    def curve(u: Tensor) -> Tensor:
        t = (0.01 + 0.99 * u).sqrt()  # (n,)
        angle = 2 * math.pi * turns * t
        return radius * t[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)  # (n, 2)

    return _along("spiral", curve, modes, sd, 1536)


def two_moons(sd: float = 0.06, modes: int = 16) -> PointSet:
    """Two interleaved half circles of radius 1, centered at (-1/2, -1/4) and (1/2, 1/4).

    scikit-learn's `make_moons`, moved so that the whole is symmetric about the origin. u in
    (0, 1/2) runs along the upper moon, u in (1/2, 1) along the lower one, both uniform in angle.
    Half of the modes (arcs of equal probability) lie on each moon; their number must be even.
    """
    need(modes % 2 == 0, f"Two moons need an even number of modes, not {modes}.")

    def curve(u: Tensor) -> Tensor:
        upper = u < 0.5  # (n,)
        sign = torch.where(upper, 1.0, -1.0).to(u)
        angle = math.pi * torch.where(upper, 2 * u, 2 * u - 1)
        x = sign * (angle.cos() - 0.5)  # the lower moon is the upper one turned by 180 degrees
        y = sign * (angle.sin() - 0.25)
        return torch.stack([x, y], dim=1)  # (n, 2)

    return _along("two-moons", curve, modes, sd, 1024)


def dirac() -> PointSet:
    """All probability in the origin (the real data of the Dirac-GAN, Mescheder et al. 2018)."""
    return _mixture("dirac", torch.zeros(1, 2, dtype=torch.float64), 0.0)


TOYS: dict[str, Callable[..., PointSet]] = {
    "ring": ring,
    "grid": grid,
    "spiral": spiral,
    "two-moons": two_moons,
    "dirac": dirac,
}
