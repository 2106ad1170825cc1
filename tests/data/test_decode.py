from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gan_book.data.decode import Preparation, Refusal, decode, quiet_decoders
from gan_book.errors import GanBookError
from tests.data.hostile import REASONS, bad_bytes, bomb_png, encoded, good_file, painting

HOW = Preparation((8, 8))
FILE_KINDS = [k for k in REASONS if k not in ("folder", "broken-link", "pipe", "unreadable")]


def pixels(data: bytes, how: Preparation = HOW) -> np.ndarray:
    """(H, W, C)"""
    return decode(data, how)[0].transpose(1, 2, 0)


def flat(mode: str, color: object, kind: str = "PNG", **options: object) -> bytes:
    return encoded(Image.new(mode, (16, 16), color), kind, **options)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (flat("RGB", (200, 100, 50)), (200, 100, 50)),
        (flat("RGB", (200, 100, 50), "BMP"), (200, 100, 50)),
        (flat("RGB", (200, 100, 50), "TIFF"), (200, 100, 50)),
        (flat("RGB", (200, 100, 50), "WEBP", lossless=True), (200, 100, 50)),
        (flat("RGB", (200, 100, 50), "GIF"), (200, 100, 50)),
        (flat("L", 77), (77, 77, 77)),
        (flat("1", 1), (255, 255, 255)),
        (flat("RGBA", (200, 100, 50, 255)), (200, 100, 50)),
        # over white: 0.4 * color + 0.6 * 255
        (flat("RGBA", (200, 100, 50, 102)), (233, 193, 173)),
        (flat("RGBA", (200, 100, 50, 102), "WEBP", lossless=True), (233, 193, 173)),
        (flat("LA", (100, 102)), (193, 193, 193)),
        (flat("CMYK", (0, 255, 255, 0), "TIFF"), (255, 0, 0)),
        (flat("CMYK", (255, 0, 0, 0), "TIFF"), (0, 255, 255)),
        (flat("RGB", (9, 8, 7), transparency=(1, 2, 3)), (9, 8, 7)),
    ],
)
def test_modes_and_formats_keep_their_color(data: bytes, expected: tuple[int, int, int]) -> None:
    got = pixels(data).astype(int)
    assert got.shape == (8, 8, 3)
    assert np.abs(got - expected).max() <= 1


