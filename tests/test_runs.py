"""Run folders: what is in them, opening them, going on exactly, refusing what does not fit."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.data.toys import grid, ring
from gan_book.errors import GanBookError
from gan_book.journal import StopTraining, only_one
from gan_book.model import latents
from gan_book.probe import dry_run, measure_precision
from gan_book.runs import prepare_images
from tests.tiny import ADAPTIVE, pictures, tiny

KILLS = int(os.environ.get("GAN_BOOK_KILLS", "3"))


def train(folder, steps=None, recipe=None, images=None, **options):
    return gb.train(
        recipe or tiny(), images or pictures(), folder, steps=steps, progress=False, **options
    )


def last_checkpoint(folder: Path):
    found = files.newest_checkpoint(folder / "checkpoints")
    assert found is not None
    return found[0], found[1]


def assert_same_end(one: Path, other: Path) -> None:
    """Every tensor of both newest checkpoints is bit-equal, and so are step and images."""
    (a, meta_a), (b, meta_b) = last_checkpoint(one), last_checkpoint(other)
    assert (meta_a["step"], meta_a["images"]) == (meta_b["step"], meta_b["images"])
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


def test_what_a_run_leaves_behind(tmp_path):
    run = train(tmp_path / "run", steps=40)
    kept = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*.*")}
    assert kept == {
        "recipe.json", "environment.json", "data.json", "log.jsonl", "generator.safetensors",
        ".lock",
        "samples/0000000160.png", "samples/0000000320.png",
        "checkpoints/step-000000036.safetensors", "checkpoints/step-000000040.safetensors",
    }  # fmt: skip
    opened = gb.load_run(tmp_path / "run")
    assert (opened.steps, opened.images_seen) == (run.steps, run.images_seen) == (40, 320)
    assert opened.recipe == run.recipe == tiny()
    assert torch.equal(opened.sample(70, seed=5), run.sample(70, seed=5))
    assert {"step", "images", "seconds", "images_per_second", "d_loss", "g_loss", "real_logit",
            "fake_logit", "r1", "r2", "p", "lr"} <= opened.log[0].keys()  # fmt: skip
    assert opened.log == run.log
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["train"] == 30
    assert len(data["held_out"]) == 10
    assert torch.__version__.startswith(opened.environment["packages"]["torch"])


def test_the_last_grid_is_of_the_generator_that_is_delivered(tmp_path):
    """Also where training stops between two grids; a grid costs no bit of what comes after."""

    def stop(state, logs):
        if state.step == 3:
            raise StopTraining

    def grids() -> list[str]:
        return sorted(p.stem.lstrip("0") for p in (tmp_path / "cut" / "samples").iterdir())

    run = train(tmp_path / "cut", 30, callbacks=[stop])
    assert (run.steps, grids()) == (3, ["24"])
    gb.plots.save_grid(run.sample(64, seed=0), tmp_path / "expected.png")
    grid = tmp_path / "cut" / "samples" / "0000000024.png"
    assert grid.read_bytes() == (tmp_path / "expected.png").read_bytes()
    train(tmp_path / "cut", 21, resume=True)
    assert grids() == ["160", "168", "24"]
    train(tmp_path / "one", 21)
    assert_same_end(tmp_path / "one", tmp_path / "cut")


@pytest.mark.parametrize(
    "change",
    [
        {},
        ADAPTIVE,
        {"num_classes": 4, "channels_last": True},
        {"penalty_form": "finite-difference"},
    ],
    ids=["plain", "adaptive", "conditional-channels-last", "finite-difference"],
)
def test_slices_equal_one_run_bit_for_bit(tmp_path, change):
    images = pictures(classes=4 if "num_classes" in change else 0)
    train(tmp_path / "one", 30, tiny(**change), images)
    for until in (7, 8, 30):
        train(tmp_path / "cut", until, tiny(**change), images, resume=True)
    assert_same_end(tmp_path / "one", tmp_path / "cut")
    log_one, log_cut = (gb.load_run(tmp_path / name).log for name in ("one", "cut"))
    losses = [{e["step"]: e["d_loss"] for e in log} for log in (log_one, log_cut)]
    assert losses[0][30] == losses[1][30]


def test_a_resume_forgets_work_after_the_checkpoint(tmp_path):
    train(tmp_path / "run", 8)
    with open(tmp_path / "run" / "log.jsonl", "a") as log:
        log.write('{"step": 12, "images": 96, "d_loss": 1.0}\n{"step": 14, "ima')
    run = train(tmp_path / "run", 10, resume=True)
    assert [entry["step"] for entry in run.log] == [2, 4, 6, 8, 10]
    assert gb.load_run(tmp_path / "run").log == run.log


def test_a_kill_before_the_first_checkpoint_leaves_no_double_lines(tmp_path):
    train(tmp_path / "run", 2)
    files.checkpoint_files(tmp_path / "run" / "checkpoints")[-1].unlink()
    half = tmp_path / "run" / ".generator.safetensors.999999.tmp"
    half.write_bytes(b"half")
    run = train(tmp_path / "run", 4, resume=True)
    assert [entry["step"] for entry in gb.load_run(run.folder).log] == [2, 4]
    assert not half.exists()


def test_speed_after_a_resume_counts_this_slice_only(tmp_path):
    train(tmp_path / "run", 4)
    log = tmp_path / "run" / "log.jsonl"
    log.write_text(log.read_text().splitlines()[0] + "\n")  # the checkpoint is two steps ahead
    entry = train(tmp_path / "run", 6, resume=True).log[-1]
    speed = 2 * 8 / (entry["seconds"] - last_checkpoint_seconds(tmp_path / "run", 4))
    assert entry["images_per_second"] == pytest.approx(speed, rel=0.2)


def last_checkpoint_seconds(folder: Path, step: int) -> float:
    return files.load_tensors(files.checkpoint_path(folder / "checkpoints", step))[1]["seconds"]


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": tiny(**ADAPTIVE), "holdout": 0},
        {"recipe": tiny(generator={"model": "dcgan", "depth": 1})},
        {"init": "nobody"},
    ],
    ids=["holdout", "network", "init"],
)
def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path, options):
    with pytest.raises(GanBookError):
        train(tmp_path / "run", 2, **options)
    assert not (tmp_path / "run").exists()
    train(tmp_path / "run", 2)


def test_points_of_another_set_are_refused(tmp_path):
    train(tmp_path / "run", 1, "ring", ring())
    with pytest.raises(GanBookError, match="another set of pictures or points"):
        train(tmp_path / "run", 2, "ring", grid(), resume=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [("environment", []), ("step", float("inf")), ("seconds", None), ("precision", [1])],
)
def test_hostile_facts_in_a_checkpoint_never_give_a_traceback(tmp_path, monkeypatch, key, value):
    train(tmp_path / "run", 2)
    found = files.newest_checkpoint(tmp_path / "run" / "checkpoints")
    assert found is not None
    changed = (found[0], {**found[1], key: value}, found[2])
    monkeypatch.setattr(files, "newest_checkpoint", lambda folder: changed)
    if key in ("step", "seconds"):
        with pytest.raises(GanBookError, match="damaged"):
            train(tmp_path / "run", 4, resume=True)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert train(tmp_path / "run", 4, resume=True).steps == 4


def test_a_checkpoint_from_another_kind_of_device_is_not_called_damaged(tmp_path):
    train(tmp_path / "run", 2)
    path = files.checkpoint_files(tmp_path / "run" / "checkpoints")[-1]
    tensors, meta = files.load_tensors(path)
    tensors["draws.rng"] = torch.zeros(16, dtype=torch.uint8)  # as long as a CUDA generator's
    files.save_tensors(path, tensors, meta)
    with pytest.raises(GanBookError, match="another kind of device"):
        train(tmp_path / "run", 4, resume=True)


def test_resume_refuses_what_would_not_be_the_same_run(tmp_path):
    train(tmp_path / "run", 4)
    for options, needle in (
        ({}, "already holds a run"),
        ({"resume": True, "recipe": tiny(lr=1.0)}, "trained with lr ="),
        ({"resume": True, "images": pictures(seed=1)}, "another pictures|another"),
        ({"resume": True, "seed": 1}, "another seed"),
        ({"resume": True, "holdout": 0}, "held-out"),
    ):
        with pytest.raises(GanBookError, match=needle):
            train(tmp_path / "run", 8, **options)
    with pytest.raises(GanBookError, match="is at step 4 already"):
        train(tmp_path / "run", 2, resume=True)
    with pytest.raises(GanBookError, match="resume needs a run folder"):
        train(None, 4, resume=True)
    assert train(tmp_path / "run", 4, resume=True).steps == 4


def test_resume_says_when_the_machine_differs(tmp_path):
    train(tmp_path / "run", 4)
    path = files.checkpoint_files(tmp_path / "run" / "checkpoints")[-1]
    tensors, meta = files.load_tensors(path)
    meta["environment"]["threads"] = 77
    meta["environment"]["packages"]["torch"] = "1.0"
    files.save_tensors(path, tensors, meta)
    with pytest.warns(UserWarning, match="not bit for bit.*threads, torch differ"):
        train(tmp_path / "run", 6, resume=True)


def test_a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path):
    train(tmp_path / "one", 30)
    train(tmp_path / "cut", 10)
    files.checkpoint_files(tmp_path / "cut" / "checkpoints")[-1].write_bytes(b"torn")
    with pytest.warns(UserWarning, match="Going back"):
        train(tmp_path / "cut", 30, resume=True)
    assert_same_end(tmp_path / "one", tmp_path / "cut")


def test_full_disk_stops_with_a_sentence_and_loses_nothing(tmp_path, monkeypatch):
    train(tmp_path / "run", 8)
    before = last_checkpoint(tmp_path / "run")[1]["step"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(GanBookError, match="No space left"):
        train(tmp_path / "run", 40, resume=True)
    monkeypatch.undo()
    assert last_checkpoint(tmp_path / "run")[1]["step"] == before
    train(tmp_path / "run", 40, resume=True)
    train(tmp_path / "one", 40)
    assert_same_end(tmp_path / "one", tmp_path / "run")


def train_here(folder: str, started: Any = None) -> None:
    """What the killed process does, and what goes on afterwards: one thread, to the end."""
    torch.set_num_threads(1)
    if started is not None:
        started.set()
    train(Path(folder), recipe=tiny(**ADAPTIVE, checkpoint_every=16), resume=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is a signal of POSIX systems")
def test_kills_at_random_moments_change_nothing(tmp_path):
    """GAN_BOOK_KILLS kills (3 in CI, 20 by hand), each followed by a resume: bit-equal."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gan_book.runs", "gan_book.plots", "tests.test_runs"])
    train_here(str(tmp_path / "warm"))
    start = time.perf_counter()
    train_here(str(tmp_path / "one"))
    pause = 0.1 * (time.perf_counter() - start)  # a tenth of a run: between log lines, too
    moments, kills, survivors = random.Random(), 0, []
    for attempt in range(KILLS * 10):
        folder = tmp_path / f"cut{attempt}"
        started = context.Event()
        process = context.Process(target=train_here, args=(str(folder), started))
        process.start()
        assert started.wait(60)
        target, log = moments.randrange(30), folder / "log.jsonl"
        while (
            process.is_alive() and (log.read_bytes().count(b"\n") if log.exists() else 0) < target
        ):
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, pause))
        process.kill()
        process.join(60)
        if process.exitcode == 0:  # it had finished before the kill
            continue
        assert process.exitcode == -signal.SIGKILL
        kept = files.checkpoint_files(folder / "checkpoints")
        survivors.append(kept[-1].name if kept else "all")
        train_here(str(folder))
        assert_same_end(tmp_path / "one", folder)
        kills += 1
        if kills == KILLS:
            break
    print(f"killed {kills} times; last checkpoints: {survivors}")
    assert kills == KILLS


