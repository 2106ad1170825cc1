"""The peers that need a GPU: lightweight-gan and stylegan2-pytorch, one ``Trainer.train`` a step.

    pip install lightweight-gan stylegan2-pytorch     # into an environment of their own

Both end at import where there is no CUDA. Not taken over, so that only training is timed: their
sheets of samples and checkpoints, which ``train`` writes every hundred steps.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gan_book.data.imageset import ImageSet

from .peers_rows import Options
from .peers_trainers import TRAINERS, Peer, need_package


class Plain(nn.Module):
    """A network that makes values in [0, 1], as one that makes [-1, 1] from z (N, z_dim)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).clamp(0, 1) * 2 - 1


class Styled(Plain):
    """stylegan2-pytorch's style vectorizer and generator, one style for all layers; noise seeded.

    No truncation: with it, coverage would be given up for precision.
    """

    def __init__(self, style: nn.Module, net: nn.Module) -> None:
        super().__init__(net)
        self.style = style

    def forward(self, z: Tensor) -> Tensor:
        w = self.style(z)[:, None].expand(-1, int(self.net.num_layers), -1)  # (N, layers, dim)
        side = int(self.net.image_size)
        rng = torch.Generator().manual_seed(0)
        noise = torch.rand(len(z), side, side, 1, generator=rng)  # (N, H, W, 1)
        return self.net(w, noise.to(z.device)).clamp(0, 1) * 2 - 1


class Lucid(Peer):
    """What the two have in common: ``trainer.train()`` is one step, ``trainer.loader`` feeds it."""

    def __init__(
        self, data: ImageSet, seed: int, steps: int, options: Options, device: torch.device
    ) -> None:
        self.device = device
        torch.manual_seed(seed)
        self.trainer = self.build(data, options)
        self.trainer.init_GAN()
        self.trainer.evaluate = self.trainer.save = lambda *_, **__: None
        self.trainer.loader = self.pictures()
        self.networks()
        batch = options["batch"]
        self.start(data, seed, batch, batch * options["accumulate"])

    @abstractmethod
    def build(self, data: ImageSet, options: Options) -> Any:
        """The library's own trainer."""

    @abstractmethod
    def networks(self) -> None:
        """Name generator and discriminator."""

    def pictures(self) -> Iterator[Tensor]:
        while True:
            yield (self.batches.next().images + 1) / 2  # (N, 3, H, W) in [0, 1]

    def step(self) -> None:
        self.trainer.train()
        self.averaged()


class LightweightGAN(Lucid):
    """lightweight-gan with the settings of its command line, augmentation as it sets it itself."""

    def build(self, data: ImageSet, options: Options) -> Any:
        need_package("lightweight_gan")
        made = importlib.import_module("lightweight_gan").Trainer
        return made(
            image_size=data.images.shape[-1],
            batch_size=options["batch"],
            gradient_accumulate_every=options["accumulate"],
            lr=options["lr"],
            attn_res_layers=[32],
            aug_prob=min(0.5, (1e5 - len(data)) * 3e-6),
            use_aim=False,
        )

    def networks(self) -> None:
        self.generator, self.discriminator = Plain(self.trainer.GAN.G), self.trainer.GAN.D
        self.z_dim = int(self.trainer.latent_dim)


class StyleGAN2(Lucid):
    """stylegan2-pytorch with the settings of its command line."""

    def build(self, data: ImageSet, options: Options) -> Any:
        need_package("stylegan2_pytorch")
        made = importlib.import_module("stylegan2_pytorch").Trainer
        return made(
            image_size=data.images.shape[-1],
            batch_size=options["batch"],
            gradient_accumulate_every=options["accumulate"],
            lr=options["lr"],
            network_capacity=options["capacity"],
        )

    def networks(self) -> None:
        gan = self.trainer.GAN
        self.generator, self.discriminator = Styled(gan.S, gan.G), gan.D
        self.z_dim = int(gan.G.latent_dim)


TRAINERS |= {"lightweight-gan": LightweightGAN, "stylegan2-pytorch": StyleGAN2}
