"""The ladder: rungs of equal size, one change each; and what grids of results share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator, count_parameters
from gan_book.models.layers import Resample
from gan_book.models.r3gan import ResidualBlock
from gan_book.results import load_results
from tests.benchmarks.grids import grid_parser, run_grid
from tests.benchmarks.ladder_runs import RUNGS, SCALES, box_filters, he_start, recipe_of

CHANGES = {  # settings of the recipe that each rung may change, beside its name
    "relativistic": {"loss"},
    "r1": {"r1"},
    "r2": {"r2"},
    "no-norm": {"generator", "discriminator"},
    "residual": {"generator", "discriminator"},
    "zero-init": set(),
    "filter": set(),
    "schedules": {"lr", "r1", "r2", "beta1", "beta2"},
    "grouped": {"generator", "discriminator"},
}


@pytest.mark.parametrize("size", SCALES)
def test_rungs_change_one_thing_and_keep_their_size(size) -> None:
    tables, edits, counts = [], [], []
    for name in RUNGS:
        chosen, edited = recipe_of(name, size, 1e-3, 1_000)
        tables.append(chosen.to_dict())
        edits.append(edited)
        with torch.device("meta"):
            g = build_generator(**chosen.network_options(chosen.generator))
            d = build_discriminator(**chosen.network_options(chosen.discriminator))
        counts.append(count_parameters(g) + count_parameters(d))
    assert max(counts) < 1.1 * min(counts)
    for i, name in enumerate(RUNGS[1:]):
        changed = {k for k in tables[i] if tables[i][k] != tables[i + 1][k]} - {"name"}
        assert changed == CHANGES[name]
        assert (edits[i] != edits[i + 1]) == (name in ("residual", "zero-init", "filter"))


def test_what_the_edits_do() -> None:
    torch.manual_seed(0)
    net = build_generator("r3gan", size=16, widths=[16, 8, 8], group_width="dense", blocks=1)
    he_start(net)
    blocks = [m for m in net.modules() if isinstance(m, ResidualBlock)]
    assert len(blocks) == 3
    assert all(b.reduce.weight.any() for b in blocks)
    box_filters(net)
    assert not any(isinstance(m, Resample) for m in net.modules())
    seen = net.stages[1](torch.randn(2, 16, 4, 4))  # up once
    assert seen.shape == (2, 8, 8, 8)
    down = build_discriminator("r3gan", size=16, widths=[8, 8, 8], group_width="dense", blocks=0)
    box_filters(down)
    x = torch.randn(2, 8, 16, 16)
    torch.testing.assert_close(down.stages[0](x), F.avg_pool2d(x, 2))


def test_a_grid_keeps_results_and_survives_a_cell(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("GAN_BOOK_RESULTS", str(tmp_path))
    calls: list[str] = []

    def good() -> dict:
        calls.append("good")
        return {"seed": 0, "value": 3}

    def bad() -> dict:
        raise GanBookError("nothing to measure.")

    cells = {"bad": bad, "good": good}
    for arguments in ([], [], ["go", "--again"], ["--list"]):
        run_grid("some", cells, grid_parser("A grid.").parse_args(arguments), show=str)
    assert calls == ["good", "good"]
    assert load_results("some", tmp_path)["good"]["value"] == 3
    printed = capsys.readouterr().out
    assert "left out: nothing to measure." in printed
    assert "good there" in printed
