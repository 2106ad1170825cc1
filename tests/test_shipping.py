"""The shipping measurements: rounding to levels, ratios round by round."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.benchmarks.shipping import VARIANTS, levels, painted, rounded, summary


def test_levels_keep_the_largest_and_err_by_half_a_step():
    w = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    w[2] /= 100
    for axis in (0, None):
        q = levels(w, axis)
        step = (w.abs().amax((1, 2, 3), keepdim=True) if axis == 0 else w.abs().max()) / 127
        assert ((q - w).abs() <= step / 2 + 1e-7).all()
        assert q.abs().max() == pytest.approx(float(w.abs().max()))
    assert len(levels(w[2:3], None).unique()) > 20
    assert len(levels(w, None)[2].unique()) < 6  # a small channel loses its levels
    assert len(levels(w, 0)[2].unique()) > 20


def test_rounding_takes_the_axis_of_output_channels_and_leaves_the_rest():
    net = nn.Sequential(nn.ConvTranspose2d(2, 5, 2), nn.Conv2d(5, 3, 1), nn.BatchNorm2d(3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    seen = []
    changed = rounded(net, lambda w, axis: seen.append(w.shape[axis]) or w * 0)
    assert seen == [5, 3]
    after = changed.state_dict()
    assert all(after[f"{i}.weight"].abs().max() == 0 for i in (0, 1))
    assert all(torch.equal(before[name], after[name]) for name in before if "bias" in name)
    assert torch.equal(before["2.weight"], after["2.weight"])
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_paints_nearly_the_same(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.Tanh()).requires_grad_(False)
    z = torch.randn(20, 6)
    off = (painted(VARIANTS[name](net), z) - painted(net, z)).abs().max()
    assert 0 < off < 0.05


def test_ratios_are_taken_round_by_round():
    found = summary({"slow": [10.0, 20.0, 40.0], "fast": [1.0, 2.0, 8.0]})
    assert found["fast"] == {"ms": 2.0, "best": 1.0, "faster": 10.0, "least": 5.0, "most": 10.0}
    assert found["rounds"] == 3
