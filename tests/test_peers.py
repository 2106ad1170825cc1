"""The comparison with what people install instead: rows, settings, choice, seconds, adapters."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from gan_book.data.imageset import ImageSet
from gan_book.errors import GanBookError
from tests.benchmarks import peers, peers_trainers
from tests.benchmarks.grids import folded
from tests.benchmarks.peers_rows import BASES, ROWS, SECONDS
from tests.benchmarks.peers_trainers import CPU, Mimicry, Ours, Peer, need_package, recipe_for


@pytest.fixture
def pictures() -> ImageSet:
    return ImageSet(torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8))


def test_each_row_may_try_as_many_settings() -> None:
    assert set(ROWS) == set(SECONDS) == set(BASES)
    for rows in ROWS.values():
        own = {len(row.settings) for row in rows.values() if not row.borrows}
        assert len(own) == 1
        for row in rows.values():
            assert row.trainer in peers.TRAINERS
            if row.borrows:
                assert not row.settings
                assert rows[row.borrows].settings


def test_recipes_of_the_two_rows_that_are_ours() -> None:
    rows = ROWS[32]
    first = recipe_for(32, 1_000, {**rows["ours"].options, **rows["ours"].settings[0]})
    assert first.total_images == first.lr.images == 64_000
    assert (first.r1.images, first.r1.start) == (32_000, 0.5)
    faster = recipe_for(32, 1_000, {**rows["ours"].options, **rows["ours"].settings[1]})
    assert faster.lr.start == pytest.approx(3 * first.lr.start)
    old = recipe_for(32, 1_000, {**rows["dcgan"].options, **rows["dcgan"].settings[0]})
    assert (old.loss, old.r1.start, old.r2.start) == ("non-saturating", 0.0, 0.0)
    assert (old.lr.start, old.lr.end, old.beta1, old.beta2.end) == (2e-4, 2e-4, 0.5, 0.999)
    assert old.generator["batch_norm"]
    assert old.ema_half_life == first.ema_half_life
    assert old.flip == first.flip


def test_a_step_of_ours_counts_its_images(pictures) -> None:
    both = []
    for name in ("ours", "dcgan"):
        row = ROWS[32][name]
        options = {**row.options, **row.settings[0], "batch": 4}
        trainer = Ours(pictures, 0, 8, options, CPU)
        trainer.step()
        trainer.step()
        assert trainer.images == 8
        made = trainer.sample(3)
        assert (made.shape, made.dtype) == ((3, 3, 32, 32), torch.uint8)
        assert (made.float() - trainer.sample(3, averaged=False).float()).abs().mean() < 9
        pairs = zip(trainer.average.parameters(), trainer.generator.parameters(), strict=True)
        assert not all(a.equal(b) for a, b in pairs)
        both.append(trainer.parameters()["total"])
    assert max(both) < 1.1 * min(both)


class Idle(Peer):
    """A competitor that never trains."""

    def step(self) -> None:
        pass


def test_the_average_beside_a_peer_follows_it(pictures) -> None:
    peer = Idle()
    peer.generator = nn.Linear(2, 1)
    peer.start(pictures, 0, 4, 8)
    before = peer.average.weight.clone()
    with torch.no_grad():
        peer.generator.weight += 1
    peer.averaged()
    assert peer.images == 8
    moved = (peer.average.weight - before).mean().item()
    assert moved == pytest.approx(1 - 0.5**20)  # the half-life starts at a twentieth of a step


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(GanBookError, match=r"no_such_peer.*pip install"):
        need_package("no_such_peer")


class Told(nn.Module):
    """A network of torch-mimicry's interface that writes down who was trained on what."""

    def __init__(self, name: str, calls: list, **options) -> None:
        super().__init__()
        self.layer, self.name, self.calls, self.nz = nn.Linear(4, 1), name, calls, 4
        self.options = options

    def train_step(self, real_batch, log_data, **others):
        self.calls.append((self.name, real_batch[0].clone()))
        return log_data


