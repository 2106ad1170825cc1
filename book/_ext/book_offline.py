"""Sphinx extension: pages that ask no other host for anything, and load only what they use.

Drops the scripts of thebe (live kernels, loaded from a CDN on a click) and stops the build when a
page would load a script or a style sheet from another host, naming the page and the address.
Takes out the theme's script of icons (1.5 MB; its style sheet draws the same icons) and its font
preloads, which browsers refuse when a page is opened as a file.
"""

from __future__ import annotations

import re
from pathlib import Path
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
# The settings that sphinx-thebe writes into every page, for scripts that are not there.
SETTINGS = re.compile(
    r"<script type=\"text/x-thebe-config\">.*?</script>\s*"
    r"(?:<script>\s*kernelName\s*=.*?</script>\s*)?",
    re.DOTALL,
)

# Written by the theme's templates, after all events that could filter them.
ICONS = re.compile(
    r"[ \t]*<link\b[^>]*\brel=\"preload\"[^>]*\bhref=\"[^\"]*/fontawesome/[^>]*>\n?"
    r"|[ \t]*<script\b[^>]*\bsrc=\"[^\"]*/fontawesome/[^>]*></script>\n?"
)


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
    context["body"] = SETTINGS.sub("", context.get("body") or "")
    found = remote(context["body"])
    if found:
        raise ExtensionError(f"{page}: would load {found[0]}; put a copy into book/_assets")


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Take out of the built pages what they load and do not need."""
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).glob("*.html"):
        text = path.read_text(encoding="utf-8")
        shorter = ICONS.sub("", text)
        if shorter != text:
            path.write_text(shorter, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the filter, after all other extensions have added their scripts."""
    app.connect("html-page-context", keep_local, priority=999)
    app.connect("build-finished", lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
