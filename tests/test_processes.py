"""Training in two processes on one machine equals training in one; the end of one ends both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.errors import GanBookError
from gan_book.processes import Processes, start_processes
from tests import together
from tests.tiny import ADAPTIVE, pictures, tiny

ROOT = Path(__file__).parents[1]
TRAIN = """
import sys
import torch
torch.set_num_threads(1)
import gan_book as gb
from tests.tiny import ADAPTIVE, pictures, tiny
steps, resume = int(sys.argv[2]), len(sys.argv) > 3
gb.train(tiny(**ADAPTIVE, num_classes=4), pictures(classes=4), sys.argv[1], steps=steps,
         device="cpu", progress=False, resume=resume)
"""
KILL = """
import os
import signal
import sys
import torch
torch.set_num_threads(1)
import gan_book as gb
from tests.tiny import pictures, tiny
def kill(state, logs):
    if state.step == 10 and state.processes.rank == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
gb.train(tiny(), pictures(), sys.argv[1], steps=20, device="cpu", progress=False, callbacks=[kill])
"""


def launch(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script in two gloo processes, as ``torchrun`` does for a user."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, str(script), *map(str, arguments)],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.fixture
def one_thread():
    """As many threads as each of the two has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_several_processes_without_accelerate_get_a_sentence(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(GanBookError, match="pip install accelerate"):
        start_processes("cpu")


def test_processes_agree_only_if_all_do():
    class Two:
        def reduce(self, values, kind):
            return (values + 1) / 2  # the other process says yes

    pair = Processes(0, 2, torch.device("cpu"), Two())
    alone = Processes(0, 1, torch.device("cpu"))
    assert [pair.agree(True), pair.agree(False)] == [True, False]
    assert [alone.agree(True), alone.agree(False)] == [True, False]


@pytest.mark.slow
def test_two_processes_equal_the_joint_batch(tmp_path, one_thread):
    """In float64 after 50 steps to 1e-10, in float32 the gradients of one step to 1e-5."""
    done = launch(ROOT / "tests" / "together.py", tmp_path / "two.pt")
    assert done.returncode == 0, done.stderr[-3000:]
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    one = together.everything(Processes(0, 1, torch.device("cpu")))
    for name, mine in one.items():
        difference = float((mine - two[name]).abs().max())
        assert difference < (1e-5 if name == "gradients" else 1e-10), (name, difference)
    before = together.after(Processes(0, 1, torch.device("cpu")), 0, {})
    assert float((one["plain"] - before).abs().max()) > 0.01  # they have trained, not stood still
    assert not torch.equal(two["gradients"], torch.zeros_like(two["gradients"]))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_run_with_a_sentence_and_a_good_checkpoint(
    tmp_path, one_thread, victim
):
    script, out = tmp_path / "script.py", tmp_path / "run"
    script.write_text(KILL)
    done = launch(script, out, victim)
    assert done.returncode != 0
    assert "Another process of this training has ended" in done.stderr, done.stderr[-3000:]
    assert "SIGKILL" in done.stderr  # torchrun's table names the process that ended first
    found = files.newest_checkpoint(out / "checkpoints")  # checks the sum of what it reads
    assert found is not None
    assert found[1]["step"] == 8  # the last one before step 10
    gb.train(tiny(), pictures(), out, steps=20, device="cpu", progress=False, resume=True)
    alone = tmp_path / "alone"
    gb.train(tiny(), pictures(), alone, steps=20, device="cpu", progress=False)
    (ours, meta, _), (theirs, _, _) = (
        files.newest_checkpoint(place / "checkpoints") for place in (out, alone)
    )
    assert meta["step"] == 20
    assert torch.equal(ours["draws.rng"], theirs["draws.rng"])
    assert torch.equal(ours["batches.drawn"], theirs["batches.drawn"])
    for name in files.under(ours, "generator"):
        a, b = ours[f"generator.{name}"], theirs[f"generator.{name}"]
        assert torch.allclose(a, b, atol=5e-4), name


def test_the_end_of_another_process_becomes_a_sentence():
    pair, alone = (Processes(0, n, torch.device("cpu"), x) for n, x in ((2, object()), (1, None)))
    broken = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    for error in (broken, torch.distributed.DistNetworkError("lost")):
        with pytest.raises(GanBookError, match="start all of them again"), pair.watch():
            raise error
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(GanBookError, match="SIGTERM"), pair.watch():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is handler
    for processes, error in ((pair, RuntimeError("a bug")), (alone, broken)):
        with pytest.raises(RuntimeError, match=str(error)[1:5]), processes.watch():
            raise error


@pytest.mark.slow
def test_two_processes_train_like_one_and_resume(tmp_path, one_thread):
    recipe, images = tiny(**ADAPTIVE, num_classes=4), pictures(classes=4)
    gb.train(recipe, images, tmp_path / "one", steps=6, device="cpu", progress=False)
    script = tmp_path / "script.py"
    script.write_text(TRAIN)
    for arguments in (["4"], ["6", "resume"]):
        done = launch(script, tmp_path / "two", *arguments)
        assert done.returncode == 0, done.stderr[-3000:]
    found = [files.newest_checkpoint(tmp_path / name / "checkpoints") for name in ("one", "two")]
    (one, meta_one, _), (two, meta_two, _) = (f for f in found if f is not None)
    assert meta_one["step"] == meta_two["step"] == 6
    assert meta_two["environment"]["processes"] == 2
    assert torch.equal(one["draws.rng"], two["draws.rng"])
    assert torch.equal(one["batches.drawn"], two["batches.drawn"])
    for name in files.under(one, "generator"):
        a, b = one[f"generator.{name}"], two[f"generator.{name}"]
        assert torch.allclose(a, b, atol=5e-4), name
    for name in files.under(one, "adam_discriminator"):
        key = f"adam_discriminator.{name}"
        assert torch.allclose(one[key], two[key], atol=1e-4, rtol=1e-2), name
    assert len(gb.load_run(tmp_path / "two").log) == 3