def test_two_trainings_at_once_do_not_mix(tmp_path):
    """Neither a second new run nor a second resume; the lock of a dead process holds nobody up."""

    def second(state, logs):
        if state.step == 2:
            for resume in (False, True):
                with pytest.raises(GanBookError, match="Another training|already holds a run"):
                    train(tmp_path / "run", 6, resume=resume)

    train(tmp_path / "run", 4, callbacks=[second])
    assert train(tmp_path / "run", 6, resume=True, callbacks=[]).steps == 6
    assert (tmp_path / "run" / ".lock").exists()
    with only_one(tmp_path / "run"):
        with pytest.raises(GanBookError, match="Another training is writing"):
            train(tmp_path / "run", 8, resume=True)
        (tmp_path / "run" / "recipe.json").unlink()  # as if the other were just beginning
        with pytest.raises(GanBookError, match="Another training is writing"):
            train(tmp_path / "run", 8)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to itself")
def test_ctrl_c_is_taken_between_steps_and_saved(tmp_path):
    def press(state, logs):  # in the middle of a step's callbacks
        if state.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    def press_twice(state, logs):
        press(state, logs)
        if state.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", callbacks=[press])
    assert signal.getsignal(signal.SIGINT) is before
    assert last_checkpoint(tmp_path / "cut")[1]["step"] == 5
    train(tmp_path / "cut", 30, resume=True)
    train(tmp_path / "one", 30)
    assert_same_end(tmp_path / "one", tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):  # a second one acts at once: what was saved stays
        train(tmp_path / "twice", callbacks=[press_twice])
    assert last_checkpoint(tmp_path / "twice")[1]["step"] == 4


