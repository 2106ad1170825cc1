"""Cover, logo and favicon, painted by a model of the book: `book/_assets/{cover,logo,favicon}.png`.

    python tests/tools/make_cover.py                            with the shipped atelier-32
    python tests/tools/make_cover.py --model runs/mine          with any unconditional model
    python tests/tools/make_cover.py --out /tmp/look            into another folder

Nobody picks a picture. The model paints 1,536 from seed 0; the book's style reader names the style
and the palette of each and says how sure it is. The cover takes the surest of each style, then the
surest in another palette, and so on, four of a style where it paints them all. They hang from cool
(left) to warm (right), by mean red minus mean blue, in four panels of five by seven fields. The
logo and the favicon are the surest "dunes" (a sun above sand). Every picture is enlarged a whole
number of times.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

Pictures = NDArray[np.uint8]  # (n, height, width, 3)

SAMPLES, SEED, OF_EACH, LOGO_STYLE = 1536, 0, 4, "dunes"
# One panel: each letter a square picture, of three, two or one fields. The others are its mirrors.
PANEL = ("AAABB", "AAABB", "AAACC", "dEECC", "fEEgh", "IIJJk", "IIJJl")
FIELD, GAP = 96, 6  # pixels on the cover; 96 is three times 32
FRAME, MAT = (138, 59, 18), (246, 238, 225)
COLORS = 32  # of the logo as SVG


def paint(model: str) -> tuple[Pictures, list[str], list[str], NDArray[np.float32]]:
    """Return a model's pictures, and the reader's styles, palettes and certainty."""
    import gan_book as gb

    made = gb.load_model(model, device="cpu").sample(SAMPLES, seed=SEED)
    reading = gb.extractor().read(made)
    certainty = (reading.style_probability * reading.palette_probability).numpy()
    return (
        np.ascontiguousarray(made.permute(0, 2, 3, 1).numpy()),
        [str(index) for index in reading.style.tolist()],
        [str(index) for index in reading.palette.tolist()],
        certainty,
    )


def style_index(name: str) -> str:
    """Return the label that `paint` gives a style of the Atelier."""
    from gan_book.data.atelier import STYLES

    return str(list(STYLES).index(name))


def choose(
    styles: list[str], palettes: list[str], certainty: NDArray[np.float32], count: int
) -> list[int]:
    """Return indices of `count` pictures: of each style the surest, in palettes of their own.

    Goes round the styles until there are enough, so that a model which lost a style still fills
    the cover. Ties go to the earlier picture.
    """
    order = sorted(range(len(styles)), key=lambda i: (-round(float(certainty[i]), 4), i))
    chosen: list[int] = []
    for times in range(1, len(styles) + 1):
        for style in sorted(set(styles), key=int):
            own = [i for i in order if styles[i] == style]
            seen = {palettes[i] for i in own if i in chosen}
            left = [i for i in own if i not in chosen]
            fresh = [i for i in left if palettes[i] not in seen] or left
            if fresh and sum(styles[i] == style for i in chosen) < times:
                chosen.append(fresh[0])
            if len(chosen) == count:
                return chosen
    raise SystemExit(f"{len(styles)} pictures are not enough for a cover of {count}.")


def slots() -> list[tuple[int, int, int]]:
    """Return (column, row, fields) of every picture of the cover, from left to right."""
    flipped = tuple(line[::-1] for line in PANEL)
    panels = (PANEL, flipped[::-1], flipped, PANEL[::-1])
    found = []
    for number, panel in enumerate(panels):
        for letter in sorted(set("".join(panel))):
            cells = [
                (x, y) for y, line in enumerate(panel) for x, c in enumerate(line) if c == letter
            ]
            x, y = min(cells)
            found.append((x + number * len(PANEL[0]), y, round(len(cells) ** 0.5)))
    return sorted(found, key=lambda slot: (slot[0] + slot[2] / 2, slot[1]))


def enlarge(picture: Pictures, side: int) -> Image.Image:
    """Return a picture, each pixel repeated a whole number of times, cut to a square of `side`."""
    own = picture.shape[0]
    times = max(1, -(-side // own))
    big = np.repeat(np.repeat(picture, times, axis=0), times, axis=1)
    start = (big.shape[0] - side) // 2
    return Image.fromarray(big[start : start + side, start : start + side])


def cover(pictures: Pictures) -> Image.Image:
    """Hang the pictures, cool ones left; the gaps are transparent, as light or dark as the page."""
    warmth = pictures[..., 0].astype(float).mean((1, 2)) - pictures[..., 2].mean((1, 2))
    order = sorted(range(len(pictures)), key=lambda i: (round(float(warmth[i]), 2), i))
    columns, rows = 4 * len(PANEL[0]), len(PANEL)
    canvas = Image.new("RGBA", (columns * FIELD, rows * FIELD), (0, 0, 0, 0))
    for index, (x, y, fields) in zip(order, slots(), strict=True):
        tile = enlarge(pictures[index], fields * FIELD - GAP)
        canvas.paste(tile, (x * FIELD + GAP // 2, y * FIELD + GAP // 2))
    return canvas


def framed(picture: Pictures) -> Pictures:
    """Return a picture with a frame and a mat, in its own pixels."""
    unit = max(1, picture.shape[0] // 32)
    mat = np.full([picture.shape[0] + 4 * unit] * 2 + [3], MAT, dtype=np.uint8)
    mat[2 * unit : -2 * unit, 2 * unit : -2 * unit] = picture
    frame = np.full([mat.shape[0] + 4 * unit] * 2 + [3], FRAME, dtype=np.uint8)
    frame[2 * unit : -2 * unit, 2 * unit : -2 * unit] = mat
    return frame


def as_svg(picture: Pictures) -> str:
    """Return a small picture as SVG, one rectangle for each run of a color in a row."""
    few = Image.fromarray(picture).quantize(COLORS, method=Image.Quantize.MEDIANCUT)
    colors = np.asarray(few.convert("RGB"))
    side = colors.shape[0]
    paths: dict[str, list[str]] = {}
    for y in range(side):
        x = 0
        while x < side:
            end = x
            while end < side and (colors[y, end] == colors[y, x]).all():
                end += 1
            color = "#{:02x}{:02x}{:02x}".format(*colors[y, x])
            paths.setdefault(color, []).append(f"M{x} {y}h{end - x}v1h-{end - x}z")
            x = end
    body = "".join(f'<path fill="{color}" d="{"".join(runs)}"/>\n' for color, runs in paths.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" role="img" '
        f'aria-label="The GAN Book" shape-rendering="crispEdges">\n{body}</svg>\n'
    )


def write(
    out: Path,
    pictures: Pictures,
    styles: list[str],
    palettes: list[str],
    certainty: NDArray[np.float32],
    logo_style: str,
) -> list[Path]:
    """Write the four files; return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = choose(styles, palettes, certainty, len(slots()))
    wide = cover(pictures[chosen])
    wide.save(out / "cover.png", optimize=True)
    own = [i for i, style in enumerate(styles) if style == logo_style] or list(range(len(styles)))
    best = max(own, key=lambda i: (round(float(certainty[i]), 4), -i))
    logo = framed(pictures[best])
    enlarge(logo, logo.shape[0] * max(1, 400 // logo.shape[0])).save(
        out / "logo.png", optimize=True
    )
    (out / "logo.svg").write_text(as_svg(logo), encoding="utf-8")
    icon = pictures[best]
    enlarge(icon, icon.shape[0] * max(1, 64 // icon.shape[0])).save(
        out / "favicon.png", optimize=True
    )
    return [out / name for name in ("cover.png", "logo.png", "logo.svg", "favicon.png")]


def main(arguments: list[str] | None = None) -> int:
    """Paint, choose, hang; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="atelier-32", help="a shipped model or a run's folder")
    parser.add_argument("--out", type=Path, default=ROOT / "book" / "_assets")
    options = parser.parse_args(arguments)
    pictures, styles, palettes, certainty = paint(options.model)
    paths = write(options.out, pictures, styles, palettes, certainty, style_index(LOGO_STYLE))
    for path in paths:
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
