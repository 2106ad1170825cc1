"""``gan-book translate``: trains a translator on one's own pictures, and applies one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from gan_book.cli_guard import complain, guarded, say
from gan_book.errors import known, need

TURNED, ORIENTATION = 5, 0x0112  # from this EXIF orientation on width and height are exchanged
SHOWN = 8


@guarded
def translate(
    source: Annotated[str, Argument(help="A folder or zip of pictures; to train also a name.")],
    out: Annotated[str, Option(help="A new folder: for the translator, or for the pictures.")],
    task: Annotated[str | None, Option(help="Train on pairs: edges, gray or upscale.")] = None,
    to: Annotated[str | None, Option(help="Train without pairs: SOURCE to these pictures.")] = None,
    using: Annotated[str | None, Option("--with", help="Apply this translator.")] = None,
    steps: Annotated[int, Option(min=1, help="Length of the training.")] = 2000,
    size: Annotated[str, Option(help="To train at: a side, or HEIGHTxWIDTH.")] = "64",
    width: Annotated[int, Option(min=1, help="Channels of the networks at full size.")] = 24,
    seed: Annotated[int, Option(min=0, max=2**31 - 2, help="Of the training.")] = 0,
    drawn: Annotated[bool, Option("--drawn", help="Apply to drawings, dark on white.")] = False,
    back: Annotated[bool, Option("--back", help="Apply the way back of --to.")] = False,
    longest: Annotated[int, Option(min=4, max=4096, help="Shrink longer sides first.")] = 1024,
    device: Annotated[str, Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a translator of pictures, or apply one by --with.

    Train: gan-book translate PHOTOS --task gray --out RUN, or PHOTOS --to PAINTINGS --out RUN.
    Apply: gan-book translate PICTURES --with RUN --out FOLDER.
    """
    need(
        [task, to, using].count(None) == 2,
        "Say what to do, one of: --task edges, gray or upscale (train on pairs), --to PICTURES "
        "(train without pairs), --with RUN (apply).",
    )
    folder = Path(out)
    need(
        not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
        f"{folder} exists and is not an empty folder; give --out a new one: nothing is lost so.",
    )
    if using is not None:
        apply(source, using, folder, longest, device, drawn=drawn, back=back)
        return
    need(not (drawn or back), "--drawn and --back belong to --with: they say how to apply.")
    learn([source] if to is None else [source, to], task, folder, sides(size),
          steps=steps, width=width, seed=seed, device=device)  # fmt: skip


def sides(text: str) -> tuple[int, int]:
    """(H, W) from "64" or "48x64"."""
    parts = text.lower().split("x")
    good = len(parts) in (1, 2) and all(part.isdecimal() and len(part) < 6 for part in parts)
    need(good, f"--size is a side such as 64, or HEIGHTxWIDTH such as 48x64, not {text!r}.")
    return int(parts[0]), int(parts[-1])


def learn(
    sources: list[str], task: str | None, folder: Path, size: tuple[int, int], **options: Any
) -> None:
    """Train, say how it goes, and leave the translator with a sheet of held-out pictures."""
    from gan_book.cli_train import report
    from gan_book.data import load_images
    from gan_book.translation import TASKS
    from gan_book.translator import CARD, train_translator

    if len(sources) == 1:
        known("task", task, TASKS)
    sets = [load_images(source, size) for source in sources]
    for images in sets:
        report(images, None)

    def tell(done: Any) -> None:
        losses = (f"{k} {v:.3g}" for k, v in done.log[-1].items() if k.endswith("_loss"))
        say(f"step {done.steps:,}: {', '.join(losses)}")

    try:
        made = train_translator(*sets, task=task, out=folder, callback=tell, **options)
    finally:  # an interrupt, too
        if (folder / CARD).is_file():
            complain(f"What was trained is in {folder}.")
    sheet(made, sets, folder / "samples.png")
    say("samples.png there shows it on pictures that it was not trained on.")
    say(f"Apply it: gan-book translate PICTURES --with {folder} --out FOLDER")


def sheet(translator: Any, sets: list[Any], path: Path) -> None:
    """A grid of held-out pictures: source, translation and truth, or both ways without pairs."""
    import torch

    from gan_book.data import to_float, to_uint8
    from gan_book.plots import save_grid
    from gan_book.translation import source_of

    rows = []
    for i, images in enumerate(sets):
        x = images.images[images.split("auto", seed=0).held_out[:SHOWN]]  # (n, 3, H, W)
        if len(sets) == 2:
            rows += [x, translator(x, back=bool(i))]
            continue
        poor = source_of(to_float(x), translator.task)  # (n, 1 or 3, H, W)
        rows += [to_uint8(poor).expand(-1, 3, -1, -1), translator.finish(poor), x]
    columns = min(len(row) for row in rows)
    save_grid(torch.cat([row[:columns] for row in rows]), path, columns=columns)


def apply(source: str, using: str, folder: Path, longest: int, device: str, **how: bool) -> None:
    """Translate each picture of a folder or zip, at most `longest` wide or high, into a PNG."""
    from PIL import Image

    from gan_book.data.decode import Refusal
    from gan_book.data.listing import list_source
    from gan_book.translator import load_translator

    translator = load_translator(using, device)
    listing = list_source(Path(source).expanduser())
    written: set[Path] = set()
    for name, reason in listing.refused:
        say(f"  refused {name}: {reason}")
    for entry in listing.entries:
        try:
            result = translator(read(entry.read(), longest), **how)[0]  # (3, H, W)
        except Refusal as error:
            say(f"  refused {entry.name}: {error}")
            continue
        target = folder / Path(entry.name).with_suffix(".png")
        if target in written:  # a.jpg beside a.png
            target = target.with_name(f"{Path(entry.name).name}.png")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(result.permute(1, 2, 0).contiguous().numpy()).save(target)
        written.add(target)
    need(written, f"There is no picture in {source} that can be translated.")
    say(f"{len(written):,} picture{'s' * (len(written) > 1)} in {folder}")


def read(data: bytes, longest: int) -> Any:
    """A picture at its own size, or shrunk to ``longest``: uint8 (1, 3, H, W).

    Raises ``Refusal`` for what is no picture.
    """
    import torch
    from PIL import Image

    from gan_book.data.decode import FORMATS, Preparation, decode, quiet_decoders

    w = h = 4
    with quiet_decoders():
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                turned = picture.getexif().get(ORIENTATION, 1) >= TURNED
                w, h = picture.size[::-1] if turned else picture.size
        except Exception as error:  # noqa: BLE001 - decode says below what is wrong with it
            complain(f"note: a header cannot be read ({type(error).__name__}).")
        shrink = min(1.0, longest / max(w, h))
        size = (max(4, round(h * shrink)), max(4, round(w * shrink)))
        pixels, _ = decode(data, Preparation(size, crop="stretch"))  # (3, H, W)
    return torch.from_numpy(pixels)[None]
