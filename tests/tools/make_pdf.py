"""The whole book as one PDF: printed by Chromium page by page, joined with links and bookmarks.

    python tests/tools/make_pdf.py                writes _build/gan-book.pdf from _build/html
    python tests/tools/make_pdf.py dynamics vae   writes these pages only, to look at them

Needs the built book and Chromium (GAN_BOOK_BROWSER names another one), and no network. Cover and
contents come first, with Roman numbers. Links from page to page become links inside the file, or
the tool says which lead nowhere; a live figure or a film becomes a picture with the address where
it moves. Nothing may be wider than the page: what still is, is named and ends with status 1.
"""

from __future__ import annotations

import argparse
import datetime
import html
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import address, notebooks
from tests.tools.pdf_join import CONTENTS, Part, Printed, join, sheets_of

ROOT = notebooks.ROOT
HERE = Path(__file__).parent
FIRST = "To the reader"  # the name of the book's first page, whose own is the book's
LIVE = "This figure moves and answers in the book on the web"
FILM = "One picture of a film, which plays in the book on the web"
# A4 without the margins of pdf.css, in CSS pixels: 96 to the inch.
WIDTH, HEIGHT = round(166 / 25.4 * 96), round(251 / 25.4 * 96)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE = 120_000  # milliseconds; a machine may be busy
LARGEST = 60 * 2**20
TAKE_COVER = """() => {
  const cover = document.querySelector('p:has(> img[src$="cover.png"])');
  const line = cover?.nextElementSibling;
  const said = line?.querySelector(":scope > em:only-child") ? line.outerHTML : "";
  return (cover?.outerHTML ?? "") + said;
}"""
PUT_FRONT = """text => {
  document.querySelector(".bd-article").innerHTML = text;
  const link = document.createElement("a");
  link.href = "#contents";
  link.hidden = true;
  document.body.append(link);
  return Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
}"""


def settings() -> dict[str, Any]:
    """Return the book's settings: title, author and others."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def parts(book: Path = notebooks.BOOK) -> list[Part]:
    """Return the parts in the order of the table of contents, the first page as one of its own."""
    content = yaml.safe_load((book / "_toc.yml").read_text(encoding="utf-8"))
    found = [Part("", [content["root"]])]
    for part in content.get("parts", []):
        pages = [str(chapter["file"]) for chapter in part["chapters"]]
        found.append(Part(str(part.get("caption", "")), pages))
    return found


def chosen(among: list[Part], names: list[str]) -> list[Part]:
    """Return the parts with the named pages only; all of them without names."""
    known = {page for part in among for page in part.pages}
    strange = sorted(set(names) - known)
    if strange:
        raise SystemExit(f"The book has no page {', '.join(strange)}.")
    kept = [Part(p.caption, [n for n in p.pages if not names or n in names]) for p in among]
    return [part for part in kept if part.pages]


def style(first: int, head: str, numbers: str = "decimal") -> str:
    """Return the rules of one printed page: its first number, its running head."""
    text = json.dumps(head, ensure_ascii=False)
    return (
        f"html {{ counter-reset: page {first - 1}; }}\n"
        f"@page {{ @top-right {{ content: {text}; }}\n"
        f"  @bottom-center {{ content: counter(page, {numbers}); }} }}\n"
        "@page :first { @top-right { content: none; } }\n"
    )


@contextmanager
def chromium() -> Iterator[Any]:
    """Start Chromium; yield a function that opens a built page as it is laid out for paper."""
    from playwright.sync_api import sync_playwright

    named = os.environ.get("GAN_BOOK_BROWSER")
    executable = named or next((path for path in map(shutil.which, CHROMIUM) if path), None)
    if executable is None:
        raise SystemExit("There is no Chromium here: install it, or name one in GAN_BOOK_BROWSER.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        context = browser.new_context(
            viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light"
        )
        context.set_default_timeout(PATIENCE)
        # The scripts of live figures: without them their still pictures are shown.
        context.route(re.compile(r"/_static/live/bundle/"), lambda route: route.abort())
        # Nothing comes from another host.
        context.route(re.compile(r"^(?!file:|data:|blob:)"), lambda route: route.abort())

        def open_page(path: Path) -> Any:
            page = context.new_page()
            page.emulate_media(media="print", color_scheme="light")
            page.goto(path.as_uri(), wait_until="load")
            if page.evaluate("typeof MathJax !== 'undefined'"):
                page.wait_for_function("MathJax.startup && MathJax.startup.promise")
                page.evaluate("MathJax.startup.promise")
            page.add_style_tag(content=(HERE / "pdf.css").read_text(encoding="utf-8"))
            return page

        yield open_page
        browser.close()


def print_page(open_page: Any, path: Path, first: int, title: str, target: Path) -> Printed:
    """Print one built page from the number ``first`` on; ``title`` replaces its own if given."""
    page = open_page(path)
    facts = {"page": path.stem, "title": title, "site": address.site(), "live": LIVE,
             "film": FILM, "height": HEIGHT}  # fmt: skip
    found = page.evaluate((HERE / "pdf.js").read_text(encoding="utf-8"), facts)
    page.add_style_tag(content=style(first, found["title"]))
    page.pdf(path=target, prefer_css_page_size=True, print_background=True)
    page.close()
    sections = [(str(place), str(name)) for place, name in found["sections"]]
    sheets = sheets_of(target)
    return Printed(path.stem, found["title"], sections, target, first, sheets, found["wide"])


def front(picture: str, listed: list[Part], pages: dict[str, Printed], today: str) -> str:
    """Return cover and contents as HTML; ``picture`` is the cover's, with the line below it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    config = settings()
    subtitle = str(project["description"]).partition(", and ")[0]
    repository = address.repository()
    lines = [
        f'<section class="gb-cover"><h1>{html.escape(config["title"])}</h1>',
        f'<p class="gb-subtitle">{html.escape(subtitle)}</p>{picture}',
        f'<p class="gb-imprint">{html.escape(config["author"])}<br>',
        f"Version {project['version']}, printed {today}.",
        "Text and figures: CC BY 4.0; code: MIT.<br>",
        f'<a href="{address.site()}">{address.site()}</a> · ',
        f'<a href="{repository}">{repository}</a></p></section>',
        f'<section class="gb-contents" id="contents"><h2>{CONTENTS}</h2>',
    ]
    for part in listed:
        if part.caption:
            lines.append(f"<h3>{html.escape(part.caption)}</h3>")
        lines.append("<ol>")
        for name in part.pages:
            page = pages[name]
            lines.append(
                f'<li><a href="{name}.html"><span>{html.escape(page.title)}</span>'
                f'<span class="gb-dots"></span><span>{page.first}</span></a></li>'
            )
        lines.append("</ol>")
    return "\n".join([*lines, "</section>"])


