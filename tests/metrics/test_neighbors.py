"""Precision, recall, density and coverage against prdc, loops and known cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.metrics import _features, density_coverage, neighbors, precision_recall


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("n", "m", "d", "k", "scale"),
    [(200, 200, 8, 3, 0.7), (150, 220, 16, 5, 0.7), (90, 60, 200, 1, 1.0)],
)
def test_equals_prdc(
    n: int, m: int, d: int, k: int, scale: float, capsys: pytest.CaptureFixture[str]
) -> None:
    prdc = pytest.importorskip("prdc")
    real, generated = normal(n, d, 0), normal(m, d, 1) * scale + (1 - scale)
    oracle = prdc.compute_prdc(real.numpy(), generated.numpy(), nearest_k=k)
    capsys.readouterr()  # prdc prints on every call
    first = precision_recall(real, generated, k=k)
    second = density_coverage(real, generated, k=k)
    assert first.precision == pytest.approx(oracle["precision"])
    assert first.recall == pytest.approx(oracle["recall"])
    assert second.density == pytest.approx(oracle["density"])
    assert second.coverage == pytest.approx(oracle["coverage"])
    values = (first.precision, first.recall, second.density, second.coverage)
    assert sum(0 < value != 1 for value in values) >= 2  # the agreement is not one of 0 and 1


def test_equals_loops_in_any_tiling(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated, k = normal(30, 3, 0), normal(20, 3, 1) + 0.8, 2
    to_real = [sorted(float((x - y).norm()) for y in real)[k] for x in real]
    to_fake = [sorted(float((x - y).norm()) for y in generated)[k] for x in generated]
    between = [[float((x - y).norm()) for y in generated] for x in real]
    precision = np.mean([any(between[i][j] <= to_real[i] for i in range(30)) for j in range(20)])
    recall = np.mean([any(between[i][j] <= to_fake[j] for j in range(20)) for i in range(30)])
    density = sum(between[i][j] <= to_real[i] for i in range(30) for j in range(20)) / (k * 20)
    coverage = np.mean([min(between[i]) <= to_real[i] for i in range(30)])
    for rows, columns in [(2048, 4096), (7, 4), (1, 1), (30, 9)]:
        monkeypatch.setattr(_features.tiles, "__defaults__", (rows, columns))
        first = precision_recall(real, generated, k=k)
        second = density_coverage(real, generated, k=k)
        assert (first.precision, first.recall) == pytest.approx((precision, recall))
        assert (second.density, second.coverage) == pytest.approx((density, coverage))


def test_collapse_and_noise_are_seen_apart() -> None:
    real = normal(300, 4, 0)
    collapsed = real[:1] + 0.01 * normal(300, 4, 1)  # good quality, no variety
    assert precision_recall(real, collapsed).precision > 0.95
    assert precision_recall(real, collapsed).recall < 0.1
    assert density_coverage(real, collapsed).coverage < 0.1
    noise = normal(300, 4, 2) * 6  # variety, bad quality
    assert precision_recall(real, noise).precision < 0.3
    assert precision_recall(real, noise).recall > 0.9


def test_one_outlier_opens_recall_but_not_coverage() -> None:
    real, generated = normal(200, 2, 0), 0.05 * normal(200, 2, 1) + 3.0
    spoiled = torch.cat([generated[:-4], 40 * normal(4, 2, 2)])
    gain = precision_recall(real, spoiled).recall - precision_recall(real, generated).recall
    assert gain > 0.5
    assert abs(density_coverage(real, spoiled).coverage) < 0.1


def test_perfect_generator_has_the_expected_coverage() -> None:
    results = [
        density_coverage(normal(200, 5, 2 * s), normal(150, 5, 2 * s + 1)) for s in range(30)
    ]
    expected = results[0].expected_coverage
    assert expected == pytest.approx(1 - (200 / 350) ** 5, abs=0.02)
    assert np.mean([r.coverage for r in results]) == pytest.approx(expected, abs=0.01)
    assert np.mean([r.density for r in results]) == pytest.approx(1.0, abs=0.05)


def test_exact_copies_touch() -> None:
    real = torch.cat([normal(20, 6, 0).float()] * 5) * 100  # 4 repeats: radius 0 for k = 3
    result = precision_recall(real, real[:20].clone())
    assert result.precision == 1.0
    assert density_coverage(real, real[:20].clone(), k=4).coverage == 1.0


def test_radii_are_the_kth_neighbor() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert neighbors.squared_radii(points, 1).sqrt().tolist() == pytest.approx([1, 1, 2, 4])
    assert neighbors.squared_radii(points, 3).sqrt().tolist() == pytest.approx([7, 6, 4, 7])


def test_bad_input_gets_a_sentence() -> None:
    with pytest.raises(GanBookError, match="k = 3"):
        precision_recall(normal(3, 2, 0), normal(10, 2, 1))
    with pytest.raises(GanBookError, match="at least 1"):
        density_coverage(normal(10, 2, 0), normal(10, 2, 1), k=0)
    with pytest.raises(GanBookError, match="columns"):
        precision_recall(normal(10, 2, 0), normal(10, 3, 1))


def test_lines_name_their_counts() -> None:
    for result in (
        precision_recall(normal(10, 2, 0), normal(12, 2, 1)),
        density_coverage(normal(10, 2, 0), normal(12, 2, 1)),
    ):
        assert "n_real 10, n_generated 12" in str(result)
        assert "\n" not in str(result)
