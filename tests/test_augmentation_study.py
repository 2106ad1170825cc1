"""Classifiers on real and generated pictures, DAN, intervals; what the study measures."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.functional import cross_entropy, one_hot, softplus

from gan_book.classifying import (
    Labelled,
    MixtureRisk,
    accuracy,
    paired_interval,
    small_classifier,
    train_classifier,
)
from gan_book.errors import GanBookError
from tests.benchmarks.augmentation import DANObjective, Judge, make, nearness


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(n: int, seed: int, classes: int = 3) -> Labelled:
    rng = source(seed)
    x = torch.randn(n, 1, 16, 16, generator=rng)
    return Labelled(x, torch.randint(classes, (n,), generator=rng))


def flat() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 3))


def test_a_share_of_the_batch_is_generated_and_the_loss_is_the_mixtures() -> None:
    net, real, made = flat(), some(5, 0), some(7, 1)
    risk = MixtureRisk(net, real, made, 0.25)
    numbers = risk.next_batch(8_000, source())
    assert (numbers < 5).sum() == 6_000
    assert numbers.unique().tolist() == list(range(12))
    loss, _ = risk(numbers, *risk.draw(numbers, source()))
    expected = 0.75 * cross_entropy(net(real.x), real.y) + 0.25 * cross_entropy(net(made.x), made.y)
    assert loss.item() == pytest.approx(expected.item(), rel=0.02)
    alone = MixtureRisk(net, real).next_batch(100, source())
    assert alone.max() < 5
    assert len(alone) == 100


@pytest.mark.parametrize(("pool", "share"), [(True, 1.1), (True, -0.1), (False, 0.5)])
def test_impossible_shares_get_a_sentence(pool: bool, share: float) -> None:
    with pytest.raises(GanBookError, match="share of generated pictures"):
        MixtureRisk(flat(), some(4, 0), some(4, 1) if pool else None, share)


def test_training_learns_from_the_share_that_it_is_given() -> None:
    """Generated pictures with turned labels: with share 1 the classifier learns those."""
    y = torch.arange(60) % 2
    x = torch.where(y == 1, 0.8, -0.8)[:, None, None, None].expand(-1, 1, 16, 16).clone()
    right, wrong = Labelled(x, y), Labelled(x, 1 - y)
    for share, expected in ((0.0, 1.0), (0.25, 1.0), (1.0, 0.0)):
        torch.manual_seed(0)
        risk = MixtureRisk(small_classifier(2, 1, 2), right, wrong, share)
        assert accuracy(train_classifier(risk, 0, steps=60), right) == expected


def test_plain_augmentation_is_called() -> None:
    data, losses = some(20, 0), []
    for policy in ((), ("flip",), ("flip", "translation")):
        risk = MixtureRisk(flat(), data, policy=policy, p=1.0)
        numbers = risk.next_batch(20, source())
        losses.append(float(risk(numbers, *risk.draw(numbers, source()))[0].detach()))
    assert len({round(loss, 6) for loss in losses}) == 3


def dan(supervised: float = 0.0) -> tuple[DANObjective, torch.Tensor, Labelled]:
    torch.manual_seed(0)
    labelled = some(6, 0)
    judge = Judge(3, 1, 2)
    return DANObjective(flat(), judge, labelled, supervised), some(4, 1).x, labelled


@pytest.mark.parametrize("supervised", [0.0, 0.7])
def test_dan_is_its_closed_form_and_each_term_moves_its_own_player(supervised: float) -> None:
    objective, x, _ = dan(supervised)
    known, y = objective.draw(x, source())
    loss, logs = objective(x, known, y)
    moved = torch.autograd.grad(loss, list(objective.parameters()), retain_graph=True)

    predictor, judge = objective.predictor, objective.judge
    everything = torch.cat([known, x])
    guess = predictor(everything).softmax(1)
    j_loss = softplus(-judge(known, one_hot(y, 3).float())).mean()
    j_loss = j_loss + softplus(judge(everything, guess.detach())).mean()
    p_loss = softplus(-judge(everything, guess)).mean()
    p_loss = p_loss + supervised * cross_entropy(predictor(known), y)
    assert logs["judge_loss"].item() == pytest.approx(j_loss.item())
    assert logs["predictor_loss"].item() == pytest.approx(p_loss.item())
    ps, js = list(predictor.parameters()), list(judge.parameters())
    alone = torch.autograd.grad(p_loss, ps, retain_graph=True) + torch.autograd.grad(j_loss, js)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(moved, alone, strict=True))


def test_the_judge_is_linear_in_the_label() -> None:
    torch.manual_seed(0)
    judge, x = Judge(3, 1, 2), some(5, 0).x
    share = torch.rand(5, 3, generator=source()).softmax(1)
    each = torch.stack([judge(x, torch.eye(3)[k].expand(5, 3)) for k in range(3)], 1)  # (5, 3)
    assert torch.allclose(judge(x, share), (each * share).sum(1), atol=1e-6)


def test_the_interval_is_that_of_scipys_paired_t_test() -> None:
    a, b = [0.5, 0.61, 0.58, 0.7, 0.66], [0.52, 0.55, 0.5, 0.69, 0.6]
    middle, half = paired_interval(a, b, 0.9)
    expected = stats.ttest_rel(a, b).confidence_interval(0.9)
    assert (middle - half, middle + half) == pytest.approx(tuple(expected))
    for ours, theirs in (([1.0], [1.0]), ([1.0, 2.0], [1.0])):
        with pytest.raises(GanBookError, match="same length"):
            paired_interval(ours, theirs)


def test_generated_pictures_have_the_labels_asked_for_and_are_averaged_down() -> None:
    class Painter(nn.Module):
        z_dim = 2

        def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            tile = torch.tensor([[0.0, 0.2], [0.4, 0.6]]).repeat(16, 16)  # (32, 32), mean 0.3
            return labels[:, None, None, None] + tile.expand(len(z), 1, 32, 32)

    made = make(Painter(), 3, 250, 0)
    assert made.x.shape == (250, 1, 16, 16)
    assert made.y[:4].tolist() == [0, 1, 2, 0]
    assert torch.allclose(made.x, (made.y + 0.3)[:, None, None, None].expand_as(made.x), atol=1e-5)


def test_copies_are_at_distance_zero_and_fresh_pictures_at_one() -> None:
    real, fresh = some(50, 0).x, some(40, 1).x
    assert nearness(real[:20], real, fresh) == pytest.approx(0.0, abs=1e-3)
    assert nearness(fresh, real, fresh) == 1.0
