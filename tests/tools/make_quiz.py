"""Pictures of "Real or generated?": `book/_assets/live/quiz-*.png` and `quiz-data.js`.

    python tests/tools/make_quiz.py            about two minutes on one core

For each model 48 generated pictures (seed SEED), and 48 that the Atelier paints anew, which no
model has seen; for each of both the nearest of the model's training pictures, as the book's own
search finds it, with its distance. Nobody picks a picture. One PNG a model: four rows, real
pictures, their nearest, generated pictures, their nearest.
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

COUNT, SEED = 48, 9
# Model: the Atelier's settings for its training pictures, as its recipe's run used them.
SETS: dict[str, dict[str, Any]] = {
    "landscapes-16": {"n": 1000, "size": 16, "styles": ["dunes", "mist"], "seed": 0},
    "atelier-32": {"n": 10_000, "size": 32, "seed": 100},
}
HEAD = """\
// Made by tests/tools/make_quiz.py: what "Real or generated?" shows. Each set's PNG has four rows:
// real pictures, their nearest training pictures, generated pictures, their nearest.

"""


def prepare(name: str) -> tuple[Image.Image, dict[str, Any]]:
    """Return the sheet of a model, and what the page must know about it."""
    import gan_book as gb
    from gan_book.data.atelier import atelier
    from gan_book.memorization import nearest_pictures

    settings = SETS[name]
    model = gb.load_model(name, device="cpu")
    everything = atelier(**settings)
    found = everything.fingerprint()
    if found != model.card["fingerprint of the pictures"]:
        raise SystemExit(f"{name} learned from other pictures than these settings paint.")
    training = everything.images[everything.split().train]
    real = atelier(**{**settings, "n": COUNT, "seed": 1_000_000 + SEED}).images
    made = model.sample(COUNT, seed=SEED)
    rows, distances = [], {}
    for kind, x in (("real", real), ("generated", made)):
        near = nearest_pictures(x, training)
        rows += [x, training[near.index]]
        distances[kind] = [round(float(d), 2) for d in near.distance]
    side = settings["size"]
    sheet = np.concatenate([np.concatenate(list(r.permute(0, 2, 3, 1).numpy()), 1) for r in rows])
    assert sheet.shape == (4 * side, COUNT * side, 3)
    facts = {"name": name, "size": side, "count": COUNT, "trained": len(training), **distances}
    return Image.fromarray(sheet), facts


def main() -> int:
    """Write the sheets and their list."""
    folder = ROOT / "book" / "_assets" / "live"
    sets = []
    for name in SETS:
        sheet, facts = prepare(name)
        sheet.save(folder / f"quiz-{name}.png", optimize=True)
        sets.append(facts)
    lines = [f"  {json.dumps(facts)}," for facts in sets]
    text = HEAD + "\n".join(["export const SETS = [", *lines, "];", ""])
    (folder / "quiz-data.js").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
