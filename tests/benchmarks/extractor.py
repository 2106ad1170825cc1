"""Train the default feature extractor: `python tests/benchmarks/extractor.py` (about 45 minutes).

Its tasks, each on pictures of the Atelier and on crops of real paintings, clean or damaged: style
and palette (Atelier only), rotation, a thumbnail of the clean picture (layout), the strength of
each damage, and the clean picture itself (denoising). The features are principal components of the
trunk's statistics, so none of these tasks decides alone what counts.

`GAN_BOOK_REAL_DATA` names the folder of the paintings; only those of the training part of their
split are used. Seeds of the Atelier used here: 990000 and up, nowhere else in the project.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

from gan_book.checkpoints import digest, save_tensors, write_json
from gan_book.data import load_images
from gan_book.data.atelier import PALETTES, STYLES, atelier
from gan_book.features import BOUND, DIM, RESIZE, SIZE, FeatureNet, Trunk, resized
from gan_book.machine import environment

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "data" / "models"
# How many pictures of the Atelier are painted at which size, before all become 64 x 64.
ATELIER = {16: 3000, 24: 2000, 32: 4000, 48: 2000, 64: 8000, 128: 1000}
SEED = 990_000
DAMAGES = ("blur", "noise", "posterize", "pixelate")


@dataclass(frozen=True)
class Settings:
    """Everything that determines the training."""

    steps: int = 3500
    batch: int = 64
    share_of_paintings: float = 0.4
    lr: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 0
    bf16: bool = True


# ---------------------------------------------------------------- pictures


def atelier_pool(seed: int, share: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures of all sizes as uint8 (N, 3, 64, 64), with style (N,) and palette (N,)."""
    pictures, styles, palettes = [], [], []
    for k, (size, n) in enumerate(ATELIER.items()):
        images = atelier(max(1, int(n * share)), size=size, seed=seed + k)
        pictures.append(as_seen(images.images))
        styles.append(images.attributes["style"])
        palettes.append(images.attributes["palette"])
    return torch.cat(pictures), torch.cat(styles), torch.cat(palettes)


def as_seen(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) at 64 x 64, resized as the extractor does it."""
    parts = [((resized(part) + 1) * 127.5).round().byte() for part in images.split(256)]
    return torch.cat(parts)


def paintings(folder: str | None) -> Tensor:
    """The training part of the real paintings: uint8 (N, 3, 128, 128)."""
    if not folder:
        raise SystemExit("Set GAN_BOOK_REAL_DATA to the folder of the paintings.")
    images = load_images(Path(folder) / "paintings-pd-128.zip", size=128, progress=False)
    return images.images[images.split().train]


def crops(pictures: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """n square crops of 48 to 128 pixels of random pictures, half of them at low resolution."""
    found = torch.empty(n, 3, SIZE, SIZE, dtype=torch.uint8)
    which = torch.randint(len(pictures), (n,), generator=rng)
    for i, k in enumerate(which.tolist()):
        side = int(torch.randint(48, 129, (), generator=rng))
        top, left = torch.randint(0, 129 - side, (2,), generator=rng).tolist()
        crop = pictures[k : k + 1, :, top : top + side, left : left + side]
        low = (16, 24, 32, 48, 64, 64, 64, 64)[int(torch.randint(8, (), generator=rng))]
        if low < SIZE:
            small = functional.interpolate(crop.float(), (low, low), mode="bicubic", antialias=True)
            crop = small.round().clamp(0, 255).byte()
        found[i] = as_seen(crop)[0]
    return found


# ---------------------------------------------------------------- what is done to them


def recolored(x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Some pictures gray, inverted or of other contrast; and which kept their colors (N,)."""
    n = len(x)
    draw = torch.rand(n, generator=rng)
    gray = x.mean(1, keepdim=True).expand_as(x)
    x = torch.where((draw < 0.12)[:, None, None, None], gray, x)
    x = torch.where(((draw > 0.08) & (draw < 0.2))[:, None, None, None], -x, x)
    gain = 1 + 0.3 * (2 * torch.rand(n, 1, 1, 1, generator=rng) - 1)
    shift = 0.2 * (2 * torch.rand(n, 3, 1, 1, generator=rng) - 1)
    some = (draw > 0.7)[:, None, None, None]
    return torch.where(some, x * gain + shift, x).clamp(-1, 1), (draw >= 0.2) & (draw <= 0.7)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of sigma (N,) pixels, edges reflected."""
    reach = 8
    offsets = torch.arange(-reach, reach + 1, dtype=x.dtype)  # (17,)
    weights = torch.exp(-0.5 * (offsets / sigma.clamp(min=1e-2)[:, None]) ** 2)  # (N, 17)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(3, 0)  # (3N, 17)
    n, _, h, w = x.shape
    flat = functional.pad(x.reshape(1, n * 3, h, w), (0, 0, reach, reach), mode="reflect")
    flat = functional.conv2d(flat, weights[:, None, :, None], groups=n * 3)
    flat = functional.pad(flat, (reach, reach, 0, 0), mode="reflect")
    flat = functional.conv2d(flat, weights[:, None, None, :], groups=n * 3)
    return flat.reshape(n, 3, h, w)


def damaged(x: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Damage six pictures of ten, most of them in one way: the pictures and (N, 4) strengths."""
    n = len(x)
    chosen = torch.rand(n, len(DAMAGES), generator=rng) < 0.2
    strength = torch.rand(n, len(DAMAGES), generator=rng) * chosen  # (N, 4) in [0, 1]
    touched = strength[:, 0] > 0
    if touched.any():
        x = x.clone()
        x[touched] = blur(x[touched], 3 * strength[touched, 0])
    noise = torch.randn(x.shape, generator=rng)
    x = x + 0.4 * strength[:, 1, None, None, None] * noise
    levels = (2 ** (6 - 5 * strength[:, 2])).round()[:, None, None, None]  # 64 down to 2
    posterized = ((x + 1) / 2 * (levels - 1)).round() / (levels - 1) * 2 - 1
    x = torch.where((strength[:, 2] > 0)[:, None, None, None], posterized, x)
    for i in (strength[:, 3] > 0).nonzero().flatten().tolist():
        side = round(48 - 40 * float(strength[i, 3]))
        small = functional.interpolate(x[i : i + 1], (side, side), mode="area")
        x[i] = functional.interpolate(small, (SIZE, SIZE), mode="nearest")[0]
    return x.clamp(-1, 1), strength


