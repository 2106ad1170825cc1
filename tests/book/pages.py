"""Reading built pages: their links, loads and pictures."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "_build" / "html"
# Attributes that make a browser load something without a click.
LOADING = {
    ("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src"),
    ("audio", "src"), ("embed", "src"), ("object", "data"), ("video", "poster"),
}  # fmt: skip
LOADING_LINKS = {
    "stylesheet", "preload", "modulepreload", "preconnect", "dns-prefetch", "icon", "manifest",
    "prefetch",
}  # fmt: skip


class Page(NamedTuple):
    """What a page holds."""

    loads: list[str]
    links: list[str]
    ids: set[str]
    pictures_without_alt: list[str]
    titles: int


class Reader(HTMLParser):
    """Collects what `Page` holds."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], [], set(), [], 0)
        self.titles = 0
        self.printed = False  # inside the heading that only the printed page shows

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one tag."""
        values = {name: value or "" for name, value in attrs}
        for name in ("id", "name"):
            if values.get(name):
                self.page.ids.add(values[name])
        if values.get("id") == "jb-print-docs-body":
            self.printed = True
        elif tag == "article":
            self.printed = False
        self.titles += tag == "h1" and not self.printed
        for name, value in values.items():
            if (tag, name) in LOADING:
                self.page.loads.append(value)
        if tag == "link" and LOADING_LINKS & set(values.get("rel", "").lower().split()):
            self.page.loads.append(values.get("href", ""))
        if tag == "a" and values.get("href"):
            self.page.links.append(values["href"])
        if tag == "img" and not values.get("alt", "").strip():
            self.page.pictures_without_alt.append(values.get("src", "")[:80])


def read(path: Path) -> Page:
    """Return what a built page holds."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page._replace(titles=reader.titles)


def content_pages(built: Path = BUILT) -> list[Path]:
    """Return the pages of the book, without index and search."""
    made = {"genindex.html", "search.html", "py-modindex.html"}
    return sorted(path for path in built.glob("*.html") if path.name not in made)
