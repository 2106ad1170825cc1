"""What the live figures of the built book need: networks as ONNX files, and what runs them.

    python tests/tools/make_live.py        after `jupyter-book build book/`, as `make book` does

Exports the shipped generators into `_static/live/models` of the built book, with their first
directions in `models.json`, and copies onnxruntime-web from tests/npm beside them. Exports are kept
in _build/live until the models, the exporter or its versions change. Without the packages of npm
or of Python nothing is copied, the pages show their still pictures, and `models.json` says why.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

NPM = ROOT / "tests" / "npm" / "node_modules" / "onnxruntime-web"
RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 1e-3  # difference of a picture in [-1, 1] from PyTorch's
DIRECTIONS = 6
# One line for each model that pages may show: its name, and what a reader is told about it.
MODELS = {
    "atelier-32": "twelve styles of the Atelier; it picks style and palette itself",
    "atelier-32-styles": "the Atelier, style by style",
    "atelier-32-pairs": "the Atelier, a style in a palette",
    "paintings-32": "1,804 paintings in the public domain: color, light and composition",
    "landscapes-16": "dunes and mist, from 900 pictures of the main chapter",
    "stylegan-16": "the same landscapes, with a style for each layer",
    "inr-32": "the same landscapes, as a function of the place: any size",
}


def missing() -> str:
    """Return why nothing can be prepared here, or an empty text."""
    if not all((NPM / "dist" / name).is_file() for name in RUNTIME):
        return (
            "onnxruntime-web was not there when this copy of the book was built; install Node.js "
            "with npm, and run make book"
        )
    for name in PACKAGES:
        try:
            version(name)
        except PackageNotFoundError:
            return f"the Python package {name} was not there when this copy of the book was built"
    return ""


def state_of(name: str) -> str:
    """Return a hash of all that an export of the model depends on."""
    seen = hashlib.sha256()
    package = ROOT / "gan_book"
    for path in [
        Path(__file__), ROOT / "data" / "models" / name / "generator.safetensors",
        package / "export.py", package / "model.py", package / "provenance.py",
        ROOT / "data" / "models" / name / "card.json",
        *sorted(package.glob("models/*.py")), *sorted(package.glob("latents/*.py")),
    ]:  # fmt: skip
        seen.update(path.read_bytes())
    seen.update(" ".join(version(package) for package in ("torch", *PACKAGES)).encode())
    return seen.hexdigest()


def labels_of(num_classes: int) -> list[dict[str, Any]]:
    """Return the questions that a label answers, the slowest first, each with its options."""
    from gan_book.data.atelier import PALETTES, STYLES

    questions: dict[int, list[tuple[str, Iterable[str]]]] = {
        0: [],
        len(STYLES): [("Style", STYLES)],
        len(STYLES) * len(PALETTES): [("Style", STYLES), ("Palette", PALETTES)],
    }
    asked = questions[num_classes]
    return [{"name": name, "options": list(options)} for name, options in asked]


def export(name: str, folder: Path) -> dict[str, Any]:
    """Write the ONNX files of a model into a folder; return what a page must know about it."""
    import torch

    import gan_book as gb
    from gan_book.export import export_onnx
    from gan_book.latents import Space, pca, sefa
    from gan_book.provenance import record

    model = gb.load_model(name, device="cpu")
    g: Any = model.generator
    styled = hasattr(g, "mapping")
    parts = {}
    for part in ("mapping", "synthesis") if styled else ("whole",):
        target = folder / f"{name}-{part}.onnx"
        exported = export_onnx(model, target, part=part, half=True)
        if (exported.half_error or 0.0) > LARGEST:  # rounding shows: whole weights instead
            exported = export_onnx(model, target, part=part)
        parts[part] = {"file": target.name, "bytes": exported.size}
    if not styled:
        space, mean = Space(g), torch.zeros(g.z_dim)
        directions, steps = sefa(space, DIRECTIONS)[0], torch.ones(DIRECTIONS)
    else:
        z = torch.randn(4096, getattr(g, "style_dim", g.z_dim), generator=torch.manual_seed(0))
        w = g.mapping(z)  # (4096, [layers,] w_dim)
        w = w[:, 0] if w.dim() == 3 else w
        directions, variances = pca(w, DIRECTIONS)
        mean, steps = getattr(g, "w_mean", w.mean(0)), variances.sqrt()
    return {
        "name": name,
        "about": MODELS[name],
        "record": record(model),
        "size": list(g.size),
        "z_dim": int(g.z_dim),
        "style_dim": int(getattr(g, "style_dim", g.z_dim)),
        "space": "w" if styled else "z",
        "layers": int(getattr(g, "num_layers", 0)),
        "any_size": hasattr(g, "paint"),
        "labels": labels_of(int(g.num_classes)),
        "parts": parts,
        "mean": [round(x, 6) for x in mean.tolist()],
        "directions": [[round(x, 6) for x in row] for row in directions.tolist()],
        "steps": [round(x, 6) for x in steps.tolist()],
    }


def prepare(name: str, cache: Path) -> dict[str, Any]:
    """Export a model, or take what an earlier call exported from the same files and versions."""
    folder = cache / name
    about, state = folder / "about.json", state_of(name)
    if about.is_file():
        stored = json.loads(about.read_text(encoding="utf-8"))
        if stored["state"] == state:
            return stored["model"]  # type: ignore[no-any-return]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = export(name, folder)
    about.write_text(json.dumps({"state": state, "model": model}), encoding="utf-8")
    print(f"  exported {name}", flush=True)
    return model


def write(built: Path, cache: Path) -> str:
    """Put runtime and models into the built book; return why not, or an empty text."""
    live = built / "_static" / "live"
    reason = missing()
    models: list[dict[str, Any]] = []
    if not reason:
        for part in ("ort", "models"):
            shutil.rmtree(live / part, ignore_errors=True)
            (live / part).mkdir(parents=True)
        for name in RUNTIME:
            shutil.copy(NPM / "dist" / name, live / "ort" / name)
        for name in MODELS:
            models.append(prepare(name, cache))
            for path in sorted((cache / name).glob("*.onnx")):
                shutil.copy(path, live / "models" / path.name)
    bytes_of_runtime = sum((live / "ort" / name).stat().st_size for name in RUNTIME if not reason)
    facts = {"why": reason, "runtime": {"folder": "ort/", "bytes": bytes_of_runtime}}
    live.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "models": models}, separators=(",", ":"))
    (live / "models.json").write_text(text + "\n", encoding="utf-8")
    return reason


def main(arguments: list[str] | None = None) -> int:
    """Prepare the live figures; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--built", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--cache", type=Path, default=ROOT / "_build" / "live")
    options = parser.parse_args(arguments)
    if not (options.built / "index.html").is_file():
        print(f"{options.built} holds no book: run jupyter-book build book/ first.")
        return 1
    reason = write(options.built, options.cache)
    if reason:
        print(f"The live figures show still pictures: {reason}.")
    else:
        print(f"The live figures have {len(MODELS)} models.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
