"""``gan-book invert`` and ``gan-book film``: the latent codes of pictures, and films through them.

``cli.py`` registers both. GIF and WebP are written by Pillow, MP4 by ffmpeg where it is installed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

from gan_book.cli_guard import guarded, say
from gan_book.errors import need

LATENTS, ERRORS = "latents.safetensors", "errors.json"
AT_ONCE = 32  # pictures; this changes memory, not results
Run = Annotated[str, Argument(help="A run folder, a model folder, or a shipped model's name.")]
Kind = Annotated[
    Literal["z", "w"], Option("--space", help="z, or the styles w of a style-based generator.")
]
Device = Annotated[Literal["auto", "cpu", "cuda"], Option(help="auto is CUDA if there is one.")]
Seed = Annotated[int, Option(min=0, max=2**31 - 2)]


def open_space(run: str, kind: str, device: str) -> tuple[Any, Any]:
    """The space of the generator in a run or model, and its recipe."""
    from gan_book.latents import Space
    from gan_book.runs import open_model

    model = open_model(run, device)
    return Space(model.generator, kind), model.recipe


@guarded
def invert(
    run: Run,
    pictures: Annotated[str, Argument(help="A folder or zip of pictures, or a name: atelier.")],
    out: Annotated[str, Option(help="A new folder for codes, pictures and errors.")],
    space: Kind = "z",
    n: Annotated[int, Option(min=1, max=1_000, help="At most so many pictures.")] = 64,
    starts: Annotated[int, Option(min=1, max=64, help="Starts for each picture.")] = 4,
    steps: Annotated[int, Option(min=1, max=10_000, help="Steps from each start.")] = 200,
    features: Annotated[float, Option(min=0, help="Weight of the extractor's features.")] = 0.0,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Find the codes of PICTURES, and see what RUN can make of them."""
    import torch

    from gan_book import latents
    from gan_book.checkpoints import save_tensors, write_json
    from gan_book.data import load_images, to_float, to_uint8
    from gan_book.features import extractor
    from gan_book.plots import save_grid

    folder = Path(out)
    empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    need(empty, f"{folder} exists and is not an empty folder; give --out a new one.")
    where, recipe = open_space(run, space, device)
    images = load_images(pictures, recipe.size, channels=recipe.channels, min_images=1)
    x = images.images[:n]  # (n, C, H, W)
    options: Any = {"starts": starts, "steps": steps, "features": features, "seed": seed}
    parts = [latents.invert(where, part, **options) for part in to_float(x).split(AT_ONCE)]
    labels = [part.labels for part in parts if part.labels is not None]
    error = torch.cat([part.error for part in parts])  # (n,)
    made = torch.cat([to_uint8(part.pictures).cpu() for part in parts])  # (n, C, H, W)
    net = extractor(device=device)
    apart = (net(x) - net(made)).norm(dim=1)  # (n,)
    pairs = torch.cat([x, made], 3)  # (n, C, H, 2 W): original and reconstruction
    save_grid(pairs, folder / "pictures.png")
    for i, pair in enumerate(pairs):
        save_grid(pair[None], folder / f"{i:06d}.png", scale=1)
    tensors = {"codes": torch.cat([part.codes for part in parts])}  # (n, d)
    tensors |= {"labels": torch.cat(labels)} if labels else {}  # (n,)
    save_tensors(folder / LATENTS, tensors, {"run": Path(run).name, "space": space})
    values = zip(images.ids or map(str, range(n)), error.tolist(), apart.tolist())  # noqa: B905
    rows = [{"picture": a, "pixels": b, "features": c} for a, b, c in values]
    units = "pixels: root mean square of differences in [-1, 1]; features: distance"
    write_json(folder / ERRORS, {"units": units, "extractor": net.facts(), "pictures": rows})
    say(f"{len(rows)} of {len(images):,} pictures in {folder}: median error {error.median():.3f}.")


@guarded
def film(
    run: Run,
    out: Annotated[str, Option(help="The film: a .gif, .webp or .mp4 (by ffmpeg).")],
    frames: Annotated[int | None, Option(min=2, max=2_000, help="[default: 60 or more]")] = None,
    keys: Annotated[int, Option(min=2, max=500, help="Pictures on the way.")] = 5,
    walks: Annotated[int, Option(min=1, max=64, help="Walks side by side.")] = 1,
    through: Annotated[
        str | None, Option(help="Go through the codes that `gan-book invert` wrote here.")
    ] = None,
    space: Kind = "z",
    label: Annotated[int | None, Option(min=0, help="The class, if conditional.")] = None,
    fps: Annotated[int, Option(min=1, max=60)] = 12,
    scale: Annotated[int | None, Option(min=1, max=64, help="Enlargement.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Write a looping film of a walk through RUN's latent space."""
    import torch

    from gan_book import animation, plots
    from gan_book.checkpoints import load_tensors
    from gan_book.data import to_uint8
    from gan_book.latents import walk
    from gan_book.model import latents

    path, kind = Path(out), Path(out).suffix.lower()
    need(kind in (".gif", ".webp", ".mp4"), f"A film is .gif, .webp or .mp4, not {out!r}.")
    there = kind != ".mp4" or shutil.which("ffmpeg")
    need(there, "MP4 needs the program ffmpeg, which is not here; write .gif or .webp instead.")
    tensors, meta = load_tensors(Path(through) / LATENTS) if through else ({}, {})
    where, _ = open_space(run, meta.get("space", space), device)
    like, classes = next(where.generator.parameters()), where.num_classes
    need(label is None or label < classes, f"{run} has {classes} classes; there is no {label}.")
    labels = torch.arange(walks) % max(1, classes) if label is None else torch.tensor([label])
    if through:
        codes, walks = tensors["codes"], 1  # (K, d)
        labels = tensors.get("labels", labels[:1]).unique()  # (1,)
        fits = codes.shape[1] == where.dim and ("labels" in tensors) == bool(classes)
        need(fits, f"The codes in {through} are those of another generator than {run}.")
        need(len(labels) == 1, "These codes are of several classes, and nothing lies between two.")
    else:  # z as `gan-book sample` draws them
        y = labels.expand(walks).repeat(keys).to(like.device)  # (keys walks,)
        z = latents(keys * walks, where.generator.z_dim, seed).to(like)  # (keys walks, z_dim)
        codes = where.encode_z(z, y)  # (keys walks, d)
    y = labels.expand(walks).to(like.device)  # (walks,)
    frames = max(60, len(codes) // walks) if frames is None else frames
    way = walk(codes.to(like).reshape(-1, walks, where.dim), frames, spherical=where.kind == "z")
    with torch.no_grad():
        pictures = [plots.grid(to_uint8(where.decode(x, y)).cpu(), scale=scale) for x in way]
    (save_mp4 if kind == ".mp4" else animation.save)(pictures, path, fps)
    say(f"{frames:,} frames in {out}")


def save_mp4(pictures: Any, path: Path, fps: int) -> None:
    """Write Pillow pictures as MP4 with even sides, in ffmpeg's own codec, mostly H.264."""
    width, height = pictures[0].size
    form = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {fps} -i - -pix_fmt yuv420p"
    even = "-vf pad=ceil(iw/2)*2:ceil(ih/2)*2 -movflags +faststart"
    command = f"ffmpeg -y -loglevel error {form} {even}".split()
    frames = b"".join(picture.tobytes() for picture in pictures)
    done = subprocess.run([*command, str(path)], input=frames, capture_output=True, check=False)
    need(done.returncode == 0, f"ffmpeg cannot write {path}: {done.stderr.decode().strip()}")
