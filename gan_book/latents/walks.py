"""Between codes and towards the mean: spherical interpolation, closed walks, truncation."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import need, whole

PARALLEL = 1e-6  # angles below this, in radians, are walked in a straight line


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """The great circle from ``a`` to ``b``, (..., d) each, at ``t`` (broadcast over (...)).

    Shoemake (1985): sin((1 - t) omega) / sin(omega) a + sin(t omega) / sin(omega) b for unit
    vectors with the angle omega. Norms go linearly from |a| to |b|, so equal ones stay constant.
    Raises ``GanBookError`` for a zero vector, and for opposite ones: no great circle is shortest.
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)[..., None]  # (..., 1)
    m, n = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)  # (..., 1) each
    need(bool((m > 0).all() and (n > 0).all()), "A spherical walk needs codes other than zero.")
    a, b = a / m, b / n  # (..., d)
    # twice an arctangent: exact at small angles, where the arccosine loses half the digits
    omega = 2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))[..., None]  # (..., 1)
    far = omega < torch.pi - 1e-4
    need(bool(far.all()), "Opposite codes have no shortest great circle; go by way of a third.")
    close = omega < PARALLEL
    sine = torch.where(close, 1.0, omega.sin())  # (..., 1)
    first = torch.where(close, 1 - t, ((1 - t) * omega).sin() / sine)  # (..., 1)
    second = torch.where(close, t, (t * omega).sin() / sine)  # (..., 1)
    return (first * a + second * b) * (m + t * (n - m))  # (..., d)


def walk(keys: Tensor, frames: int, *, spherical: bool = True, closed: bool = True) -> Tensor:
    """Codes along a way through ``keys`` (K, ..., d), in equal steps: (frames, ..., d).

    A closed walk returns to the first key and stops one step before it, so that a film loops; an
    open one ends at the last. Spherical in z; straight lines suit w, which has no sphere.
    Raises ``GanBookError`` for fewer than 2 keys, or frames than keys.
    """
    need(keys.ndim >= 2 and len(keys) >= 2, "A walk needs at least 2 codes to go through.")
    frames = whole("The number of frames", frames, len(keys), 100_000)
    sections, steps = (len(keys), frames) if closed else (len(keys) - 1, frames - 1)
    place = torch.arange(frames, dtype=torch.float64) * sections / steps  # (frames,)
    section = place.floor().long().clamp_max(sections - 1)  # (frames,)
    t = (place - section).to(keys).reshape(-1, *[1] * (keys.ndim - 2))  # (frames, 1, ...)
    a, b = keys[section], keys[(section + 1) % len(keys)]  # (frames, ..., d) each
    return slerp(a, b, t) if spherical else a + t[..., None] * (b - a)


def truncate(codes: Tensor, psi: float, mean: Tensor | float = 0.0) -> Tensor:
    """Codes (..., d) pulled towards the mean: mean + psi (codes - mean), 1 changes nothing.

    In w the mean is the generator's ``w_mean`` (Karras et al., 2019). A style-based generator
    without classes divides z by its length, so that psi > 0 changes nothing in z there.
    Raises ``GanBookError`` for a negative ``psi``.
    """
    need(psi >= 0, f"psi must not be negative, but it is {psi}.")
    return mean + psi * (codes - mean)
