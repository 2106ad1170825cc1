"""The command line: ``gan-book train``, ``sample``, ``evaluate``, ``recipes`` and ``doctor``.

Each command is a thin layer over the Python functions of the same names; what it prints is plain
text that reads well without color. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import gan_book
from gan_book.cli_evaluate import evaluate
from gan_book.cli_guard import complain, duration, guarded, say
from gan_book.errors import GanBookError

if TYPE_CHECKING:
    from gan_book.model import Model

LARGEST_SEED = 2**31 - 2
LARGEST_GRID = 4096
LARGEST_SAMPLE = 4 * 2**30  # bytes

app = typer.Typer(
    name="gan-book",
    help="Train generators on your own pictures and draw from them; --help explains each.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Device = Literal["auto", "cpu", "cuda"]
DEVICE = typer.Option("--device", help="Where to compute; auto is CUDA where there is one.")


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        say(f"gan-book {gan_book.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and stop.", callback=version, is_eager=True
        ),
    ] = False,
) -> None:
    """Options that stand before the command."""


@app.command()
@guarded
def train(
    source: Annotated[
        str, typer.Argument(help="A folder of pictures, a zip of one, or a name such as atelier.")
    ],
    out: Annotated[str | None, typer.Option("--out", help="The run folder to write.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe", help="A name from `gan-book recipes`, or a .toml file. [default: small-32]"
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            help="Stop after this many steps in total. [default: the recipe's end]",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=LARGEST_SEED, help="[default: 0]")
    ] = None,
    device: Annotated[Device, DEVICE] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    init: Annotated[
        str | None, typer.Option("--init", help="Start from the weights of this model or run.")
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            "--holdout",
            help="Pictures to set aside: auto (64 or 10 %), a count, a share such as 0.1, or 0. "
            "[default: auto]",
        ),
    ] = None,
    select: Annotated[
        bool | None,
        typer.Option(
            "--select/--no-select",
            help="Keep the generator that is best on held-out pictures, and stop where training "
            "pictures are copied. [default: where enough are held out]",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting of the recipe; can be repeated."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the run would be and cost; write nothing.")
    ] = False,
    download: Annotated[
        bool, typer.Option("--download", help="Allow the download of a named set.")
    ] = False,
) -> None:
    """Train a generator on SOURCE and write a run folder."""
    from gan_book import cli_train as parts

    if resume and init is not None:
        raise GanBookError(
            "--resume goes on with a run and --init starts a new one; give only one of them."
        )
    aside = None if holdout is None else parts.parse_holdout(holdout)
    folder = None if out is None else Path(out)
    if not dry_run:
        if folder is None:
            raise GanBookError("Say where the run shall be written: --out RUN.")
        parts.check_folder(folder, source, resume)
    chosen = parts.choose_recipe(recipe, folder if resume else None, settings or [])
    if seed is None:
        seed = parts.seed_of(folder if resume else None)
    images = parts.load(source, chosen, download)
    parts.report(images, None if dry_run else folder)
    if dry_run:
        parts.forecast(chosen, images, device, seed, "auto" if aside is None else aside)
        return
    assert folder is not None
    if select is None and not (folder / "data.json").exists():
        select = parts.can_select(images, "auto" if aside is None else aside)
    run = gan_book.train(
        chosen,
        images,
        folder,
        steps=steps,
        seed=seed,
        device=device,
        resume=resume,
        init=init,
        holdout=aside,
        select=select,
    )
    say(
        f"Trained to step {run.steps:,} of {chosen.total_steps:,} ({run.images_seen:,} images "
        "seen)."
    )
    if run.log:
        last = run.log[-1]
        say(
            f"{last['images_per_second']:,.0f} images/s; {duration(last['seconds'])} of training "
            "in all."
        )
    say(
        f"The generator is in {folder / 'generator.safetensors'}, grids are in "
        f"{folder / 'samples'}."
    )
    parts.tell_best(folder)
    say(f"Draw from it: gan-book sample {folder} --n 64 --out grid.png")
    if run.steps < chosen.total_steps:
        say("Go on to the recipe's end: the same command with --resume and without --steps.")


@app.command()
@guarded
def sample(
    run: Annotated[
        str, typer.Argument(help="A run folder, a model folder, or the name of a shipped model.")
    ],
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="How many pictures.")] = 64,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=LARGEST_SEED, help="The same seed, the same pictures."),
    ] = 0,
    out: Annotated[str | None, typer.Option("--out", help="Write one grid, a .png.")] = None,
    folder: Annotated[
        str | None, typer.Option("--folder", help="Write single pictures into this new folder.")
    ] = None,
    label: Annotated[
        int | None,
        typer.Option("--label", min=0, help="The class to draw, for conditional models."),
    ] = None,
    columns: Annotated[
        int | None, typer.Option("--columns", min=1, max=1000, help="Columns of the grid.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", min=1, max=64, help="Enlargement in the grid.")
    ] = None,
    device: Annotated[Device, DEVICE] = "auto",
) -> None:
    """Draw pictures from a trained generator."""
    if out is None and folder is None:
        raise GanBookError(
            "Say where the pictures shall go: --out grid.png, --folder DIR, or both."
        )
    if out is not None and Path(out).is_dir():
        raise GanBookError(
            f"{out} is a folder; --out is a file, and --folder takes single pictures."
        )
    if out is not None and Path(out).suffix.lower() != ".png":
        raise GanBookError(f"A grid is saved as PNG: give a name that ends in .png, not {out!r}.")
    if out is not None and n > LARGEST_GRID:
        raise GanBookError(
            f"A grid has at most {LARGEST_GRID:,} pictures, not {n:,}; use --folder DIR instead "
            "of --out."
        )
    if (
        folder is not None
        and Path(folder).exists()
        and (not Path(folder).is_dir() or any(Path(folder).iterdir()))
    ):
        raise GanBookError(
            f"{folder} exists and is not an empty folder; give --folder a new one, so that "
            "nothing is lost."
        )
    model = open_model(run, device)
    made = model.recipe
    if made.points:
        raise GanBookError(
            f"{run} makes points in the plane, not pictures; in Python, load_run(...).sample "
            "gives them."
        )
    if n * made.channels * math.prod(made.size) > LARGEST_SAMPLE:
        raise GanBookError(
            f"{n:,} pictures of this size do not fit into memory; draw fewer for each of several "
            "seeds."
        )
    pictures = model.sample(n, seed=seed, labels=label)  # (n, C, H, W)
    facts: dict[str, object] = {"recipe": made.name, "model": Path(run).name, "n": n, "seed": seed}
    if label is not None:
        facts["label"] = label
    if folder is not None:
        write_pictures(pictures, Path(folder))
        say(f"{n:,} pictures in {folder}")
    if out is not None:
        from gan_book.plots import save_grid

        save_grid(pictures, out, columns=columns, scale=scale, metadata=facts)
        say(f"{n:,} pictures in {out}")


def open_model(place: str, device: str) -> Model:
    """The generator of a run folder, of a model folder or of a shipped model."""
    if (Path(place) / "recipe.json").exists():
        return gan_book.load_run(place, device)
    return gan_book.load_model(place, device)


def write_pictures(pictures: Any, folder: Path) -> None:
    """Each picture as ``000000.png``, ``000001.png``, ... in ``folder``."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(pictures):
        array = picture.permute(1, 2, 0).contiguous().numpy()  # (H, W, C)
        Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(
            folder / f"{i:06d}.png"
        )


