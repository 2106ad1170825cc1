"""Recorded runs of "A training to wind back": `book/_assets/live/run-*.webp` and `runs-data.js`.

    python tests/tools/make_replays.py [NAME ...]      trains, about four minutes a run on one core

Each run is trained by `gan_book.train` into runs/replay/NAME with `select`, unless it is there
already, and leaves what every run leaves: log.jsonl, best.json and samples/. From these files alone
the page's data are made: the numbers, and of each sample grid the first pictures, unchanged, a
row for each grid, in one WebP. The page reads a reader's own run folder in the same way.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

LIVE, RUNS = ROOT / "book" / "_assets" / "live", ROOT / "runs" / "replay"
COLUMNS, SHOWN, SIDE, SCALE, GAP = 8, 24, 16, 4, 8  # of the sample grids: 8 to a row, 4 times 16
LOGGED = ("images", "d_loss", "g_loss", "real_logit", "fake_logit")
MEASURED = ("images", "kid", "kid_se", "coverage", "held_out_logit")
STYLES = ["dunes", "mist"]
# What is chosen by name: how the run is called, its pictures, what is held out, its recipe.
CHOSEN: dict[str, dict[str, Any]] = {
    "penalties": {
        "title": "1,000 pictures, with R1 and R2",
        "n": 1_400,
        "holdout": 400,
        "recipe": {"width": 32, "total_images": 160_000},
    },
    "no-penalties": {
        "title": "1,000 pictures, without penalties",
        "n": 1_400,
        "holdout": 400,
        "recipe": {"width": 32, "total_images": 160_000, "r1": 0.0, "r2": 0.0},
    },
    "few": {
        "title": "100 pictures, weak penalties",
        "n": 500,
        "holdout": 400,
        "recipe": {"width": 16, "total_images": 320_000, "r1": 0.001, "r2": 0.001, "lr": 1e-3},
    },
}
HEAD = "// Made by tests/tools/make_replays.py: the numbers of the recorded runs, and where their\n"
HEAD += "// sample grids stand in run-NAME.webp.\n\n"


def train(name: str, folder: Path) -> None:
    """Train a run into its folder."""
    import gan_book as gb
    from gan_book.selection import BestCheckpoint

    chosen = CHOSEN[name]
    options = dict(chosen["recipe"])
    width, total = options.pop("width"), options["total_images"]
    options["generator"] = {"model": "dcgan", "width": width, "z_dim": 64}
    options["discriminator"] = {"model": "dcgan", "width": width}
    options |= {"name": f"replay-{name}", "sample_every": total // 25, "log_every": total // 100}
    images = gb.load_images("atelier", size=SIDE, n=chosen["n"], seed=0, styles=STYLES)
    watch = BestCheckpoint(images, images.split(chosen["holdout"]), copying=None)
    gb.train(
        gb.recipe("small-16", **options, checkpoint_every=total), images, folder,
        holdout=chosen["holdout"], select=True, callbacks=[watch], device="cpu",
    )  # fmt: skip


def column(entries: list[dict[str, Any]], key: str) -> list[float]:
    """Return one key of all entries, to four digits; counts stay whole."""
    return [e[key] if isinstance(e[key], int) else float(f"{e[key]:.4g}") for e in entries]


def tiles(path: Path) -> np.ndarray:
    """Return the first pictures of a sample grid as they were, side by side: (16, 24 * 16, 3)."""
    with Image.open(path) as picture:
        grid = np.asarray(picture.convert("RGB"))
    step = SIDE * SCALE + GAP
    shown = []
    for i in range(SHOWN):
        top, left = (GAP + step * k for k in divmod(i, COLUMNS))
        large = grid[top : top + SIDE * SCALE, left : left + SIDE * SCALE]
        shown.append(large[::SCALE, ::SCALE])
    return np.concatenate(shown, 1)


def prepare(name: str, folder: Path) -> tuple[Image.Image, dict[str, Any]]:
    """Return the sheet of a run, and the numbers that the page shows."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    best = json.loads((folder / "best.json").read_text())
    grids = sorted((folder / "samples").glob("*.png"))
    sheet = np.concatenate([tiles(path) for path in grids])
    facts = {
        "name": name,
        "title": CHOSEN[name]["title"],
        "trained": CHOSEN[name]["n"] - CHOSEN[name]["holdout"],
        "seconds": round(log[-1]["seconds"]),
        "frames": [int(path.stem) for path in grids],
        "log": {key: column(log, key) for key in LOGGED},
        "measured": {key: column(best["history"], key) for key in MEASURED},
        "validation": best["validation"],
        "best": best["images"],
    }
    return Image.fromarray(sheet), facts


def main(names: list[str]) -> int:
    """Train what is not there, then write the sheets and their list."""
    for name in names or CHOSEN:
        if not (RUNS / name / "best.json").is_file():
            train(name, RUNS / name)
    told = []
    for name in CHOSEN:
        if not (RUNS / name / "best.json").is_file():
            print(f"runs/replay/{name} is not there; nothing is written.")
            return 1
        sheet, facts = prepare(name, RUNS / name)
        target = LIVE / f"run-{name}.webp"
        sheet.save(target, lossless=True, quality=100, method=6)
        told.append(f"  {json.dumps(facts)},")
        print(f"{target.name}: {target.stat().st_size / 1000:.0f} KB")
    text = HEAD + "\n".join(["export const RUNS = [", *told, "];", ""])
    (LIVE / "runs-data.js").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
