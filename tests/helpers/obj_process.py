"""Training steps for the test that several processes equal the joint batch.

``python -m tests.helpers.obj_process RANK WORLD STORE OUT`` runs one gloo process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gan_book.objectives import (
    DiscriminatorObjective,
    GeneratorObjective,
    ObjectiveSettings,
    shard,
)
from tests.helpers.obj_networks import POLICY, gradients, inputs, networks, weights

STEPS = 50
EXACT = ObjectiveSettings(loss="relativistic", policy=POLICY)
FUNC = ObjectiveSettings(loss="relativistic", engine="func", policy=POLICY)
# Every random input at once: finite differences, and WGAN-GP with exact penalties.
VARIANTS = {
    "exact": FUNC,
    "finite": ObjectiveSettings(loss="hinge", form="finite-difference", policy=("flip",)),
    "gp": ObjectiveSettings(loss="wasserstein", r1=False, r2=False, gp=True),
}


def wrap(objective: nn.Module, world: int, compiled: bool) -> nn.Module:
    if compiled:
        objective = torch.compile(objective, backend="aot_eager", fullgraph=True, dynamic=False)
    return DistributedDataParallel(objective) if world > 1 else objective


def train(rank: int, world: int, steps: int = STEPS) -> dict[str, Tensor]:
    """Parameters of both networks after some Adam steps in float64."""
    g, d = networks(torch.float64)
    d_objective = wrap(DiscriminatorObjective(g, d, EXACT), world, False)
    g_objective = wrap(GeneratorObjective(g, d, EXACT), world, False)
    d_optimizer = torch.optim.Adam(d.parameters(), lr=2e-3, betas=(0.0, 0.99))
    g_optimizer = torch.optim.Adam(g.parameters(), lr=2e-3, betas=(0.0, 0.99))
    for step in range(steps):
        batch, draws = shard(inputs(EXACT, g, seed=step), rank, world)
        for objective, optimizer in ((d_objective, d_optimizer), (g_objective, g_optimizer)):
            optimizer.zero_grad()
            objective(batch, draws, weights(0.5, 0.25))[0].backward()
            optimizer.step()
    networks_by_name = {"g": g, "d": d}
    return {
        f"{short}.{name}": value.detach().clone()
        for short, network in networks_by_name.items()
        for name, value in network.named_parameters()
    }


def one_step(
    rank: int, world: int, settings: ObjectiveSettings, compiled: bool = False
) -> dict[str, Tensor]:
    """Gradients of both networks after one backward pass each, in float32."""
    g, d = networks(torch.float32)
    d_objective = wrap(DiscriminatorObjective(g, d, settings), world, compiled)
    g_objective = wrap(GeneratorObjective(g, d, settings), world, compiled)
    batch, draws = shard(inputs(settings, g, dtype=torch.float32), rank, world)
    for objective in (d_objective, g_objective):
        objective(batch, draws, weights(0.5, 0.25, 2.0, torch.float32))[0].backward()
    return {f"d.{k}": v for k, v in gradients(d).items()} | {
        f"g.{k}": v for k, v in gradients(g).items()
    }


def everything(rank: int, world: int) -> dict[str, Tensor]:
    """All results of one process, each name prefixed with its experiment."""
    results = {"train": train(rank, world)}
    for name, settings in VARIANTS.items():
        results[name] = one_step(rank, world, settings)
    if world > 1:
        results["compiled"] = one_step(rank, world, FUNC, compiled=True)
    return {
        f"{group}/{key}": value for group, part in results.items() for key, value in part.items()
    }


def main(rank: int, world: int, store: Path, out: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=store.as_uri(), rank=rank, world_size=world
    )
    results = everything(rank, world)
    save_file({name: value.contiguous() for name, value in results.items()}, out)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
