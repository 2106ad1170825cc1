"""From picture to picture: pairs derived from pictures, pix2pix and CycleGAN as losses for ``fit``.

Both objectives take a batch of two pictures for each sample, one behind the other in the channels:
in pix2pix the source and its target, in CycleGAN one picture of each set, which have nothing to do
with each other. As in ``encoders`` one loss serves all players, each term routed to its own.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import losses, penalties
from .encoders import Logs, _logs
from .errors import known, need
from .objectives import frozen

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's mode L
SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
FACTOR = 4  # of the task upscale


def gray_of(pictures: Tensor) -> Tensor:
    """The luma of pictures (N, C, H, W), C 1 or 3, as (N, 1, H, W) in the same range."""
    if pictures.shape[1] == 1:
        return pictures
    return (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def edges_of(pictures: Tensor) -> Tensor:
    """Dark lines (-1) on white (1) where colors change: (N, C, H, W) in [-1, 1] to (N, 1, H, W).

    The largest of the channels' Sobel slopes, the picture continued by the border
    pixels; an edge between values that differ by half of the range is already fully dark.
    """
    n, c, h, w = pictures.shape
    across = pictures.new_tensor(SOBEL) / 4  # a step by 2, black to white, has slope 2
    kernels = torch.stack([across, across.T]).unsqueeze(1)  # (2, 1, 3, 3)
    flat = F.pad(pictures.reshape(n * c, 1, h, w), (1, 1, 1, 1), mode="replicate")
    slope = F.conv2d(flat, kernels).square().sum(1).sqrt()  # (N * C, H, W)
    return 1 - 2 * slope.view(n, c, h, w).amax(1, keepdim=True).clamp(0, 1)


def enlarged(pictures: Tensor, factor: int = FACTOR) -> Tensor:
    """Pictures (N, C, H, W) in [-1, 1], ``factor`` times as large, bicubic."""
    return F.interpolate(pictures, scale_factor=float(factor), mode="bicubic").clamp(-1, 1)


def coarse_of(pictures: Tensor, factor: int = FACTOR) -> Tensor:
    """What is left of pictures (N, C, H, W) in 1 / ``factor`` of their size, at the old size.

    Raises ``GanBookError`` unless both sides can be divided by ``factor``.
    """
    h, w = pictures.shape[-2:]
    fits = h % factor == 0 and w % factor == 0
    need(fits, f"Both sides must be multiples of {factor} to shrink a picture, not {h} x {w}.")
    return enlarged(F.avg_pool2d(pictures, factor), factor)


TASKS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "edges": (edges_of, 1),
    "gray": (gray_of, 1),
    "upscale": (coarse_of, 3),
}
"""For each task the function that takes information away, and how many channels it leaves."""


def source_of(pictures: Tensor, task: str) -> Tensor:
    """The source whose target ``pictures`` are: (N, 3, H, W) to (N, 1 or 3, H, W), in [-1, 1].

    "edges" leaves dark lines on white, "gray" the luma, "upscale" a quarter of the resolution.
    Raises ``GanBookError`` for other tasks and for sizes that a task cannot use.
    """
    known("task", task, TASKS)
    return TASKS[task][0](pictures)


def patch_loss(
    judge: penalties.Critic, real: Tensor, fake: Tensor, game: losses.Loss, gamma: float
) -> Tensor:
    """D's half (0-d) for a ``judge`` of patches, (N, C, H, W) -> (N, h, w), with R1 and R2.

    The penalty is gamma / 2 times the squared slope of the sum of a picture's logits, divided by
    their number: for patches that do not overlap the mean of R1 (R2) over patches. With gamma 0
    it is not computed. No gradient reaches beyond ``real`` and ``fake``.
    """
    if not gamma:
        return game.discriminator(judge(real.detach()), judge(fake.detach()))  # 0-d
    r, at_real = penalties.logits_and_gradient(judge, real)  # (N, h, w), like x
    f, at_fake = penalties.logits_and_gradient(judge, fake)  # (N, h, w), like x
    slopes = [penalties.squared_norm(at) / r[0].numel() for at in (at_real, at_fake)]  # (N,) each
    penalty = penalties.r1(slopes[0], gamma) + penalties.r2(slopes[1], gamma)  # 0-d
    return game.discriminator(r, f) + penalty


class _Translation(nn.Module):
    """What both objectives share: a game, and a batch without latents."""

    def __init__(self, game: str, gamma: float) -> None:
        super().__init__()
        self.game, self.gamma = losses.loss(game), gamma
        need(not self.game.needs_real, f"Patches cannot be paired as the loss '{game}' wants.")
        need(gamma >= 0, f"The weight of the penalty must not be negative: {gamma}.")

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Nothing: a translation has no latents."""
        return ()


