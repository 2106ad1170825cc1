"""The gallery: `book/_assets/gallery/`, a sheet of each shipped model and three films of walks.

    python tests/tools/make_gallery.py              # everything, five minutes on one core
    python tests/tools/make_gallery.py inr-32       # one model

Nobody picks a picture. A model paints 1,024 from seed 0 (a conditional one goes through its labels
in turn). The rule, on the features of the book's extractor:

1. *Typical*: keep the half whose fifth nearest neighbor among the 1,024 is nearest. Failures stand
   alone; what a model paints often has neighbors.
2. *Different*: begin with the most typical; take again and again the picture that is farthest from
   all taken so far (farthest-point selection; Gonzalez, 1985).

So a sheet shows what a model does well and how far it reaches, not its average: for that there is
`samples.png` beside each card. Indices, seed and hashes stand in the PNG.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import gan_book as gb
from gan_book import animation, plots, provenance
from gan_book.data import to_uint8
from gan_book.latents import Space, walk
from gan_book.model import Model, latents

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "book" / "_assets" / "gallery"
PAINTED, SEED, NEIGHBOR, HUNG, COLUMNS = 1024, 0, 5, 24, 8
# how many times each picture is enlarged: a sheet is about 800 pixels wide
SHEETS = {
    "atelier-32": 3,
    "atelier-32-styles": 3,
    "atelier-32-pairs": 3,
    "paintings-32": 3,
    "landscapes-16": 6,
    "stylegan-16": 6,
    "transformer-16-fine": 6,
    "inr-32": 3,
}
FILMS = {"atelier-32": "z", "paintings-32": "z", "stylegan-16": "w"}  # and the space to walk in
KEYS, FRAMES, FPS, WALKS = 4, 32, 8, 3


def typical(features: Tensor, k: int = NEIGHBOR) -> Tensor:
    """Indices of the half of ``features`` (N, d) whose k-th nearest neighbor is nearest, in order.

    Shape (N // 2,); ties go to the earlier picture.
    """
    far = torch.cdist(features.double(), features.double())  # (N, N)
    reach = far.sort(1).values[:, k]  # (N,); column 0 is the picture itself
    return reach.argsort(stable=True)[: len(features) // 2]


def different(features: Tensor, n: int) -> list[int]:
    """Indices of ``n`` rows of ``features`` (N, d), each the farthest from those before it."""
    x = features.double()
    taken = [0]
    nearest = torch.cdist(x, x[:1])[:, 0]  # (N,) to the nearest one taken
    while len(taken) < min(n, len(x)):
        taken.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, torch.cdist(x, x[taken[-1:]])[:, 0])
    return taken


def choose(pictures: Tensor, n: int = HUNG) -> list[int]:
    """Indices of the ``n`` pictures that hang, by the rule above; uint8 (N, 3, H, W)."""
    features = gb.extractor()(pictures)  # (N, d)
    half = typical(features)
    return [int(half[i]) for i in different(features[half], n)]


def hang(model: Model, name: str, out: Path) -> None:
    """Choose and write the sheet of one model, with a record of where it comes from."""
    painted = model.sample(PAINTED, seed=SEED)
    chosen = choose(painted)
    sheet = plots.grid(painted[chosen], COLUMNS, SHEETS[name])
    facts: dict[str, Any] = {"seed": SEED, "n": PAINTED, "rule": "typical half, farthest points"}
    provenance.save(sheet, out / f"{name}.png", provenance.record(model, **facts, chosen=chosen))


def shoot(model: Model, name: str, kind: str, out: Path) -> None:
    """Write the film of three walks side by side, each through four codes and back."""
    space = Space(model.generator, kind)
    z = latents(KEYS * WALKS, int(model.generator.z_dim), SEED)  # type: ignore[arg-type]
    codes = space.encode_z(z).reshape(KEYS, WALKS, -1)  # (KEYS, WALKS, d)
    with torch.no_grad():
        frames = [
            plots.grid(to_uint8(space.decode(x)), WALKS, SHEETS[name])
            for x in walk(codes, FRAMES, spherical=kind == "z")
        ]
    animation.save(frames, out / f"{name}.webp", FPS)


def main(arguments: list[str] | None = None) -> None:
    """Make the gallery, or a part of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"models (default: all): {', '.join(SHEETS)}")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or SHEETS:
        if name not in SHEETS:
            parser.error(f"there is no sheet of {name!r}; there are {', '.join(SHEETS)}")
        model = gb.load_model(name, device="cpu")
        hang(model, name, options.out)
        if name in FILMS:
            shoot(model, name, FILMS[name], options.out)
        print(name)


if __name__ == "__main__":
    main()
