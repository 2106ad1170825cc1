"""Counting a step's work, lazy penalties, and the rule of the race: the benchmarks of speed."""

from __future__ import annotations

import pytest
import torch

from gan_book.data.batches import Batches
from gan_book.processes import Processes
from gan_book.recipes import recipe
from gan_book.training import run_steps, start_training
from tests.benchmarks.lazy import LazyUpdate, make_lazy
from tests.benchmarks.step import from_memory, plain_steps
from tests.benchmarks.step import pictures as noise
from tests.benchmarks.step_work import bandwidth, least_seconds, parts, saved_bytes, work
from tests.benchmarks.thresholds import METHODS, OURS, chosen_recipe, reached
from tests.tiny import pictures, tiny

CPU = torch.device("cpu")


def begun(**changes):
    chosen = tiny(**changes)
    batches = Batches(pictures(), None, chosen.batch_size, seed=0, device=CPU)
    return start_training(chosen, batches, Processes(0, 1, CPU), seed=0, precision="fp32")


def test_work_counts_a_convolution_forward_and_backward() -> None:
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    w = torch.randn(5, 3, 3, 3, requires_grad=True)
    one = 2 * 4 * 8 * 8 * 9 * 3 * 5
    assert work(lambda: torch.conv2d(x, w, padding=1))["flops"] == one
    assert work(lambda: torch.conv2d(x, w, padding=1).sum().backward())["flops"] == 3 * one


@pytest.mark.parametrize("layer", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_work_counts_only_what_groups_multiply(layer: type[torch.nn.Module]) -> None:
    net, x = layer(8, 8, 3, padding=1, groups=4, bias=False), torch.randn(2, 8, 6, 6)
    one = 2 * 2 * 6 * 6 * 9 * 8 * (8 // 4)
    assert work(lambda: net(x.requires_grad_()).sum().backward())["flops"] == 3 * one


def test_work_counts_bytes_once_and_views_never() -> None:
    a = torch.ones(100, 10)
    assert work(lambda: a.reshape(10, 100).T)["operations"] == 0
    assert work(lambda: a + a)["bytes"] == 3 * 4000


def test_the_roofline_takes_the_slower_of_arithmetic_and_memory() -> None:
    ceilings = {"flops_fp32": 100.0, "flops_bf16": 200.0, "bandwidth": {"1": 10.0, "2": 5.0}}
    assert bandwidth(500_000, ceilings) == 10.0
    assert bandwidth(1_500_000, ceilings) == bandwidth(9e9, ceilings) == 5.0
    found = least_seconds(
        [
            ("conv", 1_000, 20, "float32"),
            ("conv", 1_000, 20, "bfloat16"),
            ("add", 0, 30, "float32"),
        ],
        ceilings,
    )
    assert found["seconds"] == pytest.approx(10 + 5 + 3)
    assert found["bound_by_memory"] == pytest.approx(3)


def test_lazy_penalties_come_every_fourth_step_and_four_times_as_heavy() -> None:
    seen = []

    def note(name):
        return lambda batch, draws, weights: seen.append((name, *map(float, weights))) or {}

    lazy = LazyUpdate(note("full"), note("bare"), 4)
    state = begun(r1=0.5, r2=0.5)
    state.set_schedules()
    for _ in range(5):
        lazy(None, None, state.weights)
    assert [name for name, *_ in seen] == ["full", "bare", "bare", "bare", "full"]
    assert seen[0][1:3] == (2.0, 2.0)


def test_lazy_penalties_train_and_every_step_is_the_ordinary_training() -> None:
    ends = []
    for every in (0, 1, 4):
        state = begun(r1=0.5, r2=0.5)
        run_steps(make_lazy(state, every) if every else state, 6)
        ends.append(torch.cat([p.detach().flatten() for p in state.discriminator.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_parts_and_memory_of_a_step() -> None:
    state = begun(r1=0.5, r2=0.5)
    found = parts(state, rounds=3)
    assert all(value > 0 for key, value in found.items() if key != "penalties")
    more = saved_bytes(begun(r1=0.5, r2=0.5, batch_size=16))
    assert more > saved_bytes(begun(r1=0.5, r2=0.5, batch_size=8)) > 0


def test_a_line_is_reached_at_the_first_of_two_looks() -> None:
    curve = [{"seconds": i, "trained": {"kid": k}} for i, k in enumerate((9, 1, 9, 2, 1, 9))]
    assert reached(curve, 2) == 3.0
    assert reached(curve, 0.5) is None
    assert reached(curve[:1], 10) is None


def test_the_tuned_rival_trains() -> None:
    """It runs on a GPU only; here its steps are rehearsed."""
    chosen = recipe("small-16", batch_size=4)
    data = from_memory(noise(chosen), 4, CPU)
    plain_steps(chosen, data, CPU, tuned=True)(2)


@pytest.mark.parametrize("size", [16, 64])
@pytest.mark.parametrize("method", METHODS)
def test_every_runner_has_its_recipe(method, size) -> None:
    made = chosen_recipe(method, size, 1e-3 if method == "dcgan" else 2.0, 100)
    assert made.total_images == 6_400
    assert made.ema_half_life > 0
    if method == "dcgan":
        assert made.generator["batch_norm"]
        assert made.loss == "non-saturating"
        assert made.r1.start == 0
    else:
        assert made.lr.start == pytest.approx(2 * recipe(OURS[size]).lr.start)
        assert made.r1.images == 3_200
        assert made.precision == ("fp32" if method == "ours" else "bf16")
