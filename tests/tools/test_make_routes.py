"""The map of routes: as its table says, and the lists beside it name the same chapters."""

from __future__ import annotations

import re

from tests.tools import make_routes, notebooks

PAGE = (notebooks.BOOK / "how-to-read.md").read_text(encoding="utf-8")


def test_map_is_current():
    assert make_routes.MAP.read_text(encoding="utf-8") == make_routes.draw()


def test_every_chapter_is_a_stop_in_the_order_of_the_book():
    order = re.findall(r"- file: ([\w-]+)", (notebooks.BOOK / "_toc.yml").read_text())
    first, last = order.index("history"), order.index("article")
    chapters = [page for page in order[first:last] if page not in make_routes.NO_STOPS]
    assert [page for _, page, _ in make_routes.STOPS] == chapters


def test_each_list_names_the_stops_of_its_line():
    for i, (name, *_) in enumerate(make_routes.LINES):
        section = PAGE.split(f"### {name.capitalize()}\n")[1].split("\n### ")[0].split("\n## ")[0]
        items = "\n".join(re.findall(r"(?ms)^\d+\. .*?(?=^\d+\. |^\S|\Z)", section))
        named = set(re.findall(r"\]\(([\w-]+)\.(?:ipynb|md)", items))
        reads = zip(make_routes.STOPS, make_routes.reads(i), strict=True)
        assert named == {page for (_, page, _), what in reads if what != "-"}, name