class Pix2PixObjective(_Translation):
    """pix2pix (Isola et al., 2017, arXiv 1611.07004, eq. 4): the game on pairs + weight * L1.

    D judges patches of the source and its target together, so it sees whether they fit. Without
    D (None) only L1 is left, the control. The paper's noise, dropout in G, is left out: the
    translation is deterministic. ``x`` is (N, sources + targets, H, W), the source first.
    Raises ``GanBookError`` if the weight is not positive, and for games that pair logits.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module | None, weight: float = 100.0,
        game: str = "non-saturating", gamma: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(game, gamma)
        need(weight > 0, f"The weight of L1 must be positive, but it is {weight}.")
        self.generator, self.discriminator, self.weight = generator, discriminator, weight
        self.sources = int(generator.channels)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "l1_loss" (weighted), with D also "g_loss", "d_loss"."""
        source, target = x[:, : self.sources], x[:, self.sources :]  # (N, C, H, W) each
        made = self.generator(source)  # (N, C, H, W)
        l1 = self.weight * (made - target).abs().mean()  # 0-d
        if self.discriminator is None:
            return _logs(l1_loss=l1)
        pair = torch.cat([source, made], 1)  # (N, sources + targets, H, W)
        f = frozen(self.discriminator)(pair)  # (N, h, w)
        d_loss = patch_loss(self.discriminator, x, pair, self.game, self.gamma)  # 0-d
        return _logs(l1_loss=l1, g_loss=self.game.generator(f, f), d_loss=d_loss)


class CycleGANObjective(_Translation):
    """CycleGAN (Zhu et al., 2017, arXiv 1703.10593, eq. 3, and section 5.2 for the identity).

    ``there`` maps set A to set B, ``back`` B to A; ``judge_b`` and ``judge_a`` are D for each.
    Both generators descend their games + ``cycle`` * (|back(there(a)) - a| + |there(back(b)) - b|)
    + ``identity`` * (|there(b) - b| + |back(a) - a|), mean absolute values. The game is least
    squares with factors 1/2; the paper has them in D only, so its cycle weight 10 is our 5.
    ``x`` is (N, channels of A + of B, H, W): a picture of each set, drawn independently.
    Raises ``GanBookError`` for negative weights, and for an identity between unlike channels.
    """

    def __init__(
        self, there: nn.Module, back: nn.Module, judge_b: nn.Module, judge_a: nn.Module,
        cycle: float = 5.0, identity: float = 2.5, game: str = "least-squares", gamma: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(game, gamma)
        weights = f"The weights of cycle and identity must not be negative: {cycle}, {identity}."
        need(cycle >= 0 and identity >= 0, weights)
        self.there, self.back, self.judge_b, self.judge_a = there, back, judge_b, judge_a
        self.cycle, self.identity = cycle, identity
        self.split = int(there.channels), int(back.channels)  # type: ignore[arg-type]
        alike = self.split[0] == self.split[1]
        need(alike or not identity, "An identity loss needs sets with equally many channels.")

    def forward(self, x: Tensor) -> tuple[Tensor, Logs]:
        """Loss (0-d) and logs: "loss", "g_loss", "cycle_loss", "identity_loss" (weighted),
        "d_loss", sums over both directions."""
        a, b = x.split(self.split, 1)  # (N, C, H, W) each
        to_b, to_a = self.there(a), self.back(b)  # (N, C, H, W) each
        f_b, f_a = frozen(self.judge_b)(to_b), frozen(self.judge_a)(to_a)  # (N, h, w) each
        again = (self.back(to_b) - a).abs().mean() + (self.there(to_a) - b).abs().mean()  # 0-d
        same = again.new_zeros(())  # 0-d
        if self.identity:
            same = (self.there(b) - b).abs().mean() + (self.back(a) - a).abs().mean()
        return _logs(
            g_loss=self.game.generator(f_b, f_b) + self.game.generator(f_a, f_a),
            cycle_loss=self.cycle * again,
            identity_loss=self.identity * same,
            d_loss=patch_loss(self.judge_b, b, to_b, self.game, self.gamma)
            + patch_loss(self.judge_a, a, to_a, self.game, self.gamma),
        )
