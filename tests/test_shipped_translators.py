"""The translators that the book ships: small, with complete cards, and as good as those say."""

from __future__ import annotations

import pytest
import torch

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.data import to_float
from gan_book.translation import source_of
from gan_book.translator import WEIGHTS, load_translator
from tests.benchmarks import image_to_image as grid

HOME = gb.data_path() / "models" / "translators"
NAMES = sorted(path.parent.name for path in HOME.glob(f"*/{WEIGHTS}"))
CARD = {
    "name", "use", "trained on", "licence", "command", "dtype", "parameters", "pictures", "seed",
    "steps", "images seen", "seconds", "environment", "measured before rounding", "task", "size",
}  # fmt: skip


def test_what_is_shipped():
    assert NAMES == ["dunes-mist-16", "edges-32"]
    assert sum(p.stat().st_size for p in HOME.rglob("*") if p.is_file()) <= 2**20


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete_and_of_these_weights(name: str):
    net = load_translator(name, "cpu")
    assert set(net.card) >= CARD
    assert net.card["name"] == name
    assert sum(p.numel() for p in net.nets.parameters()) == net.card["parameters"]
    tensors, meta = files.load_tensors(HOME / name / WEIGHTS)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    assert meta["translator"] == {key: net.card[key] for key in ("task", "size", "width")}
    cell = net.card["command"].split()[-2]
    assert cell in grid.CELLS
    stored = gb.load_results("image-to-image")[cell]
    assert (stored["steps"], stored["images"]) == (net.card["steps"], net.card["images seen"])


def test_edges_are_painted_as_well_as_measured():
    net = load_translator("edges-32", "cpu")
    test, fresh = (grid.atelier(grid.TEST, s, *grid.PAIR_STYLES).images for s in (1, 2))
    found = grid.judged(net.finish(source_of(to_float(test), "edges")), test, fresh)
    for key in ("psnr", "kid", "detail"):
        assert found[key] == pytest.approx(net.card["measured before rounding"][key], rel=0.02)


def test_dunes_become_mist_as_well_as_measured():
    net = load_translator("dunes-mist-16", "cpu")
    names = ("dunes", "mist")
    tests, freshes = ([grid.atelier(300, s, n, size=16).images for n in names] for s in (1, 2))
    found = grid.both_ways(net, tests, freshes)
    for way in ("there", "back"):
        for key in ("cycle_error", "identity_error", "kid_made"):
            stored = net.card["measured before rounding"][way][key]
            assert found[way][key] == pytest.approx(stored, rel=0.05, abs=0.003)


def test_the_paired_interval_has_something_to_pair():
    results = gb.load_results("image-to-image")
    for seed in grid.SEEDS:
        for name in ("l1", "pix2pix"):
            assert results[f"pairs-{name}-seed{seed}"]["seed"] == seed


def test_psnr_and_detail_against_closed_forms():
    """A difference of 10 everywhere: 20 log10(25.5) dB; a checkerboard is all detail."""
    a = torch.full((1, 3, 4, 4), 100, dtype=torch.uint8)
    assert float(grid.psnr(a, a + 10)) == pytest.approx(20 * torch.tensor(25.5).log10().item())
    assert grid.detail(a) == pytest.approx(0, abs=1e-12)
    board = ((torch.arange(4)[:, None] + torch.arange(4)) % 2 * 255).to(torch.uint8)
    assert grid.detail(board.expand(1, 3, 4, 4)) == pytest.approx(1)