app.command()(evaluate)


@app.command()
@guarded
def recipes() -> None:
    """List the recipes."""
    from gan_book.recipes import recipes as shipped

    rows = [("name", "makes", "loss", "images", "what for")]
    for r in shipped():
        makes = "points" if r.points else f"{r.size[1]}x{r.size[0]}"
        rows.append((r.name, makes, r.loss, f"{r.total_images:,}", r.summary))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [f"{row[i]:>{w}}" if i == 3 else f"{row[i]:<{w}}" for i, w in enumerate(widths)]
        say("  ".join([*cells, row[4]]))
    say()
    say("Use one with: gan-book train SOURCE --recipe NAME --out RUN")


@app.command()
@guarded
def doctor() -> None:
    """Say what this machine can do, what is missing, and what to do about it."""
    from gan_book.doctor import examine

    findings = examine()
    for status, subject, text, _ in findings:
        say(f"{status:<8} {subject:<14} {text}")
    broken = [finding.subject for finding in findings if finding.fatal]
    if broken:
        complain(f"gan-book: training cannot work here yet: {', '.join(broken)}.")
        raise typer.Exit(1)
    say("Training works on this machine.")


def main() -> None:
    """The entry point of ``gan-book``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="gan-book")


if __name__ == "__main__":
    main()
