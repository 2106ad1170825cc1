"""Grids are read back pixel by pixel, curves number by number."""

from __future__ import annotations

import io
import json
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from gan_book import plots
from gan_book.errors import GanBookError
from gan_book.style import COLORS, FAINT, INK, PAPER, STYLE
from gan_book.training_curves import LEARNING_GAP, curves, neutral_losses, records

SEED = torch.Generator().manual_seed(0)


def noise(n: int, height: int = 8, width: int = 8, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, height, width), generator=SEED).byte()


def tile(
    picture: Image.Image, i: int, columns: int, height: int, width: int, scale: int
) -> np.ndarray:
    """Picture ``i`` cut out of a grid by the documented geometry, reduced to its own size."""
    gap = min(8, 2 * scale)
    row, column = divmod(i, columns)
    left, top = gap + column * (width * scale + gap), gap + row * (height * scale + gap)
    block = np.asarray(picture)[top : top + height * scale, left : left + width * scale]
    cells = block.reshape(height, scale, width, scale, 3)
    assert (cells == cells[:, :1, :, :1]).all(), "a pixel was not enlarged to a square of one color"
    return cells[:, 0, :, 0]


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 12),
    columns=st.integers(1, 6),
    scale=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
)
def test_every_picture_of_a_grid_is_found_again_in_its_place(
    n, columns, scale, height, width, channels
):
    images = noise(n, height, width, channels)
    picture = plots.grid(images, columns, scale)
    used = min(columns, n)
    for i in range(n):
        expected = images[i].expand(3, -1, -1).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(tile(picture, i, used, height, width, scale), expected)
    gap = min(8, 2 * scale)
    assert picture.size == (
        used * (width * scale + gap) + gap,
        math.ceil(n / used) * (height * scale + gap) + gap,
    )
    assert picture.getpixel((0, 0)) == ImageColor.getrgb(PAPER)


def test_the_forms_of_pictures_all_mean_the_same():
    images = noise(3)
    as_pil = [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in images]
    for form in (
        images,
        list(images),
        SimpleNamespace(images=images),
        as_pil,
        images.numpy(),
        tuple(images),
    ):
        assert torch.equal(plots.as_uint8(form), images)
    assert plots.as_uint8(images[0]).shape == (1, 3, 8, 8)
    assert plots.as_uint8(Image.new("L", (5, 4), 7)).shape == (1, 1, 4, 5)
    nhwc = images.to(memory_format=torch.channels_last)
    assert torch.equal(plots.as_uint8(nhwc), images)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (torch.zeros(2, 3, 8, 8), "to_uint8"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), "channels"),
        (torch.zeros(8, 8, dtype=torch.uint8), "shape"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "at least one"),
        ([], "empty"),
        (
            [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, 9, 8, dtype=torch.uint8)],
            "one size",
        ),
        ("picture.png", "str"),
        (None, "NoneType"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(bad, word):
    with pytest.raises(GanBookError, match=word):
        plots.show(bad)


@pytest.mark.parametrize(
    "kwargs", [{"columns": 0}, {"scale": -1}, {"scale": 1.5}, {"columns": True}, {"labels": ["a"]}]
)
def test_impossible_options_get_a_sentence(kwargs):
    with pytest.raises(GanBookError):
        plots.show(noise(4), **kwargs)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 9, 10, 16, 25, 64, 100])
@pytest.mark.parametrize("width", [8, 16, 32, 64, 128, 256])
def test_grids_have_a_sensible_width(n, width):
    columns, scale = plots.layout(n, width)
    total = columns * (width * scale + min(8, 2 * scale))
    assert 1 <= columns <= 16
    assert scale >= 1
    assert total <= 1200
    rows = math.ceil(n / columns)
    assert rows * columns - n < columns  # no empty row


def smooth_pictures(n: int, size: int) -> torch.Tensor:
    """Pictures with the detail of paintings reduced to this size: 1/f noise, weaker in the
    colors."""
    rng = np.random.default_rng(1)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1.0 / size
    made = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, 3, size, size))) / frequency**1.5).real
    made = (made - made.mean((-1, -2), keepdims=True)) / made.std((-1, -2), keepdims=True)
    made = 128 + 40 * made[:, :1] + 10 * made  # (n, 3, size, size)
    return torch.from_numpy(made.clip(0, 255).round().astype(np.uint8))


def test_64_pictures_of_32_pixels_take_less_than_150_kb_and_few_levels():
    picture = plots.show(smooth_pictures(64, 32), return_figure=True)
    data = plots.png_bytes(picture)
    stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert len(data) < 150_000
    assert np.abs(stored - np.asarray(picture).astype(int)).max() <= 4


