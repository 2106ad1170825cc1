"""The Atelier: the same pictures everywhere, known labels, the composition kept at every size."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gan_book.data.atelier import ATELIER_VERSION, PALETTES, STYLES, atelier, painting, studio
from gan_book.data.atelier.dice import Dice, hash01, keys_for, mix64
from gan_book.data.atelier.easel import cosine, sine
from gan_book.errors import GanBookError

COLORS = tuple(PALETTES)

# sha256 of the pixels of `atelier(n=8, size=64, seed=2, styles=[style])`. They change only
# together with ATELIER_VERSION.
GOLDEN_STYLES = {
    "dunes": "85fecf54edbb319fe81c498d97ac1b8c13b3cbb0869d9c8ad0f0b2d69cb0c4ea",
    "mist": "ddd46d07c01c962dcaa46fb52d74599c0489b96fa032e3b8b4e7f8defecec8fc",
    "grid": "7955b3c48905104fe02aa291bd0ba4ba284a3351b50bab3a7c464093c3d37e08",
    "discs": "50b4ac2d975823193503321ff525771f44e946d32d62d29591b99124d3f2fb28",
    "stripes": "c7d78b3e02b05e64264066a43e14094a1642540e03ad132581991f63510ecded",
    "fields": "c8b2cf1e0fd5a8a27bfdb36d9d0ad83b6345c0861b93358ded7ab173c4f58974",
    "truchet": "d3d170eeabbd1d5355913ea8731a1ba6376df4e2296b4fdfba1a626e2402896b",
    "weave": "b53b1d5d6106222dbb7c861ff7d89f3a8a4d321909d25f1337080b0f7b4e367e",
    "blocks": "f2e0bb161c08f69dedb62772ff1d9f71fd58544b606fb56f1d0505119f7709c5",
    "scales": "f463f5b5d585be4e6f03c30e11a4974758c0bcee064b986f8ffbd04b2ec4c086",
    "strokes": "16fc86afcb0d0afb206fea936f0f44428c959cdb80a5a1a881073cfd36200fab",
    "glass": "1e3cedd322104d40d3ef96c91f002dd9dfe7797c61796222c3a6494953820d9d",
}
# sha256 of the pixels, labels and palettes of `atelier(n, size, seed)`.
GOLDEN_SETS = {
    (64, 32, 0): "69df179b642f9b28eee5b48ed8c6e8acbd1a95aecd2ee852bae920722c58471a",
    (48, 16, 1): "abf314a756066318babcd9ce0b0c52e4d528bf2ba405bb9154d8693bbfc51f3f",
    (24, (40, 72), -3): "3c3e469371b92af2a27710844345da0b1d608a3f1438241eb0f4bec9f5484d23",
    (12, 100, 1099511627776): "3b3c92975a459f862a0a4615936f3438e2389a68f6c3981c03def3d61c5919ea",
}

# Runs in a fresh interpreter; imports the painting code without gan_book.data, hence without torch.
PAINT_WITHOUT_TORCH = """
import hashlib, sys, types
import numpy as np
import gan_book
room = types.ModuleType("gan_book.data")
room.__path__ = [gan_book.__path__[0] + "/data"]
sys.modules["gan_book.data"] = room
from gan_book.data.atelier import STYLES, studio
digest = hashlib.sha256()
for style in STYLES:
    keys = studio.keys_for(1, 5, np.arange(8))
    digest.update(studio.paint_batch(style, np.arange(8), keys, (48, 64)).tobytes())