def test_a_callback_can_end_training(tmp_path):
    def enough(state, logs):
        if state.step == 5:
            raise StopTraining("Good enough.")

    with pytest.warns(UserWarning, match="Good enough"):
        run = train(tmp_path / "run", callbacks=[enough])
    assert (run.steps, last_checkpoint(tmp_path / "run")[1]["step"]) == (5, 5)


def test_a_resume_holds_out_as_the_run_began(tmp_path):
    train(tmp_path / "run", 2, holdout=0.5)
    run = train(tmp_path / "run", 4, resume=True)
    assert len(run.split.train) == 20
    with pytest.raises(GanBookError, match="held-out"):
        train(tmp_path / "run", 6, resume=True, holdout="auto")


def test_init_starts_from_a_run_or_a_model(tmp_path):
    first = train(tmp_path / "a", 10)
    second = train(tmp_path / "b", 1, init=tmp_path / "a", recipe=tiny(lr=1e-9))
    assert torch.equal(first.sample(4), second.sample(4))
    a, b = (files.under(last_checkpoint(tmp_path / n)[0], "discriminator") for n in "ab")
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    wide = tiny(generator={"model": "dcgan", "width": 8, "z_dim": 4})
    with pytest.raises(GanBookError, match="does not fit"):
        train(tmp_path / "c", 1, init=tmp_path / "a", recipe=wide)
    with pytest.raises(GanBookError, match="no run or model 'nobody'"):
        train(tmp_path / "d", 1, init="nobody")


