"""The picture of the rooms: as the imports are, readable, with a true alternative text."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

from tests.tools import make_architecture as drawing
from tests.tools import test_structure as house

PAGE = (house.ROOT / "book" / "contributing.md").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def test_picture_is_current():
    said = "python tests/tools/make_architecture.py"
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.draw(), said


def test_every_room_has_its_box_and_its_files():
    assert set(drawing.ABOUT) == set(house.ROOMS)
    shown = " ".join(
        t.text or "" for t in ElementTree.fromstring(drawing.draw()).iter(SVG + "text")
    )
    for name in house.ROOM_OF:
        assert re.search(rf"(?<!\w){name}(?!\w)", shown), name


def test_lines_are_those_imports_that_follow_from_no_other():
    edges = drawing.graph()
    drawn = [
        tuple(path.attrib["data-edge"].split())
        for path in ElementTree.fromstring(drawing.draw()).iter(SVG + "path")
    ]
    assert len(set(drawn)) == len(drawn)
    fewer = {room: {b for a, b in drawn if a == room} for room in edges}
    for room in edges:  # the same rooms can be reached, and no line can be missed
        assert drawing.reached(fewer, room) == drawing.reached(edges, room)
        for other in fewer[room]:
            less = {**fewer, room: fewer[room] - {other}}
            assert other not in drawing.reached(less, room)
    assert all(others <= house.ROOMS[room] for room, others in edges.items())


def test_a_line_that_follows_from_others_is_left_out():
    edges = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert drawing.reduced(edges) == {"a": {"b"}, "b": {"c"}, "c": set()}
    assert [drawing.level(edges, room) for room in "abc"] == [2, 1, 0]


def test_a_planted_import_is_drawn(tmp_path):
    package = tmp_path / "gan_book"
    (package / "data").mkdir(parents=True)
    for name in ("__init__", "losses", "penalties", "data/__init__"):
        (package / f"{name}.py").write_text("")
    (package / "losses.py").write_text("def f():\n    from .penalties import r1\n")
    edges = drawing.graph(package)
    assert edges["losses"] == {"penalties"}
    assert 'data-edge="losses penalties"' in drawing.draw(edges)


def test_boxes_do_not_overlap_and_lie_in_the_frame():
    boxes = drawing.places(drawing.graph())
    for (a, (x, y, w, h)), (b, (u, v, s, t)) in combinations(boxes.items(), 2):
        assert x + w <= u or u + s <= x or y + h <= v or v + t <= y, (a, b)
    for room, (x, _, w, _) in boxes.items():
        assert x >= 0, room
        assert x + w <= drawing.WIDTH, room
        longest = max(len(line) for line in drawing.lines_of(room))
        assert longest * drawing.LETTER <= w - 20, room


def luminance(color: str) -> float:
    """The relative luminance of "#rrggbb" (WCAG 2)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_is_readable_on_light_and_dark_pages():
    """It brings its own paper; text stands out from the boxes, lines from the paper."""
    for front, back, ratio in (
        (drawing.INK, drawing.FILL, 7),
        (drawing.SOFT, drawing.FILL, 4.5),
        (drawing.EDGE, drawing.FILL, 4.5),
        (drawing.EDGE, drawing.PAPER, 3),
    ):
        assert (luminance(back) + 0.05) / (luminance(front) + 0.05) >= ratio


def test_the_alternative_text_tells_what_the_picture_shows():
    (alt,) = re.findall(r":alt: (.+)", PAGE)
    edges = drawing.graph()
    rows = {drawing.level(edges, room) for room in house.ROOMS}
    numbers = {5: "five", 6: "six", 12: "Twelve", 13: "Thirteen"}
    assert alt.startswith(
        f"{numbers[len(house.ROOMS)]} rooms of the package in {numbers[len(rows)]}"
    )
    # The rooms are named in the order of their rows; the last is paraphrased.
    named = [room for room in re.findall(r"\w+", alt) if room in house.ROOMS and room != "out"]
    assert sorted(named) == sorted(set(house.ROOMS) - {"out"})
    levels = [drawing.level(edges, room) for room in named]
    assert levels == sorted(levels)
