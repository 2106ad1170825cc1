"""Adaptive augmentation in training: p follows D's overfitting, seen on held-out pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import augment
from .data.batches import to_float
from .data.imageset import Split
from .errors import GanBookError
from .training import TrainingState

PICTURES = 64  # of each kind (training, held out, generated) for one measurement
UPDATES_PER_SPAN = 25  # measurements in the images that p needs to cross from 0 to 1


class Controlled:
    """A callback that measures D on training, validation and generated pictures and moves p.

    All three are augmented with the same draws at the current p, as D sees pictures in training
    (Karras et al. 2020, arXiv 2006.06676, section 3). Which pictures, latents and draws are used
    depends on the step alone, so a resumed run measures the same.
    """

    def __init__(self, state: TrainingState, images: Any, split: Split | None) -> None:
        if split is None or len(split.validation) < 2:
            raise GanBookError(
                "Adaptive augmentation sees overfitting on held-out pictures; use --holdout auto."
            )
        assert state.controller is not None
        self.images, self.split = images, split
        span = state.recipe.augment_speed_images
        self.every = max(1, round(span / UPDATES_PER_SPAN / state.recipe.images_per_step))
        state.controller.step = self.every * state.recipe.images_per_step / span

    @torch.no_grad()
    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        if state.step % self.every:
            return
        assert state.controller is not None
        device, recipe = state.processes.device, state.recipe
        choice = torch.Generator().manual_seed(state.step)
        n = min(PICTURES, len(self.split.validation), len(self.split.train))
        held, labels = self._pick(self.split.validation, n, choice, device)  # (n, C, H, W)
        seen, seen_labels = self._pick(self.split.train, n, choice, device)
        z = torch.randn(n, int(state.generator.z_dim), generator=choice)  # type: ignore[arg-type]
        fake = state.generator(z.to(device), labels if recipe.num_classes else None)
        draws = augment.draw(
            n, recipe.size, recipe.policy, state.p.cpu(), choice, torch.device("cpu")
        )
        draws = type(draws)(*(None if d is None else d.to(device) for d in draws))

        def judge(x: Tensor, y: Tensor | None) -> Tensor:
            return state.discriminator(augment.apply(x, draws), y if recipe.num_classes else None)

        # in eval mode: held-out pictures must not enter a batch norm's running statistics
        state.discriminator.eval()
        logits = judge(seen, seen_labels), judge(held, labels), judge(fake, labels)  # (n,) each
        state.discriminator.train()
        state.p.copy_(state.controller.update(*logits))

    def _pick(
        self, indices: Tensor, n: int, choice: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor | None]:
        index = indices[torch.randperm(len(indices), generator=choice)[:n]]
        labels = self.images.labels
        return (
            to_float(self.images.images[index].to(device)),
            None if labels is None else labels[index].to(device),
        )
