"""Training of a SinGAN: one scale after the other, each a game of patches.

At scale n (Shaham et al., 2019, arXiv 1905.01164, section 2.2) G_n plays against a discriminator of
patches and, from the fixed noise z, has to give back the picture itself (equations 4 and 5). Their
game is WGAN-GP; ours is the book's, relativistic with R1 and R2. Its logits are maps, one number a
patch, paired by place; penalties are the squared slope of a map's sum, for each patch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from . import losses, penalties
from .errors import need, whole
from .fitting import Fit, fit
from .models.singan import PatchNet, Pyramid, resize, scales
from .objectives import frozen

GAME = losses.LOSSES["relativistic"]
NOISE = 0.1  # strength of a finer scale's noise, relative to what the enlarged picture lacks


def patch_loss(critic: penalties.Critic, real: Tensor, fake: Tensor, gamma: float) -> Tensor:
    """D's half with gamma / 2 (R1 + R2), 0-d, for a critic whose logits are maps (N, 1, h, w)."""
    r, at_real = penalties.logits_and_gradient(critic, real, "func")  # (N, 1, h, w), like real
    f, at_fake = penalties.logits_and_gradient(critic, fake, "func")  # (N, 1, h, w), like fake
    patches = r[0].numel()
    slopes = [penalties.squared_norm(g) / patches for g in (at_real, at_fake)]  # (N,) each
    return (
        GAME.discriminator(r, f) + penalties.r1(slopes[0], gamma) + penalties.r2(slopes[1], gamma)
    )


class StageObjective(nn.Module):
    """The game of scale ``i`` of a pyramid, whose coarser scales are trained and stay as they are.

    Sets the strength of this scale's noise: 1 at the coarsest, else ``NOISE`` times the root mean
    square of what the enlarged reconstruction lacks (section 2.2).
    """

    def __init__(
        self, pyramid: Pyramid, i: int, picture: Tensor, judge: PatchNet, gamma: float, alpha: float
    ) -> None:
        super().__init__()
        self.net, self.judge, self.gamma, self.alpha = pyramid.nets[i], judge, gamma, alpha
        self._pyramid, self._i = [pyramid], i  # in a list: not a part, so not copied by averages
        known = pyramid.z if i == 0 else torch.zeros_like(picture[:, :1])  # (1, 1, h, w)
        start = torch.zeros_like(picture)  # (1, C, h, w)
        if i:
            with torch.no_grad():
                start = resize(pyramid.reconstruct(), picture.shape[2:])  # type: ignore[arg-type]
            pyramid.strengths[i] = NOISE * (start - picture).square().mean().sqrt()
        self.register_buffer("known", known.clone())
        self.register_buffer("start", start)

    def draw(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """For pictures x (N, C, h, w): what coarser scales make, enlarged, and scaled noise."""
        pyramid, i, n = self._pyramid[0], self._i, len(x)
        sizes = pyramid.sizes[: i + 1]
        noises = [torch.randn(n, 1, *s, generator=generator).to(x) for s in sizes]
        if i == 0:
            return torch.zeros_like(x), noises[0]
        with torch.no_grad():
            coarse = resize(pyramid.paint(noises[:-1]), sizes[-1])  # (N, C, h, w)
        return coarse, pyramid.strengths[i] * noises[-1]

    def step(self, coarse: Tensor, noise: Tensor) -> Tensor:
        """``Pyramid.step`` by this objective's own network: (N, C, h, w)."""
        padded = nn.functional.pad(coarse + noise, (self.net.depth,) * 4)  # type: ignore[arg-type]
        return coarse + self.net(padded)  # (N, C, h, w)

    def forward(self, x: Tensor, coarse: Tensor, noise: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (0-d) and logs: "loss", "g_loss", "d_loss", "reconstruction" (mean square)."""
        fake = self.step(coarse, noise)  # (N, C, h, w)
        judge: Callable[[Tensor], Tensor] = frozen(self.judge)  # type: ignore[assignment]
        g_loss = GAME.generator(judge(x), judge(fake))  # 0-d
        again = self.step(self.start, self.known)  # type: ignore[arg-type]  # (1, C, h, w)
        off = (again - x[:1]).square().mean()  # 0-d
        d_loss = patch_loss(self.judge, x, fake.detach(), self.gamma)  # 0-d
        loss = g_loss + self.alpha * off + d_loss  # 0-d
        logs = {"loss": loss, "g_loss": g_loss, "d_loss": d_loss, "reconstruction": off}
        return loss, {name: value.detach() for name, value in logs.items()}


def train_singan(
    picture: Tensor,
    *,
    steps: int = 500,
    batch: int = 2,
    width: int = 32,
    coarsest: int = 16,
    factor: float = 0.75,
    gamma: float = 0.1,
    alpha: float = 10.0,
    lr: float = 1e-3,
    seed: int = 0,
    callback: Callable[[int, Fit], None] | None = None,
) -> Pyramid:
    """Learn one picture (1, C, H, W) in [-1, 1]: ``steps`` steps of Adam at each scale.

    A scale begins with the weights of the one before (section 2.2). ``callback(scale, fit)`` is
    called when a scale is done. Raises ``GanBookError`` for another shape, and what ``scales``
    and ``fit`` refuse.
    """
    need(
        picture.dim() == 4 and len(picture) == 1,
        f"SinGAN learns one picture (1, C, H, W), not a tensor {list(picture.shape)}.",
    )
    whole("The number of pictures in a batch", batch, 1, 4096)
    sizes = scales((picture.shape[2], picture.shape[3]), coarsest, factor)
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pyramid = Pyramid(sizes, picture.shape[1], width)
        judge = PatchNet(picture.shape[1], 1, width, last_bias=False)
    for i, size in enumerate(sizes):
        x = resize(picture, size)  # (1, C, h, w)
        if i:
            pyramid.nets[i].load_state_dict(pyramid.nets[i - 1].state_dict())
        stage = StageObjective(pyramid, i, x, judge, gamma, alpha)
        shown = x.expand(batch, -1, -1, -1)  # (batch, C, h, w)
        done = fit(
            stage, partial(shown.view, shown.shape), rng, steps=steps, lr=lr, betas=(0.0, 0.99),
            ema_half_life=20 * batch,
        )  # fmt: skip
        pyramid.nets[i].load_state_dict(done.average.net.state_dict())  # type: ignore[union-attr]
        pyramid.trained = i + 1
        if callback is not None:
            callback(i, done)
    return pyramid.requires_grad_(False)
