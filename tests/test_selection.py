"""The best checkpoint: the lowest distance wins, copies are seen, and training knows nothing of it.

The extractor here is a stand-in: a seeded random projection of the pixels.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

import gan_book as gb
from gan_book import checkpoints as files
from gan_book import selection
from gan_book.data.batches import to_float
from gan_book.data.imageset import ImageSet
from gan_book.data.toys import ring
from gan_book.errors import GanBookError
from gan_book.journal import StopTraining
from gan_book.metrics import kernel_distance
from gan_book.processes import Processes
from gan_book.selection import BestCheckpoint, membership
from tests.tiny import ADAPTIVE, pictures, tiny


class Projection:
    """Features (N, 12): a random projection of 8 x 8 thumbnails."""

    id, dim = "projection", 12

    def facts(self):
        return {"extractor": self.id, "dim": self.dim}

    def __call__(self, images):
        small = functional.adaptive_avg_pool2d(images.float() / 127.5 - 1, 8).flatten(1)  # (N, p)
        rng = torch.Generator().manual_seed(0)
        return small @ torch.randn(small.shape[1], self.dim, generator=rng) / 8


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(selection, "extractor", lambda name, device: Projection())


IMAGES = pictures(120)


def train(folder, steps=None, images=IMAGES, recipe=None, **options):
    recipe = recipe or tiny(sample_every=40, lr=5e-3)  # every 5 steps; a checkpoint every 4
    return gb.train(recipe, images, folder, steps=steps, progress=False, **options)


def told(folder: Path) -> dict:
    return json.loads((folder / "best.json").read_text())


def test_the_lowest_distance_wins_and_is_that_moments_generator(tmp_path):
    run = train(tmp_path / "run", select=True)
    facts = told(run.folder)
    history = facts["history"]
    assert [e["step"] for e in history] == list(range(5, 61, 5))
    best = min(history, key=lambda e: e["kid"])
    assert {k: best[k] for k in ("step", "images", "kid", "kid_se")} == {
        k: facts[k] for k in ("step", "images", "kid", "kid_se")
    }
    assert best["step"] not in (5, 60)  # else this test would show little
    low = history[0]["kid"]
    for entry in history[1:]:  # the paired difference is the difference of the distances
        assert entry["difference"] == pytest.approx(entry["kid"] - low, abs=1e-9)
        assert entry["difference_se"] > 0
        low = min(low, entry["kid"])
    then = train(None, best["step"])
    assert torch.equal(run.best.sample(9), then.sample(9))
    assert torch.equal(gb.load_run(run.folder).best.sample(9), then.sample(9))
    assert not torch.equal(run.sample(9), then.sample(9))
    assert facts["extractor"] == Projection().facts()
    assert all(0 <= entry["coverage"] <= 1 for entry in history)
    split = IMAGES.split()
    assert (facts["validation"], facts["train"]) == (len(split.validation), len(split.train))
    real = Projection()(IMAGES.images[split.validation])
    drawn = Projection()(then.sample(400, seed=1))
    assert kernel_distance(real, drawn).value == pytest.approx(best["kid"], abs=1e-12)


def test_what_d_says_of_held_out_pictures_is_written_down(tmp_path):
    images, said = pictures(120, size=16), {}

    def listen(state, logs):
        net = copy.deepcopy(state.discriminator).eval()
        x = to_float(images.images[images.split().validation])
        with torch.no_grad():
            said[state.step] = float(net(x).mean())

    d = {"model": "dcgan", "width": 4, "batch_norm": True}
    recipe = tiny(size=[16, 16], sample_every=40, discriminator=d)
    run = train(tmp_path / "run", 10, images, recipe=recipe, select=True, callbacks=[listen])
    for entry in told(run.folder)["history"]:
        assert entry["held_out_logit"] == pytest.approx(said[entry["step"]], abs=1e-6)
    assert len(told(run.folder)["history"]) == 2


@pytest.mark.parametrize("change", [{}, ADAPTIVE], ids=["plain", "adaptive"])
def test_training_knows_nothing_of_it(tmp_path, change):
    recipe = tiny(sample_every=40, **change)
    torch.manual_seed(7)
    one = train(tmp_path / "one", 22, recipe=recipe)
    torch.manual_seed(7)
    other = train(tmp_path / "other", 22, recipe=recipe, select=True)
    after = torch.rand(1)
    torch.manual_seed(7)
    assert torch.equal(after, torch.rand(1))
    ends = [files.newest_checkpoint(run.folder / "checkpoints")[0] for run in (one, other)]
    plain = {k: v for k, v in ends[1].items() if not k.startswith("best.")}
    assert plain.keys() == ends[0].keys() < ends[1].keys()
    assert all(torch.equal(plain[k], ends[0][k]) for k in plain)
    timing = ("seconds", "images_per_second")
    logs = [[{k: v for k, v in e.items() if k not in timing} for e in r.log] for r in (one, other)]
    assert logs[0] == logs[1]
    assert ("r" in logs[0][0]) == bool(change)  # the controller's measure of overfitting is logged


class Killed(Exception):
    pass


def test_a_resumed_run_selects_as_one_never_stopped(tmp_path):
    """In slices, and after a kill between an evaluation and the next checkpoint."""

    def kill(state, logs):
        if state.step == 31:  # evaluated at 30, checkpoint at 28
            raise Killed

    train(tmp_path / "one", select=True)
    for until in (3, 7, 20):
        train(tmp_path / "cut", until, select=True, resume=True)
    with pytest.raises(Killed):
        train(tmp_path / "cut", resume=True, callbacks=[kill])  # goes on selecting by itself
    assert told(tmp_path / "cut")["history"][-1]["step"] == 30
    train(tmp_path / "cut", 29, resume=True)
    assert told(tmp_path / "cut")["history"][-1]["step"] == 25  # step 30 was lost
    train(tmp_path / "cut", resume=True)
    one, cut = (tmp_path / name for name in ("one", "cut"))
    assert (one / "best.json").read_bytes() == (cut / "best.json").read_bytes()
    ends = [files.load_tensors(f / "best" / "generator.safetensors") for f in (one, cut)]
    assert ends[0][1] == ends[1][1]
    assert files.digest(ends[0][0]) == files.digest(ends[1][0])
    for change in ({"n": 20}, {"seed": 5}):
        with pytest.raises(GanBookError, match="resume with the same"):
            train(
                tmp_path / "cut", resume=True,
                callbacks=[BestCheckpoint(IMAGES, IMAGES.split(), **change)],
            )  # fmt: skip


def test_a_damaged_memory_of_the_selection_gets_a_sentence(tmp_path):
    train(tmp_path / "run", 8, select=True)
    path = files.checkpoint_files(tmp_path / "run" / "checkpoints")[-1]
    tensors, meta = files.load_tensors(path)
    for bad in ([], {"history": 3}):
        files.save_tensors(path, tensors, meta | {"best": bad})
        with pytest.raises(GanBookError, match="damaged"):
            train(tmp_path / "run", 9, resume=True)


def test_membership_by_hand():
    drawn = torch.tensor([[0.0]])
    line = lambda *x: torch.tensor(x)[None, :, None]  # noqa: E731 (1 view, N, 1)
    share, error = membership(line(1.0, 2.0, -3.0), line(2.0, 5.0), drawn)
    # of six pairs: 1 < 2, 1 < 5, 2 = 2, 2 < 5, 3 > 2, 3 < 5
    assert share == pytest.approx(4.5 / 6)
    assert error == pytest.approx((6 / (12 * 3 * 2)) ** 0.5)
    mirrored = torch.cat([line(9.0, 9.0, 9.0), line(1.0, 2.0, -3.0)])  # the nearer view counts
    assert membership(mirrored, line(2.0, 5.0), drawn)[0] == share


def test_membership_of_a_stranger_has_the_stated_error_and_a_copyist_is_seen():
    rng = torch.Generator().manual_seed(0)
    z = []
    for _ in range(300):  # a collapsed stranger: near one point of the real pictures' space
        train, held = torch.randn(1, 90, 4, generator=rng), torch.randn(1, 20, 4, generator=rng)
        share, error = membership(train, held, 0.1 * torch.randn(50, 4, generator=rng) + 1)
        z.append((share - 0.5) / error)
    scores = torch.tensor(z)
    assert abs(float(scores.mean())) < 3 / 300**0.5
    assert 0.88 < float(scores.std()) < 1.12
    train, held = torch.randn(1, 900, 16, generator=rng), torch.randn(1, 50, 16, generator=rng)
    copied = train[0, torch.randint(0, 900, (400,), generator=rng)]
    copied = copied + 0.1 * torch.randn(400, 16, generator=rng)
    share, error = membership(train, held, copied)
    assert share > 0.5 + selection.ALARM * error


def copyist(average, recipe, n, *, seed=0):
    """In place of a generator's draws: training pictures, for three of four of them."""
    return IMAGES.images[IMAGES.split().train[:70]]