# ---------------------------------------------------------------- the network while it learns


class Student(nn.Module):
    """The trunk with batch normalization after each convolution, and a head for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk()
        for layers in (self.trunk.down, self.trunk.same):
            for i, conv in enumerate(layers):
                layers[i] = nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))
        self.trunk.stem = nn.Sequential(
            self.trunk.stem, nn.BatchNorm2d(self.trunk.stem.out_channels)
        )
        self.norm = nn.BatchNorm1d(self.trunk.dim, affine=False)
        self.heads = nn.ModuleDict(
            {
                "style": nn.Linear(self.trunk.dim, len(STYLES)),
                "palette": nn.Linear(self.trunk.dim, len(PALETTES)),
                "rotation": nn.Linear(self.trunk.dim, 4),
                "layout": nn.Linear(self.trunk.dim, 3 * 8 * 8),
                "damage": nn.Linear(self.trunk.dim, len(DAMAGES)),
            }
        )
        self.decoder = nn.Sequential(  # (N, 80 + 128, 16, 16) -> (N, 3, 64, 64)
            nn.Conv2d(80 + 128, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        maps = self.trunk.maps(x)
        with torch.autocast("cpu", enabled=False):
            s = self.norm(self.trunk.statistics([h.float() for h in maps]))  # (N, 1312)
        both = torch.cat([maps[2], functional.interpolate(maps[3], scale_factor=2)], dim=1)
        return {name: head(s) for name, head in self.heads.items()}, self.decoder(both)


def losses(
    student: Student,
    clean: Tensor,
    style: Tensor,
    palette: Tensor,
    rng: torch.Generator,
    bf16: bool = True,
) -> dict[str, Tensor]:
    """All tasks on one batch; style and palette are -1 for paintings."""
    x = clean.float() / 127.5 - 1
    turns = torch.randint(4, (len(x),), generator=rng)
    x = torch.stack([torch.rot90(p, k, (1, 2)) for p, k in zip(x, turns.tolist(), strict=True)])
    x, kept = recolored(x, rng)
    seen, strength = damaged(x, rng)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        told, drawn = student(seen.contiguous(memory_format=torch.channels_last))
    told, drawn = {k: v.float() for k, v in told.items()}, drawn.float()
    thumbnail = functional.adaptive_avg_pool2d(x, 8).flatten(1)
    tint = torch.where(kept, palette, -1)
    return {
        "style": functional.cross_entropy(told["style"], style, ignore_index=-1),
        "palette": functional.cross_entropy(told["palette"], tint, ignore_index=-1),
        "rotation": 0.3 * functional.cross_entropy(told["rotation"], turns),
        "layout": 2 * functional.mse_loss(told["layout"], thumbnail),
        "damage": 4 * functional.mse_loss(told["damage"], strength),
        "clean": 2 * functional.l1_loss(drawn, x),
    }


def fit(settings: Settings, real: Tensor, saved: Path) -> tuple[Student, float]:
    """Train: the student, and the seconds it took.

    Every 500 steps it is saved, and a run that was cut goes on from there.
    """
    torch.manual_seed(settings.seed)
    student = Student().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=settings.lr, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=settings.steps, pct_start=0.1
    )
    first, before = 0, 0.0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first, before = state["step"], state["seconds"]
    pictures, styles, palettes = atelier_pool(SEED)
    n_real = round(settings.batch * settings.share_of_paintings)
    none = torch.full((n_real,), -1)
    start = time.perf_counter()
    sums: dict[str, float] = {}
    for step in range(first, settings.steps):
        rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        pick = torch.randint(len(pictures), (settings.batch - n_real,), generator=rng)
        batch = torch.cat([pictures[pick], crops(real, n_real, rng)])
        labels = (torch.cat([styles[pick], none]), torch.cat([palettes[pick], none]))
        parts = losses(student, batch, *labels, rng, settings.bf16)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
        schedule.step()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / 100
        if (step + 1) % 100 == 0:
            text = " ".join(f"{k} {v:.3f}" for k, v in sums.items())
            print(f"{step + 1} {before + time.perf_counter() - start:.0f} s {text}", flush=True)
            sums = {}
        if (step + 1) % 500 == 0 or step + 1 == settings.steps:
            state = {
                "student": student.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "step": step + 1,
                "seconds": before + time.perf_counter() - start,
            }
            torch.save(state, saved)
    return student.eval(), before + time.perf_counter() - start


# ---------------------------------------------------------------- from the student to the extractor


def folded(student: Student) -> Trunk:
    """The trunk with its batch normalizations folded into the convolutions, in half precision."""
    trunk = Trunk().eval()
    fuse = nn.utils.fusion.fuse_conv_bn_eval
    trunk.stem = fuse(*student.trunk.stem)
    for name in ("down", "same"):
        setattr(trunk, name, nn.ModuleList(fuse(*p) for p in getattr(student.trunk, name)))
    return trunk.half().float().requires_grad_(False)


@torch.no_grad()
def statistics(trunk: Trunk, images: Tensor) -> Tensor:
    """Statistics (N, 1312) of pictures uint8 (N, 3, 64, 64)."""
    return torch.cat([trunk(part.float() / 127.5 - 1) for part in images.split(64)])


def projection(s: Tensor, dim: int = DIM, floor: float = 0.05) -> tuple[Tensor, Tensor]:
    """Weights (dim, F) and bias (dim,) of nearly whitened principal components of s (N, F).

    Each statistic is divided by its deviation first. Component k is divided by
    sqrt(eigenvalue_k + floor * mean of the kept eigenvalues): the last ones, which carry rare
    detail, count less than the first, but count.
    """
    s = s.double()
    mean, deviation = s.mean(0), s.std(0).clamp(min=1e-4)
    values, vectors = torch.linalg.eigh(torch.cov(((s - mean) / deviation).T))
    values, vectors = values.flip(0)[:dim], vectors.flip(1)[:, :dim]
    # eigenvectors have no sign of their own: the largest entry is made positive
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    weights = (vectors * largest.sign() / (values + floor * values.mean()).sqrt()).T / deviation
    return weights.float(), -(weights @ mean).float()


def linear_reader(s: Tensor, labels: Tensor, classes: int, steps: int = 600) -> nn.Linear:
    """A linear layer that tells labels (N,) from statistics (N, F), by multinomial regression."""
    mean, deviation = s.mean(0), s.std(0).clamp(min=1e-4)
    x = (s - mean) / deviation
    layer = nn.Linear(s.shape[1], classes)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = torch.Generator().manual_seed(0)
    for _ in range(steps):
        pick = torch.randint(len(x), (1024,), generator=rng)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(layer(x[pick]), labels[pick]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        layer.weight /= deviation
        layer.bias -= layer.weight @ mean
    return layer


def assemble(student: Student, real: Tensor) -> FeatureNet:
    """The shipped network: folded trunk, projection, and readers fitted to fresh pictures."""
    net = FeatureNet()
    net.trunk = folded(student)
    rng = torch.Generator().manual_seed(1)
    pictures, style, palette = atelier_pool(SEED + 100)
    seen = statistics(net.trunk, pictures)
    mixed = torch.cat([seen[::2], statistics(net.trunk, crops(real, 10_000, rng))])
    weights, bias = projection(mixed)
    with torch.no_grad():
        net.project.weight.copy_(weights)
        net.project.bias.copy_(bias)
    net.style = linear_reader(seen, style, len(STYLES))
    net.palette = linear_reader(seen, palette, len(PALETTES))
    return net.eval()


def main(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = MODELS / "gan-book-1",
    steps: int = Settings.steps,
    scratch: Annotated[Path, typer.Option(help="Unfinished work.")] = ROOT / "runs/extractor",
) -> None:
    """Train the extractor and write its weights and card."""
    settings = Settings(steps=steps)
    scratch.mkdir(parents=True, exist_ok=True)
    real = paintings(os.environ.get("GAN_BOOK_REAL_DATA"))
    student, seconds = fit(settings, real, scratch / "student.pt")
    net = assemble(student, real)
    tensors = {name: value.half() for name, value in net.state_dict().items()}
    facts = {"sha256": digest(tensors), "settings": asdict(settings)}
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / "extractor.safetensors", tensors, facts)
    card = {
        "name": out.name,
        **facts,
        "input": f"uint8 pictures of any size, resized to {RESIZE}",
        "licence": "CC BY 4.0, as the book's figures",
        "dim": DIM,
        "bound": BOUND,
        "trained on": {
            "atelier": {"pictures by size": ATELIER, "first seed": SEED},
            "paintings": {"pictures": len(real), "part": "training part of their split"},
        },
        "damages": DAMAGES,
        "seconds": round(seconds),
        "environment": environment("cpu"),
    }
    write_json(out / "card.json", json.loads(json.dumps(card)))
    print(f"{out}: {(out / 'extractor.safetensors').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
