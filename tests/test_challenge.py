"""The hundred-second challenge: who counts what, who is out, who is first."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from gan_book.data.imageset import ImageSet
from gan_book.errors import GanBookError
from gan_book.losses import relativistic_discriminator
from gan_book.penalties import r1, r2, squared_norm
from gan_book.processes import Processes
from gan_book.recipes import recipe
from gan_book.results import load_results
from gan_book.training import start_training
from tests.benchmarks import challenge, challenge_entries, sprint
from tests.benchmarks.challenge_entries import Entry, Task, dcgan, paced, stretched
from tests.benchmarks.sprint import EVERY, GAMMA, Z_DIM, Sprint

CPU = torch.device("cpu")


def task(unit: str, limit: float, clock=lambda: 0.0) -> Task:
    data = ImageSet(torch.randint(0, 256, (50, 3, 16, 16), dtype=torch.uint8))
    return Task(data, 0, CPU, unit, limit, clock)


def test_what_is_left_in_seconds_and_in_images() -> None:
    ticks = count(100.0, 25.0)
    timed = task("seconds", 100.0, lambda: next(ticks))
    timed.begin()
    assert [timed.left() for _ in range(5)] == [0.75, 0.5, 0.25, 0.0, -0.25]
    counted = task("images", 80)
    one, other = counted.feed(8), counted.feed(4)
    for feed in (one, one, other):
        feed.next()
    assert counted.drawn == 20
    assert counted.left() == 0.75


def test_the_plain_loop_stops_in_time() -> None:
    ticks = count(0.0, 0.01)  # a look at the clock takes a hundredth of a second, a step two
    given = task("seconds", 0.2, lambda: next(ticks))
    given.begin()
    sample = dcgan(given)
    assert given.clock() - given.started <= 0.2 + 0.021
    assert given.drawn >= 64
    made = sample(3, 0)
    assert (made.shape, made.dtype) == ((3, 3, 16, 16), torch.uint8)
    assert made.equal(sample(4, 0)[:3])


def test_schedules_end_with_the_budget() -> None:
    given = task("images", 2 * 4 * 25)  # 25 steps: D and G draw four pictures each
    base = recipe("small-16", batch_size=4, ema_half_life=8)
    alone = Processes(0, 1, CPU)
    state = start_training(base, given.feed(4), alone, seed=0, precision="fp32")
    paced(state, base, given)
    assert given.left() == 0
    assert state.step == 25
    assert state.recipe.total_images == state.images == 100
    assert state.recipe.lr.value(100) == base.lr.end
    assert stretched(base, 100, 3.0).lr.start == pytest.approx(3 * base.lr.start)


@pytest.fixture
def small(monkeypatch):
    """The class of images with little to draw, and a score that needs no network."""
    monkeypatch.setattr(challenge, "MADE", 5)
    monkeypatch.setattr(challenge, "task_of", lambda which, seed, limit: task(which.unit, 40))
    monkeypatch.setattr(challenge, "scores", lambda made, name, use: {"trained": {"kid": 0.5}})


def entry(draws: int, shape: tuple[int, ...]) -> Entry:
    def train(given: Task):
        feed = given.feed(4)
        for _ in range(draws):
            feed.next()
        return lambda n, seed: torch.zeros(n, *shape, dtype=torch.uint8)

    return Entry("a test", "a test", train)


def test_who_overdraws_is_not_measured(small) -> None:
    fits = challenge.enter("atelier-16-images", entry(10, (3, 16, 16)), 0)
    assert (fits["ended"], fits["images"], fits["measured"]["trained"]["kid"]) == ("", 40, 0.5)
    over = challenge.enter("atelier-16-images", entry(11, (3, 16, 16)), 0)
    assert over["ended"] == "overdrawn: 44.0 of 40"
    assert "measured" not in over
    with pytest.raises(GanBookError, match="uint8"):
        challenge.enter("atelier-16-images", entry(1, (3, 8, 8)), 0)


def test_a_class_for_a_gpu_says_so(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(GanBookError, match="GPU"):
        challenge.task_of(challenge.CLASSES["atelier-64-gpu"], 0)


def test_the_table_ranks_by_the_mean_of_three(monkeypatch) -> None:
    def run(cell: str, kid: float, ended: str = "") -> dict:
        return {
            "kind": "entry",
            "cell": cell,
            "measured": {"trained": {"kid": kid}},
            "ended": ended,
        }

    label = "atelier-16-seconds"
    runs = [run(f"{label}-dcgan-2015-seed{i}", 0.3) for i in range(3)]
    runs += [run(f"{label}-lazy-seed{i}", k) for i, k in enumerate((0.1, 0.2, 0.3))]
    runs += [run(f"{label}-recipe-seed{i}", 0.01) for i in range(2)]
    runs += [run(f"atelier-16-images-lazy-seed{i}", 0.1, "overdrawn" * (i == 1)) for i in range(3)]
    stored = {r["cell"]: r for r in runs} | {"controls": {"kind": "controls"}}
    monkeypatch.setattr(challenge, "load_results", lambda name: stored)
    ranked = challenge.table()
    assert [(name, round(kid, 3), n) for _, name, kid, n in ranked] == [
        ("lazy", 0.2, 3),
        ("dcgan-2015", 0.3, 3),
    ]


def test_stored_records_kept_their_budget() -> None:
    runs = [r for r in load_results("challenge").values() if r["kind"] == "entry"]
    assert runs
    for run in runs:
        used = run["training_seconds"] if run["unit"] == "seconds" else run["images"]
        assert bool(run["ended"]) == (used > challenge.GRACE * run["limit"]), run["cell"]
        assert run["limit"] == challenge.CLASSES[run["class"]].limit


def sprinter() -> Sprint:
    return Sprint((3, 16, 16), task("images", 400).feed(4), 0, rate=1e-3, bf16=False)


@pytest.mark.parametrize(("step", "heavier"), [(0, EVERY), (1, 0)])
def test_sprints_d_plays_the_relativistic_game_with_lazy_penalties(monkeypatch, step, heavier):
    run = sprinter()
    run.step, losses = step, []
    monkeypatch.setattr(sprint, "minimize", lambda _, loss: losses.append(loss.item()))
    x = run.batches.next().images
    fake = run.generator(torch.randn(4, Z_DIM)).detach()
    run.update_d(x, fake)
    x.requires_grad_(True)
    fake.requires_grad_(True)
    of_x, of_fake = run.discriminator(x), run.discriminator(fake)
    (at_x,) = torch.autograd.grad(of_x.sum(), x, create_graph=True)
    (at_fake,) = torch.autograd.grad(of_fake.sum(), fake, create_graph=True)
    both = r1(squared_norm(at_x), GAMMA) + r2(squared_norm(at_fake), GAMMA)
    wanted = relativistic_discriminator(of_x, of_fake) + heavier * both
    assert losses == [pytest.approx(wanted.item(), rel=1e-5)]


def test_sprint_trains_both_players_and_its_rates_fall_to_zero():
    run = sprinter()
    before = [p.detach().clone() for p in (*run.generator.parameters(), *run.average.parameters())]
    judge = [p.detach().clone() for p in run.discriminator.parameters()]
    run.take(1.0)
    after = [*run.generator.parameters(), *run.average.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(
        not torch.equal(a, b) for a, b in zip(judge, run.discriminator.parameters(), strict=True)
    )
    assert run.optimizer_g.param_groups[0]["lr"] == 1e-3
    run.take(0.25)
    assert run.optimizer_d.param_groups[0]["lr"] == pytest.approx(5e-4)
    still = [p.detach().clone() for p in run.generator.parameters()]
    run.take(0.0)
    assert all(torch.equal(a, b) for a, b in zip(still, run.generator.parameters(), strict=True))
    assert (run.images, run.step) == (12, 3)


def test_sprint_stops_in_time_and_samples() -> None:
    given = task("images", 40)
    made = challenge_entries.sprint(given)(3, 0)
    assert given.drawn <= 40
    assert (made.shape, made.dtype) == ((3, 3, 16, 16), torch.uint8)