def test_copying_stops_and_a_resume_goes_on_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "samples", copyist)
    with pytest.warns(UserWarning, match="stopped at 120 images.*nearer to training"):
        run = train(tmp_path / "run", select=True)
    assert run.steps == 15
    facts = told(run.folder)
    assert [e["copies"] for e in facts["history"]] == [True] * 3
    assert facts["step"] is None  # a copy never becomes the best, however low its distance
    assert "stopped at 120" in facts["stopped"]
    with pytest.raises(GanBookError, match="no best checkpoint"):
        _ = run.best
    assert train(run.folder, 40, resume=True).steps == 40
    assert train(run.folder, 41, resume=True).steps == 41
    assert len(told(run.folder)["history"]) == 8


def test_copying_stops_nothing_where_it_is_off_or_pictures_are_grouped(tmp_path, monkeypatch):
    monkeypatch.setattr(selection, "samples", copyist)
    off = BestCheckpoint(IMAGES, IMAGES.split(), copying=None)
    assert train(None, 20, callbacks=[off]).steps == 20
    assert [e["copies"] for e in off.facts["history"]] == [True] * 4
    artists = ImageSet(IMAGES.images, groups=tuple(f"artist {i // 3}" for i in range(120)))
    assert BestCheckpoint(artists, artists.split()).copying is None