assert "torch" not in sys.modules
print(digest.hexdigest())
"""


def pixels(*arrays: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.contiguous().numpy().tobytes())
    return digest.hexdigest()


def halved(images: torch.Tensor) -> torch.Tensor:
    n, c, h, w = images.shape
    return images.double().reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))


def test_at_least_ten_styles_and_eight_palettes() -> None:
    assert len(STYLES) >= 10
    assert len(PALETTES) >= 8
    for name, tones in PALETTES.items():
        light = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in tones]
        assert light[0] == min(light), f"ink is the darkest of {name}"
        assert light[-1] == max(light), f"paper is the lightest of {name}"
        assert light[-1] - light[0] > 180, f"{name} has too little contrast"


def test_random_numbers_are_splitmix64() -> None:
    # First outputs of SplitMix64 from state 0, as published with the reference code.
    golden = 0x9E3779B97F4A7C15
    states = np.array([golden, 2 * golden % 2**64, 3 * golden % 2**64], np.uint64)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert mix64(states).tolist() == expected
    assert [int(Dice(np.zeros(1, np.uint64)).bits(3)[k, 0, 0, 0]) for k in range(3)] == expected


def test_keys_of_different_seeds_and_pictures_never_meet() -> None:
    seeds = (0, 1, -1, 2**63, 2**64, 2**64 + 1, -(2**70))
    keys = np.concatenate([keys_for(1, seed, np.arange(2000)) for seed in seeds])
    assert len(np.unique(keys)) == len(keys)


def test_draws_are_uniform_and_within_bounds() -> None:
    dice = Dice(keys_for(1, 0, np.arange(20_000)))
    u = dice.uniform(-1.0, 3.0)
    assert u.dtype == np.float32
    assert u.shape == (20_000, 1, 1)
    assert float(u.min()) >= -1
    assert float(u.max()) < 3
    assert abs(float(u.mean()) - 1) < 5 * (4 / math.sqrt(12)) / math.sqrt(20_000)
    counts = np.bincount(dice.integer(0, 6).ravel(), minlength=7)
    assert len(counts) == 7
    assert float(((counts - 20_000 / 7) ** 2 / (20_000 / 7)).sum()) < 30
    order = dice.order(5)[:, :, 0, 0]
    assert np.array_equal(np.sort(order, axis=0), np.arange(5)[:, None].repeat(20_000, 1))
    speck = hash01(dice.key32()[:50], np.arange(40)[None, :, None], np.arange(40)[None, None, :])
    assert abs(float(speck.mean()) - 0.5) < 0.01


def test_sines_are_close_to_sines() -> None:
    t = np.linspace(-3, 3, 10_001).astype(np.float32)
    assert np.abs(sine(t) - np.sin(2 * np.pi * t.astype(np.float64))).max() < 0.0012
    assert np.abs(cosine(t) - np.cos(2 * np.pi * t.astype(np.float64))).max() < 0.0012


@pytest.mark.parametrize("style", STYLES)
def test_golden_hash_of_each_style(style: str) -> None:
    assert ATELIER_VERSION == 1
    images = atelier(8, 64, seed=2, styles=[style]).images
    assert pixels(images) == GOLDEN_STYLES[style]


@pytest.mark.parametrize(("n", "size", "seed"), GOLDEN_SETS)
def test_golden_hash_of_whole_sets(n: int, size: int | tuple[int, int], seed: int) -> None:
    made = atelier(n, size, seed)
    assert (
        pixels(made.images, made.labels, made.attributes["palette"]) == (GOLDEN_SETS[n, size, seed])
    )


@pytest.mark.parametrize("simd", ["as it is", "disabled"])
def test_pixels_do_not_depend_on_vector_instructions_and_need_no_torch(simd: str) -> None:
    from numpy._core import _multiarray_umath as core  # what this NumPy dispatches at run time

    environment = dict(os.environ, ATEN_CPU_CAPABILITY="avx2", PYTHONPATH="")
    if simd == "disabled":
        features = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
        if not features:
            pytest.skip("NumPy uses nothing beyond its baseline on this machine.")
        environment["NPY_DISABLE_CPU_FEATURES"] = " ".join(features)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PAINT_WITHOUT_TORCH],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    here = hashlib.sha256()
    for style in STYLES:
        batch = studio.paint_batch(style, np.arange(8), keys_for(1, 5, np.arange(8)), (48, 64))
        here.update(batch.tobytes())
    assert done.stdout.strip() == here.hexdigest()


def test_a_set_has_what_the_book_needs() -> None:
    made = atelier(30, (24, 40), seed=1)
    assert made.images.shape == (30, 3, 24, 40)
    assert made.images.dtype == torch.uint8
    assert made.name == "atelier"
    assert "CC0" in made.licence
    assert made.label_names == STYLES
    assert made.labels is not None
    assert made.labels.dtype == torch.int64
    assert torch.equal(made.attributes["style"], made.labels)
    assert made.attribute_names == {"style": STYLES, "palette": COLORS}
    assert len(set(made.ids)) == 30


def test_a_picture_does_not_depend_on_how_many_are_painted() -> None:
    many, few = atelier(90, 16, seed=4), atelier(25, 16, seed=4)
    assert torch.equal(many.images[:25], few.images)
    assert torch.equal(many.labels[:25], few.labels)
    assert not torch.equal(many.images[:25], atelier(25, 16, seed=5).images)


def test_one_painting_equals_its_place_in_the_set() -> None:
    made = atelier(40, 24, seed=11)
    for i in range(40):
        style = STYLES[int(made.labels[i])]
        palette = COLORS[int(made.attributes["palette"][i])]
        assert torch.equal(painting(style, palette, 11, 24, index=i), made.images[i])


def test_styles_and_palettes_are_independent_and_equally_likely() -> None:
    n, cells = 48_000, len(STYLES) * len(COLORS)
    style, palette = studio.assign(keys_for(1, 0, np.arange(n)), [1] * len(STYLES), len(COLORS))
    table = np.bincount(style * len(COLORS) + palette, minlength=cells)
    expected = n / cells
    chi_squared = float(((table - expected) ** 2 / expected).sum())
    assert len(table) == cells
    assert chi_squared < cells - 1 + 4 * math.sqrt(2 * (cells - 1))


def test_weights_make_a_long_tail() -> None:
    weights = {"grid": 0.9, "mist": 0.1, "truchet": 0.0}
    made = atelier(400, 8, styles=("grid", "mist", "truchet"), weights=weights)
    counts = made.labels.bincount(minlength=3).tolist()
    assert counts[2] == 0
    assert abs(counts[1] - 40) < 5 * math.sqrt(400 * 0.09)
    # a chosen subset is labelled from 0, in the order it was named
    turned = atelier(50, 8, styles=("mist", "grid"), palettes=("moss",))
    assert turned.label_names == ("mist", "grid")
    assert turned.num_classes == 2
    assert not turned.attributes["palette"].any()


@pytest.mark.parametrize("style", STYLES)
def test_the_composition_is_the_same_at_every_size(style: str) -> None:
    big, middle, small = (atelier(6, size, 3, [style]).images for size in (128, 64, 32))
    # up to 64 pixels a picture is the box-filtered larger one: equal up to rounding
    assert float((halved(middle) - small.double()).abs().max()) <= 1.0
    # above, it is painted anew with the same shapes: far closer than any two pictures
    own = (halved(big) - middle.double()).abs().mean((1, 2, 3))
    other = (halved(big) - middle.double().roll(1, 0)).abs().mean((1, 2, 3))
    assert float(own.max()) < 9.0
    assert float(own.max()) < 0.5 * float(other.min())


@pytest.mark.parametrize("style", STYLES)
def test_pictures_inside_a_style_differ_richly(style: str) -> None:
    n = 64
    images = atelier(n, 16, 8, [style], palettes=("fjord",)).images.double().flatten(1)
    distance = torch.cdist(images, images) / math.sqrt(images.shape[1])  # rms gray levels
    distance.fill_diagonal_(torch.inf)
    assert float(distance.min()) > 8.0  # no two nearly alike, even in one palette


@pytest.mark.parametrize("style", STYLES)
def test_every_palette_colors_every_style(style: str) -> None:
    pictures = torch.stack([painting(style, name, 1, 32) for name in COLORS]).double()
    distance = (pictures[:, None] - pictures[None]).square().mean((2, 3, 4)).sqrt()
    distance.fill_diagonal_(torch.inf)
    assert float(distance.min()) > 10.0


@pytest.mark.parametrize("style", ["truchet", "blocks", "discs"])
def test_flat_styles_use_the_colors_of_their_palette(style: str) -> None:
    for name, tones in PALETTES.items():
        flat = painting(style, name, 2, 128).double().flatten(1).T  # (pixels, 3)
        nearest = torch.cdist(flat, torch.tensor(tones).double()).min(1).values
        assert float((nearest < 10).double().mean()) > 0.7, name


def test_a_thousand_at_64_take_three_seconds_of_one_core() -> None:
    best = math.inf
    for _ in range(3):  # the best of three: the machine may be busy
        start = time.process_time()
        atelier(250, 64)
        best = min(best, 4 * (time.process_time() - start))
        if best < 3:
            break
    assert best < 3, f"1,000 pictures at 64x64 took {best:.1f} s"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"n": 0}, "at least one"),
        ({"size": 4}, "8 to 8192"),
        ({"size": (32, 32, 3)}, "8 to 8192"),
        ({"size": 32.5}, "8 to 8192"),
        ({"size": "32"}, "8 to 8192"),
        ({"styles": ["cubism"]}, "no style called 'cubism'"),
        ({"styles": []}, "at least one style"),
        ({"styles": ["grid", "grid"]}, "each of them once"),
        ({"palettes": ["beige"]}, "no palette called 'beige'"),
        ({"weights": {"cubism": 1.0}}, "cubism"),
        ({"weights": {"grid": -1.0}}, "0 or more"),
        ({"weights": {"grid": 0.0}, "styles": ["grid"]}, "All weights are 0"),
        ({"version": 99}, "version 99"),
    ],
)
def test_nonsense_gets_a_sentence(options: dict[str, object], word: str) -> None:
    with pytest.raises(GanBookError, match=word):
        atelier(**{"n": 2, "size": 8, **options})  # type: ignore[arg-type]


def test_one_painting_of_nonsense_gets_a_sentence() -> None:
    with pytest.raises(GanBookError, match="no style"):
        painting("cubism", "moss")
    with pytest.raises(GanBookError, match="no palette"):
        painting("grid", "beige")
    with pytest.raises(GanBookError, match="from 0"):
        painting("grid", "moss", index=-1)
