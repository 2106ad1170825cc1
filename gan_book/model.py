"""A trained generator that can be sampled: what a run delivers and what ``load_model`` opens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoints as files
from .data.batches import to_uint8
from .errors import GanBookError, need
from .fitted import FitRecipe, fit_recipe, load_weights
from .models import build_generator
from .processes import resolve_device
from .recipes import Recipe, from_dict
from .results import shipped

BLOCK = 64  # latents are drawn in blocks of this many, so the first pictures of a seed never change
MOST_SAMPLES = 1_000_000

Labels = int | Sequence[int] | Tensor | None


class Model:
    """A generator with its recipe and card. ``sample`` makes pictures from a seed."""

    def __init__(
        self,
        generator: nn.Module,
        recipe: Recipe | FitRecipe,
        card: dict[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.generator = generator.eval()
        self.recipe, self.card, self.folder = recipe, card or {}, folder

    def sample(
        self,
        n: int,
        seed: int = 0,
        labels: Labels = None,
        batch_size: int = 256,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """``n`` pictures as uint8 (n, C, H, W) on the CPU (or points, float32 (n, 2)).

        ``labels`` is one class for all, or n of them (a list or an int64 tensor); without it a
        conditional generator goes through its classes in turn. The same seed gives the same
        pictures, and more of them when ``n`` grows; ``batch_size`` of them are made at a time.
        ``size`` (H, W) is another one than that of training, for generators that can ``render``.

        Raises ``GanBookError`` for numbers out of range and labels that do not fit.
        """
        return samples(
            self.generator,
            self.recipe,
            n,
            seed=seed,
            labels=labels,
            batch_size=batch_size,
            size=size,
        )

    def __repr__(self) -> str:
        return f"Model({self.recipe.name!r})"


def latents(n: int, z_dim: int, seed: int) -> Tensor:
    """``n`` standard normal latents (n, z_dim), the same on every device; prefixes agree over n."""
    rng = torch.Generator().manual_seed(seed)
    blocks = [torch.randn(BLOCK, z_dim, generator=rng) for _ in range(-(-n // BLOCK))]
    return torch.cat(blocks)[:n]  # (n, z_dim)


@torch.no_grad()
def samples(
    generator: nn.Module,
    recipe: Recipe | FitRecipe,
    n: int,
    *,
    seed: int = 0,
    labels: Labels = None,
    batch_size: int = 256,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """See ``Model.sample``. The network is switched to eval mode and left as it was."""
    fits = 1 <= n <= MOST_SAMPLES
    need(fits, f"The number of samples must lie between 1 and {MOST_SAMPLES}, not {n}.")
    need(batch_size >= 1, f"batch_size must be at least 1, not {batch_size}.")
    classes = _labels(recipe.num_classes, n, labels)
    paint: Any = generator
    if size is not None:
        need(
            hasattr(generator, "render"),
            "This generator paints at the size of its training only; a coordinate network (inr) "
            "renders at any.",
        )
        paint, batch_size = partial(paint.render, size=size), 1
    parameter = next(generator.parameters())
    was_training = generator.training
    generator.eval()
    made = []
    z_all = latents(n, int(generator.z_dim), seed)  # type: ignore[arg-type]
    for start in range(0, n, batch_size):
        z = z_all[start : start + batch_size].to(parameter.device, parameter.dtype)  # (b, z_dim)
        y = None if classes is None else classes[start : start + batch_size].to(z.device)  # (b,)
        x = paint(z, y)  # (b, C, H, W) or (b, 2)
        made.append(x.float().cpu() if recipe.points else to_uint8(x).cpu())
    generator.train(was_training)
    return torch.cat(made)


def _labels(num_classes: int, n: int, labels: Labels) -> Tensor | None:
    if not num_classes:
        need(labels is None, "This generator has no classes, so it takes no labels.")
        return None
    if labels is None:
        return torch.arange(n) % num_classes
    try:
        labels = torch.full((n,), labels) if isinstance(labels, int) else torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GanBookError(f"labels must be {n} whole numbers ({error}).") from error
    fits = labels.shape == (n,) and not labels.is_floating_point()
    need(fits, f"labels must be {n} whole numbers, not a tensor {list(labels.shape)}.")
    fits = int(labels.min()) >= 0 and int(labels.max()) < num_classes
    need(fits, f"Labels must lie between 0 and {num_classes - 1}.")
    return labels.long()


def load_generator(
    path: str | Path, device: torch.device
) -> tuple[nn.Module, Recipe | FitRecipe, dict[str, Any]]:
    """A generator from ``generator.safetensors``: the network in eval mode, its recipe, and
    the table in the file's header.

    Raises ``GanBookError`` when the file is damaged or its weights do not fit its recipe.
    """
    tensors, meta = files.load_tensors(path)
    recipe: Recipe | FitRecipe
    if "fit" in meta:
        recipe = fit_recipe(meta["fit"], str(path))
        build = recipe.build_generator
    else:
        recipe = from_dict(meta.get("recipe", {}), where=f"the recipe in {path}")
        build = partial(build_generator, **recipe.network_options(recipe.generator))
    return load_weights(build, tensors, str(path), device), recipe, meta


def load_model(source: str | Path, device: str = "auto") -> Model:
    """Open a shipped model by name, or any folder that holds a ``generator.safetensors``.

    Raises ``GanBookError`` listing what is shipped when there is no such model.
    """
    folder = shipped(source, "generator.safetensors", "run or model")
    net, recipe, _ = load_generator(folder / "generator.safetensors", resolve_device(device))
    card = files.read_json(folder / "card.json") if (folder / "card.json").is_file() else {}
    return Model(net, recipe, card, folder)
