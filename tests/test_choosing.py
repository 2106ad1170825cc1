"""Choosing the best 1 in n: the score against its definition, the choice against sorting."""

from __future__ import annotations

import pytest
import torch

from gan_book.metrics import precision_recall
from tests.benchmarks.choosing import best, realism, spread


def test_realism_is_the_papers_formula():
    """On a line: real rows 0, 1, 3, 7 have the radii (k = 1) 1, 1, 2, 4; the median keeps 0, 1."""
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    made = torch.tensor([[0.5], [3.0], [-4.0]])
    wanted = [max(1 / 0.5, 1 / 0.5), max(1 / 3, 1 / 2), max(1 / 4, 1 / 5)]
    assert realism(made, real, k=1).tolist() == pytest.approx(wanted)


def test_realism_above_one_means_inside_the_pruned_support():
    rng = torch.Generator().manual_seed(0)
    real, made = torch.randn(300, 4, generator=rng), 1.5 * torch.randn(200, 4, generator=rng)
    score = realism(made, real)
    inside = precision_recall(real, made).precision  # all balls, so at least as many
    assert 0.1 < float((score >= 1).double().mean()) <= inside
    assert float(score[made.norm(dim=1) < 1].mean()) > 2 * float(score[made.norm(dim=1) > 4].mean())


def test_best_keeps_the_top_share_of_each_group():
    score = torch.tensor([5.0, 1.0, 4.0, 3.0, 9.0, 8.0, 7.0, 6.0])
    one = torch.zeros(8, dtype=torch.int64)
    assert sorted(best(score, one, 1).tolist()) == list(range(8))
    assert sorted(best(score, one, 4).tolist()) == [4, 5]
    two = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert sorted(best(score, two, 4).tolist()) == [0, 4]
    assert sorted(best(score, two, 64).tolist()) == [0, 4]  # at least one of each


def test_spread_is_the_mean_distance_of_pairs():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    assert spread(x) == pytest.approx((5 + 1 + 18**0.5) / 3)
