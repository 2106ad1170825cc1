"""How long a generator of 64 x 64 pictures takes in a browser: milliseconds a picture.

    python tests/benchmarks/live_timing.py             # a minute a cell; needs Chromium and npm

The bar of the live pages is 60 ms a picture and 2 s to the first one, in Chromium, WebAssembly on
one thread, without a GPU. The book ships no trained 64 x 64 generator, so the networks here are
UNTRAINED: as their recipes initialize them, exported in half precision as `make book` exports. What
a multiplication costs does not depend on its factors (no numbers here are denormal), so the weights
do not change the time; "atelier-32", trained, stands beside for comparison.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import gan_book as gb
from gan_book.errors import need
from gan_book.export import export_onnx
from gan_book.model import Model
from gan_book.training import build_networks
from tests.benchmarks.grids import Record, grid_parser, run_grid
from tests.conftest import chromium
from tests.tools.make_live import NPM, RUNTIME

ROOT = Path(__file__).parents[2]
WARM, SINGLE, WALL, WALLS = 3, 40, 24, 5  # pictures before, one by one; of a wall, and how many
# Name of a cell: recipe, and what is changed in it; None: the shipped model of that name.
NETWORKS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "atelier-32": ("atelier-32", None),
    "atelier-64-untrained": ("atelier-32", {"size": (64, 64), "name": "atelier-64"}),
    "dcgan-64-untrained": ("dcgan-64", {}),
    "r3gan-64-untrained": ("r3gan-64", {}),
}
MEASURE = """async ([warm, single, size, walls]) => {
    const begin = performance.now();
    const { catalog, pixels, studio } = await import("./live/generators.js");
    const model = await studio("live/", await catalog("live/")).open("network");
    const drawn = await model.drawn(single + size, 0);
    const canvas = document.createElement("canvas");
    const paint = async (codes) => {
        const from = performance.now();
        const made = await model.paint(codes);
        canvas.getContext("2d").putImageData(pixels(made, codes.length - 1), 0, 0);
        return performance.now() - from;
    };
    await paint(drawn.slice(0, 1));
    const first = performance.now() - begin;
    for (let i = 0; i < warm; i++) await paint(drawn.slice(i, i + 1));
    const singles = [];
    for (let i = 0; i < single; i++) singles.push(await paint(drawn.slice(i, i + 1)));
    const grids = [];
    for (let i = 0; i < walls; i++) grids.push(await paint(drawn.slice(single)));
    return { first, singles, grids };
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def network(name: str) -> Model:
    """The shipped model of a cell, or an untrained one."""
    base, changes = NETWORKS[name]
    if changes is None:
        return gb.load_model(base, device="cpu")
    recipe = gb.recipe(base, **changes)
    return Model(build_networks(recipe, 0)[0].eval().requires_grad_(False), recipe)


def prepare(model: Model, site: Path) -> Record:
    """Write a site with one network and what runs it; return facts about it."""
    net: Any = model.generator
    live = site / "live"
    (live / "models").mkdir(parents=True)
    (live / "ort").mkdir()
    (site / "index.html").write_text("<!doctype html><title>timing</title>", encoding="utf-8")
    for path in (ROOT / "book" / "_assets" / "live").glob("*.js"):
        shutil.copy(path, live / path.name)
    for file in RUNTIME:
        shutil.copy(NPM / "dist" / file, live / "ort" / file)
    exported = export_onnx(model, live / "models" / "network.onnx", half=True)
    about = {
        "name": "network", "size": list(net.size), "z_dim": net.z_dim, "style_dim": net.z_dim,
        "space": "z", "layers": 0, "any_size": False, "labels": [],
        "parts": {"whole": {"file": "network.onnx", "bytes": exported.size}},
    }  # fmt: skip
    facts = {"why": "", "runtime": {"folder": "ort/"}, "models": [about]}
    (live / "models.json").write_text(json.dumps(facts), encoding="utf-8")
    parameters = sum(p.numel() for p in net.parameters())
    return {"parameters": parameters, "onnx_bytes": exported.size, "size": list(net.size)}


def cell(name: str) -> Record:
    """Times of one network: in milliseconds, medians; the first picture in seconds."""
    executable = chromium()
    need(executable, "There is no Chromium on this machine.")
    need(
        (NPM / "dist" / RUNTIME[0]).is_file(), "onnxruntime-web is not there: make setup, with npm."
    )
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place:
        record = prepare(network(name), Path(place))
        with served(Path(place)) as address, sync_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=executable, args=arguments)
            page = browser.new_page()
            page.goto(address)
            found = page.evaluate(MEASURE, [WARM, SINGLE, WALL, WALLS])
            record["browser"] = f"Chromium {browser.version}"
            browser.close()
    return record | {
        "seed": 0,  # of the latents, and of weights that nobody trained
        "trained": NETWORKS[name][1] is None,
        "first_picture_seconds": round(found["first"] / 1000, 3),
        "ms_a_picture": round(statistics.median(found["singles"]), 2),
        "ms_a_picture_slowest": round(max(found["singles"]), 2),
        "ms_a_picture_in_a_wall": round(statistics.median(found["grids"]) / WALL, 2),
        "pictures": {"one_by_one": SINGLE, "a_wall": WALL},
    }


def main() -> None:
    """Measure what is missing."""
    arguments = grid_parser(__doc__).parse_args()
    cells = {name: partial(cell, name) for name in NETWORKS}
    run_grid("live-timing", cells, arguments, show=lambda r: f"{r['ms_a_picture']} ms a picture")


if __name__ == "__main__":
    main()
