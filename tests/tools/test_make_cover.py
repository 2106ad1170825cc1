"""Cover, logo and favicon: chosen by a rule, hung without a hole, the same on every run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.tools import make_cover


@pytest.fixture(scope="module")
def painted():
    rng = np.random.default_rng(0)
    count = 240
    pictures = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    styles = [str(i % 12) for i in range(count)]
    palettes = [str(i % 7) for i in range(count)]
    return pictures, styles, palettes, rng.random(count).astype(np.float32)


def test_the_fields_of_the_cover_are_covered_once():
    covered = np.zeros((len(make_cover.PANEL), 4 * len(make_cover.PANEL[0])), dtype=int)
    for x, y, fields in make_cover.slots():
        covered[y : y + fields, x : x + fields] += 1
    assert (covered == 1).all()
    # The middle that a phone shows (10 of 20 columns) cuts no picture.
    for x, _, fields in make_cover.slots():
        assert not x < 5 < x + fields
        assert not x < 15 < x + fields


def test_the_surest_of_each_style_in_palettes_of_their_own(painted):
    _, styles, palettes, certainty = painted
    chosen = make_cover.choose(styles, palettes, certainty, 48)
    assert len(set(chosen)) == 48
    for style in set(styles):
        own = [i for i in chosen if styles[i] == style]
        assert len(own) == 4
        assert len({palettes[i] for i in own}) == 4
        best = max((i for i in range(len(styles)) if styles[i] == style), key=certainty.__getitem__)
        assert best in own


def test_a_model_that_lost_styles_fills_the_cover():
    chosen = make_cover.choose(["3"] * 60, ["0"] * 60, np.linspace(0, 1, 60, dtype=np.float32), 48)
    assert chosen == list(range(59, 11, -1))
    with pytest.raises(SystemExit, match="not enough"):
        make_cover.choose(["3"] * 6, ["0"] * 6, np.zeros(6, dtype=np.float32), 48)


def test_the_files_are_the_same_on_every_run(painted, tmp_path):
    first = make_cover.write(tmp_path / "1", *painted, "4")
    second = make_cover.write(tmp_path / "2", *painted, "4")
    assert [p.name for p in first] == ["cover.png", "logo.png", "logo.svg", "favicon.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_pixels_stay_whole(painted, tmp_path):
    pictures = painted[0]
    make_cover.write(tmp_path, *painted, "4")
    with Image.open(tmp_path / "cover.png") as cover:
        assert cover.size == (20 * make_cover.FIELD, 7 * make_cover.FIELD)
        assert cover.mode == "RGBA"
    with Image.open(tmp_path / "favicon.png") as icon:
        small = np.asarray(icon.convert("RGB"))[::2, ::2]
        assert small.shape == (32, 32, 3)
        assert any((small == picture).all() for picture in pictures)
    with Image.open(tmp_path / "logo.png") as logo:
        assert logo.width == logo.height >= 200
        assert logo.getpixel((0, 0)) == make_cover.FRAME
    assert make_cover.enlarge(pictures[0], 96).size == (96, 96)
    assert make_cover.enlarge(np.zeros((64, 64, 3), np.uint8), 96).size == (96, 96)


def test_other_sizes_of_pictures_fit(tmp_path):
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (60, 64, 64, 3), dtype=np.uint8)
    styles, palettes = [str(i % 5) for i in range(60)], [str(i % 3) for i in range(60)]
    make_cover.write(tmp_path, pictures, styles, palettes, np.ones(60, np.float32), "9")
    assert (tmp_path / "cover.png").is_file()


def test_the_svg_is_the_logo(painted):
    from xml.etree import ElementTree

    svg = make_cover.as_svg(make_cover.framed(painted[0][0]))
    root = ElementTree.fromstring(svg)
    assert root.attrib["viewBox"] == "0 0 40 40"
    assert len(svg) < 64 * 1024
