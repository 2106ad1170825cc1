"""What only a GPU can show: CUDA graphs equal eager training, resume goes on, bf16 trains."""

from __future__ import annotations

import pytest
import torch

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.data.batches import Batches
from gan_book.processes import Processes
from gan_book.training import choose_precision, machine_settings, run_steps, start_training
from tests.tiny import ADAPTIVE, pictures, tiny

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def state_after(steps: int, **changes):
    recipe, images = tiny(**changes), pictures(classes=changes.get("num_classes", 0))
    device = torch.device("cuda")
    with machine_settings(recipe):
        batches = Batches(images, None, recipe.batch_size, seed=0, device=device)
        precision = choose_precision(recipe, device)
        state = start_training(
            recipe, batches, Processes(0, 1, device), seed=0, precision=precision
        )
        run_steps(state, steps)
    return state


def vector(net: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_cuda_graphs_equal_eager_training():
    """20 steps, the first three eager and the rest replayed: each weight to 1e-4."""
    augmented = {"policy": ["color", "cutout"], "augment": "fixed", "augment_p": 0.5}
    for extra in ({}, {"num_classes": 4}, augmented):
        eager, graphed = state_after(20, **extra), state_after(20, cuda_graphs=True, **extra)
        for name in ("generator", "discriminator", "average"):
            a, b = vector(getattr(eager, name)), vector(getattr(graphed, name))
            assert torch.allclose(a, b, atol=1e-4), (name, extra, float((a - b).abs().max()))


def test_schedules_move_inside_a_graph():
    """The learning rate lives in a tensor that a recorded step reads: at rate 0 nothing moves."""
    ramp = {"start": 1e-3, "end": 0.0, "images": 80}
    still = state_after(11, cuda_graphs=True, lr=ramp)
    before = vector(still.generator)
    with machine_settings(still.recipe):
        run_steps(still, 20)
    assert torch.equal(vector(still.generator), before)


def test_compiled_objectives_follow_eager():
    eager, compiled = state_after(10), state_after(10, compile=True)
    a, b = vector(eager.discriminator), vector(compiled.discriminator)
    assert torch.allclose(a, b, atol=1e-3)


def test_slices_equal_one_run_on_the_gpu(tmp_path):
    """Exact up to kernels that add in another order: to 1e-4, with equal draws and data order."""
    images = pictures()
    for folder, stops in (("one", [30]), ("cut", [7, 30])):
        for until in stops:
            gb.train(
                tiny(**ADAPTIVE), images, tmp_path / folder, steps=until, device="cuda",
                resume=True, progress=False,
            )  # fmt: skip
    found = [files.newest_checkpoint(tmp_path / name / "checkpoints") for name in ("one", "cut")]
    (one, _, _), (cut, _, _) = (f for f in found if f is not None)
    assert torch.equal(one["draws.rng"], cut["draws.rng"])
    assert torch.equal(one["batches.drawn"], cut["batches.drawn"])
    for name in one:
        if one[name].is_floating_point():
            assert torch.allclose(one[name], cut[name], atol=1e-4), name


def test_bf16_trains_and_samples(tmp_path):
    run = gb.train(
        tiny(precision="bf16", channels_last=True), pictures(), tmp_path / "run", device="cuda",
        progress=False,
    )  # fmt: skip
    assert run.sample(4).float().std() > 1
    opened = gb.load_run(tmp_path / "run", device="cpu")
    assert (opened.sample(4).float() - run.sample(4).float()).abs().max() <= 2


def test_the_same_seed_makes_the_same_pictures_on_cpu_and_gpu(tmp_path):
    gb.train(tiny(), pictures(), tmp_path / "run", steps=4, device="cpu", progress=False)
    pair = [gb.load_run(tmp_path / "run", device=d).sample(8).float() for d in ("cpu", "cuda")]
    assert (pair[0] - pair[1]).abs().max() <= 1
