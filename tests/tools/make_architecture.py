"""The picture of the package's rooms: `book/_assets/architecture.svg`, from the imports themselves.

    python tests/tools/make_architecture.py      writes it

A box is a room of `tests/tools/test_structure.py` with its files; a line leads from a room to one
that imports it. Lines that follow from others are left out, so that the picture shows the order.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import test_structure as house

PICTURE = house.ROOT / "book" / "_assets" / "architecture.svg"
# What a room is for, and the middle of its box from left to right.
ABOUT = {
    "models": ("networks", 80),
    "data": ("pictures in", 222),
    "losses": ("real or not", 358),
    "penalties": ("slopes", 488),
    "augment": ("small changes", 618),
    "base": ("files, machine, claims", 772),
    "objectives": ("what a step minimizes", 390),
    "features": ("how good, how varied", 882),
    "training": ("the loop and its runs", 390),
    "latents": ("walk, find, edit", 882),
    "pictures": ("figures and widgets", 620),
    "out": ("out of the house", 620),
}
WIDTHS = {"models": 130, "data": 130, "losses": 118, "penalties": 118, "augment": 118,
          "objectives": 400, "training": 480, "pictures": 330, "out": 560}  # fmt: skip
BOX, TOP, GAP = 172, 24, 46
WIDTH = 980
LETTER, LINE = 6.7, 17  # of the small text, in pixels
PAPER, INK, SOFT, EDGE, FILL = "#fbf9f5", "#22201c", "#5d574c", "#8a3b12", "#ffffff"
FONTS = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif"

Graph = dict[str, set[str]]


def graph(package: Path = house.PACKAGE) -> Graph:
    """Return {room: the other rooms that its files import}."""
    files = house.modules(package)
    found: Graph = {room: set() for room in house.ROOMS}
    for name, path in files.items():
        top = name.split(".")[0]
        if not name or top in house.EVERYWHERE:
            continue
        for other in house.imports(name, path, set(files)):
            target = other.split(".")[0]
            if target not in house.EVERYWHERE and target in house.ROOM_OF:
                found[house.ROOM_OF[top]].add(house.ROOM_OF[target])
    return {room: others - {room} for room, others in found.items()}


def reached(edges: Graph, room: str) -> set[str]:
    """Return every room that one can get to from a room."""
    found: set[str] = set()
    waiting = list(edges[room])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += edges[other]
    return found


def reduced(edges: Graph) -> Graph:
    """Return the graph without the edges that follow from longer ways (it has no cycles)."""
    return {
        room: {x for x in others if not any(x in reached(edges, y) for y in others - {x})}
        for room, others in edges.items()
    }


def level(edges: Graph, room: str) -> int:
    """Return the row of a room: 0 if it imports none, else one more than the lowest it imports."""
    return 1 + max((level(edges, other) for other in edges[room]), default=-1)


def files_of(room: str) -> list[str]:
    """Return the files and folders of a room, as the table of the house has them."""
    return sorted(name for name, where in house.ROOM_OF.items() if where == room)


def lines_of(room: str) -> list[str]:
    """Return the small text of a box: its files, wrapped."""
    width = int((WIDTHS.get(room, BOX) - 20) / LETTER)
    return textwrap.wrap(", ".join(files_of(room)), width, break_long_words=False)


def places(edges: Graph) -> dict[str, tuple[float, float, float, float]]:
    """Return {room: (left, top, width, height)} of all boxes."""
    rows = [[r for r in ABOUT if level(edges, r) == i] for i in range(len(ABOUT))]
    found, y = {}, float(TOP)
    for row in (row for row in rows if row):
        height = max(50 + LINE * len(lines_of(room)) for room in row)
        for room in row:
            width = WIDTHS.get(room, BOX)
            found[room] = (ABOUT[room][1] - width / 2, y, float(width), float(height))
        y += height + GAP
    return found


def draw(edges: Graph | None = None) -> str:
    """Return the picture as SVG."""
    edges = graph() if edges is None else edges
    boxes = places(edges)
    height = round(max(y + h for _, y, _, h in boxes.values())) + TOP
    size = {"width": str(WIDTH), "height": str(height), "viewBox": f"0 0 {WIDTH} {height}"}
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img",
                           "font-family": FONTS, **size})  # fmt: skip
    SubElement(root, "title").text = "The rooms of gan_book and what each imports"
    frame = {"x": "0.5", "y": "0.5", "width": str(WIDTH - 1), "height": str(height - 1)}
    SubElement(root, "rect", {**frame, "rx": "10", "fill": PAPER, "stroke": "#d9d3c7"})

    for room, others in reduced(edges).items():
        x1, y1 = boxes[room][0] + boxes[room][2] / 2, boxes[room][1]
        for other in sorted(others):
            left, top, wide, high = boxes[other]
            x0, y0 = left + wide / 2, top + high
            # It arrives below the room it comes from, as far as the box is wide.
            reach = boxes[room][2] / 2 - 14
            x = min(max(x0, x1 - reach), x1 + reach)
            bend = f"C{x0:.0f} {y0 + GAP / 2:.0f} {x:.0f} {y1 - GAP / 2:.0f} {x:.0f} {y1:.0f}"
            SubElement(root, "path", {"d": f"M{x0:.0f} {y0:.0f}{bend}", "fill": "none",
                                      "stroke": EDGE, "stroke-width": "2.5",
                                      "data-edge": f"{room} {other}"})  # fmt: skip

    def text(x: float, y: float, words: str, fill: str, **more: str) -> None:
        where = {"x": f"{x:.0f}", "y": f"{y:.0f}", "fill": fill, "font-size": "13"}
        SubElement(
            root, "text", where | {k.replace("_", "-"): v for k, v in more.items()}
        ).text = words

    for room, (x, y, width, high) in boxes.items():
        shape = {"x": f"{x:.0f}", "y": f"{y:.0f}", "width": f"{width:.0f}", "height": f"{high:.0f}"}
        SubElement(root, "rect", {**shape, "rx": "6", "fill": FILL, "stroke": EDGE})
        text(x + 10, y + 22, room, INK, font_size="16", font_weight="600")
        text(x + 10, y + 40, ABOUT[room][0], EDGE)
        for i, line in enumerate(lines_of(room)):
            text(x + 10, y + 40 + LINE * (i + 1), line, SOFT)
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
