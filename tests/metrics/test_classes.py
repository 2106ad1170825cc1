"""Mean distance inside classes: closed forms and refusals."""

from __future__ import annotations

import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.metrics import spread


def test_against_distances_by_hand():
    x = torch.tensor([[0.0, 0.0], [9.0, 9.0], [3.0, 4.0], [9.0, 9.0], [0.0, 8.0]])
    labels = torch.tensor([0, 1, 0, 1, 0])
    inside = spread(x, labels, 2)  # triangle 5, 8, 5; twice the same point
    torch.testing.assert_close(inside, torch.tensor([6.0, 0.0], dtype=torch.float64))


def test_normal_samples_have_the_known_mean_distance():
    x = torch.randn(1_000, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(1_000, dtype=torch.long)
    assert abs(float(spread(3 * x, labels, 1)) / (3 * torch.pi**0.5) - 1) < 0.03


@pytest.mark.parametrize(
    ("labels", "classes"), [([0, 0, 1], 2), ([0, 0, 2], 2), ([0, 0], 1), ([0, 0, 0], 2)]
)
def test_what_has_no_distance_is_refused(labels, classes):
    with pytest.raises(GanBookError):
        spread(torch.zeros(3, 4), torch.tensor(labels), classes)
