"""The generator explorer of the book's pages, for a notebook and a model of one's own.

Plain widgets with observers: nothing captures output, so a notebook that holds the panel also runs
without anybody who looks at it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .data.batches import to_uint8
from .errors import GanBookError, need, whole
from .latents import Space, move, sefa, slerp, truncate
from .model import Model, latents, load_model
from .plots import grid, png_bytes

REACH = 3.0  # of a direction's slider, in units of a standard normal code


def explorer(
    model: Model | str | Path, *, n: int = 12, k: int = 4, directions: Tensor | None = None
) -> Any:
    """A panel (``ipywidgets.VBox``) that shows ``n`` pictures of ``model`` and moves their codes.

    Seed, truncation, a class for conditional models, ``k`` directions, and a walk from each picture
    to its neighbor. Codes are z, for a StyleGAN w. ``panel.pictures`` is what it shows, as tensor
    (n, C, H, W) in [-1, 1]; the sliders are ``panel.controls``, by name.

    Args:
        model: a ``Model`` or ``Run``, a folder, or the name of a shipped model.
        directions: (k, dim) unit directions in codes, such as those of ``latents.pca``; by default
            the first of ``latents.sefa``, and none where the generator has no such directions.

    Raises ``GanBookError`` for numbers out of range, and generators of points.
    """
    import ipywidgets

    n, k = whole("n", n, 2, 256), whole("k", k, 0, 16)
    opened = load_model(model) if isinstance(model, str | Path) else model
    net: Any = opened.generator
    space = Space(net, "w" if hasattr(net, "synthesis") else "z")
    if directions is None:
        try:
            directions = sefa(space, k)[0] if k else None  # (k, dim)
        except GanBookError:  # no linear layer meets the code
            directions = None
    units = torch.zeros(0, space.dim) if directions is None else directions
    fits = units.dim() == 2 and units.shape[1] == space.dim
    need(fits, f"directions must be (k, {space.dim}), not {tuple(units.shape)}.")
    mean = net.w_mean if space.kind == "w" else 0.0

    def slider(name: str, low: float, high: float, value: float) -> Any:
        return ipywidgets.FloatSlider(
            value, min=low, max=high, step=0.05, description=name, continuous_update=False
        )

    controls = {
        "seed": ipywidgets.BoundedIntText(0, min=0, max=2**31 - 1, description="seed"),
        "truncation": slider("truncation", 0, 1.2, 1),
        "walk": slider("walk", 0, 1, 0),
    }
    if space.num_classes:
        options = [("in turn", -1), *((str(i), i) for i in range(space.num_classes))]
        controls["class"] = ipywidgets.Dropdown(options=options, value=-1, description="class")
    controls |= {f"{i + 1}": slider(f"{i + 1}", -REACH, REACH, 0) for i in range(len(units))}
    picture = ipywidgets.Image(format="png")
    panel = ipywidgets.VBox([picture, *controls.values()])

    @torch.no_grad()
    def paint(change: Any = None) -> None:
        labels = None
        if space.num_classes:
            chosen = controls["class"].value
            labels = torch.arange(n) % space.num_classes if chosen < 0 else torch.full((n,), chosen)
        like = next(net.parameters())
        z = latents(n, space.z_dim, controls["seed"].value).to(like)  # (n, z_dim)
        labels = None if labels is None else labels.to(z.device)
        codes = truncate(space.encode_z(z, labels), controls["truncation"].value, mean)  # (n, dim)
        other, t = codes.roll(-1, 0), controls["walk"].value
        if t and space.kind == "z" and controls["truncation"].value:
            codes = slerp(codes, other, t)  # (n, dim)
        elif t:
            codes = codes + t * (other - codes)  # (n, dim)
        for i, unit in enumerate(units):
            codes = move(space, codes, unit.to(codes), controls[f"{i + 1}"].value)
        panel.pictures = space.decode(codes, labels)  # (n, C, H, W)
        picture.value = png_bytes(grid(to_uint8(panel.pictures), columns=min(n, 6)))

    for control in controls.values():
        control.observe(paint, names="value")
    panel.controls = controls
    paint()
    return panel
