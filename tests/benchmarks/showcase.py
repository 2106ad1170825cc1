"""The models that the book ships: one command trains, measures and ships each; it goes on where it
stopped.

    python tests/benchmarks/showcase.py                        # what there is, and how far it is
    python tests/benchmarks/showcase.py atelier-32             # train to the end, then ship
    python tests/benchmarks/showcase.py atelier-32 --images 400000     # a slice; again to go on
    python tests/benchmarks/showcase.py atelier-32 --ship      # ship the best so far, no training
    python tests/benchmarks/showcase.py transformer-16 --keep  # its numbers only, as a result file

A recipe of the same name in the package says everything but the pictures, which stand below. The
checkpoint that ships is the one that is best on validation pictures; it is then measured once on
pictures that had no part in that choice. Into ``data/models/NAME`` go the weights in half
precision, a card, the log and a sheet of samples; a model that does not beat a Gaussian of pixels
does not ship, and its numbers go to ``data/results/showcase``. Paintings need
``GAN_BOOK_REAL_DATA``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.data import ImageSet, Split
from gan_book.measuring import split_of
from gan_book.plots import save_grid
from gan_book.results import save_result

ROOT = Path(__file__).parents[2]
SAMPLES = 64  # on the sheet of an unconditional model, of seed 0
READ = 2_400  # pictures drawn to read styles in


@dataclass(frozen=True)
class Show:
    """A shipped model: what it learns from, and what a reader has to know about it."""

    pictures: Callable[[int], ImageSet]  # by size
    trained_on: str
    use: str
    licence: str = ""  # of the pictures, where the files do not say it


def atelier(size: int) -> ImageSet:
    return gb.load_images("atelier", size=size, n=10_000, seed=100, progress=False)


def pairs(size: int) -> ImageSet:
    """Twice as many pictures, labelled by style and palette at once: 8 * style + palette."""
    painted = gb.load_images("atelier", size=size, n=20_000, seed=100, progress=False)
    style, palette = painted.labels, painted.attributes["palette"]  # (N,) each
    tints = painted.attribute_names["palette"]
    names = tuple(f"{s}, {p}" for s in painted.label_names for p in tints)
    return replace(painted, labels=len(tints) * style + palette, label_names=names)


def paintings(size: int) -> ImageSet:
    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    if not folder:
        sys.exit("Set GAN_BOOK_REAL_DATA to the folder that holds paintings-pd-128.zip.")
    return gb.load_images(Path(folder) / "paintings-pd-128.zip", size=size, progress=False)


def landscapes(size: int) -> ImageSet:
    """The thousand pictures of the chapter of that name."""
    return gb.load_images("atelier", size=size, styles=["dunes", "mist"], progress=False)


ATELIER = Show(
    atelier,
    "10,000 pictures of the Atelier (seed 100), 12 styles x 8 palettes, equally likely",
    "To play with, and as the finished model beside the live trainings of the book.",
)
LANDSCAPES = Show(
    landscapes,
    "1,000 pictures of the Atelier (seed 0), styles dunes and mist: those of the chapter "
    "A thousand pictures",
    "",  # each model says its own
)
SHOWS = {
    "atelier-32": ATELIER,
    "atelier-32-styles": ATELIER,
    "atelier-32-pairs": Show(
        pairs,
        "20,000 pictures of the Atelier (seed 100), 12 styles x 8 palettes, equally likely",
        "The model of the chapter Conditional GANs: style and palette are chosen.",
    ),
    "landscapes-16": replace(
        LANDSCAPES,
        use="The finished model beside that chapter's one-minute training.",
    ),
    "stylegan-16": replace(
        LANDSCAPES,
        use="The model of the chapter Style-based generators, whose layers are steered one by one.",
    ),
    "transformer-16-fine": replace(
        LANDSCAPES,
        use="The finished model of the chapter Transformers.",
    ),
    "inr-32": replace(
        LANDSCAPES,
        use="The model of the chapter Any resolution: trained at 32 x 32, it renders at any size.",
    ),
    "paintings-32": Show(
        paintings,
        "2,004 paintings in the public domain, 334 from each of six periods, central squares",
        "To see what a small network makes of 1,804 paintings; it holds color, light and "
        "composition, and no objects.",
        "works in the public domain; each named, with its source, in the set's own list",
    ),
}
WAITING = {  # for a GPU: rehearsed, not trained
    "atelier-64": replace(ATELIER, use="The Atelier at twice the side."),
    "atelier-64-styles": replace(ATELIER, use="The Atelier at twice the side, style by style."),
    "paintings-64": replace(SHOWS["paintings-32"], use="What 64 x 64 pixels add to paintings."),
    "paintings-128": replace(SHOWS["paintings-32"], use="What 128 x 128 pixels add to paintings."),
}
TRIED = {  # trained to the end, and not good enough to ship
    "transformer-16": replace(
        LANDSCAPES,
        use="To see what a longer training does for the transformer of the chapter of that name.",
    ),
}
TRAINED = SHOWS | WAITING | TRIED


def train(name: str, images: int | None) -> gb.Run:
    """Train to the end of the recipe, or until so many images in all were seen."""
    recipe = gb.recipe(name)
    pictures = TRAINED[name].pictures(recipe.size[0])
    steps = None if images is None else recipe.steps_of(images)
    return gb.train(recipe, pictures, ROOT / "runs" / name, steps=steps, resume=True, select=True)


def finished(name: str) -> tuple[gb.Run, dict[str, Any], ImageSet, Split]:
    """The run of a model, the choice of its best checkpoint, its pictures and their split."""
    run = ROOT / "runs" / name
    trained = gb.load_run(run, device="cpu")
    pictures = TRAINED[name].pictures(trained.recipe.size[0])
    data = files.read_json(run / "data.json")
    if pictures.fingerprint() != data["fingerprint"]:
        sys.exit("These are not the pictures that the run was trained on.")
    return trained, files.read_json(run / "best.json"), pictures, split_of(trained, pictures, data)


def ship(name: str) -> Path:
    """Write the best checkpoint of the run, measured, to ``data/models/NAME``."""
    run, out = ROOT / "runs" / name, ROOT / "data" / "models" / name
    began = time.perf_counter()
    trained, chosen, pictures, split = finished(name)
    half = {key: value.half() for key, value in trained.best.generator.state_dict().items()}
    header = {"recipe": trained.recipe.to_dict(), "name": name}
    staged = run / "to-ship"  # what is there already stays until this is found good enough
    staged.mkdir(exist_ok=True)
    files.save_tensors(staged / "generator.safetensors", half, header)
    shipped = gb.load_model(staged, device="cpu")  # what is measured is what is shipped
    report = gb.evaluate(shipped, pictures, split=split, seed=0)
    print(report)
    kid = {row["name"]: row["kid"]["value"] for row in report.to_dict()["rows"]}
    if next(iter(kid.values())) > kid["PCA-Gaussian"]:
        sys.exit("A Gaussian of pixels is nearer to the real pictures: not shipped (see --keep).")
    out.mkdir(parents=True, exist_ok=True)
    files.save_tensors(out / "generator.safetensors", half, header)
    sheet = sheet_of(shipped)
    early = trained.images_seen < trained.recipe.total_images
    part = f" --images {trained.images_seen}, then --ship" if early else ""
    card = {
        "name": name,
        "use": TRAINED[name].use,
        "trained on": TRAINED[name].trained_on,
        "licence of the pictures": TRAINED[name].licence or pictures.licence,
        "licence": "CC BY 4.0, as the book's figures",
        "fingerprint of the pictures": pictures.fingerprint(),
        "pictures": {key: len(getattr(split, key)) for key in ("train", "validation", "test")},
        "command": f"python tests/benchmarks/showcase.py {name}{part}",
        "recipe": trained.recipe.to_dict(),
        "parameters": sum(p.numel() for p in shipped.generator.parameters()),
        "dtype": "float16",
        "sha256": files.digest(half),
        "images seen": chosen["images"],
        "images seen by the whole run": trained.images_seen,
        "seconds": round(trained.log[-1]["seconds"]),
        "environment": trained.environment,
        "chosen by": {key: chosen[key] for key in ("kid", "kid_se", "n", "seed", "validation")},
        "measured": report.to_dict(),
        "styles": _styles(shipped),
        "samples": f"samples.png: {len(sheet)} pictures, seed 0",
    }
    files.write_json(out / "card.json", card)
    (out / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes())
    save_grid(
        sheet,
        out / "samples.png",
        columns=8,
        scale=2,
        metadata={"model": name, "seed": 0, "sha256": card["sha256"]},
    )
    print(f"shipped to {out} in {time.perf_counter() - began:.0f} s")
    return out


def keep(name: str) -> Path:
    """Measure the best checkpoint of the run and save what was found, without shipping it."""
    trained, chosen, pictures, split = finished(name)
    report = gb.evaluate(trained.best, pictures, split=split, seed=0).to_dict()
    rows = {row["name"]: row["kid"] for row in report["rows"]}
    history = [{key: past[key] for key in ("images", "kid")} for past in chosen["history"]]
    record = {
        "kind": "finished",
        "seeds": [0],
        "n": report["rows"][0]["kid"]["n_first"],
        "images": chosen["images"],
        "images_of_run": trained.images_seen,
        "seconds": trained.log[-1]["seconds"],  # of training
        "measured": {"trained": kid_of(rows.pop(report["rows"][0]["name"]))},
        "rows": {row: {"trained": kid_of(kid)} for row, kid in rows.items()},
        "history": history,
    }
    return save_result("showcase", name, record, device="cpu")


def kid_of(kid: dict[str, Any]) -> dict[str, float]:
    return {"kid": kid["value"], "kid_error": kid["standard_error"]}


def sheet_of(model: gb.Model) -> torch.Tensor:
    """The pictures of the sheet: a row of eight for each style, or the first of seed 0."""
    classes = model.recipe.num_classes
    if not classes:
        return model.sample(SAMPLES, seed=0)
    labels = torch.arange(96) * classes // 96  # eight of each style, or one of each pair
    return model.sample(len(labels), seed=0, labels=labels)


def _styles(model: gb.Model) -> dict[str, Any] | None:
    """The shares of styles as read and, where asked for, how often style and palette are right."""
    if not model.recipe.name.startswith("atelier"):
        return None
    classes = model.recipe.num_classes
    asked = torch.arange(READ) % classes if classes else None  # (N,)
    reading = gb.extractor(device="cpu").read(model.sample(READ, seed=2, labels=asked))
    shares = torch.bincount(reading.style, minlength=12) / READ  # (12,)
    facts: dict[str, Any] = {"n": READ, "seed": 2, "shares": [round(s, 4) for s in shares.tolist()]}
    if asked is not None:
        wanted = asked * 12 // classes  # (N,) styles
        right = (reading.style == wanted).double()  # (N,)
        facts["accuracy"] = right.mean().item()
        facts["accuracy by style"] = [right[wanted == c].mean().item() for c in range(12)]
    if classes == 96:
        facts["accuracy of palettes"] = (reading.palette == asked % 8).double().mean().item()
    return facts


def status() -> None:
    """Print how far each model is."""
    for name in TRAINED:
        best = ROOT / "runs" / name / "best.json"
        told = "not begun"
        if best.exists():
            facts = files.read_json(best)
            told = f"best at {facts['images']:,} images"
        shipped = (ROOT / "data" / "models" / name / "card.json").exists()
        total = gb.recipe(name).total_images
        print(f"{name:20} {total:>9,} images   {told}{', shipped' if shipped else ''}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", choices=list(TRAINED))
    parser.add_argument("--images", type=int, help="train until so many images in all were seen")
    parser.add_argument("--ship", action="store_true", help="ship the best so far, no training")
    parser.add_argument("--keep", action="store_true", help="save its numbers, no training")
    chosen = parser.parse_args()
    if chosen.name is None:
        status()
        return
    if chosen.keep:
        print(keep(chosen.name))
        return
    if not chosen.ship:
        print(train(chosen.name, chosen.images))
    if chosen.ship or chosen.images is None:
        ship(chosen.name)


if __name__ == "__main__":
    main()
