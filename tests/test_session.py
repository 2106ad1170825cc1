"""The first cell of every notebook."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from gan_book import session
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
    return session


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


def test_public_names_are_not_hidden_by_modules():
    """Importing every module of the package leaves each public name what it is."""
    code = (
        "import importlib, pkgutil, types\n"
        "import gan_book as gb\n"
        "for m in pkgutil.walk_packages(gb.__path__, 'gan_book.'):\n"
        "    importlib.import_module(m.name)\n"
        "print([n for n in gb.__all__ if isinstance(getattr(gb, n), types.ModuleType)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