def test_patience(tmp_path, monkeypatch):
    worse = iter(range(0, 250, 25))

    def fading(average, recipe, n, *, seed=0):
        noise = pictures(100, seed=9).images // 2 + 64
        return (noise.float() - next(worse)).clamp(0, 255).to(torch.uint8)

    monkeypatch.setattr(selection, "samples", fading)
    best = BestCheckpoint(IMAGES, IMAGES.split(), patience=3, copying=None)
    with pytest.warns(UserWarning, match="3 evaluations brought no better generator"):
        run = train(tmp_path / "run", callbacks=[best])
    assert run.steps == 20
    assert best.facts["step"] == told(run.folder)["step"] == 5


def test_all_processes_stop_together_and_one_measures():
    class Other:
        """The main process wants to stop, or not."""

        def __init__(self, goes_on):
            self.goes_on = goes_on

        def reduce(self, values, kind):
            return (values + self.goes_on) / 2

    class State:
        recipe = tiny(sample_every=8)
        step = 4

    state = State()
    best = BestCheckpoint(IMAGES, IMAGES.split())
    state.processes = Processes(1, 2, torch.device("cpu"), Other(1))
    best(state, {})
    state.processes = Processes(1, 2, torch.device("cpu"), Other(0))
    with pytest.raises(StopTraining):
        best(state, {})
    assert best.facts["history"] == []


def test_what_cannot_be_selected_gets_a_sentence(tmp_path):
    for options, needle in (
        ({"holdout": 0}, "has 0 and needs at least 8"),
        ({"images": pictures(40)}, "has 5 and needs at least 8"),
        ({"images": ring(), "recipe": gb.recipe("ring")}, "for points leave select out"),
    ):
        with pytest.raises(GanBookError, match=needle):
            train(tmp_path / "run", 2, select=True, **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(GanBookError, match="needs a run folder"):
        train(None, 2, select=True)
    for bad in ({"n": 4}, {"every": 0}, {"patience": 0}, {"copying": 0}):
        with pytest.raises(GanBookError, match="at least"):
            BestCheckpoint(IMAGES, IMAGES.split(), **bad)
    run = train(tmp_path / "short", 2, select=True)
    with pytest.raises(GanBookError, match="no best checkpoint"):
        _ = run.best
    with pytest.raises(GanBookError, match="no best checkpoint"):
        _ = gb.load_run(run.folder).best


@pytest.mark.slow
def test_on_the_atelier_with_the_real_extractor(tmp_path, monkeypatch):
    """A minute of small-16 on 300 pictures: distances fall, and 250 steps copy nothing."""
    monkeypatch.undo()
    images = gb.load_images("atelier", 16, n=300)
    best = BestCheckpoint(images, images.split(), every=2_000)
    recipe = gb.recipe("small-16", cpu_threads=1, ema_half_life=1_000)
    train(tmp_path / "run", 250, images, recipe, callbacks=[best])
    facts = told(tmp_path / "run")
    for entry in facts["history"]:
        print(*(f"{key} {value:.4g}" for key, value in entry.items() if value is not None))
    assert facts["extractor"]["extractor"] == "gan-book-1"
    assert facts["kid"] < 0.5 * facts["history"][0]["kid"]
    assert facts["images"] > 8_000
    assert facts["stopped"] is None