def print_front(open_page: Any, built: Path, listed: list[Part], pages: dict[str, Printed],
                target: Path) -> Printed:  # fmt: skip
    """Print cover and contents, in the place and with the styles of the first page."""
    page = open_page(built / "index.html")
    picture = page.evaluate(TAKE_COVER)
    text = front(picture, listed, pages, datetime.date.today().isoformat())
    page.evaluate(PUT_FRONT, text)
    rules = style(1, "", "lower-roman") + "@page :first { @bottom-center { content: none; } }"
    page.add_style_tag(content=rules)
    page.pdf(path=target, prefer_css_page_size=True, print_background=True)
    page.close()
    return Printed("", CONTENTS, [], target, 1, sheets_of(target), [])


def make(built: Path, target: Path, listed: list[Part]) -> list[str]:
    """Print the listed pages of a built book into one file; return a line for each fault."""
    pages: dict[str, Printed] = {}
    number, about = 1, {"title": settings()["title"], "author": settings()["author"]}
    with tempfile.TemporaryDirectory() as folder, chromium() as open_page:
        for part in listed:
            for name in part.pages:
                title = "" if part.caption else FIRST
                file = Path(folder, f"{name}.pdf")
                printed = print_page(open_page, built / f"{name}.html", number, title, file)
                pages[name] = printed
                print(f"  {printed.first:4}  {printed.title}", flush=True)
                number += printed.sheets
        cover = print_front(open_page, built, listed, pages, Path(folder, "front.pdf"))
        lost = join([cover, *pages.values()], listed, built, target, about)
    wide = [f"{p.name}: wider than the page: {text}" for p in pages.values() for text in p.wide]
    return lost + wide


def main(arguments: list[str] | None = None) -> int:
    """Print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", help="pages without their endings; default: all")
    parser.add_argument("--built", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "gan-book.pdf")
    options = parser.parse_args(arguments)
    if not (options.built / "index.html").is_file():
        print(f"{options.built} holds no book: run `make book` first.")
        return 1
    problems = make(options.built, options.out, chosen(parts(), options.pages))
    for line in problems:
        print(line)
    size = options.out.stat().st_size
    print(f"{options.out.name}: {sheets_of(options.out)} pages, {size / 2**20:.1f} MB")
    if size > LARGEST:
        print(f"It is larger than {LARGEST / 2**20:.0f} MB.")
        return 1
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
