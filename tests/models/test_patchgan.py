"""The discriminator of patches: its size, its receptive field against gradients, its options."""

from __future__ import annotations

import pytest
import torch

from gan_book.errors import GanBookError
from gan_book.models import count_parameters
from gan_book.models.patchgan import PatchDiscriminator, receptive_field


def test_receptive_fields_of_the_paper():
    assert [receptive_field(n) for n in (0, 1, 2, 3)] == [7, 16, 34, 70]


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_receptive_field_against_gradients(halvings: int):
    """What one logit in the middle depends on is a square of exactly that side."""
    torch.manual_seed(halvings)
    side = receptive_field(halvings) + 4 * 2**halvings
    side += -side % 2**halvings
    x = torch.randn(1, 2, side, side, requires_grad=True)
    logits = PatchDiscriminator(2, width=8, halvings=halvings)(x)
    h, w = logits.shape[1:]
    logits[0, h // 2, w // 2].backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    for axis in (0, 1):
        rows = seen.any(axis).nonzero().squeeze(1)
        assert int(rows[-1] - rows[0]) + 1 == receptive_field(halvings)
        assert int(rows[0]) > 0
        assert int(rows[-1]) < side - 1


@pytest.mark.parametrize("size", [(32, 32), (32, 48), (40, 24)])
def test_one_logit_for_each_patch_of_any_size(size: tuple[int, int]):
    net = PatchDiscriminator(6, width=8, halvings=2)
    assert net(torch.zeros(3, 6, *size)).shape == (3, size[0] // 4 - 2, size[1] // 4 - 2)


def test_parameters_by_hand():
    """4 x 4 kernels: 6 -> 32, 32 -> 64, 64 -> 1; biases 32 and 64."""
    by_hand = 16 * (6 * 32 + 32 * 64 + 64) + 32 + 64
    assert count_parameters(PatchDiscriminator(6, width=32)) == by_hand
    assert f"{by_hand:,}" in (PatchDiscriminator.__doc__ or "")


def test_activations_keep_their_scale():
    torch.manual_seed(0)
    logits = PatchDiscriminator(3, width=32, halvings=2)(torch.randn(16, 3, 32, 32))
    assert 0.3 < float(logits.std()) < 3


def test_options_are_refused_with_a_sentence():
    for wrong in ({"halvings": 9}, {"halvings": True}, {"width": 0}):
        with pytest.raises(GanBookError, match="must be"):
            PatchDiscriminator(3, **wrong)