def test_the_step_of_mimicry_is_that_of_its_loop(pictures, monkeypatch) -> None:
    calls: list = []
    rates: list = []

    class Scheduler:
        def __init__(self, lr_decay, optD, optG, num_steps) -> None:
            rates.append((lr_decay, num_steps))

        def step(self, log_data, global_step) -> None:
            rates.append(global_step)

    sngan, training = ModuleType("sngan"), ModuleType("training")
    sngan.SNGANGenerator32 = lambda **o: Told("G", calls, **o)
    sngan.SNGANDiscriminator32 = lambda **o: Told("D", calls, **o)
    training.metric_log = SimpleNamespace(MetricLog=dict)
    training.scheduler = SimpleNamespace(LRScheduler=Scheduler)
    monkeypatch.setattr(peers_trainers, "mimicry", lambda: (sngan, training))
    options = {"ngf": 2, "ndf": 2, "n_dis": 3, "batch": 4, "lr": 1e-3}
    trainer = Mimicry(pictures, 0, 9, options, CPU)
    trainer.step()
    trainer.step()
    assert [name for name, _ in calls] == ["D", "D", "D", "G"] * 2
    assert calls[3][1].equal(calls[2][1])  # G's batch is D's last; it reads its size only
    assert not calls[1][1].equal(calls[0][1])
    assert rates == [("linear", 9), 1, 2]
    assert trainer.images == 24


def trial(trained: float, raw: float, ended: str = "") -> dict:
    kid = {"measured": {"trained": {"kid": trained}}, "without_average": {"trained": {"kid": raw}}}
    return {**kid, "ended": ended}


def test_the_choice_falls_on_the_lowest_kid_that_survived(monkeypatch) -> None:
    grid = peers.Peers(32, None)
    found = {
        "trial-torchgan-dcgan-0": trial(0.3, 0.2),
        "trial-torchgan-dcgan-1": trial(0.25, 0.4),
        "trial-torchgan-dcgan-2": trial(0.1, 0.1, "not finite"),
    }
    monkeypatch.setattr(grid, "found", found.__getitem__)
    assert grid.best("torchgan-dcgan") == 0
    found |= {f"trial-ours-{i}": trial(k, 1.0) for i, k in enumerate((0.3, 0.1, 0.2))}
    assert grid.best("ours") == grid.best("ours-bf16") == 1
    found |= {f"trial-dcgan-{i}": trial(0.1, 0.1, "not finite") for i in range(3)}
    with pytest.raises(GanBookError, match="dcgan"):
        grid.best("dcgan")


def test_equal_seconds_become_steps(monkeypatch) -> None:
    grid = peers.Peers(32, 80.0)
    costs = {
        "cost-dcgan": {"settings": {"0": {"seconds_per_step": 0.1, "times_unit": 1.0}}},
        "cost-ours": {"settings": {"1": {"seconds_per_step": 9.0, "times_unit": 2.0}}},
        "cost-mimicry-sngan": {"settings": {"0": {"seconds_per_step": 9.0, "times_unit": 300.0}}},
    }
    monkeypatch.setattr(grid, "found", costs.__getitem__)
    assert grid.steps_of("dcgan", 0, 1.0) == 800
    assert grid.steps_of("ours", 1, 1.0) == 400
    assert grid.steps_of("ours", 1, 0.25) == 96  # a multiple of the parts
    assert grid.steps_of("mimicry-sngan", 0, 0.25) == 1


def test_the_first_look_at_or_below_a_line() -> None:
    curve = [{"seconds": s, "trained": {"kid": k}} for s, k in ((1.0, 0.5), (2.0, 0.2), (3.0, 0.3))]
    assert peers.first_at(curve, 0.2, "trained") == 2.0
    assert peers.first_at(curve, 0.1, "trained") is None


def test_summaries_fold_numbers_only() -> None:
    runs = [{"kid": 0.1, "facts": "x", "deep": {"n": 1, "b": True}}, {"kid": 0.3, "deep": {"n": 2}}]
    runs[0]["line"], runs[1]["line"] = 3.0, None  # a line that one run did not reach
    assert folded(runs) == {
        "kid": {"mean": 0.2, "least": 0.1, "most": 0.3},
        "deep": {"n": {"mean": 1.5, "least": 1, "most": 2}},
    }
