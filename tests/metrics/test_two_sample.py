"""Two-sample tests against brute force, scikit-learn, SciPy, and their own intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import linear_model

from gan_book.errors import GanBookError
from gan_book.metrics import _features, classifier_test, one_nearest_neighbor, right_answers


def normal(n: int, d: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) + shift


def brute_force(real: torch.Tensor, generated: torch.Tensor) -> tuple[float, float]:
    """Shares (real, generated) by explicit loops, no ties."""
    rows = torch.cat([real, generated]).double()
    n = len(real)
    right = []
    for i in range(2 * n):
        distances = [
            float((rows[i] - rows[j]).square().sum()) if i != j else np.inf for j in range(2 * n)
        ]
        right.append((int(np.argmin(distances)) < n) == (i < n))
    return float(np.mean(right[:n])), float(np.mean(right[n:]))


def test_equals_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(3):
        real, generated = normal(25, 3, seed), normal(25, 3, 100 + seed, shift=0.5)
        expected = brute_force(real, generated)
        result = one_nearest_neighbor(real, generated)
        assert (result.accuracy_real, result.accuracy_generated) == pytest.approx(expected)
        assert result.accuracy == pytest.approx(np.mean(expected))
        for rows, columns in [(7, 11), (60, 4), (25, 25)]:  # tiles that cut everywhere
            with monkeypatch.context() as patch:
                patch.setattr(_features.tiles, "__defaults__", (rows, columns))
                assert one_nearest_neighbor(real, generated) == result


def test_same_distribution_is_chance_and_the_interval_covers_it() -> None:
    covered, accuracies = 0, []
    for seed in range(100):
        result = one_nearest_neighbor(normal(100, 2, 2 * seed), normal(100, 2, 2 * seed + 1))
        covered += result.low <= result.chance <= result.high
        accuracies.append(result.accuracy)
    assert covered >= 89
    assert abs(np.mean(accuracies) - 99 / 199) < 0.015
    # The dependence of mutual neighbors is real: the plain binomial deviation is too small.
    assert np.std(accuracies) > 1.1 * 0.5 / 200**0.5


def test_far_sets_are_told_apart() -> None:
    result = one_nearest_neighbor(normal(50, 4, 0), normal(50, 4, 1, shift=10.0))
    assert result.accuracy == result.accuracy_real == result.accuracy_generated == 1.0
    assert result.low > 0.9
    assert result.high == pytest.approx(1.0)


def test_copies_show_on_the_generated_side() -> None:
    real = normal(100, 16, 0)
    near_copies = real + 1e-3 * normal(100, 16, 1)
    result = one_nearest_neighbor(real, near_copies)
    assert result.accuracy_generated == result.accuracy_real == 0.0
    half = torch.cat([real[:50] + 1e-3 * normal(50, 16, 1), normal(50, 16, 2)])
    assert one_nearest_neighbor(real, half).accuracy_generated < 0.45


def test_exact_copies_and_repeats_share_the_vote() -> None:
    real = normal(60, 8, 0).float()
    copies = one_nearest_neighbor(real, real.clone())
    assert copies.accuracy == 0.0
    collapsed = one_nearest_neighbor(real, real[:1].expand(60, -1))
    assert collapsed.accuracy_generated == pytest.approx(59 / 60)  # 59 repeats and 1 real picture


def test_pictures_and_arrays_are_flattened() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    others = torch.randint(0, 200, (40, 3, 8, 8), generator=generator, dtype=torch.uint8)
    result = one_nearest_neighbor(pictures, others)
    flat = one_nearest_neighbor(
        pictures.flatten(1).numpy().astype(np.float64), others.flatten(1).double()
    )
    assert result == flat
    assert "accuracy" in str(result)
    assert "\n" not in str(result)


def test_does_not_touch_the_global_random_state() -> None:
    before = torch.get_rng_state()
    one_nearest_neighbor(normal(10, 2, 0), normal(10, 2, 1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("real", "generated", "words"),
    [
        (torch.zeros(5, 2), torch.zeros(4, 2), "equally many"),
        (torch.zeros(5, 2), torch.zeros(5, 3), "columns"),
        (torch.zeros(1, 2), torch.zeros(1, 2), "at least 2"),
        (torch.zeros(5), torch.zeros(5), "one row per picture"),
        (torch.zeros(5, 2), torch.full((5, 2), torch.nan), "not finite"),
        (torch.zeros(5, 0), torch.zeros(5, 0), "no columns"),
    ],
)
def test_bad_input_gets_a_sentence(real: torch.Tensor, generated: torch.Tensor, words: str) -> None:
    with pytest.raises(GanBookError, match=words):
        one_nearest_neighbor(real, generated)


@pytest.mark.parametrize(("right", "n", "level"), [(15, 20, 0.95), (0, 20, 0.95), (7, 7, 0.9)])
def test_exact_interval_equals_scipy_and_its_definition(right: int, n: int, level: float) -> None:
    found = right_answers(right, n, level)
    oracle = stats.binomtest(right, n, 0.5, alternative="greater")
    expected = stats.binomtest(right, n).proportion_ci(level, method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    if right:  # at the lower end, so many right answers have just the probability of one tail
        assert stats.binom.sf(right - 1, n, found.low) == pytest.approx((1 - level) / 2)


def test_exact_interval_covers_at_least_its_level() -> None:
    n = 20
    ends = [right_answers(k, n) for k in range(n + 1)]
    for p in np.linspace(0.02, 0.98, 49):
        inside = [e.low <= p <= e.high for e in ends]
        assert stats.binom.pmf(np.arange(n + 1), n, p)[inside].sum() >= 0.95


def test_classifier_test_is_at_its_optimum() -> None:
    """The same halves, the same penalty: scikit-learn's logistic regression answers alike."""
    real, generated = normal(400, 6, 0), normal(400, 6, 1, shift=0.3)
    rng = torch.Generator().manual_seed(3)
    halves = [torch.randperm(400, generator=rng) for _ in range(2)]
    rows = [x[order].numpy() for x, order in zip((real, generated), halves, strict=True)]
    train, test = (
        np.concatenate([x[part] for x in rows]) for part in (slice(200), slice(200, None))
    )
    mean, scale = train.mean(0), train.std(0, ddof=1)
    side = np.repeat([1, 0], 200)
    judge = linear_model.LogisticRegression(C=1 / (400 * 1e-2), tol=1e-10, max_iter=1000)
    right = (judge.fit((train - mean) / scale, side).predict((test - mean) / scale) == side).sum()
    found = classifier_test(real, generated, generator=torch.Generator().manual_seed(3))
    assert (found.right, found.n) == (right, 400)


