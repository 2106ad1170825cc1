"""Sphinx extension: pages that ask no other host for anything.

Drops the scripts of thebe (live kernels, loaded from a CDN on a click) and stops the build when a
page would load a script or a style sheet from another host, naming the page and the address.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# What a browser loads by itself. Links to click (<a href>) may point anywhere.
LOADS = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?=[^>]*\brel\s*=\s*[\"']?(?:stylesheet|preload|modulepreload|preconnect|icon))"
    r"[^>]*?\bhref\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|@import\s+(?:url\()?[\"']?((?:https?:)?//[^\"'\s)]+)",
    re.IGNORECASE,
)
UNUSED = ("thebe",)


def remote(text: str) -> list[str]:
    """Return the addresses on other hosts that a piece of HTML would load."""
    return ["".join(groups) for groups in LOADS.findall(text)]


def address_of(asset: Any) -> str:
    """Return the address of one of Sphinx's script or style entries."""
    return str(getattr(asset, "filename", None) or asset)


def is_unused(asset: Any) -> bool:
    """Return whether an asset belongs to something the book does not use."""
    said = f"{address_of(asset)} {getattr(asset, 'attributes', '')}".lower()
    return any(name in said for name in UNUSED)


def keep_local(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Filter a page's scripts and styles; refuse what comes from another host."""
    if app.builder.format != "html":
        return
    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context.get(kind, []) if not is_unused(asset)]
        for asset in context[kind]:
            address = address_of(asset)
            if re.match(r"(?:https?:)?//", address):
                raise ExtensionError(f"{page}: would load {address}; put a copy into book/_assets")
    found = remote(context.get("body") or "")
    if found:
        raise ExtensionError(f"{page}: would load {found[0]}; put a copy into book/_assets")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the filter, after all other extensions have added their scripts."""
    app.connect("html-page-context", keep_local, priority=999)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
