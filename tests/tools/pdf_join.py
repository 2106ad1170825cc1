"""Join printed pages into one PDF: links from page to page, bookmarks, page labels.

`tests/tools/make_pdf.py` prints the pages. Chromium writes a link to another page as the address
of a file, and one inside a page as a name; here both become places of the one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tests.tools import address

CONTENTS = "Contents"


class Printed(NamedTuple):
    """One printed page of the book."""

    name: str
    title: str
    sections: list[tuple[str, str]]  # (id, heading)
    file: Path
    first: int  # the number on its first sheet
    sheets: int
    wide: list[str]


class Part(NamedTuple):
    """A part of the book: its caption, empty for the first page, and its pages."""

    caption: str
    pages: list[str]


def sheets_of(path: Path) -> int:
    """Return the number of sheets of a PDF."""
    from pypdf import PdfReader

    return len(PdfReader(path).pages)


def resolve(link: str, here: str, built: Path, pages: set[str]) -> tuple[str, str] | str:
    """Return (page, place) of a link into this PDF, or the address that it has outside of it.

    ``link`` is a file's address as Chromium writes it, or "#place" on the page ``here``.
    """
    if link.startswith("#"):
        return here, unquote(link[1:])
    if not link.startswith("file:"):
        return link
    parts = urlsplit(link)
    path, root = unquote(parts.path), built.resolve().as_posix() + "/"
    if not path.startswith(root):
        raise SystemExit(f"{here}: the link {link} leaves the book.")
    name = path.removeprefix(root)
    if name.endswith(".html") and name.removesuffix(".html") in pages:
        return name.removesuffix(".html"), unquote(parts.fragment)
    return address.site() + name + (f"#{parts.fragment}" if parts.fragment else "")


def join(
    order: list[Printed], listed: list[Part], built: Path, target: Path, about: dict[str, str]
) -> list[str]:
    """Join the printed pages, the front first; return a line for each link that leads nowhere.

    ``about`` has the file's title and author. Links to pages that are not in ``order`` get the
    addresses of the book on the web.
    """
    from pypdf import PdfReader, PdfWriter
    from pypdf.constants import PageLabelStyle
    from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject, TextStringObject

    writer = PdfWriter()
    places: dict[tuple[str, str], tuple[int, float]] = {}
    starts: dict[str, int] = {}
    owner: list[str] = []
    for printed in order:
        reader = PdfReader(printed.file)
        start = starts[printed.name] = len(writer.pages)
        for sheet in reader.pages:
            writer.add_page(sheet)
            owner.append(printed.name)
        for name, place_of in reader.named_destinations.items():
            key = (printed.name, unquote(name.removeprefix("/")))
            sheet_number = reader.get_destination_page_number(place_of)
            places[key] = (start + (sheet_number or 0), float(place_of.top or 0))
        places[printed.name, ""] = (start, float(reader.pages[0].mediabox.top))

    def goes_to(place: tuple[int, float]) -> ArrayObject:
        sheet = writer.pages[place[0]].indirect_reference
        return ArrayObject(
            [sheet, NameObject("/XYZ"), FloatObject(0), FloatObject(place[1]), NullObject()]
        )

    lost = []
    names = {printed.name for printed in order}
    for number, sheet in enumerate(writer.pages):
        for reference in sheet.get("/Annots", ()):
            link = reference.get_object()
            if link.get("/Subtype") != "/Link":
                continue
            action = link.get("/A", {})
            goal = str(action["/URI"]) if "/URI" in action else "#" + str(link["/Dest"])[1:]
            found = resolve(goal, owner[number], built, names)
            if isinstance(found, str):
                action[NameObject("/URI")] = TextStringObject(found)
            elif found in places:
                link.pop("/A", None)
                link[NameObject("/Dest")] = goes_to(places[found])
            else:
                lost.append(f"{owner[number]}: the link to {'#'.join(found)} leads nowhere")

    front_sheets = order[0].sheets

    def bookmark(title: str, number: int, **more: Any) -> Any:
        return writer.add_outline_item(title=title, page_number=number, **more)

    bookmark(CONTENTS, places["", "contents"][0])
    pages = {printed.name: printed for printed in order}
    for part in listed:
        above = bookmark(part.caption, starts[part.pages[0]]) if part.caption else None
        for name in part.pages:
            chapter = bookmark(pages[name].title, starts[name], parent=above, is_open=False)
            for section, heading in pages[name].sections:
                spot = places[name, section]
                item = bookmark(heading, spot[0], parent=chapter).get_object()
                item.pop("/A", None)
                item[NameObject("/Dest")] = goes_to(spot)
    writer.set_page_label(0, front_sheets - 1, style=PageLabelStyle.LOWERCASE_ROMAN)
    if len(writer.pages) > front_sheets:
        writer.set_page_label(front_sheets, len(writer.pages) - 1, style=PageLabelStyle.DECIMAL)
    writer.page_mode = "/UseOutlines"
    said = {"/Title": about["title"], "/Author": about["author"], "/Subject": address.site()}
    writer.add_metadata(said)
    writer.root_object[NameObject("/Lang")] = TextStringObject("en-US")
    writer.compress_identical_objects()
    target.parent.mkdir(parents=True, exist_ok=True)
    writer.write(target)
    return lost
