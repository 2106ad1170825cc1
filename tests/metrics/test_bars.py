"""The bars of measuring, small and live, and as the stored experiments have them.

The experiments themselves: ``python tests/benchmarks/measuring.py``.
"""

from __future__ import annotations

import math
import time

import pytest
import torch

from gan_book.features import extractor
from gan_book.metrics import density_coverage, frechet_distance, precision_recall
from gan_book.results import load_results
from tests.benchmarks.measuring import CELLS
from tests.benchmarks.measuring_cost import BAR_SECONDS, METRICS
from tests.benchmarks.measuring_gaussians import (
    BAR,
    disc,
    fid_setting,
    first_order_bias,
    gaussian_coverage,
    kid_setting,
    lens,
    normal,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- live, small ---


@pytest.mark.parametrize(
    ("spectrum", "pair", "n", "m", "d"),
    [
        ("flat", "equal", 100, 100, 192),
        ("flat", "equal", 500, 200, 64),
        ("flat", "unequal", 500, 500, 16),
        ("decaying", "equal", 200, 200, 64),
    ],
)
def test_kid_interval_covers(spectrum: str, pair: str, n: int, m: int, d: int) -> None:
    found = kid_setting(d, spectrum, pair, n, m, range(7, 8))
    assert found["covered_of_100"][0] >= BAR
    # Neither by luck nor by width: the error is that of the draws, and there is no bias.
    assert found["error_over_deviation"] == pytest.approx(1.0, abs=0.45)
    assert abs(found["value_mean"] - found["truth"]) < 4 * found["value_deviation"] / 10


def test_frechet_bias_is_the_first_order_formula_and_is_removed() -> None:
    for pair in ("equal", "unequal"):
        found = fid_setting(32, pair, 400, 10, 10)
        assert found["bias"] == pytest.approx(found["first_order_bias"], rel=0.1)
        extrapolated = found["extrapolated"]
        assert extrapolated["within_2_errors_and_curvature"] >= 8
        assert abs(extrapolated["mean"] - found["truth"]) < 0.1 * found["bias"]
    # By hand, for two samples of N(0, 1): (1/n + 1/m) (1 + 1/2).
    assert first_order_bias(1, 100, 50, 1.0) == pytest.approx(0.03 * 1.5)
    rng = seeded(0)
    wide = [
        frechet_distance(normal(150, 6, rng), 2 * normal(600, 6, rng)).value for _ in range(300)
    ]
    assert sum(wide) / 300 - 6 == pytest.approx(first_order_bias(6, 150, 600, 2.0), rel=0.2)


def test_discs_overlap_like_a_lens() -> None:
    assert lens(0.0) == pytest.approx(1.0)
    assert lens(2.0) == lens(5.0) == 0.0
    points = disc(200_000, seeded(0))
    inside = (points - torch.tensor([0.7, 0.0])).norm(dim=1) <= 1
    assert float(inside.double().mean()) == pytest.approx(lens(0.7), abs=0.005)
    real = disc(1500, seeded(1))
    moved = disc(1500, seeded(2)) + torch.tensor([0.7, 0.0])
    pr, dc = precision_recall(real, moved), density_coverage(real, moved)
    assert pr.precision == pytest.approx(lens(0.7), abs=0.05)
    assert pr.recall == pytest.approx(lens(0.7), abs=0.05)
    assert dc.density == pytest.approx(lens(0.7), abs=0.07)
    assert dc.coverage == pytest.approx(lens(0.7) * dc.expected_coverage, abs=0.06)


def test_coverage_of_gaussians_is_the_integral() -> None:
    truth = gaussian_coverage(1.0, 800, 400, 5, points=100_000)
    move = torch.tensor([1.0, 0.0])
    found = [
        density_coverage(normal(800, 2, seeded(s)), normal(400, 2, seeded(s + 50)) + move).coverage
        for s in range(8)
    ]
    assert sum(found) / 8 == pytest.approx(truth, abs=0.025)


def test_one_far_real_row_opens_precision_but_not_coverage() -> None:
    real, generated = normal(600, 64, seeded(0)), normal(600, 64, seeded(1)) + 0.8
    before = precision_recall(real, generated).precision
    real[0] = 3.0
    assert before < 0.1
    assert precision_recall(real, generated).precision > 0.95
    found = density_coverage(real, generated)
    assert found.density < 0.3
    assert found.coverage < 0.1


def test_all_metrics_take_seconds() -> None:
    """The bar is 5 s on one core; a machine that does much else may take four times as long."""
    a, b = (torch.randn(1000, 192, generator=seeded(s)) for s in (0, 1))
    start = time.process_time()  # not the time of others
    for metric in METRICS.values():
        metric(a, b)
    assert time.process_time() - start < 2 * BAR_SECONDS


# --- as stored ---


def stored(name: str) -> dict:
    return load_results("measuring")[name]


def test_every_cell_is_stored_and_current() -> None:
    assert set(load_results("measuring")) == set(CELLS)


@pytest.mark.parametrize("d", [16, 64, 192])
def test_stored_kid_intervals(d: int) -> None:
    record = stored(f"kid-interval-d{d}")
    assert record["least_of_100"] >= BAR
    assert record["settings"]["flat-equal-n1000-m1000"]["truth"] == pytest.approx(0, abs=1e-12)
    for name, setting in record["settings"].items():
        assert setting["mean_width"] > 0
        # Where few directions carry most of the variance the cubic kernel's estimate is skewed, and
        # small where its error is: 82 to 97 of 100, the misses on one side. The bar fails there.
        assert setting["holds"] or name.startswith("decaying-unequal"), name
    assert record["least_of_100_decaying"] >= 80


@pytest.mark.parametrize("d", [64, 192])
def test_stored_bias_and_tolerance(d: int) -> None:
    record = stored(f"fid-bias-d{d}")
    assert record["least_share_within_2_errors"] >= 0.9
    for name, setting in record["settings"].items():
        if setting["n"] > 2 * d:
            assert setting["bias"] == pytest.approx(setting["first_order_bias"], rel=0.1), name
    falling = [record["settings"][f"equal-n{n}"]["bias"] for n in (100, 200, 500, 1000, 2000, 5000)]
    assert falling == sorted(falling, reverse=True)


def test_stored_outlier_and_truths() -> None:
    settings = stored("neighbors-outlier")["settings"]
    assert settings["mu1.0-none"]["precision"] < 0.01 < 0.99 < settings["mu1.0-real"]["precision"]
    assert settings["mu1.0-real"]["coverage"] < 0.01
    for name, setting in stored("neighbors-truth")["settings"].items():
        if name.startswith(("discs", "gaussians", "modes")):
            assert setting["coverage"] == pytest.approx(setting["truth"]["coverage"], abs=0.035)
        for key in ("density",) if "density" in setting["truth"] else ():
            assert setting[key] == pytest.approx(setting["truth"][key], abs=0.05), name


def test_stored_cost() -> None:
    assert stored("cost-1000x192")["holds"]
    for name in CELLS:
        if name.startswith("cost-50000"):
            record = stored(name)
            assert record["extrapolated"] == (record["rows_really_run"] < 50_000)
            assert record["memory_run"]["n"] == 50_000
            assert record["memory_run"]["added_memory_bytes"] < 2**30


def test_stored_reference_split_is_of_the_shipped_extractor() -> None:
    record = stored("reference-split")
    assert record["extractor"] == extractor("gan-book-1", device="cpu").facts()
    for split in record["sets"].values():
        # Copies look better than real pictures against the training set, not against held-out ones.
        assert split["copies_against_train"]["most"] < split["fresh_against_train"]["least"]
        held_out = split["copies_against_heldout"]
        assert abs(held_out["mean"]) < 4 * held_out["standard_error"]
        deviations = [floor["deviation"] for floor in split["floor"].values()]
        assert deviations == sorted(deviations, reverse=True)


def test_stored_memorization() -> None:
    for size in (16, 32, 64):
        record = stored(f"memorization-{size}px")
        assert record["holds_on_rich"]
        assert record["least_recall_on_rich"] >= 0.95
        assert len(record["rich_styles"]) >= 8
        for style in record["styles"].values():
            assert style["false_alarms"] == pytest.approx(0.05, abs=0.04)
    paintings = stored("memorization-paintings")
    assert paintings["holds"]
    assert all(math.isfinite(s["threshold"]) for s in paintings["sizes"].values())
