"""What one process does alone and two do together, for tests/test_processes.py.

Run by ``torchrun --nproc-per-node=2 tests/together.py FILE`` it writes what the main process has.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from gan_book import training
from gan_book.data.batches import Batch, Batches
from gan_book.processes import Processes, start_processes
from gan_book.training import TrainingState, run_steps, start_training
from tests.tiny import pictures, tiny

# everything that could tell processes apart: labels, flips, augmentation, both penalties
GAMES = {
    "plain": {},
    "whole": {
        "num_classes": 4,
        "flip": True,
        "policy": ["color", "translation", "cutout"],
        "augment": "fixed",
        "augment_p": 0.5,
    },
    "gradient penalty": {"loss": "wasserstein", "r1": 0, "r2": 0, "gp": 10.0},
    "groups": {
        "generator": {"model": "stylegan", "width": 4, "z_dim": 4},
        "discriminator": {"model": "stylegan", "width": 4, "minibatch_std": 2},
    },
    "two parts": {"accumulate": 2},
}


class DoubleBatches(Batches):
    """Batches in float64."""

    def next(self) -> Batch:
        images, labels = super().next()
        return Batch(images.double(), labels)


def start(processes: Processes, changes: dict, double: bool) -> TrainingState:
    """A training of the tiny recipe, in float64 where asked."""
    recipe = tiny(**changes)
    batches = (DoubleBatches if double else Batches)(
        pictures(classes=recipe.num_classes), None, recipe.batch_size, seed=0,
        rank=processes.rank, world=processes.world, flip=recipe.flip,
    )  # fmt: skip
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    try:
        return start_training(recipe, batches, processes, seed=0, precision="fp32")
    finally:
        torch.set_default_dtype(torch.float32)


def parameters(state: TrainingState) -> Tensor:
    """Both networks and the average as one vector."""
    nets = (state.generator, state.discriminator, state.average)
    return torch.cat([p.detach().flatten() for net in nets for p in net.parameters()])


def after(processes: Processes, steps: int, changes: dict, double: bool = True) -> Tensor:
    """All parameters after so many steps."""
    state = start(processes, changes, double)
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    try:
        run_steps(state, steps)
    finally:
        torch.set_default_dtype(torch.float32)
    return parameters(state)


def first_gradients(processes: Processes, changes: dict) -> Tensor:
    """The fp32 gradients of D's and G's first step, taken at the same networks."""
    state = start(processes, changes, double=False)
    state.set_schedules()
    for update in (state.update_d, state.update_g):
        batch, draws = state.batches.next(), state.draw()
        assert isinstance(update, training.Update)
        update.objective(batch, draws, state.weights)[0].backward()
    nets = (state.discriminator, state.generator)
    found = [p.grad for net in nets for p in net.parameters() if p.grad is not None]
    return torch.cat([gradient.flatten() for gradient in found])


def everything(processes: Processes) -> dict[str, Tensor]:
    """All games, in one launch: starting Python twice costs more than they do."""
    found = {name: after(processes, 50, changes) for name, changes in GAMES.items()}
    found["gradients"] = first_gradients(processes, GAMES["whole"])
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    me = start_processes("cpu")
    results = everything(me)
    if me.is_main:
        torch.save(results, sys.argv[1])
    me.wait()
