"""A batch in parts, one after the other: the joint batch's gradient in a part's memory."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import Tensor

from .data.batches import Batch
from .objectives import Draws, Weights, shard
from .training import Update


class AccumulatedUpdate:
    """An ``Update`` that goes through its batch in ``parts`` equal parts and steps once.

    One network stands still while its parts are added up, so the gradient is the joint batch's: up
    to rounding where losses and penalties are means over samples (or over the groups of
    ``minibatch_std``, which must divide a part), not with batch normalization, whose statistics are
    a part's. Several processes exchange gradients once, with the last part.

    Raises:
        GanBookError: when called with a batch that ``parts`` does not divide.
    """

    def __init__(self, update: Update, parts: int) -> None:
        self.objective, self.optimizer = update.objective, update.optimizer
        self.loss_name, self.parts = update.loss_name, parts

    def __call__(self, batch: Batch, draws: Draws, weights: Weights) -> dict[str, Tensor]:
        wait = getattr(self.objective, "no_sync", nullcontext)  # of DistributedDataParallel
        self.optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        for k in range(self.parts):
            mine = shard(batch, k, self.parts), shard(draws, k, self.parts)
            with nullcontext() if k == self.parts - 1 else wait():
                loss, logs = self.objective(*mine, weights)
                (loss / self.parts).backward()
            for name, value in logs.items():
                means[name] = means.get(name, 0.0) + value / self.parts
        self.optimizer.step()
        means[self.loss_name] = means.pop("loss")
        return means


def arranged(update: Update, parts: int, graphs: bool) -> Any:
    """The update in ``parts`` parts, and as a CUDA graph if ``graphs``."""
    chosen: Any = update if parts == 1 else AccumulatedUpdate(update, parts)
    if graphs:
        from .graphs import GraphedUpdate

        chosen = GraphedUpdate(chosen)
    return chosen
