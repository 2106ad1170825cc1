"""Resampling against scipy, closed forms and PyTorch's bilinear interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gan_book.models.layers import Resample

UP, DOWN = Resample(up=True).double(), Resample(up=False).double()


def along(axis: int, x: np.ndarray, up: bool) -> np.ndarray:
    """One axis by scipy's upfirdn, the borders continued; convolution margins cut off."""
    from scipy.signal import upfirdn

    edge = [(0, 0)] * 4
    edge[axis] = (1, 1)
    x = np.moveaxis(np.pad(x, edge, mode="edge"), axis, -1)
    taps = np.array([1.0, 3.0, 3.0, 1.0])
    y = upfirdn(taps / 4, x, up=2) if up else upfirdn(taps / 8, x)
    y = y[..., 3:-3] if up else y[..., 3:-3:2]
    return np.moveaxis(y, -1, axis)


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 6, 10), (2, 1, 2, 8)])
@pytest.mark.parametrize("up", [True, False])
def test_resampling_equals_scipy(shape: tuple[int, ...], up: bool) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = along(3, along(2, x.numpy(), up), up)
    actual = (UP if up else DOWN)(x)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, torch.from_numpy(expected.copy()))


def test_doubling_is_bilinear_interpolation() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(UP(x), F.interpolate(x, scale_factor=2.0, mode="bilinear"))


def test_constants_survive_up_to_the_border() -> None:
    x = torch.tensor([0.3, -2.0], dtype=torch.float64)[None, :, None, None].expand(2, 2, 6, 4)
    torch.testing.assert_close(UP(x), x[..., :1, :1].expand(2, 2, 12, 8))
    torch.testing.assert_close(DOWN(x), x[..., :1, :1].expand(2, 2, 3, 2))


def test_up_then_down_keeps_ramps_and_damps_noise_as_computed() -> None:
    ramp = torch.arange(16.0, dtype=torch.float64)[:, None] + 3 * torch.arange(16.0)
    back = DOWN(UP(ramp[None, None]))[0, 0]
    torch.testing.assert_close(back[1:-1, 1:-1], ramp[1:-1, 1:-1])
    # energy of white noise per axis: up (9 + 1) / 16, down (1 + 9 + 9 + 1) / 64;
    # up then down is the filter [3, 10, 3] / 16: (9 + 100 + 9) / 256
    noise = torch.randn(64, 4, 32, 32, dtype=torch.float64)
    for out, per_axis in (
        (UP(noise), 10 / 16),
        (DOWN(noise), 20 / 64),
        (DOWN(UP(noise)), 118 / 256),
    ):
        assert abs(out[..., 2:-2, 2:-2].square().mean() / per_axis**2 - 1) < 0.03


def test_the_highest_frequency_vanishes() -> None:
    checkerboard = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8)).double()
    assert DOWN(checkerboard[None, None])[..., 1:-1, 1:-1].abs().max() < 1e-15


@pytest.mark.parametrize("resample", [UP, DOWN], ids=["up", "down"])
def test_gradients(resample: Resample) -> None:
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(resample, x)
    assert torch.autograd.gradgradcheck(lambda x: resample(x).pow(3), x)


def test_the_kernel_is_a_buffer_not_a_parameter() -> None:
    assert [name for name, _ in UP.named_buffers()] == ["kernel"]
    assert "kernel" in UP.state_dict()
    assert not list(UP.parameters())
