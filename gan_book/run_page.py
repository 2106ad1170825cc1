"""One run as one page: a single HTML file with its samples, walk, curves, numbers and card.

Pictures, film and style are inside the file, so that it can be sent, archived and opened without
network. What could not be measured is named with the reason.
"""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from . import checkpoints as files
from .animation import film
from .data.batches import to_uint8
from .data.imageset import ImageSet
from .errors import GanBookError, need
from .evaluation import Evaluation
from .machine import write_atomically
from .measuring import compared_pictures, evaluate
from .model import Model, latents
from .plots import curves, grid, png_bytes
from .runs import Run, open_model

if TYPE_CHECKING:
    import jinja2

SAMPLES, REAL, FRAMES, SUSPECTS = 64, 32, 24, 12
GROWTH = 6  # sample grids of the run, from the first to the last


def report(
    source: Model | str | Path,
    out: str | Path | None = None,
    images: ImageSet | str | Path | None = None,
    *,
    n: int | str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Path:
    """Write a page about a run or model and return its path.

    Args:
        source: a run or model, its folder or name.
        out: the page, a name that ends in .html; None: ``report.html`` in the folder of a run.
        images: the pictures it was trained on; None: those of the run, loaded again.
        n, seed, device: as for `evaluate`, whose numbers the page shows.

    The page shows, in this order: pictures that nobody chose (seed ``seed``), a closed walk
    in the latent space, how the run grew, its curves, the measurements, the pictures that look
    most like training pictures beside these, and the card (recipe, data, machine).

    Raises ``GanBookError`` for points, for a name that does not end in .html, and where the place
    cannot be written to. Measurements that are impossible leave a sentence on the page.
    """
    model = open_model(source, device) if isinstance(source, str | Path) else source
    need(not model.recipe.points, f"The recipe '{model.recipe.name}' makes points: no page.")
    need(
        out is not None or (isinstance(model, Run) and model.folder is not None),
        "Say where the page shall be written: out=, or --out report.html.",
    )
    target = Path(model.folder or "") / "report.html" if out is None else Path(out)
    is_page = target.suffix.lower() == ".html" and not target.is_dir()
    need(is_page, f"The page is one file: give a name that ends in .html, not {str(target)!r}.")
    found, missing = _measured(model, images, n, seed, device)
    facts: dict[str, Any] = {
        "name": target.resolve().parent.name if isinstance(model, Run) else model.recipe.name,
        "recipe": model.recipe.to_dict(),
        "model": model,
        "seed": seed,
        "samples": _uri(grid(model.sample(SAMPLES, seed=seed))),
        "walk": _walk(model, seed),
        "growth": _growth(model),
        "curves": _curves(model),
        "measured": found,
        "missing": missing,
        "card": _card(model),
    }
    if found is not None:
        real, made, near = compared_pictures(model, images, found)
        facts["real"] = _uri(grid(real[:REAL]))
        pairs = found.memorization.suspicious[:SUSPECTS] if found.memorization else ()
        facts["suspects"] = [
            {
                "picture": _uri(_side_by_side(made[pair.generated], near[pair.train])),
                "margin": pair.margin,
                "flipped": pair.flip,
                "number": pair.generated,
            }
            for pair in pairs
        ]
    page = _template().render(**facts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, page.encode())
    except OSError as error:
        raise GanBookError(f"{target} cannot be written ({error.strerror}).") from error
    return target


def circle(model: Model, seed: int, label: int = 0, frames: int = FRAMES) -> Tensor:
    """Pictures uint8 (frames, C, H, W) of z(t) = cos(t) a + sin(t) b, a closed walk in one class.

    With independent standard normal a and b every z(t) is standard normal: each frame is a
    picture as the model makes it anywhere, and none is a mean of two.
    """
    a, b = latents(2, int(model.generator.z_dim), seed)  # type: ignore[arg-type]
    t = torch.linspace(0, 2 * math.pi, frames + 1)[:-1, None]  # (T, 1)
    at = next(model.generator.parameters())
    z = (t.cos() * a + t.sin() * b).to(at.device, at.dtype)  # (T, z_dim)
    labels = torch.full((frames,), label, device=z.device) if model.recipe.num_classes else None
    with torch.no_grad():
        return to_uint8(model.generator(z, labels)).cpu()  # (T, C, H, W)


def _walk(model: Model, seed: int) -> str:
    classes = max(1, model.recipe.num_classes)
    walks = [circle(model, seed + i, i * classes // 4) for i in range(4)]  # each (T, C, H, W)
    together = torch.stack(walks, 1)  # (T, 4, C, H, W)
    scale = max(1, 128 // model.recipe.size[1])
    frames = [grid(frame, columns=4, scale=scale) for frame in together]
    name = "Four closed walks through the latent space"
    return str(film(frames, fps=8, alt=name, width=frames[0].width).data)


def _growth(model: Model) -> list[dict[str, str]]:
    """The first, the last and some sample grids between, cut to their left upper quarter."""
    stored = sorted((model.folder or Path()).glob("samples/*.png")) if model.folder else []
    if len(stored) < 2:
        return []
    last = len(stored) - 1
    chosen = sorted({round(i * last / (GROWTH - 1)) for i in range(GROWTH)})
    told = []
    for path in (stored[i] for i in chosen):
        with Image.open(path) as picture:
            part = picture.convert("RGB").crop((0, 0, picture.width // 2, picture.height // 2))
        told.append({"picture": _uri(part), "images": f"{int(path.stem):,}"})
    return told


def _curves(model: Model) -> str | None:
    if not isinstance(model, Run) or len(model.log) < 2:
        return None
    figure = curves(model, return_figure=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)  # type: ignore[union-attr]
    return _encoded(buffer.getvalue())


def _measured(
    model: Model, images: Any, n: int | str, seed: int, device: str
) -> tuple[Evaluation | None, str]:
    try:
        return evaluate(model, images, n=n, seed=seed, device=device), ""
    except GanBookError as error:
        return None, str(error)


def _card(model: Model) -> dict[str, dict[str, Any]]:
    """Groups of facts: the recipe, the pictures, the machine; only plain values."""
    data: dict[str, Any] = {}
    if model.folder is not None and (model.folder / "data.json").is_file():
        data = files.read_json(model.folder / "data.json")
    weights = sum(p.numel() for p in model.generator.parameters())
    about: dict[str, Any] = {"parameters of the generator": f"{weights:,}"}
    if isinstance(model, Run):
        about |= {"images seen": f"{model.images_seen:,}", "steps": f"{model.steps:,}"}
        if model.log:
            about["minutes of training"] = f"{model.log[-1]['seconds'] / 60:.1f}"
    held = {f"pictures, {key}": len(data[key]) for key in ("validation", "test") if key in data}
    plain = ("source", "licence", "fingerprint", "train", "seed", "holdout", "select")
    groups = {
        "Run": about,
        "Pictures": {key: data[key] for key in plain if data.get(key) is not None} | held,
        "Recipe": model.recipe.to_dict(),
        "Machine": model.card.get("environment") or {},
    }
    return {name: facts for name, facts in groups.items() if facts}


def _side_by_side(made: Tensor, near: Tensor) -> Image.Image:
    return grid(torch.stack([made, near]), columns=2, scale=max(1, 96 // made.shape[-1]))


def _uri(picture: Image.Image) -> str:
    return _encoded(png_bytes(picture))


def _encoded(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _template() -> jinja2.Template:
    import jinja2  # torch brings it

    where = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=where, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("run_page.html")