def test_jpeg_modes_keep_their_color() -> None:
    for mode, color, expected in (
        ("RGB", (200, 100, 50), (200, 100, 50)),
        ("L", 90, (90, 90, 90)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
    ):
        got = pixels(flat(mode, color, "JPEG", quality=95)).astype(int)
        assert np.abs(got - expected).max() <= 4, mode


@pytest.mark.parametrize("value", [0, 1, 128, 129, 257, 32768, 51400, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_not_cut(value: int, kind: str) -> None:
    data = encoded(Image.fromarray(np.full((16, 16), value, np.uint16)), kind)
    assert np.unique(pixels(data)).tolist() == [round(value / 257)]


def test_16_bit_gray_of_either_byte_order() -> None:
    ramp = (np.arange(64, dtype=np.uint32) * 1040).reshape(8, 8)
    for order, head in (("<", b"II*\0"), (">", b"MM\0*")):
        raw = io.BytesIO()
        picture = Image.frombytes(
            "I;16" if order == "<" else "I;16B", (8, 8), ramp.astype(order + "u2").tobytes()
        )
        picture.save(raw, "TIFF")
        assert raw.getvalue().startswith(head)
        assert np.array_equal(pixels(raw.getvalue())[..., 0], np.rint(ramp / 257))


def test_32_bit_and_float_gray() -> None:
    def tiff(values: np.ndarray) -> bytes:
        return encoded(Image.fromarray(values), "TIFF")

    assert np.unique(pixels(tiff(np.full((8, 8), 0.5, np.float32)))).tolist() == [128]
    assert np.unique(pixels(tiff(np.full((8, 8), 99.6, np.float32)))).tolist() == [100]
    assert np.unique(pixels(tiff(np.full((8, 8), 25700, np.int32)))).tolist() == [100]
    for odd, word in (
        (np.full((8, 8), -1.0, np.float32), "floating-point"),
        (np.full((8, 8), np.nan, np.float32), "floating-point"),
        (np.full((8, 8), 70000, np.int32), "range"),
    ):
        with pytest.raises(Refusal, match=word):
            decode(tiff(odd), HOW)


def test_palette_and_its_transparency() -> None:
    p = Image.new("P", (16, 16), 1)
    p.putpalette([255, 0, 0, 10, 20, 30])
    assert pixels(encoded(p, "PNG"))[0, 0].tolist() == [10, 20, 30]
    background = Preparation((8, 8), background="navy")
    assert pixels(encoded(p, "PNG", transparency=0), background)[0, 0].tolist() == [10, 20, 30]
    p.paste(0, (0, 0, 16, 8))
    top = pixels(encoded(p, "PNG", transparency=0), background)
    assert top[0, 0].tolist() == [0, 0, 128]
    assert top[7, 7].tolist() == [10, 20, 30]
    gif = pixels(encoded(p, "GIF", transparency=0), background)
    assert gif[0, 0].tolist() == [0, 0, 128]


def test_gif_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (16, 16), color) for color in ("red", "green", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(data)[3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_stands_upright(kind: str, orientation: int) -> None:
    """A scene is stored turned, as a camera does, and must come back upright."""
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8, :8] = 250, 0, 0  # top left red, top right green, bottom left blue
    upright[:8, 8:] = 0, 250, 0
    upright[8:, :8] = 0, 0, 250
    store = {  # EXIF 2.3: where the stored row 0 and column 0 are in the scene
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(store(upright)))
    got = pixels(encoded(picture, kind, exif=exif)).astype(int)
    expected = upright[::2, ::2].astype(int)
    assert np.abs(got - expected)[1:3, 1:3].max() < 40
    assert np.abs(got - expected)[5:7, 5:7].max() < 40
    assert np.abs(got - expected)[1:3, 5:7].max() < 40


def test_orientation_of_a_wide_picture_is_turned_before_the_crop() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((16, 32, 3), np.uint8)  # stands upright as 32 high, 16 wide
    stored[:, :8] = 250  # the left quarter becomes the top quarter
    data = encoded(Image.fromarray(stored), "PNG", exif=exif)
    got = pixels(data, Preparation((16, 8)))
    assert (got[:3] > 230).all()
    assert (got[6:] < 20).all()


def test_damaged_exif_costs_no_picture() -> None:
    data = encoded(painting(0), "JPEG", exif=b"Exif\0\0" + b"II*\0\xff\xff\xff\xff" + b"\x99" * 40)
    with quiet_decoders():
        assert pixels(data).shape == (8, 8, 3)


def test_center_crop_and_stretch() -> None:
    stripes = np.zeros((16, 48, 3), np.uint8)
    stripes[:, 16:32] = 255
    data = encoded(Image.fromarray(stripes), "PNG")
    assert (pixels(data) > 200)[:, 1:-1].all()  # the middle square only
    whole = pixels(data, Preparation((16, 48)))
    assert np.array_equal(whole, stripes)  # the same size: not a pixel changes
    stretched = pixels(data, Preparation((12, 12), crop="stretch"))
    assert (stretched[:, 5:7] > 230).all()
    assert (stretched[:, [0, 1, 2, -1, -2, -3]] < 30).all()
    tall = pixels(encoded(Image.fromarray(stripes.swapaxes(0, 1)), "PNG"), Preparation((4, 8)))
    assert (tall > 200).all()


def test_the_crop_never_leaves_the_picture_by_rounding() -> None:
    """56 / 50 * 50 is a little more than 56 in floating point; Pillow refuses such a box."""
    assert 50 * (56 / 50) > 56
    data = encoded(painting(1, 40, 56), "PNG")
    got = pixels(data, Preparation((31, 50))).astype(int)
    with Image.open(io.BytesIO(data)) as picture:
        whole = picture.convert("RGB").resize(
            (50, 31), Image.Resampling.LANCZOS, (0, 2.64, 56, 37.36)
        )
    assert np.abs(got - np.asarray(whole)).max() <= 1


def test_shrinking_is_antialiased() -> None:
    """A checkerboard of single pixels becomes even gray; without antialiasing it would alias."""
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    got = pixels(encoded(Image.fromarray(board), "PNG"), Preparation((32, 32), channels=1))
    assert np.abs(got.astype(int) - 127.5).max() < 6


def test_large_jpeg_by_the_short_way_equals_the_long_way() -> None:
    data = encoded(painting(3, 900, 1200), "JPEG", quality=95)
    short = pixels(data, Preparation((32, 32))).astype(int)
    with Image.open(io.BytesIO(data)) as picture:
        square = picture.convert("RGB").crop((150, 0, 1050, 900))
        long = np.asarray(square.resize((32, 32), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(short - long).max() <= 4


def test_channels() -> None:
    gray = Preparation((8, 8), channels=1)
    assert decode(flat("RGB", (255, 0, 0)), gray)[0].shape == (1, 8, 8)
    assert np.unique(pixels(flat("RGB", (255, 0, 0)), gray)).tolist() == [76]  # ITU-R 601 luma


def test_enlargement_is_counted_and_limited() -> None:
    assert decode(encoded(painting(0, 4, 4), "PNG"), HOW)[1] == 2.0
    assert decode(encoded(painting(0, 32, 64), "PNG"), HOW)[1] == 0.25
    big = encoded(painting(0, 800, 800), "JPEG")
    assert decode(big, HOW)[1] == 0.01  # of the whole picture, not of the pre-shrunk one
    with pytest.raises(Refusal, match="too small: 8 x 7"):
        decode(encoded(painting(0, 7, 8), "PNG"), Preparation((64, 64)))


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_bad_files_are_refused_with_the_right_reason(kind: str) -> None:
    with pytest.raises(Refusal, match=REASONS[kind]) as refusal, quiet_decoders():
        decode(bad_bytes(kind), Preparation((32, 32)))
    assert str(refusal.value).startswith("it ")


def test_bombs_below_pillows_limit_for_errors_are_refused_before_decoding() -> None:
    for side in (13_500, 15_000, 19_000, 60_000):  # 182 million pixels and more
        with pytest.raises(Refusal, match="decompression bomb"), quiet_decoders():
            decode(bomb_png(side), HOW)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\0\0\0\x18ftypavif" + b"\0" * 50, "AVIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        (b"%PDF-1.7\n" + b"\0" * 50, "PDF"),
        (b"PK\x03\x04" + b"\0" * 50, "zip"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"P6\n2 2\n255\n" + b"\0" * 12, "known format"),  # a PPM is not on the list
        (b"RIFF\x10\0\0\0WEBPVP8 " + b"\0" * 20, "damaged"),
        (b"\xc3\x28" * 20, "known format"),
    ],
)
def test_foreign_formats_are_named(data: bytes, word: str) -> None:
    with pytest.raises(Refusal, match=word):
        decode(data, HOW)


@pytest.mark.parametrize(
    "change",
    [
        {"size": (3, 8)},
        {"size": (8, 5000)},
        {"size": (8.0, 8)},
        {"channels": 4},
        {"crop": "left"},
        {"background": "no color"},
        {"background": 7},
    ],
)
def test_impossible_preparations_are_refused(change: dict) -> None:
    with pytest.raises(GanBookError):
        Preparation(**{"size": (8, 8), **change})


def survives(data: bytes) -> None:
    with quiet_decoders():
        try:
            got, enlarged = decode(data, HOW)
        except Refusal:
            return
    assert got.shape == (3, 8, 8)
    assert got.dtype == np.uint8
    assert enlarged > 0


FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(
    st.binary(max_size=400),
    st.sampled_from(
        [
            b"",
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"II*\0",
            b"MM\0*",
            b"BM",
            b"RIFF\xff\0\0\0WEBPVP8 ",
        ]
    ),
)
def test_any_bytes_give_a_picture_or_a_refusal(data: bytes, start: bytes) -> None:
    survives(start + data)


@FUZZ
@given(
    st.integers(0, 19),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
)
def test_mutated_pictures_give_a_picture_or_a_refusal(
    which: int, changes: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(good_file(which)[1])
    for place, value in changes:
        data[min(int(place * len(data)), len(data) - 1)] = value
    survives(bytes(data if cut < 0.3 else data[: int(cut * len(data))]))
