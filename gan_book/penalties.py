"""Gradient penalties: what keeps a discriminator's slope with respect to its input in check.

A *critic* is any function from a batch of inputs (N, ...) to logits (N,); its parameters are found
through autograd. Logits come back beside every gradient, so that a training step evaluates the
discriminator once for the loss and the penalty together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_book.errors import GanBookError, known

Critic = Callable[[Tensor], Tensor]
Engine = Literal["autograd", "func"]
ENGINES: tuple[Engine, ...] = ("autograd", "func")
PATH_DECAY = 0.01  # of the running mean of path lengths


def logits_and_gradient(
    critic: Critic, x: Tensor, engine: Engine = "autograd"
) -> tuple[Tensor, Tensor]:
    """Evaluate ``critic`` at ``x`` once and return its logits (N,) and their gradient (like x).

    Row i of the gradient is the derivative of logit i with respect to input i, as long as the
    critic keeps samples apart (train-mode batch normalization does not). Both results can be
    differentiated with respect to the critic's parameters; none of it reaches back beyond ``x``.

    Args:
        critic: maps inputs (N, ...) to logits (N,).
        x: inputs (N, ...), floating point.
        engine: ``"autograd"`` (``torch.autograd.grad`` with ``create_graph``) works with any
            critic, but not inside ``torch.compile``. ``"func"`` (``torch.func.grad``) works eager
            and compiled, but not with train-mode batch normalization, which writes its buffers.

    Raises:
        GanBookError: for an unknown engine, for batch normalization with ``"func"``, and for
            ``"autograd"`` inside ``torch.compile``, where some versions of PyTorch drop the
            penalty's parameter gradient silently.
    """
    if engine == "func":
        check_engine(critic, engine)

        def total(inputs: Tensor) -> tuple[Tensor, Tensor]:
            logits = critic(inputs)  # (N,)
            return logits.sum(), logits

        gradient, logits = torch.func.grad(total, has_aux=True)(x.detach())  # like x, (N,)
        return logits, gradient
    known("gradient engine", engine, ENGINES)
    if torch.compiler.is_compiling():
        raise GanBookError("The gradient engine 'autograd' cannot be compiled; use 'func'.")
    x = x.detach().requires_grad_(True)
    logits = critic(x)  # (N,)
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)  # like x
    return logits, gradient


def check_engine(critic: Critic | nn.Module, engine: Engine) -> None:
    """Refuse the engine ``"func"`` for a module that contains batch normalization.

    Raises:
        GanBookError: if ``engine`` is ``"func"`` and ``critic`` is an ``nn.Module`` with a batch
            normalization that tracks running statistics.
    """
    if engine != "func" or not isinstance(critic, nn.Module):
        return
    for name, module in critic.named_modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            raise GanBookError(
                f"The layer {name!r} of the discriminator is a batch normalization, which the "
                f"gradient engine 'func' cannot differentiate; use the engine 'autograd', "
                f"uncompiled, or a discriminator without batch normalization."
            )


def squared_norm(gradient: Tensor) -> Tensor:
    """Squared Euclidean norm of each sample's gradient: (N, ...) -> (N,), in float32 or float64.

    The sum runs over channels and pixels, so it grows with the picture's size, as published
    weights expect.
    """
    return full_precision(gradient).flatten(1).square().sum(1)  # (N,)


def r1(squared_norms: Tensor, weight: Tensor | float) -> Tensor:
    """``weight / 2 * E |grad D(x)|^2`` at real pictures; ``squared_norms`` (N,) -> 0-d.

    Mescheder et al. 2018 (arXiv 1801.04406), eq. 9, whose gamma is ``weight``.
    """
    return 0.5 * weight * squared_norms.mean()


def r2(squared_norms: Tensor, weight: Tensor | float) -> Tensor:
    """``weight / 2 * E |grad D(G(z))|^2`` at generated pictures; ``squared_norms`` (N,) -> 0-d.

    Mescheder et al. 2018, eq. 10; as a pair with R1 it goes back to Roth et al. 2017
    (arXiv 1705.09367).
    """
    return 0.5 * weight * squared_norms.mean()


def interpolate(real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """A point on the line between each real and fake sample: ``mix * real + (1 - mix) * fake``.

    Args:
        real, fake: (N, ...), paired by index.
        mix: (N,), one number per sample, uniform on [0, 1): drawn per pixel, the points would
            leave the line (Gulrajani et al. 2017, algorithm 1).
    """
    mix = mix.to(real.dtype).reshape(-1, *(1,) * (real.dim() - 1))  # (N, 1, ...)
    return mix * real + (1 - mix) * fake  # (N, ...)


def squared_norm_gap(gradient: Tensor) -> Tensor:
    """``(|gradient| - 1)^2`` of each sample: (N, ...) -> (N,), in float32 or float64.

    Its own derivative is zero, not NaN, where the gradient vanishes.
    """
    norms = torch.linalg.vector_norm(full_precision(gradient).flatten(1), dim=1)  # (N,)
    return (norms - 1).square()  # (N,)


def wgan_gp(squared_norm_gaps: Tensor, weight: Tensor | float) -> Tensor:
    """``weight * E (|grad D(x)| - 1)^2`` at interpolated points; (N,) -> 0-d.

    Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3, whose lambda is ``weight`` (10 there).
    """
    return weight * squared_norm_gaps.mean()


def finite_difference_squared_norm(
    critic: Critic, x: Tensor, noise: Tensor, epsilon: float = 0.01
) -> tuple[Tensor, Tensor]:
    """Estimate ``|grad D(x)|^2`` from two evaluations: ``((D(x + e v) - D(x)) / e)^2``.

    With v from N(0, I) the expectation is the squared norm plus O(epsilon^2); a single probe has a
    relative standard deviation of sqrt(2), so only the expectation equals the exact penalty. It
    needs no second derivative. Lin et al. 2025 (arXiv 2501.08316) train with such an estimate where
    exact second derivatives are out of reach. Evaluate the critic in float32: in bfloat16 the
    difference of two logits is mostly rounding.

    Args:
        critic: maps inputs (N, ...) to logits (N,).
        x: inputs (N, ...).
        noise: v, shaped like ``x``, standard normal.
        epsilon: length of the step, in the inputs' units (pictures: [-1, 1]).

    Returns:
        Logits (N,) at ``x`` and estimates (N,) of the squared gradient norm.
    """
    x = x.detach()
    logits = critic(x)  # (N,)
    moved = critic(x + epsilon * noise.to(x.dtype))  # (N,)
    slope = (full_precision(moved) - full_precision(logits)) / epsilon  # (N,)
    return logits, slope.square()


def path_lengths(
    synthesis: Callable[[Tensor], Tensor], w: Tensor, y: Tensor, engine: Engine = "autograd"
) -> Tensor:
    """Length ``|J^T y| / sqrt(L H W)`` of each sample (N,); J is the picture's derivative by w
    in its L layers.

    The root of the mean, over layers, of the squared length (Karras et al. 2020, arXiv 1912.04958,
    section 3.2). J^T y is the gradient of <synthesis(w), y>, so J is never built. As everywhere
    here nothing reaches back beyond ``w``: the mapping network is left out.

    Args:
        synthesis: maps styles (N, layers, w_dim) to pictures (N, C, H, W).
        w: styles (N, layers, w_dim).
        y: standard normal, shaped like the pictures.
        engine: as in :func:`logits_and_gradient`.
    """

    def projected(w: Tensor) -> Tensor:
        return (full_precision(synthesis(w)) * y).flatten(1).sum(1)  # (N,)

    _, gradient = logits_and_gradient(projected, w, engine)  # (N, layers, w_dim)
    norms = torch.linalg.vector_norm(full_precision(gradient).flatten(1), dim=1)  # (N,)
    return norms / (w.shape[1] * y[0, 0].numel()) ** 0.5


def path_length(lengths: Tensor, target: Tensor | float, weight: Tensor | float) -> Tensor:
    """``weight * E (length - target)^2``; ``lengths`` (N,) -> 0-d (arXiv 1912.04958, eq. 4).

    The target is the running mean of the lengths, the weight 2 in their code.
    """
    return weight * (lengths - target).square().mean()


def path_regularization(
    generator: Any,
    z: Tensor,
    labels: Tensor | None,
    y: Tensor | None,
    weight: float,
    engine: Engine,
) -> tuple[Tensor, Tensor]:
    """:func:`path_length` of a generator with a mapping network, and the mean length: 0-d, 0-d.

    Taken from a quarter of the batch, because it costs second derivatives; moves the generator's
    running mean ``path_mean``. z (N, z_dim), labels (N,) or None, y (N, C, H, W) standard normal.
    Raises ``GanBookError`` without y.
    """
    if y is None:
        raise GanBookError("Path lengths need directions; draw them with the same settings.")
    n = -(-len(z) // 4)
    w = generator.mapping(z[:n], labels if labels is None else labels[:n])  # (n, layers, w_dim)
    noise = z[:n, generator.style_dim :]  # (n, noise_dim)
    lengths = path_lengths(lambda w: generator.synthesis(w, noise), w, y[:n], engine)  # (n,)
    mean = lengths.mean().detach()
    generator.path_mean.lerp_(mean, PATH_DECAY)
    return path_length(lengths, generator.path_mean.clone(), weight), mean


def full_precision(x: Tensor) -> Tensor:
    """``x`` in float32, or unchanged if it is float64: sums and differences need the digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
