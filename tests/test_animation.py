"""Films: nothing fetched, the right frames in the right order, small, the same HTML every time."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from gan_book.animation import BUDGET, ICONS, MOST_FRAMES, film, player
from gan_book.errors import GanBookError


def frames(n: int, size: int = 16, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, channels, size, size), generator=generator).byte()


def stored(page: str) -> list[Image.Image]:
    """The frames of the player, in order."""
    found = re.findall(r'frames\[(\d+)\] = "data:image/\w+;base64,([^"]+)"', page)
    assert [int(i) for i, _ in found] == list(range(len(found)))
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for _, data in found]


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_are_stored_bit_for_bit_in_order(channels):
    given = frames(7, channels=channels)
    page = film(given).data
    assert len(stored(page)) == 7
    for mine, theirs in zip(given, stored(page), strict=True):
        np.testing.assert_array_equal(theirs, mine.expand(3, -1, -1).permute(1, 2, 0).numpy())
    assert "image-rendering:pixelated" in page


def test_nothing_is_fetched_and_every_button_says_what_it_does():
    page = film(frames(3), caption="a < b", alt='a "quoted" film').data
    without_frames = re.sub(r'"data:[^"]*"', '""', page)
    for outside in ("http", "//", "<link", "@import", "font-awesome", "fa-"):
        assert outside not in without_frames.replace("// ", ""), outside
    buttons = re.findall(r"<button ([^>]*)>\s*(.*?)\s*</button>", page, re.DOTALL)
    assert len(buttons) == len(ICONS) == 9
    for attributes, content in buttons:
        assert re.search(r'aria-label="[^"]+"', attributes)
        assert re.sub(r"<[^>]*>", "", content).strip()
    assert 'alt="a &quot;quoted&quot; film"' in page
    assert "a &lt; b" in page
    assert 'aria-label="Frame"' in page


def test_a_frame_whose_text_spells_http_is_no_link():
    uri = "data:image/png;base64," + base64.b64encode(b"").decode() + "http" + "A" * 4
    assert player([uri, uri], 12, 64, None, "film", crisp=True).count(uri) == 3  # and the still one


def test_the_player_starts_with_a_still_picture_without_javascript():
    page = film(frames(3)).data
    first = re.search(r'<img [^>]*src="(data:image/png;base64,[^"]+)"', page)
    assert first is not None
    assert f'frames[0] = "{first.group(1)}"' in page


def test_the_same_film_gives_the_same_html_and_another_one_another_identifier():
    assert film(frames(3)).data == film(frames(3)).data
    names = {re.search(r"_anim_img(\w+)", film(frames(n)).data).group(1) for n in (2, 3, 4)}
    assert len(names) == 3


def test_thirty_frames_with_much_detail_stay_inside_the_budget():
    page = film(frames(MOST_FRAMES, 96)).data
    assert len(page.encode()) <= BUDGET
    assert len(stored(page)) == MOST_FRAMES
    assert "image/webp" in page
    with pytest.raises(GanBookError, match="fewer"):
        film(frames(MOST_FRAMES, 96), budget=100_000)


def test_batches_become_grids_and_figures_are_drawn():
    batches = [frames(4), frames(4)]
    assert stored(film(batches).data)[0].size == (4 * 18 + 2, 20)
    plt = pytest.importorskip("matplotlib.pyplot")
    figures = []
    for color in ("#ff0000", "#0000ff"):
        figure = plt.figure(figsize=(2, 1), dpi=50, facecolor=color)
        figures.append(figure)
        plt.close(figure)
    first, second = stored(film(figures).data)
    assert first.size == (100, 50)
    assert (first.getpixel((5, 5)), second.getpixel((5, 5))) == ((255, 0, 0), (0, 0, 255))


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_files_hold_every_frame_at_its_speed_and_loop(tmp_path, suffix):
    path = tmp_path / "new" / f"film{suffix}"
    film(frames(5), path, fps=10)
    with Image.open(path) as read:
        assert read.n_frames == 5
        assert read.size == (16, 16)
        read.seek(1)
        read.load()
        assert read.info["duration"] == 100
        assert read.info["loop"] == 0
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("bad", "kwargs", "word"),
    [
        (frames(1), {}, "2 to 30"),
        (frames(31), {}, "2 to 30"),
        ([], {}, "2 to 30"),
        ("film.gif", {}, "list"),
        (None, {}, "list"),
        ([frames(1, 8), frames(1, 9)], {}, "one size"),
        (frames(3).float(), {}, "uint8"),
        (frames(3), {"fps": 0}, "fps"),
        (frames(3), {"path": "film.mp4"}, "gif"),
    ],
)
def test_what_is_no_film_gets_a_sentence(bad, kwargs, word):
    with pytest.raises(GanBookError, match=word):
        film(bad, **kwargs)
