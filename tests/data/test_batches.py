from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor

from gan_book.data import Batch, Batches, ImageSet, to_float, to_uint8
from gan_book.errors import GanBookError


def numbered(n: int, labels: bool = True) -> ImageSet:
    """Picture i is unlike its mirror image and shows its number in the top left corner."""
    images = torch.zeros(n, 1, 2, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(n)
    return ImageSet(images, labels=torch.arange(n) % 7 if labels else None)


def shown(batch: Batch) -> list[int]:
    return to_uint8(batch.images).amax(dim=(1, 2, 3)).tolist()


class Normal:
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator)


def test_an_epoch_shows_every_picture_once_and_runs_over() -> None:
    batches = Batches(numbered(100), None, 32, seed=0)
    drawn = [i for _ in range(25) for i in shown(batches.next())]  # 800 samples: 8 epochs
    for epoch in range(8):
        assert sorted(drawn[100 * epoch : 100 * (epoch + 1)]) == list(range(100))
    assert drawn[:100] != drawn[100:200]
    assert batches.epoch == 8


def test_batches_are_pictures_in_the_unit_range_with_their_labels() -> None:
    images = numbered(50)
    batch = Batches(images, None, 50, seed=3).next()
    assert batch.images.dtype == torch.float32
    assert batch.labels is not None
    assert batch.labels.dtype == torch.int64
    order = torch.tensor(shown(batch))
    assert torch.equal(batch.images, to_float(images.images[order]))
    assert torch.equal(batch.labels, order % 7)
    assert Batches(numbered(50, labels=False), None, 5, seed=0).next().labels is None


def test_only_the_given_indices_are_drawn() -> None:
    chosen = torch.tensor([3, 50, 99, 7])
    batches = Batches(numbered(100), chosen, 8, seed=0)
    assert sorted(shown(batches.next())) == sorted(2 * chosen.tolist())  # larger than the set


def test_seeds_differ_and_repeat() -> None:
    runs = [
        [shown(b.next()) for _ in range(5)]
        for b in (Batches(numbered(100), None, 16, seed=s) for s in (0, 0, 1))
    ]
    assert runs[0] == runs[1] != runs[2]


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    batches = Batches(numbered(20), None, 6, seed=0, flip=True)
    for _ in range(5):
        batches.next()
    Batches(Normal(), None, 6, seed=0).next()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("source", [numbered(100), Normal()], ids=["pictures", "points"])
@pytest.mark.parametrize("stop", [0, 1, 6, 7, 13])
def test_resume_neither_repeats_nor_skips(source: ImageSet | Normal, stop: int) -> None:
    whole = Batches(source, None, 16, seed=4, flip=True)
    expected = [whole.next() for _ in range(20)]
    first = Batches(source, None, 16, seed=4, flip=True)
    for _ in range(stop):
        first.next()
    state = {key: value.clone() for key, value in first.state().items()}
    assert all(value.dtype in (torch.int64, torch.uint8) for value in state.values())
    second = Batches(source, None, 16, seed=4, flip=True)
    second.next()  # a state replaces whatever was drawn before
    second.load_state(state)
    for batch in expected[stop:]:
        again = second.next()
        assert torch.equal(again.images, batch.images)
        assert again.labels is batch.labels or torch.equal(again.labels, batch.labels)


@pytest.mark.parametrize("source", [numbered(100), Normal()], ids=["pictures", "points"])
@pytest.mark.parametrize("world", [2, 3])
def test_slices_of_ranks_make_the_joint_batch(source: ImageSet | Normal, world: int) -> None:
    joint = Batches(source, None, 24, seed=1, flip=True)
    ranks = [
        Batches(source, None, 24, seed=1, flip=True, rank=r, world=world) for r in range(world)
    ]
    for _ in range(12):  # across several borders of epochs
        whole, parts = joint.next(), [rank.next() for rank in ranks]
        assert torch.equal(torch.cat([p.images for p in parts]), whole.images)
        if whole.labels is not None:
            assert torch.equal(torch.cat([p.labels for p in parts]), whole.labels)  # type: ignore[misc]
        assert all(torch.equal(r.state()["drawn"], joint.state()["drawn"]) for r in ranks)


def test_flip_mirrors_half_of_the_pictures_left_to_right() -> None:
    images = ImageSet(torch.arange(24, dtype=torch.uint8).reshape(1, 3, 2, 4))
    batches = Batches(images, None, 1000, seed=0, flip=True)
    drawn = to_uint8(batches.next().images)
    straight = (drawn == images.images).flatten(1).all(dim=1)
    mirrored = (drawn == images.images.flip(-1)).flatten(1).all(dim=1)
    assert bool((straight ^ mirrored).all())
    assert 420 < int(mirrored.sum()) < 580  # five standard deviations
    plain = Batches(images, None, 100, seed=0).next()
    assert torch.equal(to_uint8(plain.images), images.images.expand(100, -1, -1, -1))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 9}, "seed"),
        ({"length": 9}, "number of training pictures"),
        ({"drawn": -1}, "nega"),
    ],
)
def test_a_foreign_state_is_refused(change: dict[str, int], sentence: str) -> None:
    batches = Batches(numbered(20), None, 4, seed=0)
    state = batches.state() | {k: torch.tensor([v]) for k, v in change.items()}
    with pytest.raises(GanBookError, match=sentence):
        batches.load_state(state)


@pytest.mark.parametrize("value", [None, torch.zeros(2, dtype=torch.int64), torch.zeros(1)])
def test_a_damaged_state_is_refused(value: Tensor | None) -> None:
    batches = Batches(numbered(20), None, 4, seed=0)
    state = batches.state()
    state.pop("drawn")
    if value is not None:
        state["drawn"] = value
    with pytest.raises(GanBookError, match="damaged"):
        batches.load_state(state)


def test_impossible_requests_are_refused() -> None:
    images = numbered(20)
    for batch_size, world, rank in ((0, 1, 0), (5, 2, 0), (-4, 2, 0), (4, 2, 2), (4, 2, -1)):
        with pytest.raises(GanBookError):
            Batches(images, None, batch_size, seed=0, rank=rank, world=world)
    with pytest.raises(GanBookError, match="no picture"):
        Batches(images, torch.zeros(0, dtype=torch.int64), 4, seed=0)
    with pytest.raises(GanBookError, match="0 to 19"):
        Batches(images, torch.tensor([20]), 4, seed=0)


def test_a_batch_costs_less_than_a_twentieth_of_a_step() -> None:
    """A step of the smallest recipe takes 20 ms or more (3,000 images/s, batch 64, 16x16)."""
    images = ImageSet(torch.randint(0, 256, (1000, 3, 16, 16), dtype=torch.uint8))
    batches = Batches(images, None, 64, seed=0, flip=True)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        batches.next()
        times.append(time.perf_counter() - start)
    assert sorted(times)[100] < 1e-3  # seconds; the median


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("resident", [None, True, False])
def test_cuda_batches_equal_those_of_the_cpu(resident: bool | None) -> None:
    images, chosen = numbered(200), torch.arange(5, 180)
    here = Batches(images, chosen, 32, seed=2, flip=True)
    there = Batches(images, chosen, 32, seed=2, flip=True, device="cuda", on_device=resident)
    assert there.on_device is (resident is not False)
    for _ in range(20):
        a, b = here.next(), there.next()
        assert b.images.device.type == "cuda"
        assert torch.equal(a.images, b.images.cpu())
        assert a.labels is not None
        assert b.labels is not None
        assert torch.equal(a.labels, b.labels.cpu())
