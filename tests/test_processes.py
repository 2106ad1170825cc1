"""Training in two processes on one machine equals training in one, and writes one run folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.errors import GanBookError
from gan_book.processes import Processes, start_processes
from tests.tiny import ADAPTIVE, pictures, tiny

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
import gan_book as gb
from tests.tiny import ADAPTIVE, pictures, tiny
steps, resume = int(sys.argv[2]), len(sys.argv) > 3
gb.train(tiny(**ADAPTIVE, num_classes=4), pictures(classes=4), sys.argv[1], steps=steps,
         device="cpu", progress=False, resume=resume)
"""


def launch(tmp_path: Path, *arguments: str) -> None:
    """Run the script in two gloo processes, as ``torchrun`` does for a user."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "two"), *arguments],
        env=environment, cwd=root, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


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
def test_two_processes_train_like_one_and_resume(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        gb.train(
            tiny(**ADAPTIVE, num_classes=4), pictures(classes=4), tmp_path / "one", steps=6,
            device="cpu", progress=False,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    launch(tmp_path, "4")
    launch(tmp_path, "6", "resume")
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
