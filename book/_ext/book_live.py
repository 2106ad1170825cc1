"""Sphinx extension: one plain script for each live figure, out of small ES modules.

Browsers refuse modules on pages that are opened as files, so each ``book/_assets/live/*-page.js``
is joined with what it imports into ``_static/live/bundle/*-page.js``. It understands
``import { a, b as c } from "./other.js";`` and ``export`` before a function, class or const;
anything else stops the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const) (\w+)", re.MULTILINE)
LEFT = re.compile(r"^(?:import|export)\b.*|\bimport\(|\bimport\.meta\b", re.MULTILINE)


def joined(page: Path) -> str:
    """Return a script that runs a module and everything it imports, each once.

    Raises ``ExtensionError`` for a statement it does not understand and for circles of imports.
    """
    parts: dict[str, str] = {}
    open_: list[str] = []

    def add(path: Path) -> None:
        if path.name in open_:
            raise ExtensionError(f"{path}: imports itself through {' -> '.join(open_)}")
        if path.name in parts:
            return
        open_.append(path.name)
        text = path.read_text(encoding="utf-8")
        taken = []
        for names, other in IMPORT.findall(text):
            add(path.parent / other)
            named = re.sub(r"\bas\b", ":", " ".join(names.split()))
            taken.append(f"const {{{named}}} = modules[{other!r}];")
        given = ", ".join(name for _, name in EXPORT.findall(text))
        body = EXPORT.sub(r"\1 \2", IMPORT.sub("", text))
        strange = LEFT.search(body)
        if strange:
            raise ExtensionError(f"{path}: cannot be joined into a script: {strange.group()}")
        parts[path.name] = "\n".join(
            [f"modules[{path.name!r}] = (() => {{", *taken, body.rstrip(), f"return {{{given}}};",
             "})();"]
        )  # fmt: skip
        open_.pop()

    add(page)
    return "\n".join(["(() => {", '"use strict";', "const modules = {};", *parts.values(), "})();"])


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write the scripts beside the built pages."""
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / "live" / "bundle"
    folder.mkdir(parents=True, exist_ok=True)
    for page in sorted((Path(app.srcdir) / "_assets" / "live").glob("*-page.js")):
        (folder / page.name).write_text(joined(page) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect."""
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
