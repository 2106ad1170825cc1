"""A server for the built book, and a browser to look at it."""

from __future__ import annotations

import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator

import pytest

from tests.book.browsing import ARGUMENTS
from tests.book.pages import BUILT
from tests.conftest import chromium


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Serve the built book on this machine."""
    handler = functools.partial(Quiet, directory=str(BUILT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    """Start Chromium once."""
    from playwright.sync_api import sync_playwright

    executable = chromium()
    assert executable, "GAN_BOOK_REQUIRE_BROWSER=1 and no Chromium on this machine"
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield instance
        instance.close()


@pytest.fixture(scope="module")
def facts():
    """What the built book says about its models; without npm there are none."""
    found = json.loads((BUILT / "_static" / "live" / "models.json").read_text(encoding="utf-8"))
    if not found["models"] and os.environ.get("GAN_BOOK_REQUIRE_BROWSER") != "1":
        pytest.skip(found["why"])
    assert found["models"], found["why"]
    return found
