"""KID's interval, FID's bias, precision and coverage, where the truth is known in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gan_book.metrics import (
    density_coverage,
    frechet_at_infinity,
    frechet_distance,
    frechet_from_moments,
    kernel_distance,
    kernel_distance_from_moments,
    precision_recall,
)

# Draws of one setting come in blocks of 100, one seed each: the bar counts in 100.
DRAWS = 100
BAR = 89
KID_SEEDS = {16: 3, 64: 2, 192: 1}  # by dimension, as time allows
# Spectrum of the covariance: flat, or standard deviations like those of real features.
SPECTRA = ("flat", "decaying")
# Second distribution: the first one, or moved and widened in each direction.
PAIRS: dict[str, tuple[float, float]] = {"equal": (0.0, 1.0), "unequal": (0.2, 1.1)}
SIZES = ((100, 100), (200, 200), (500, 500), (1000, 1000), (100, 1000), (1000, 200))


def scales(d: int, spectrum: str) -> Tensor:
    """Standard deviations (d,) with mean square 1; decaying: variances like 1, 1/2, 1/3, ..."""
    variances = torch.ones(d, dtype=torch.float64)
    if spectrum == "decaying":
        variances = variances / torch.arange(1, d + 1)
    return (variances / variances.mean()).sqrt()


def normal(n: int, d: int, rng: torch.Generator) -> Tensor:
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def summary(values: list[float]) -> dict[str, float]:
    drawn = torch.tensor(values, dtype=torch.float64)
    return {"mean": float(drawn.mean()), "deviation": float(drawn.std())}


def kid_setting(
    d: int, spectrum: str, pair: str, n: int, m: int, seeds: range, draws: int = DRAWS
) -> dict[str, Any]:
    """Coverage of the true distance by estimate +- 2 standard errors, in `draws` draws a seed."""
    scale = scales(d, spectrum)
    shift, widening = PAIRS[pair]
    truth = kernel_distance_from_moments(
        torch.zeros(d), scale.square().diag(), shift * scale, (widening * scale).square().diag()
    )
    covered, values, errors, too_high, too_low = [], [], [], 0, 0
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        inside = 0
        for _ in range(draws):
            a = normal(n, d, rng) * scale
            b = (normal(m, d, rng) * widening + shift) * scale
            result = kernel_distance(a, b)
            off = result.value - truth
            inside += abs(off) <= 2 * result.standard_error
            too_high += off > 2 * result.standard_error
            too_low += off < -2 * result.standard_error
            values.append(result.value)
            errors.append(result.standard_error)
        covered.append(int(inside))
    return {
        "truth": truth,
        "covered_of_100": covered,
        "holds": min(covered) >= BAR * draws / 100,
        "coverage": sum(covered) / (draws * len(seeds)),
        "mean_width": 4 * summary(errors)["mean"],
        "value_mean": summary(values)["mean"],
        "value_deviation": summary(values)["deviation"],
        "error_over_deviation": summary(errors)["mean"] / summary(values)["deviation"],
        "interval_too_high": too_high,
        "interval_too_low": too_low,
    }


def kid_interval(d: int) -> dict[str, Any]:
    """Every spectrum, pair of distributions and pair of counts in one dimension."""
    seeds = range(KID_SEEDS[d])
    settings = {
        f"{spectrum}-{pair}-n{n}-m{m}": kid_setting(d, spectrum, pair, n, m, seeds)
        for spectrum in SPECTRA
        for pair in PAIRS
        for n, m in SIZES
    }
    flat = [s for name, s in settings.items() if name.startswith("flat")]
    return {
        "what": "estimate +- 2 standard errors covers the closed-form squared MMD",
        "dimensions": d,
        "bar": f"{BAR} of {DRAWS}",
        "seeds": list(seeds),
        "draws_a_seed": DRAWS,
        "least_of_100": min(min(s["covered_of_100"]) for s in flat),
        "least_of_100_decaying": min(
            min(s["covered_of_100"]) for n, s in settings.items() if n.startswith("decaying")
        ),
        "fails": [name for name, s in settings.items() if not s["holds"]],
        "settings": settings,
    }


FID_SIZES = (100, 200, 500, 1000, 2000, 5000)
FID_PAIRS = {"equal": (0.0, 1.0), "unequal": (0.1, 1.1)}
# Stated tolerance of the extrapolation, as a share of the bias that it removes.
TOLERANCE = 0.1
SEEDS, FEWER_SEEDS = 50, 10  # fewer where one draw costs seconds: more than MUCH numbers
MUCH = 320_000


def first_order_bias(d: int, n: int, m: int, widening: float) -> float:
    """Bias of the Frechet distance of N(a, I) and N(b, w^2 I), up to terms in 1/n^2.

    Means: their errors add d / n + w^2 d / m. Covariances I + E and w^2 (I + F): the square root
    expanded to second order adds w (E |E|^2 + E |F|^2) / 4, and E |E|^2 = d (d + 1) / n.
    """
    spread = 1 / n + 1 / m
    return d / n + widening**2 * d / m + widening * d * (d + 1) / 4 * spread


def fid_setting(d: int, pair: str, n: int, plain_seeds: int, seeds: int) -> dict[str, Any]:
    """Plain estimates at n rows, and the extrapolation where n is large enough for two points."""
    shift, widening = FID_PAIRS[pair]
    moments = torch.zeros(d), torch.eye(d), torch.full((d,), shift), widening**2 * torch.eye(d)
    truth = frechet_from_moments(*moments)
    extrapolates = int(0.8 * n / (2 * d + 1)) >= 2  # groups = 5 leave out a fifth of the rows
    plain, extrapolated = [], []
    for seed in range(seeds if extrapolates else plain_seeds):
        rng = torch.Generator().manual_seed(seed)
        a, b = normal(n, d, rng), normal(n, d, rng) * widening + shift
        plain.append(frechet_distance(a, b, allow=True).value)
        if extrapolates:
            extrapolated.append(frechet_at_infinity(a, b, generator=rng, groups=5))
    record: dict[str, Any] = {
        "truth": truth,
        "n": n,
        "draws": len(plain),
        "plain_mean": summary(plain)["mean"],
        "plain_deviation": summary(plain)["deviation"],
        "bias": summary(plain)["mean"] - truth,
        "first_order_bias": first_order_bias(d, n, n, widening),
    }
    if extrapolated:
        off = [abs(r.value - truth) for r in extrapolated]
        record["extrapolated"] = {
            **summary([r.value for r in extrapolated]),
            "rows": list(extrapolated[0].sizes),
            "standard_error": summary([r.standard_error for r in extrapolated])["mean"],
            "within_2_errors_and_curvature": sum(
                o <= 2 * r.standard_error + abs(r.curvature)
                for o, r in zip(off, extrapolated, strict=True)
            ),
            "within_tenth_of_bias": sum(o <= TOLERANCE * record["bias"] for o in off),
            "largest_error_over_bias": max(off) / record["bias"],
            "of": len(off),
        }
    return record


def fid_bias(d: int, plain_seeds: int = 20) -> dict[str, Any]:
    """Bias over n for one distribution twice and for two at a known distance."""
    settings = {
        f"{pair}-n{n}": fid_setting(
            d, pair, n, plain_seeds, SEEDS if n * d <= MUCH else FEWER_SEEDS
        )
        for pair in FID_PAIRS
        for n in FID_SIZES
    }
    done = [s["extrapolated"] for s in settings.values() if "extrapolated" in s]
    return {
        "what": "Frechet distance over n: bias, and what the extrapolation to infinity leaves",
        "dimensions": d,
        "seeds": list(range(SEEDS)),
        "tolerance": "2 jackknife errors (5 groups) + |curvature|; and a tenth of the plain bias",
        "least_share_within_2_errors": min(
            e["within_2_errors_and_curvature"] / e["of"] for e in done
        ),
        "least_share_within_tenth_of_bias": min(e["within_tenth_of_bias"] / e["of"] for e in done),
        "settings": settings,
    }


def disc(n: int, rng: torch.Generator) -> Tensor:
    """Uniform points (n, 2) in the unit disc."""
    angle, radius = 2 * math.pi * torch.rand(2, n, generator=rng, dtype=torch.float64)
    radius = (radius / (2 * math.pi)).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def lens(shift: float) -> float:
    """Share of a unit disc that lies in another one whose center is `shift` away."""
    if shift >= 2:
        return 0.0
    return (2 * math.acos(shift / 2) - shift / 2 * math.sqrt(4 - shift**2)) / math.pi


def neighbor_values(sets: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Means and deviations of all four numbers over pairs (real, generated)."""
    found: dict[str, list[float]] = {}
    for real, generated in sets:
        pr, dc = precision_recall(real, generated), density_coverage(real, generated)
        for key, value in (
            ("precision", pr.precision), ("recall", pr.recall),
            ("density", dc.density), ("coverage", dc.coverage),
        ):  # fmt: skip
            found.setdefault(key, []).append(value)
    record = {key: summary(values)["mean"] for key, values in found.items()}
    return record | {f"{key}_deviation": summary(v)["deviation"] for key, v in found.items()}


