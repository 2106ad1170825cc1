"""A translator of one's own pictures: trained, saved as safetensors and JSON, loaded, applied."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import checkpoints as files
from . import translation as pairs
from .data.batches import to_float, to_uint8
from .data.imageset import ImageSet
from .errors import GanBookError, need
from .fitting import Fit, fit
from .machine import environment
from .models.patchgan import PatchDiscriminator
from .models.unet import UNetGenerator
from .processes import resolve_device
from .results import shipped

UNPAIRED = "unpaired"
WEIGHTS, CARD = "translator.safetensors", "translator.json"
PIXELS = 2**20  # about as many are translated at a time
LEAST = 4  # pixels of a side
# The papers' weights (100; 5 and 2.5 in our units) left small networks, trained for a minute,
# without a game: they painted the median, or what they were given.
PIX2PIX: dict[str, Any] = {"weight": 10.0}
CYCLEGAN: dict[str, Any] = {"cycle": 1.0, "identity": 0.2, "game": "non-saturating"}


class Translator:
    """U-Nets from picture to picture, with what they were trained for.

    settings: "task" ("edges", "gray", "upscale" or "unpaired"), "size" [H, W] and "width".
    nets: the generator "there" and, without pairs, that of the other direction, "back".
    card: what training recorded.
    """

    def __init__(self, settings: dict[str, Any], card: dict[str, Any] | None = None) -> None:
        self.settings, self.card = settings, card or {}
        self.task: str = settings["task"]
        self.channels = 3 if self.task == UNPAIRED else pairs.TASKS[self.task][1]
        size, width = tuple(settings["size"]), settings["width"]
        names = ["there", "back"] if self.task == UNPAIRED else ["there"]
        self.nets = nn.ModuleDict({
            name: UNetGenerator(size, self.channels, out=3, width=width, max_width=4 * width)
            for name in names
        })  # fmt: skip

    @torch.no_grad()
    def __call__(self, pictures: Tensor, *, drawn: bool = False, back: bool = False) -> Tensor:
        """Translate pictures of any size: uint8 (N, 1 or 3, H, W) to uint8 (N, 3, H, W).

        "gray" colors their luma, "edges" paints over their edges (``drawn``: the pictures are
        dark lines on white already), "upscale" makes them four times as large. ``back`` goes from
        the second set to the first.

        Raises ``GanBookError`` for other tensors and for a direction that was not trained.
        """
        fits = pictures.dtype == torch.uint8 and pictures.ndim == 4 and pictures.shape[1] in (1, 3)
        got = f"{pictures.dtype} {tuple(pictures.shape)}"
        need(fits, f"Pictures to translate are uint8 (N, 1 or 3, H, W), not {got}.")
        need(min(pictures.shape[-2:]) >= LEAST, f"Pictures need {LEAST} pixels a side at least.")
        need(not drawn or self.task == "edges", "Only a translator of edges takes drawings.")
        derive = {"upscale": pairs.enlarged, "gray": pairs.gray_of, UNPAIRED: lambda x: x}.get(
            self.task, pairs.gray_of if drawn else pairs.edges_of
        )
        made = []
        for some in pictures.split(max(1, PIXELS // pictures[0, 0].numel())):
            x = to_float(some).expand(-1, 3, -1, -1)  # (n, 3, H, W)
            made.append(self.finish(derive(x), back))  # (n, 3, H, W), or 4 times as large
        return torch.cat(made)

    @torch.no_grad()
    def finish(self, source: Tensor, back: bool = False) -> Tensor:
        """From sources (N, channels, H, W) in [-1, 1], as in training, to uint8 (N, 3, H, W).

        Sides that cannot be halved often enough are continued by their border pixels, and cut.
        """
        need(not back or "back" in self.nets, "Only an unpaired translator knows the way back.")
        net: Any = self.nets["back" if back else "there"]
        h, w = source.shape[-2:]
        multiple = 1 << len(net.convs)
        around = (0, -w % multiple, 0, -h % multiple)
        x = F.pad(source.to(next(net.parameters()).device), around, mode="replicate")
        return to_uint8(net(x)[..., :h, :w]).cpu()  # (N, 3, H, W)

    def save(self, folder: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``translator.safetensors`` and ``translator.json`` into a folder, each whole."""
        tensors = {name: value.to(dtype) for name, value in self.nets.state_dict().items()}
        files.save_tensors(Path(folder) / WEIGHTS, tensors, {"translator": self.settings})
        files.write_json(Path(folder) / CARD, {**self.settings, **self.card})


