"""A batch in parts gives the gradient of the whole; where it cannot, it says so or it shows."""

from __future__ import annotations

import pytest
import torch

import gan_book as gb
from gan_book.accumulation import AccumulatedUpdate, arranged
from gan_book.data.batches import Batches
from gan_book.errors import GanBookError
from gan_book.processes import Processes
from gan_book.training import Update, run_steps, start_training
from tests.test_cuda import vector
from tests.tiny import pictures, tiny
from tests.together import GAMES, after

ALONE = Processes(0, 1, torch.device("cpu"))


@pytest.mark.parametrize("game", [name for name in GAMES if name != "two parts"])
def test_parts_train_like_the_whole(game):
    changes = GAMES[game]
    whole = after(ALONE, 10, changes)
    for parts in (2, 4):
        difference = float((after(ALONE, 10, {**changes, "accumulate": parts}) - whole).abs().max())
        assert difference < 1e-12, (parts, difference)


def test_batch_normalization_and_groups_across_parts_are_told_apart():
    """The equality above could not fail otherwise: here are two games where it must not hold."""
    norm = {"generator": {"model": "dcgan", "width": 4, "z_dim": 4, "batch_norm": True}}
    wide = {"discriminator": {**GAMES["groups"]["discriminator"], "minibatch_std": 4}}
    for changes in (norm, GAMES["groups"] | wide):
        whole, parts = (after(ALONE, 3, {**changes, "accumulate": n}) for n in (1, 4))
        assert float((whole - parts).abs().max()) > 1e-4


def test_logs_are_means_over_parts():
    logs = {}
    for parts in (1, 4):
        recipe = tiny(accumulate=parts)
        batches = Batches(pictures(), None, recipe.batch_size, seed=0)
        state = start_training(recipe, batches, ALONE, seed=0, precision="fp32")
        run_steps(state, 1, [lambda _, found, n=parts: logs.update({n: found})])
    assert logs[1].keys() == logs[4].keys()
    for name, value in logs[1].items():
        assert torch.allclose(value, logs[4][name], atol=1e-5), name


def test_gradients_meet_only_with_the_last_part():
    """Several processes: all parts but the last are inside DistributedDataParallel's no_sync."""
    inside, seen = [], []

    class Wrapped(torch.nn.Linear):
        def no_sync(self):
            from contextlib import contextmanager

            @contextmanager
            def block():
                inside.append(1)
                yield
                inside.pop()

            return block()

        def forward(self, batch, draws, weights):
            seen.append(len(inside))
            loss = super().forward(batch).mean()
            return loss, {"loss": loss.detach()}

    net = Wrapped(2, 1)
    update = Update(net, torch.optim.SGD(net.parameters(), lr=0.0), "d_loss")
    assert arranged(update, 1, graphs=False) is update
    logs = AccumulatedUpdate(update, 3)(torch.ones(6, 2), (), ())
    assert seen == [1, 1, 0]
    assert list(logs) == ["d_loss"]
    with pytest.raises(GanBookError, match="cannot be shared"):
        AccumulatedUpdate(update, 4)(torch.ones(6, 2), (), ())


def test_a_recipe_with_parts_that_do_not_divide_its_batch_is_refused():
    with pytest.raises(GanBookError, match="accumulate must divide batch_size"):
        tiny(accumulate=3)
    assert gb.recipe("small-16", accumulate=4).accumulate == 4


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_parts_in_a_cuda_graph():
    found = []
    for graphs in (False, True):
        recipe, device = tiny(accumulate=2, cuda_graphs=graphs), torch.device("cuda")
        batches = Batches(pictures(), None, recipe.batch_size, seed=0, device=device)
        state = start_training(recipe, batches, Processes(0, 1, device), seed=0, precision="fp32")
        run_steps(state, 12)
        found.append(vector(state.generator))
    assert torch.allclose(*found, atol=1e-4)