def test_classifier_test_keeps_its_level_and_has_power() -> None:
    alarms, found = 0, 0
    for seed in range(60):
        rng = torch.Generator().manual_seed(seed)
        real = normal(100, 5, 10 * seed)
        alarms += classifier_test(real, normal(100, 5, 10 * seed + 1), generator=rng).p_value < 0.05
        other = normal(100, 5, 10 * seed + 2, shift=0.5)
        found += classifier_test(real, other, generator=rng).p_value < 0.05
    assert alarms <= 7  # 3 expected
    assert found >= 55


def test_right_answers_and_the_classifier_test_say_what_is_wrong() -> None:
    rng = torch.Generator()
    for bad in ((3, 2), (-1, 5), (0, 0), (2.5, 5)):
        with pytest.raises(GanBookError, match="answers"):
            right_answers(*bad)  # type: ignore[arg-type]
    with pytest.raises(GanBookError, match="level"):
        right_answers(1, 2, level=1.0)
    with pytest.raises(GanBookError, match="30 real and 25 generated"):
        classifier_test(normal(30, 2, 0), normal(25, 2, 1), generator=rng)
    with pytest.raises(GanBookError, match="at least 20"):
        classifier_test(normal(10, 2, 0), normal(10, 2, 1), generator=rng)
    with pytest.raises(GanBookError, match="penalty"):
        classifier_test(normal(30, 2, 0), normal(30, 2, 1), generator=rng, penalty=0.0)