def load_translator(source: str | Path, device: str = "auto") -> Translator:
    """Open a folder that ``save`` wrote, or a shipped translator by name.

    Raises ``GanBookError`` where there is none, or a damaged one; it lists what is shipped.
    """
    folder = shipped(source, WEIGHTS, "translator", "translators")
    tensors, meta = files.load_tensors(folder / WEIGHTS)
    card = files.read_json(folder / CARD) if (folder / CARD).is_file() else {}
    try:
        with torch.random.fork_rng(devices=[]):
            found = Translator(meta["translator"], card)
    except (KeyError, TypeError) as error:
        raise GanBookError(f"{folder / WEIGHTS} holds no translator.") from error
    full = {name: value.float() for name, value in tensors.items()}
    files.copy_into(found.nets.state_dict(), full, str(folder))
    found.nets.to(resolve_device(device)).eval().requires_grad_(False)
    return found


def objective_of(translator: Translator, l1_only: bool = False) -> nn.Module:
    """The game that trains a translator: pix2pix for a task, CycleGAN without one.

    Patches have about half of the picture's side, at most 70 pixels. ``l1_only``: pix2pix without
    discriminator.
    """
    width, nets = translator.settings["width"], translator.nets
    halvings = min(3, max(0, round(math.log2(min(translator.settings["size"]) / 16))))
    options = {"width": width, "halvings": halvings}
    if translator.task == UNPAIRED:
        judges = PatchDiscriminator(3, **options), PatchDiscriminator(3, **options)
        return pairs.CycleGANObjective(nets["there"], nets["back"], *judges, **CYCLEGAN)
    judge = None if l1_only else PatchDiscriminator(translator.channels + 3, **options)
    return pairs.Pix2PixObjective(nets["there"], judge, **PIX2PIX)


def train_translator(
    images: ImageSet, other: ImageSet | None = None, *, task: str | None = None,
    out: str | Path | None = None, steps: int | None = None, seconds: float | None = None,
    seed: int = 0, device: str = "auto", width: int = 24, batch_size: int = 16, lr: float = 1e-3,
    l1_only: bool = False, every: int = 100, callback: Callable[[Fit], None] | None = None,
) -> Translator:  # fmt: skip
    """Train a translator on pictures and return it, an average over the last steps.

    Args:
        images: color pictures of one size; with a task they are the targets, and their sources
            are derived from them (``translation.source_of``). A part is held out.
        other: without a task the second set, of pictures of the same size, unpaired.
        task: "edges", "gray" or "upscale".
        out: where it is saved at each log point; what is there is replaced only whole.
        steps, seconds: how long, one of the two; seconds of processor time.
        width: channels at full resolution, of all networks.
        every: steps between log points, where ``callback`` is called, too.

    Raises:
        GanBookError: for options that do not fit, sets that are too small, and a training that
            diverges.
    """
    need((task is None) != (other is None), "Give a task or a second set, one of the two.")
    sets = [images] if other is None else [images, other]
    for one in sets:
        fits = one.channels == 3 and one.size == images.size
        need(fits, f"All pictures must be in color and of one size, which {one!r} is not.")
    place, splits = resolve_device(device), [one.split("auto", seed=0) for one in sets]
    shown = [one.images[part.train] for one, part in zip(sets, splits, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = {"task": task or UNPAIRED, "size": list(images.size), "width": width}
        result = Translator(settings)
        objective = objective_of(result, l1_only).to(place)
    rng = torch.Generator().manual_seed(seed)

    def next_batch() -> Tensor:
        parts = [x[torch.randint(len(x), (batch_size,), generator=rng)] for x in shown]
        pictures = [to_float(part.to(place)) for part in parts]  # (N, 3, H, W) each
        if task is not None:
            pictures.insert(0, pairs.source_of(pictures[0], task))
        return torch.cat(pictures, 1)  # (N, channels + 3, H, W)

    def keep(done: Fit) -> None:
        average: Any = done.average
        found = {"there": average.there, "back": average.back} if task is None else {
            "there": average.generator
        }  # fmt: skip
        result.nets = nn.ModuleDict(found).eval()
        result.card = {
            "pictures": [{"name": one.name, "licence": one.licence, **part.counts(),
                          "fingerprint": one.fingerprint()}
                         for one, part in zip(sets, splits, strict=True)],
            "seed": seed, "steps": done.steps, "images seen": done.images, "log": done.log,
            "seconds": done.seconds, "environment": environment(place),
        }  # fmt: skip
        if out is not None:
            result.save(out)
        if callback is not None:
            callback(done)

    fit(objective, next_batch, rng, steps=steps, seconds=seconds, lr=lr, betas=(0.0, 0.99),
        ema_half_life=500, every=every, callback=keep)  # fmt: skip
    return result
