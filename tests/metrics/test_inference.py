"""How well a score tells members from strangers: area, its error, and rates at few false alarms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.memorization import membership


def normal(n, shift=0.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return shift + torch.randn(n, generator=rng, dtype=torch.float64)


def test_area_by_hand():
    found = membership(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0, 0.0]))
    assert found.auc == pytest.approx((1 + 1 + 1 + 0 + 0.5 + 1) / 6)
    shares = torch.tensor([1.0, 0.5], dtype=torch.float64)
    lost = torch.tensor([0.5, 0.75, 1.0], dtype=torch.float64)
    assert found.error == pytest.approx(math.sqrt(shares.var() / 2 + lost.var() / 3))


def test_area_against_scikit_learn():
    roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
    x, y = (normal(60, 0.7, 1) * 2).round(), (normal(90, 0, 2) * 2).round()  # many ties
    truth = [1] * 60 + [0] * 90
    assert membership(x, y).auc == pytest.approx(roc_auc_score(truth, torch.cat([x, y])), abs=1e-12)


def test_two_normals_have_the_area_of_the_closed_form():
    shift = 1.3
    truth = 0.5 * (1 + math.erf(shift / 2))  # Phi(shift / sqrt 2)
    found = membership(normal(20_000, shift, 3), normal(20_000, 0, 4))
    assert abs(found.auc - truth) < 4 * found.error
    rate = 1 - 0.5 * (1 + math.erf((2.326348 - shift) / math.sqrt(2)))
    assert found.rate(0.01) == pytest.approx(rate, abs=0.02)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_covers_and_the_error_is_that_of_repetitions(shift):
    truth = 0.5 * (1 + math.erf(shift / 2))
    runs = [membership(normal(40, shift, 10 + i), normal(120, 0, 10_000 + i)) for i in range(400)]
    covered = sum(r.low <= truth <= r.high for r in runs) / len(runs)
    assert 0.91 < covered < 0.985
    spread = torch.tensor([r.auc for r in runs]).std()
    assert torch.tensor([r.error for r in runs]).mean() == pytest.approx(float(spread), rel=0.12)


def test_strangers_are_accused_no_more_often_than_allowed():
    """The cut is conformal: exactly floor((m + 1) a) of m + 1 exchangeable scores reach it."""
    scores = torch.arange(20, dtype=torch.float64)
    hits = 0
    for i in range(20):
        others = scores[scores != i]
        hits += membership(scores[[i, i]], others).rate(0.1) > 0
    assert hits == 2
    assert membership(scores[:5], scores[5:10]).rate(0.1) == 0  # five strangers set no such cut


def test_complete_separation_and_bad_scores():
    found = membership(torch.tensor([5.0, 6.0]), torch.tensor([1.0, 2.0]))
    assert (found.auc, found.low, found.high, found.error) == (1.0, 1.0, 1.0, 0.0)
    bad = (torch.ones(1), torch.ones(3)), (torch.tensor([1.0, math.nan]), torch.ones(3))
    for sides in itertools.chain(bad, (tuple(reversed(pair)) for pair in bad)):
        with pytest.raises(GanBookError):
            membership(*sides)