def test_png_is_lossless_where_it_fits_and_keeps_black_and_white():
    small = plots.grid(noise(4), scale=2)
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(plots.png_bytes(small)))), np.asarray(small)
    )
    extremes = Image.fromarray(
        np.tile(np.array([[[0, 255, 0]], [[255, 0, 255]]], np.uint8), (8, 16, 1))
    )
    tight = np.asarray(Image.open(io.BytesIO(plots.png_bytes(extremes, budget=1))).convert("RGB"))
    assert np.array_equal(tight, np.asarray(extremes))


def test_title_and_labels_are_drawn_and_long_ones_do_not_leave_their_place():
    images = torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)
    plain = plots.grid(images, 2, 8)
    named = plots.grid(images, 2, 8, title="Title", labels=["a" * 200, "b"])
    assert named.size[0] == plain.size[0]
    pixels = np.asarray(named).astype(int).sum(-1)
    caption = pixels[24 + 8 + 64 : 24 + 8 + 64 + 16]
    dark = np.nonzero((caption < 300).any(0))[0]
    assert dark.size, "no label drawn"
    assert not ((dark >= 8 + 64) & (dark < 8 + 64 + 8)).any(), "the first label runs into the gap"
    assert (pixels[:24] < 300).any(), "no title drawn"


def test_labels_take_names_from_the_set_and_the_limit_is_told():
    images = SimpleNamespace(
        images=noise(3), labels=torch.tensor([1, 0, 1]), label_names=("dunes", "tiles")
    )
    assert plots.label_texts(images, True) == ["tiles", "dunes", "tiles"]
    assert plots.label_texts(None, torch.tensor([4, 5])) == ["4", "5"]
    limited = plots.show(noise(10), limit=4, scale=4, columns=4, return_figure=True)
    assert limited.size == (4 * 40 + 8, 24 + 40 + 8)


def test_sheet_puts_real_left_and_generated_right():
    red, blue = (torch.zeros(9, 3, 8, 8, dtype=torch.uint8) for _ in range(2))
    red[:, 0], blue[:, 2] = 255, 255
    picture = plots.sheet(red, blue, n=8, columns=4, scale=2, return_figure=True)
    pixels = np.asarray(picture)
    half = (picture.width - 12) // 2
    assert (pixels[:, :half] == [255, 0, 0]).all(-1).sum() == 8 * 16 * 16
    assert (pixels[:, half + 12 :] == [0, 0, 255]).all(-1).sum() == 8 * 16 * 16
    assert not (pixels[:, :half] == [0, 0, 255]).all(-1).any()
    with pytest.raises(GanBookError, match="size"):
        plots.sheet(red, noise(3, 9, 9))


def test_save_grid_writes_metadata_atomically(tmp_path):
    images = noise(4)
    target = plots.save_grid(
        images, tmp_path / "new" / "grid.png", metadata={"recipe": "small-32", "seed": 3}, scale=1
    )
    with Image.open(target) as read:
        assert read.text["recipe"] == "small-32"
        assert read.text["seed"] == "3"
        assert read.text["Software"] == "gan_book"
        np.testing.assert_array_equal(
            tile(read.convert("RGB"), 3, 4, 8, 8, 1), images[3].permute(1, 2, 0).numpy()
        )
    before = target.read_bytes()
    with pytest.raises(GanBookError):
        plots.save_grid(torch.zeros(1, 3, 8, 8), target)
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["grid.png"]
    with pytest.raises(GanBookError, match="png"):
        plots.save_grid(images, tmp_path / "grid.jpg")


def test_show_displays_one_png_in_a_notebook_and_returns_nothing(monkeypatch):
    IPython = pytest.importorskip("IPython")
    seen: list[object] = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", seen.append)
    assert plots.show(noise(4)) is None
    assert plots.sheet(noise(4), noise(4)) is None
    assert len(seen) == 2
    assert all(item.data.startswith(b"\x89PNG") for item in seen)


# --- curves -----------------------------------------------------------------------------------


def log(n: int, **extra: float) -> list[dict[str, float]]:
    return [
        {
            "step": i + 1,
            "images": (i + 1) * 6400,
            "d_loss": 0.6 + 0.01 * i,
            "g_loss": 0.8 - 0.01 * i,
            "real_logit": 1.0 + 0.1 * i,
            "fake_logit": -0.2 * i,
            "r1": 0.1 + 0.01 * i,
            "r2": 0.2,
            "p": 0.05 * i,
            **extra,
        }
        for i in range(n)
    ]


def drawn(figure, gid):
    return [
        item
        for axes in figure.axes
        for item in (*axes.lines, *axes.patches)
        if item.get_gid() == gid
    ]


