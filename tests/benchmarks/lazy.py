"""Lazy penalties: R1 and R2 every k-th step, k times as heavy. A demonstration of chapter 5.2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from gan_book.objectives import DiscriminatorObjective, Weights
from gan_book.training import TrainingState, Update


class LazyUpdate:
    """D's update with penalties on calls 0, k, 2k, ..., their weights times k; else without.

    Both updates share networks and optimizer. Over k calls the penalty enters with the same total
    weight, so the mean gradient is the same; Adam, which divides by a root mean square, sees other
    squares. Logs have "r1" and "r2" only on calls that compute them.
    """

    def __init__(self, full: Any, bare: Any, every: int) -> None:
        self.full, self.bare, self.every, self.calls = full, bare, every, 0

    def __call__(self, batch: Any, draws: Any, weights: Weights) -> dict[str, Tensor]:
        due = self.calls % self.every == 0
        self.calls += 1
        if due:
            heavier = Weights(*(self.every * weight for weight in weights))
            return self.full(batch, draws, heavier)
        return self.bare(batch, draws, weights)


def make_lazy(state: TrainingState, every: int) -> TrainingState:
    """The same training with penalties every so many steps; ``every = 1`` changes nothing."""
    if every > 1:
        settings = replace(state.settings, r1=False, r2=False)
        objective = DiscriminatorObjective(state.generator, state.discriminator, settings)
        bare: Any = Update(objective, state.optimizer_d, "d_loss")
        if not isinstance(state.update_d, Update):  # recorded as a CUDA graph
            bare = type(state.update_d)(bare)  # type: ignore[call-arg]
        state.update_d = LazyUpdate(state.update_d, bare, every)
    return state
