"""The gallery hangs what its rule chooses, and its sheets show the pictures they say."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import gan_book as gb
from gan_book import plots, provenance
from tests.tools import make_gallery


def test_the_typical_half_leaves_out_what_stands_alone():
    crowd = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    alone = 50 + 20 * torch.arange(10)[:, None] * torch.ones(3)  # (10, 3), far from everything
    half = make_gallery.typical(torch.cat([alone, crowd]))
    assert len(half) == 15
    assert int(half.min()) >= 10  # none of those alone


def test_the_different_ones_are_farthest_from_those_before():
    line = torch.tensor([[0.0], [1.0], [10.0], [4.0], [4.9]])
    assert make_gallery.different(line, 4) == [0, 2, 4, 1]
    assert make_gallery.different(line, 99) == [0, 2, 4, 1, 3]


@pytest.mark.parametrize("name", make_gallery.SHEETS)
def test_a_sheet_shows_the_pictures_it_names(name):
    path = make_gallery.OUT / f"{name}.png"
    facts = provenance.read(path)
    model = gb.load_model(name, device="cpu")
    assert facts["weights"]["sha256"] == provenance.weights_hash(model), "make the gallery anew"
    chosen = facts["chosen"]
    assert len(set(chosen)) == make_gallery.HUNG
    first = max(chosen[:3]) + 1  # the same seed gives the same pictures, so few are enough
    made = model.sample(first, seed=facts["seed"])[chosen[:3]]
    ours = plots.grid(made, make_gallery.COLUMNS, make_gallery.SHEETS[name])
    with Image.open(path) as sheet:
        hung = sheet.convert("RGB").crop((0, 0, ours.width - 8, ours.height - 8))
    ours = ours.crop((0, 0, *hung.size))
    gap = torch.tensor(list(ours.tobytes())).sub(torch.tensor(list(hung.tobytes()))).abs()
    assert int(gap.max()) <= 2  # rounding of another CPU


def test_the_rule_chose_them():
    """On the model with the smallest pictures; a near tie on another CPU may swap a few."""
    chosen = provenance.read(make_gallery.OUT / "landscapes-16.png")["chosen"]
    model = gb.load_model("landscapes-16", device="cpu")
    again = make_gallery.choose(model.sample(make_gallery.PAINTED, seed=make_gallery.SEED))
    assert len(set(chosen) & set(again)) >= make_gallery.HUNG - 4
