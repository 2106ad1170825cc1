"""The first cell of every notebook."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from gan_book import setup as module
from gan_book.errors import GanBookError


@pytest.fixture(autouse=True)
def leave_torch_as_it_was():
    """Undo what `setup` sets for the whole process."""
    import matplotlib as mpl

    state = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )
    with mpl.rc_context():
        yield
    torch.set_num_threads(state[0])
    torch.use_deterministic_algorithms(state[1])
    torch.utils.deterministic.fill_uninitialized_memory = state[2]
    torch.set_printoptions(profile="default")


@pytest.fixture
def module_setup():
    return sys.modules["gan_book.setup"]


def test_tier_follows_the_variable(monkeypatch, module_setup):
    for name in ("cpu", "gpu", "full", " GPU "):
        monkeypatch.setenv("GAN_BOOK_TIER", name)
        assert module_setup.tier() == name.strip().lower()
    monkeypatch.setenv("GAN_BOOK_TIER", "huge")
    with pytest.raises(GanBookError, match="'huge'; set it to one of cpu, gpu, full"):
        module_setup.tier()


@pytest.mark.parametrize(
    ("gigabytes", "expected"),
    [(None, "cpu"), (15, "gpu"), (24, "gpu"), (40, "full"), (141, "full")],
)
def test_tier_follows_the_machine(monkeypatch, module_setup, gigabytes, expected):
    class Properties:
        total_memory = (gigabytes or 0) * 2**30

    monkeypatch.delenv("GAN_BOOK_TIER", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gigabytes is not None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert module_setup.tier() == expected


def test_by_tier(monkeypatch, module_setup):
    by_tier = module_setup.by_tier
    values = {}
    for name in ("cpu", "gpu", "full"):
        monkeypatch.setenv("GAN_BOOK_TIER", name)
        values[name] = [by_tier(cpu=1, gpu=2, full=3), by_tier(cpu=1, gpu=2), by_tier(cpu=1)]
        values[name].append(by_tier(cpu=1, full=3))
    assert values == {"cpu": [1, 1, 1, 1], "gpu": [2, 2, 1, 1], "full": [3, 2, 1, 3]}
    with pytest.raises(GanBookError, match="needs a value for cpu"):
        by_tier(gpu=2)
    with pytest.raises(GanBookError, match="does not know tpu"):
        by_tier(cpu=1, tpu=2)


def test_threads(monkeypatch, module_setup):
    monkeypatch.setenv("GAN_BOOK_TIER", "cpu")
    monkeypatch.delenv("GAN_BOOK_THREADS", raising=False)
    assert module_setup.threads() == 1
    monkeypatch.setenv("GAN_BOOK_THREADS", "3")
    assert module_setup.threads() == 3
    for bad in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("GAN_BOOK_THREADS", bad)
        with pytest.raises(GanBookError, match="GAN_BOOK_THREADS"):
            module_setup.threads()


def test_setup_seeds_everything_and_prints_one_line(monkeypatch, capsys, module_setup):
    monkeypatch.setenv("GAN_BOOK_TIER", "cpu")
    monkeypatch.delenv("GAN_BOOK_THREADS", raising=False)
    draws = []
    for seed in (0, 0, 1):
        module_setup.setup("about 60 s, 1 GB", seed=seed)
        draws.append((random.random(), np.random.rand(), torch.rand(()).item()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))
    assert capsys.readouterr().out.splitlines() == ["tier cpu · about 60 s, 1 GB"] * 3
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()


def test_setup_sets_the_figure_style(monkeypatch, module_setup):
    import matplotlib as mpl

    monkeypatch.setenv("GAN_BOOK_TIER", "cpu")
    mpl.rcdefaults()
    before = mpl.rcParams["axes.prop_cycle"]
    module_setup.setup()
    assert mpl.rcParams["axes.prop_cycle"] != before


def test_the_name_is_the_function_whatever_was_imported_before():
    """`gb.setup` and the module gan_book.setup share a name."""
    code = (
        "import gan_book as gb\n"
        "gb.tier()\n"
        "from gan_book.setup import by_tier\n"
        "import gan_book.setup\n"
        "gb.setup('x')\n"
    )
    environment = os.environ | {"GAN_BOOK_TIER": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "tier cpu · x\n", done.stderr


def test_module_is_reachable():
    assert module is not None