def gaussian_coverage(shift: float, n: int, m: int, k: int, points: int = 1_000_000) -> float:
    """Coverage for N(0, I_2) against N((shift, 0), I_2): Monte-Carlo mean of 1 - (np/(np+mq))^k.

    Near a real row the next rows are real with probability n p / (n p + m q), independently, when
    both densities hardly change over a ball; the ball holds no generated row if all k are real.
    """
    x = normal(points, 2, torch.Generator().manual_seed(0))[:, 0]
    ratio = (shift * x - shift**2 / 2).exp()  # q / p
    return float((1 - (n / (n + m * ratio)) ** k).mean())


def modes(n: int, which: list[int], rng: torch.Generator) -> Tensor:
    """Rows (n, 2) of well separated, equally likely modes."""
    chosen = torch.tensor(which)[torch.randint(len(which), (n,), generator=rng)]
    return normal(n, 2, rng) * 0.05 + torch.stack([chosen, chosen % 3], dim=1) * 5.0


def neighbors_truth(seeds: range = range(20)) -> dict[str, Any]:
    """Discs, Gaussians, lost modes, garbage, and equal distributions in many dimensions."""
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    move = torch.tensor([1.0, 0.0], dtype=torch.float64)
    settings: dict[str, Any] = {}
    for n in (1000, 4000):
        perfect = 1 - math.prod((n - 1 - i) / (2 * n - 1 - i) for i in range(5))
        for shift in (0.0, 0.5, 1.0, 1.5):
            share = lens(shift)
            settings[f"discs-shift{shift}-n{n}"] = {
                "truth": {"precision": share, "recall": share, "density": share,
                          "coverage": share * perfect},
                **neighbor_values([(disc(n, g), disc(n, g) + shift * move) for g in rngs]),
            }  # fmt: skip
    for shift in (0.5, 1.0, 2.0):
        settings[f"gaussians-shift{shift}-n1000"] = {
            "truth": {"coverage": gaussian_coverage(shift, 1000, 1000, 5)},
            **neighbor_values(
                [(normal(1000, 2, g), normal(1000, 2, g) + shift * move) for g in rngs]
            ),
        }
    seven, ten = list(range(7)), list(range(10))
    settings["modes-7-of-10-n1000"] = {
        "truth": {"precision": 1.0, "recall": 0.7, "density": 1.0,
                  "coverage": 0.7 * (1 - (7 / 17) ** 5)},
        **neighbor_values([(modes(1000, ten, g), modes(1000, seven, g)) for g in rngs]),
    }  # fmt: skip
    settings["garbage-3-of-10-n1000"] = {
        "truth": {"precision": 0.7, "density": 0.7},
        **neighbor_values(
            [
                (
                    modes(1000, ten, g),
                    torch.cat([modes(700, ten, g), 500 + 10 * normal(300, 2, g)]),
                )
                for g in rngs
            ]
        ),
    }
    for d in (2, 16, 64, 192):
        for spectrum in SPECTRA:
            scale = scales(d, spectrum)
            settings[f"equal-{spectrum}-d{d}-n1000"] = {
                "truth": {"precision": 1.0, "recall": 1.0, "density": 1.0,
                          "coverage": 1 - math.prod((999 - i) / (1999 - i) for i in range(5))},
                **neighbor_values(
                    [(normal(1000, d, g) * scale, normal(1000, d, g) * scale) for g in rngs[:5]]
                ),
            }  # fmt: skip
    return {
        "what": "precision and recall (k = 3), density and coverage (k = 5) beside known truth",
        "seeds": list(seeds),
        "settings": settings,
    }


def neighbors_outlier(seeds: range = range(10), d: int = 64, n: int = 1000) -> dict[str, Any]:
    """One far row: what it does to each number while the generator leaves the real support.

    Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models",
    section 4.1: N(0, I) real, N(mu 1, I) generated, an outlier at 3 in each coordinate.
    """
    settings: dict[str, Any] = {}
    for mu in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        for outlier in ("none", "real", "generated"):
            sets = []
            for seed in seeds:
                rng = torch.Generator().manual_seed(seed)
                real, generated = normal(n, d, rng), normal(n, d, rng) + mu
                if outlier == "real":
                    real[0] = 3.0
                if outlier == "generated":
                    generated[0] = -2.0  # beyond the real rows, as seen from the generated ones
                sets.append((real, generated))
            settings[f"mu{mu}-{outlier}"] = {
                "true_overlap": math.erfc(mu * math.sqrt(d) / 2 / math.sqrt(2)),
                **neighbor_values(sets),
            }
    return {
        "what": "one of 1,000 rows lies far off; the generator moves away by mu sqrt(d)",
        "dimensions": d,
        "n": n,
        "seeds": list(seeds),
        "settings": settings,
    }