@pytest.mark.parametrize("n", [2, 15, 70])
def test_curves_draw_the_numbers_of_the_log(n):
    entries = log(n)
    figure = curves(entries, loss="relativistic", return_figure=True)
    for key in ("d_loss", "g_loss", "r1", "r2", "p"):
        (line,) = drawn(figure, key)
        np.testing.assert_allclose(line.get_ydata(), [entry[key] for entry in entries])
        np.testing.assert_allclose(line.get_xdata(), [entry["images"] / 1000 for entry in entries])
    (gap,) = drawn(figure, "gap")
    np.testing.assert_allclose(
        gap.get_ydata(), [e["real_logit"] - e["fake_logit"] for e in entries]
    )
    assert "thousands" in figure.axes[-1].get_xlabel()


def test_marks_follow_the_loss_and_are_never_drawn_for_another():
    relativistic = curves(log(5), loss="relativistic", return_figure=True)
    heights = [line.get_ydata()[0] for line in drawn(relativistic, "reference")]
    assert heights == pytest.approx([math.log(2), 0.0])
    (band,) = drawn(relativistic, "healthy")
    assert (band.get_y(), band.get_height()) == pytest.approx((0.0, LEARNING_GAP))
    assert torch.sigmoid(torch.tensor(-LEARNING_GAP)).item() == pytest.approx(0.01)
    hinge = curves(log(5), loss="hinge", return_figure=True)
    assert not drawn(hinge, "healthy")
    assert [line.get_ydata()[0] for line in drawn(hinge, "reference")] == pytest.approx(
        [2.0, 0.0, 0.0]
    )


def test_neutral_losses_are_the_closed_forms():
    log2 = math.log(2)
    expected = {
        "relativistic": (log2, log2),
        "non-saturating": (2 * log2, log2),
        "saturating": (2 * log2, -log2),
        "least-squares": (0.25, 0.125),
        "hinge": (2.0, 0.0),
        "wasserstein": (0.0, 0.0),
    }
    for name, values in expected.items():
        assert neutral_losses(name) == pytest.approx(values)


def test_missing_and_infinite_values_are_gaps_and_missing_panels_are_left_out():
    entries = log(6)
    entries[2]["r1"] = math.nan
    del entries[3]["r1"]
    for entry in entries:
        del entry["p"]
    figure = curves(entries, return_figure=True)
    (line,) = drawn(figure, "r1")
    assert np.isnan(line.get_ydata()).tolist() == [False, False, True, True, False, False]
    assert len(figure.axes) == 3
    assert len(curves(log(6, p=0.0), return_figure=True).axes) == 3


def test_curves_read_runs_folders_and_cut_logs(tmp_path):
    entries = log(4)
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    (tmp_path / "log.jsonl").write_text(text + '{"step": 5, "ima')
    run = SimpleNamespace(log=entries, recipe=SimpleNamespace(loss="relativistic"))
    assert records(tmp_path) == records(tmp_path / "log.jsonl") == records(run) == entries
    assert drawn(curves(run, return_figure=True), "healthy")
    for bad in ([], [{"step": 1}], tmp_path / "nowhere"):
        with pytest.raises(GanBookError):
            curves(bad)
    (tmp_path / "log.jsonl").write_text("not json\n" + text)
    with pytest.raises(GanBookError, match="Line 1"):
        curves(tmp_path)
    with pytest.raises(GanBookError, match="no loss called"):
        curves(entries, loss="no such loss")


def test_curves_close_their_figures_and_leave_the_style_alone():
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before, figures = mpl.rcParams["axes.grid"], plt.get_fignums()
    figure = curves(log(70), return_figure=True)
    assert mpl.rcParams["axes.grid"] == before
    assert plt.get_fignums() == figures
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=96)
    assert len(buffer.getvalue()) < 120_000


# --- style ------------------------------------------------------------------------------------


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio of two colors."""

    def luminance(color: str) -> float:
        parts = [v / 255 for v in ImageColor.getrgb(color)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_lines_have_enough_contrast_on_the_figures_own_paper():
    assert contrast(INK, PAPER) >= 7
    assert contrast(FAINT, PAPER) >= 4.5
    for color in COLORS.values():
        assert contrast(color, PAPER) >= 3
    assert STYLE["figure.facecolor"] == STYLE["savefig.facecolor"] == PAPER


def test_use_style_sets_matplotlib():
    import matplotlib as mpl

    with mpl.rc_context():
        plots.use_style()
        assert mpl.rcParams["figure.facecolor"] == PAPER
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS.values())


def test_real_paintings_fit_the_budget():
    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    if not folder:
        pytest.skip("needs the paintings: set GAN_BOOK_REAL_DATA")
    import zipfile

    with zipfile.ZipFile(os.path.join(folder, "paintings-pd-128.zip")) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg")][::31][:64]
        pictures = [
            Image.open(io.BytesIO(archive.read(name)))
            .convert("RGB")
            .resize((32, 32), Image.Resampling.BOX)
            for name in names
        ]
    assert len(plots.png_bytes(plots.grid(pictures))) < 150_000
    assert (
        len(plots.png_bytes(plots.sheet(pictures[:32], pictures[32:], return_figure=True)))
        < 150_000
    )