def test_samples_by_seed_prefix_and_label(tmp_path):
    assert torch.equal(latents(100, 7, 3)[:65], latents(65, 7, 3))
    plain = train(None, 2)
    assert torch.equal(plain.sample(70, batch_size=16)[:5], plain.sample(5, batch_size=16))
    assert plain.sample(3).dtype == torch.uint8
    run = train(None, 2, tiny(num_classes=4), pictures(classes=4))
    by_turn = run.sample(8)
    given = run.sample(8, labels=torch.arange(8) % 4)
    assert torch.equal(by_turn, given)
    assert not torch.equal(run.sample(8, labels=1), by_turn)
    assert torch.equal(run.sample(8, labels=[0, 1, 2, 3] * 2), by_turn)
    for bad in (
        {"n": 0}, {"n": 10**9}, {"n": 2, "labels": 4}, {"n": 2, "labels": torch.zeros(3)},
        {"n": 2, "labels": "ab"}, {"n": 2, "batch_size": 0},
    ):  # fmt: skip
        with pytest.raises(GanBookError):
            run.sample(**bad)
    with pytest.raises(GanBookError, match="no classes"):
        plain.sample(2, labels=0)


def test_pictures_that_do_not_fit_get_a_sentence():
    for recipe, images, needle in (
        (tiny(), pictures(size=16), "load them"),
        (tiny(num_classes=3), pictures(classes=4), "num_classes = 4"),
        (tiny(num_classes=3), pictures(), "have 0"),
        (tiny(), 3, "an ImageSet"),
        (tiny(), "no/such/folder", "no/such/folder"),
    ):
        with pytest.raises(GanBookError, match=needle):
            prepare_images(recipe, images, progress=False)
    for options, needle in (({"steps": 0}, "at least 1"), ({"seed": -1}, "seed")):
        with pytest.raises(GanBookError, match=needle):
            train(None, **options)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.json", "{}"), ("recipe.json", "[1]"), ("data.json", "x"),
        ("generator.safetensors", "x"), ("recipe.json", '{"name": 3}'),
    ],
)  # fmt: skip
def test_a_damaged_run_folder_gets_a_sentence(tmp_path, name, content):
    train(tmp_path / "run", 4)
    (tmp_path / "run" / name).write_text(content)
    if name == "generator.safetensors":
        with pytest.raises(GanBookError, match="no checkpoint|damaged"):
            gb.load_run(tmp_path / "run")
    else:
        with pytest.raises(GanBookError):
            train(tmp_path / "run", 8, resume=True)
    with pytest.raises(GanBookError, match="holds no run"):
        gb.load_run(tmp_path)


def test_generator_file_needs_only_safetensors(tmp_path):
    """The README's promise: the averaged weights load without this package."""
    run = train(tmp_path / "run", 4)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "run" / "generator.safetensors")
    state = run.generator.state_dict()
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[k], state[k]) for k in state)


def test_dry_run_measures_and_changes_nothing(tmp_path):
    from gan_book.data.batches import Batches

    images = pictures()
    recipe = tiny()
    report = dry_run(recipe, Batches(images, None, 8, seed=0), 0.05)
    assert report.images_per_second > 0
    assert report.seconds_to_end == pytest.approx(480 / report.images_per_second)
    assert report.parameters_g == sum(p.numel() for p in train(None, 1).generator.parameters())
    assert report.memory_bytes > 10**7


def test_precision_probe_answers():
    assert measure_precision(tiny(), torch.device("cpu"), seconds=0.02) in ("fp32", "bf16")
