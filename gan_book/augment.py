"""Differentiable augmentation of what the discriminator sees, and a controller for its strength.

The operations are those of DiffAugment (Zhao et al. 2020, arXiv 2006.10738) plus the mirror image,
each applied with probability p as in Karras et al. 2020 (arXiv 2006.06676). They are made of
comparisons, a gather and arithmetic, so that gradient penalties can differentiate them twice.
Random numbers are drawn outside (:func:`draw`) and passed in (:func:`apply`), which keeps the
objective free of randomness: it can be compiled, split over processes and repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan_book.errors import known, need

__all__ = ["POLICIES", "AugmentDraws", "OverfittingController", "apply", "check_policy", "draw"]

POLICIES = ("flip", "color", "translation", "cutout")
TRANSLATION = 1 / 8  # largest shift as a share of the side
CUTOUT = 1 / 2  # side of the hole as a share of the side


class AugmentDraws(NamedTuple):
    """What happens to each of N pictures; a field is None where the policy leaves it out."""

    brightness: Tensor | None = None  # (N,) added to all values; 0 changes nothing
    saturation: Tensor | None = None  # (N,) factor on the distance from the pixel's gray; 1: none
    contrast: Tensor | None = None  # (N,) factor on the distance from the picture's mean; 1: none
    recolored: Tensor | None = None  # (N,) bool: any of the three above
    flipped: Tensor | None = None  # (N,) bool: left and right exchanged
    shift: Tensor | None = None  # (N, 2) int64: pixels down, pixels right
    hole: Tensor | None = None  # (N, 4) int64: top, bottom, left, right; bottom, right exclusive


def check_policy(policy: Sequence[str]) -> None:
    """Raise a GanBookError if ``policy`` names an operation that does not exist."""
    for name in policy:
        known("augmentation", name, POLICIES)


def draw(
    n: int,
    size: tuple[int, int],
    policy: Sequence[str],
    p: float | Tensor,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> AugmentDraws:
    """Draw the augmentation of ``n`` pictures.

    Every picture has a coin of its own for every operation (mirror, brightness, saturation,
    contrast, translation, cutout), which applies it with probability ``p``. Strengths:
    brightness U(-0.5, 0.5), saturation U(0, 2), contrast U(0.5, 1.5), shifts up to 1/8 of the
    side, a hole of half the side. A mirrored picture is one of two, so a share of ``p / 2`` is.

    Args:
        n: number of pictures, N.
        size: height and width in pixels.
        policy: names out of ``POLICIES``; their order does not matter.
        p: probability in [0, 1], a float or a 0-d tensor (which is not read back to the host).
        generator: source of all random numbers; they are drawn on its device.
        device: where the result lives.

    Raises:
        GanBookError: if ``policy`` names an operation that does not exist.
    """
    check_policy(policy)
    height, width = size

    def uniform(low: float, high: float) -> Tensor:
        values = torch.rand(n, generator=generator, device=generator.device)  # (N,)
        return (low + (high - low) * values).to(device)

    def integers(low: int, high: int) -> Tensor:
        values = torch.randint(low, high, (n,), generator=generator, device=generator.device)
        return values.to(device)  # (N,)

    def coin() -> Tensor:
        return uniform(0.0, 1.0) < p  # (N,) bool: never at p = 0, always at p = 1

    fields: dict[str, Tensor] = {}
    if "color" in policy:
        brighter, saturated, contrasted = coin(), coin(), coin()  # (N,) each
        fields["brightness"] = torch.where(brighter, uniform(-0.5, 0.5), 0.0)  # (N,)
        fields["saturation"] = torch.where(saturated, uniform(0.0, 2.0), 1.0)  # (N,)
        fields["contrast"] = torch.where(contrasted, uniform(0.5, 1.5), 1.0)  # (N,)
        fields["recolored"] = brighter | saturated | contrasted  # (N,)
    if "flip" in policy:
        fields["flipped"] = coin() & (uniform(0.0, 1.0) < 0.5)  # (N,)
    if "translation" in policy:
        down, right = (int(side * TRANSLATION + 0.5) for side in size)
        shift = torch.stack([integers(-down, down + 1), integers(-right, right + 1)], 1)  # (N, 2)
        fields["shift"] = torch.where(coin()[:, None], shift, 0)  # (N, 2)
    if "cutout" in policy:
        tall, wide = (int(side * CUTOUT + 0.5) for side in size)
        # The hole's middle lies anywhere in the picture, so a hole may reach over the border.
        top = integers(0, height + 1 - tall % 2) - tall // 2  # (N,)
        left = integers(0, width + 1 - wide % 2) - wide // 2  # (N,)
        hole = torch.stack([top, top + tall, left, left + wide], 1)  # (N, 4)
        fields["hole"] = torch.where(coin()[:, None], hole, 0)  # (N, 4); all zeros: no hole
    return AugmentDraws(**fields)


def apply(images: Tensor, draws: AugmentDraws) -> Tensor:
    """Augment ``images`` (N, C, H, W) in [-1, 1] as drawn; the result has the same shape.

    Values may leave [-1, 1]; uncovered pixels and holes become 0, the middle gray. Each picture
    depends on its own draws only. What no coin has chosen comes back bit for bit. The order is
    color, mirror, translation, cutout. Several pictures of a sample, (N, K, C, H, W), fare alike.
    """
    if images.dim() == 5:
        return torch.stack([apply(level, draws) for level in images.unbind(1)], 1)
    images = _recolor(images, draws)  # (N, C, H, W)
    images = _move(images, draws)  # (N, C, H, W)
    return _cut(images, draws)  # (N, C, H, W)


def _recolor(x: Tensor, draws: AugmentDraws) -> Tensor:
    if draws.brightness is None or draws.saturation is None:
        return x
    if draws.contrast is None or draws.recolored is None:
        return x
    b, s, c = (
        strength.to(x.dtype)[:, None, None, None]  # (N, 1, 1, 1)
        for strength in (draws.brightness, draws.saturation, draws.contrast)
    )
    if x.shape[1] == 1:
        s = torch.ones_like(s)  # a gray picture is its own gray
    # Brightness, saturation and contrast in turn, multiplied out: saturation keeps the mean, so
    # x + b, then gray + s (x - gray), then mean + c (x - mean) need two reductions and one sum.
    gray = x.mean(1, keepdim=True)  # (N, 1, H, W)
    mean = gray.mean((2, 3), keepdim=True)  # (N, 1, 1, 1)
    recolored = c * s * x + (c * (1 - s) * gray + ((1 - c) * mean + b))  # (N, C, H, W)
    # The detour by `where` keeps untouched pictures exact: neutral factors would round.
    return torch.where(draws.recolored[:, None, None, None], recolored, x)


def _move(x: Tensor, draws: AugmentDraws) -> Tensor:
    if draws.flipped is None and draws.shift is None:
        return x
    n, channels, height, width = x.shape
    row = torch.arange(height, device=x.device)[None, :, None]  # (1, H, 1)
    column = torch.arange(width, device=x.device)[None, None, :]  # (1, 1, W)
    inside = None
    if draws.shift is not None:
        row = row - draws.shift[:, 0, None, None]  # (N, H, 1): where each row comes from
        column = column - draws.shift[:, 1, None, None]  # (N, 1, W)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)  # (N, H, W)
        row, column = row.clamp(0, height - 1), column.clamp(0, width - 1)
    if draws.flipped is not None:
        column = torch.where(draws.flipped[:, None, None], width - 1 - column, column)
    source = (row * width + column).expand(n, height, width)  # (N, H, W)
    source = source.reshape(n, 1, -1).expand(n, channels, -1)  # (N, C, H * W)
    moved = x.flatten(2).gather(2, source).reshape(x.shape)  # (N, C, H, W)
    return moved if inside is None else torch.where(inside[:, None], moved, 0.0)


def _cut(x: Tensor, draws: AugmentDraws) -> Tensor:
    if draws.hole is None:
        return x
    row = torch.arange(x.shape[2], device=x.device)[None, :, None]  # (1, H, 1)
    column = torch.arange(x.shape[3], device=x.device)[None, None, :]  # (1, 1, W)
    top, bottom, left, right = draws.hole[:, :, None, None].unbind(1)  # (N, 1, 1) each
    hole = (row >= top) & (row < bottom) & (column >= left) & (column < right)  # (N, H, W)
    return torch.where(hole[:, None], 0.0, x)  # (N, C, H, W)


class OverfittingController:
    """Adapts the augmentation probability p to how far the discriminator overfits.

    Overfitting is measured as in Karras et al. 2020 (arXiv 2006.06676), eq. 1, first heuristic:

        r = (E D(train) - E D(held out)) / (E D(train) - E D(fake))

    0 where the discriminator treats held-out pictures like training pictures, 1 where it takes them
    for fakes; reported as 0 where it does not tell fakes apart. A constant added to all logits
    cancels, so the ratio serves relativistic losses too, whose logits have no meaningful sign. Each
    update moves p by one step, up if r is above the target and down if it is below. Where the
    discriminator does not rate training pictures above fakes, p goes down: then there is nothing to
    blame on overfitting.

    Args:
        target: the r to hold, in (0, 1).
        step: how far p moves per update. Karras et al. let p cross [0, 1] in 500,000 images:
            batch size x batches between updates / 500,000.
        p_max: upper limit of p; at p near 1 the generator may learn the augmentations themselves.
        p: where to begin.
        device: where p lives.

    Raises:
        GanBookError: for a number outside its range.
    """

    def __init__(
        self,
        target: float = 0.5,
        step: float = 0.005,
        p_max: float = 0.8,
        p: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        need(0 < target < 1, f"The controller's target must lie between 0 and 1, not {target}.")
        need(step > 0, f"The controller's step must be positive, not {step}.")
        need(
            0 <= p <= p_max <= 1,
            f"The augmentation probability must satisfy 0 <= p <= p_max <= 1; p is {p} and p_max "
            f"is {p_max}.",
        )
        self.target, self.step, self.p_max = target, step, p_max
        self.p = torch.tensor(p, device=device, dtype=torch.float32)  # 0-d, changed in place
        self.r = torch.zeros_like(self.p)  # 0-d, the latest measurement

    @torch.no_grad()
    def update(self, train_logits: Tensor, held_out_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Measure r on three sets of logits of any length, move p, and return p (0-d).

        The logits belong to equally augmented (or equally clean) pictures; with several processes
        they are the gathered ones, so that all processes move alike. Nothing is read back to the
        host. Logits that are not finite leave p where it is.
        """
        train = train_logits.float().mean()  # 0-d
        memorized = train - held_out_logits.float().mean()  # 0-d
        separated = train - fake_logits.float().mean()  # 0-d
        # r > target without the division, which would turn around where `separated` is negative.
        direction = torch.sign(memorized - self.target * separated)  # 0-d
        direction = torch.where(separated > 0, direction, -1.0)
        finite = torch.isfinite(memorized) & torch.isfinite(separated)
        direction = torch.where(finite, direction, 0.0)
        self.r.copy_(torch.where(separated > 0, memorized / separated, 0.0))
        self.p.add_(direction * self.step).clamp_(0.0, self.p_max)
        return self.p

    def state(self) -> dict[str, Tensor]:
        """p and the latest r, as 0-d float32 tensors for a checkpoint."""
        return {"p": self.p.clone(), "r": self.r.clone()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`state`'s result.

        Raises:
            GanBookError: if p or r is missing or is not a 0-d tensor.
        """
        for name, own in (("p", self.p), ("r", self.r)):
            need(
                name in state and state[name].shape == own.shape,
                f"The augmentation controller's state needs a 0-d tensor {name!r}; "
                f"the checkpoint holds {sorted(state)}.",
            )
            own.copy_(state[name])
