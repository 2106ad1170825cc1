"""A SinGAN of one Atelier picture, trained for longer than a notebook can: the chapter on any
resolution samples from it.

    python tests/benchmarks/one_picture.py       # a few minutes on one core

Writes ``data/models/singan/mist.safetensors`` (half precision) and ``card.json`` beside it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout without installation

import torch
from torch import Tensor

import gan_book as gb
from gan_book import checkpoints as files
from gan_book.fitting import Fit
from gan_book.machine import environment
from gan_book.models.singan import Pyramid
from gan_book.singan import train_singan

OUT = Path(__file__).parents[2] / "data" / "models" / "singan"
SIDE = 30
SETTINGS = {"steps": 1200, "width": 20, "coarsest": 16, "gamma": 1.0, "lr": 3e-3, "seed": 0}


def picture() -> Tensor:
    """The landscape (1, 3, SIDE, SIDE) in [-1, 1] that is learned."""
    four = gb.load_images("atelier", size=SIDE, n=4, seed=0, styles=["mist"], progress=False)
    return gb.to_float(four.images[2:3])


def opened() -> Pyramid:
    """The pyramid in the file, ready to sample."""
    tensors, meta = files.load_tensors(OUT / "mist.safetensors")
    pyramid = Pyramid([tuple(size) for size in meta["sizes"]], width=SETTINGS["width"])
    pyramid.load_state_dict({name: value.float() for name, value in tensors.items()})
    pyramid.trained = len(pyramid.sizes)
    return pyramid.requires_grad_(False)


def tell(scale: int, done: Fit) -> None:
    print(scale, {name: round(value, 4) for name, value in done.log[-1].items()}, flush=True)


def main() -> None:
    began = time.process_time()
    torch.set_num_threads(1)
    pyramid = train_singan(picture(), callback=tell, **SETTINGS)
    OUT.mkdir(parents=True, exist_ok=True)
    half = {name: value.half() for name, value in pyramid.state_dict().items()}
    files.save_tensors(OUT / "mist.safetensors", half, {"sizes": pyramid.sizes})
    error = (opened().reconstruct() - picture()).square().mean() / picture().var()
    card = {
        "use": "The finished model beside the short training in the chapter Any resolution.",
        "trained on": f"one picture of the Atelier: style mist, seed 0, number 2, {SIDE} pixels",
        "licence of the picture": "CC0-1.0 (painted by gan_book's Atelier)",
        "licence": "CC BY 4.0, as the book's figures",
        "command": "python tests/benchmarks/one_picture.py",
        "settings": SETTINGS,
        "parameters": sum(p.numel() for p in pyramid.parameters()),
        "dtype": "float16",
        "sha256": files.digest(half),
        "processor seconds": round(time.process_time() - began),
        "environment": environment(torch.device("cpu")),
        "error of the reconstruction": float(error),
    }
    files.write_json(OUT / "card.json", card)
    print(f"written to {OUT}")


if __name__ == "__main__":
    main()
