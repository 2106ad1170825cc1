"""The explorer for notebooks: every control changes the pictures, and back is back."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import torch
from PIL import Image

import gan_book as gb
from gan_book.model import latents
from gan_book.widgets import explorer


@pytest.mark.parametrize(
    ("name", "also"), [("atelier-32-styles", {"class"}), ("stylegan-16", set()), ("inr-32", set())]
)
def test_every_control_changes_the_pictures_and_back_is_back(name, also):
    panel = explorer(name, n=4, k=2)
    directions = set() if name == "inr-32" else {"1", "2"}  # no linear layer meets its z
    assert set(panel.controls) == {"seed", "truncation", "walk"} | also | directions
    first = panel.pictures
    values = {"seed": 3, "truncation": 0.4, "walk": 0.5, "class": 7, "1": 1.5, "2": -2.0}
    for key, control in panel.controls.items():
        if name == "inr-32" and key == "truncation":
            continue  # it divides z by its length: nothing changes
        before, control.value = control.value, values[key]
        assert (panel.pictures - first).abs().max() > 0.02, key
        control.value = before
        assert torch.equal(panel.pictures, first), key


def test_it_shows_the_pictures_of_the_seed():
    model = gb.load_model("atelier-32", device="cpu")
    panel = explorer(model, n=4)
    with torch.no_grad():
        expected = model.generator(latents(4, 64, 0))
    torch.testing.assert_close(panel.pictures, expected)
    shown = Image.open(io.BytesIO(panel.children[0].value))
    assert shown.width > shown.height > 32


def test_directions_of_ones_own():
    panel = explorer("inr-32", n=2, directions=torch.eye(32)[:1])
    before = panel.pictures
    panel.controls["1"].value = 2.0
    assert (panel.pictures - before).abs().max() > 0.02
    with pytest.raises(gb.GanBookError, match=r"directions must be \(k, 32\)"):
        explorer("inr-32", directions=torch.eye(31))
    with pytest.raises(gb.GanBookError, match="n must"):
        explorer("inr-32", n=1)


def test_ipywidgets_is_loaded_only_when_called():
    code = "import sys, gan_book.widgets; assert 'ipywidgets' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
