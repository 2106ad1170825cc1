"""Planted copies in Atelier styles: found where pictures differ, reported where they do not."""

from __future__ import annotations

import pytest
import torch

from gan_book.data.atelier import STYLES, atelier
from gan_book.memorization import memorization, nearest_pictures, plant_copies, threshold
from tests.benchmarks.measuring_pictures import memorization_by_style


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("style", ["mist", "stripes", "truchet"])
def test_search_keeps_the_original_at_small_sizes(style: str, size: int) -> None:
    """The fast search must not lose originals: at half of 16 pixels it lost most of them."""
    train = atelier(150, size, seed=1, styles=[style]).images
    found = nearest_pictures(plant_copies(train, generator=seeded(0)), train)
    assert (found.index == torch.arange(150)).double().mean() >= 0.97


@pytest.mark.parametrize("size", [16, 32])
def test_two_stages_agree_with_all_pairs_on_the_atelier(size: int) -> None:
    train = atelier(60, size, seed=1).images
    copies = plant_copies(train[:20], generator=seeded(0))
    fast, exact = nearest_pictures(copies, train), nearest_pictures(copies, train, candidates=None)
    assert torch.equal(fast.index, exact.index)
    assert torch.allclose(fast.distance, exact.distance, atol=1e-6)


def test_copies_of_one_style_are_found_and_fresh_pictures_pass() -> None:
    record = memorization_by_style(32, seeds=range(5, 6), n=80, styles=("mist",))
    found = record["styles"]["mist"]
    assert found["recall"] >= 0.95
    assert found["false_alarms"] <= 0.15  # 4 of 80 on average, 12 at most in 99.9 %
    assert found["original_found"] >= 0.97
    assert found["support_at_least"] > 100
    assert record["rich_styles"] == ["mist"]
    assert record["holds_on_rich"]


def test_a_plain_style_beside_another_makes_no_collisions() -> None:
    """Each style is judged by its own copies: mist is not called a copy because scales blur."""
    styles = ["mist", "scales"]
    train, heldout, fresh = (
        atelier(n, 32, seed=seed, styles=styles) for n, seed in ((120, 1), (80, 2), (60, 3))
    )
    report = memorization(
        fresh.images, train.images, heldout.images, generator=seeded(0), styles=train.labels
    )
    assert report.recall >= 0.95
    assert report.near_collisions <= 0.05
    assert report.copies <= 0.05
    assert report.support.collisions == report.support_train.collisions == 0


@pytest.mark.slow
def test_every_style_keeps_its_own_threshold_at_32_pixels() -> None:
    for style in STYLES:
        train, heldout = (atelier(200, 32, seed=s, styles=[style]).images for s in (1, 2))
        copies = nearest_pictures(plant_copies(train, generator=seeded(0)), train)
        cut = threshold(nearest_pictures(heldout, train).distance, 0.05)
        assert (copies.distance <= cut).double().mean() >= 0.95, style
