"""The command line: ``gan-book train``, ``sample``, ``evaluate``, ``report`` and further ones.

Each command is a thin layer over the Python functions of the same names; what it prints is plain
text that reads well without color. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option
from typer.core import TyperGroup

import gan_book
from gan_book.cli_export import export
from gan_book.cli_guard import complain, guarded, say
from gan_book.cli_latents import film, invert
from gan_book.cli_translate import translate
from gan_book.errors import need

LARGEST_SEED = 2**31 - 2
LARGEST_GRID = 4096
LARGEST_SAMPLE = 4 * 2**30  # bytes
SIZE = re.compile(r"[1-9]\d{0,4}x[1-9]\d{0,4}").fullmatch

USAGE: Any = typer.BadParameter.__base__  # Click's error, or that of Typer's own copy of Click


class Commands(TyperGroup):
    """The commands; words too many are mostly a path with spaces that lacks its quotes."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except USAGE as error:
            if "extra argument" in error.message:
                error.message += '; put quotes around a path with spaces, as in "my pictures/".'
            raise


app = typer.Typer(
    name="gan-book",
    cls=Commands,
    help="Train generators on your own pictures and draw from them; --help explains each.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

WHERE = "Where to compute; auto is CUDA where there is one."
Device = Annotated[Literal["auto", "cpu", "cuda"], Option(help=WHERE)]


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        say(f"gan-book {gan_book.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    _: Annotated[
        bool,
        Option("--version", help="Print the version and stop.", callback=version, is_eager=True),
    ] = False,
) -> None:
    """Options that stand before the command."""


@app.command()
@guarded
def train(
    source: Annotated[
        str, Argument(help="A folder of pictures, a zip of one, or a name such as atelier.")
    ],
    out: Annotated[str | None, Option(help="The run folder; only --dry-run needs none.")] = None,
    recipe: Annotated[
        str | None,
        Option(help="A name from `gan-book recipes`, or a .toml file. [default: small-32]"),
    ] = None,
    steps: Annotated[
        int | None,
        Option(min=1, help="Stop after so many steps. [default: the recipe's end, or copying]"),
    ] = None,
    seed: Annotated[int | None, Option(min=0, max=LARGEST_SEED, help="[default: 0]")] = None,
    device: Device = "auto",
    resume: Annotated[bool, Option("--resume", help="Go on with the run in --out.")] = False,
    init: Annotated[str | None, Option(help="Start from the weights of this model or run.")] = None,
    holdout: Annotated[
        str | None,
        Option(
            help="Pictures to set aside: auto (64 or 10 %), a count, a share such as 0.1, or 0. "
            "[default: auto]"
        ),
    ] = None,
    select: Annotated[
        bool | None,
        Option(
            help="Keep the generator that is best on held-out pictures, and stop where training "
            "pictures are copied. [default: where enough are held out]"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; repeatable."),
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what the run would be and cost; write nothing.")
    ] = False,
    download: Annotated[
        bool, Option("--download", help="Allow the download of a named set.")
    ] = False,
) -> None:
    """Train a generator on SOURCE and write a run folder."""
    from gan_book import cli_train as parts

    need(
        not resume or init is None,
        "--resume goes on with a run and --init starts a new one; give only one of them.",
    )
    need(out or dry_run, "Say where the run shall be written: --out RUN.")
    folder = None if out is None else Path(out)
    if folder and not dry_run:
        parts.check_folder(folder, source, resume)
    chosen = parts.choose_recipe(recipe, folder if resume else None, settings or [])
    if seed is None:
        seed = parts.seed_of(folder if resume else None)
    images = parts.load(source, chosen, download)
    parts.report(images, None if dry_run else folder, chosen.num_classes > 0)
    if folder is None or dry_run:
        parts.forecast(chosen, images, device, seed, holdout or "auto")
        return
    if select is None and not (folder / "recipe.json").exists():
        select = parts.can_select(images, holdout or "auto")
    run = gan_book.train(
        chosen, images, folder, steps=steps, seed=seed, device=device, resume=resume, init=init,
        holdout=holdout, select=select,
    )  # fmt: skip
    parts.tell(run, folder)


@app.command()
@guarded
def sample(
    run: Annotated[
        str, Argument(help="A run folder, a model folder, or the name of a shipped model.")
    ],
    n: Annotated[int, Option(min=1, max=100_000, help="How many pictures.")] = 64,
    seed: Annotated[
        int, Option(min=0, max=LARGEST_SEED, help="The same seed, the same pictures.")
    ] = 0,
    out: Annotated[str | None, Option(help="Write one grid, a .png.")] = None,
    folder: Annotated[
        str | None, Option(help="Write single pictures into this new folder.")
    ] = None,
    label: Annotated[
        int | None, Option(min=0, help="The number of a class; data.json names them.")
    ] = None,
    columns: Annotated[int | None, Option(min=1, max=1000, help="Columns of the grid.")] = None,
    scale: Annotated[int | None, Option(min=1, max=64, help="Enlargement in the grid.")] = None,
    size: Annotated[
        str | None,
        Option(metavar="HxW", help="Another size, for generators that render at any (inr)."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Draw pictures from a trained generator."""
    need(
        size is None or SIZE(size),
        f"--size is height x width in pixels, as in 400x600, not {size!r}.",
    )
    shape: Any = None if size is None else tuple(map(int, size.split("x")))
    need(out or folder, "Say where the pictures shall go: --out grid.png, --folder DIR, or both.")
    if out is not None:
        need(
            Path(out).suffix.lower() == ".png" and not Path(out).is_dir(),
            f"--out is a file with a name that ends in .png, not {out!r}; --folder takes single "
            "pictures.",
        )
        need(
            n <= LARGEST_GRID,
            f"A grid has at most {LARGEST_GRID:,} pictures, not {n:,}; use --folder DIR instead.",
        )
    if folder is not None and Path(folder).exists():
        need(
            Path(folder).is_dir() and not any(Path(folder).iterdir()),
            f"{folder} exists and is not an empty folder; give --folder a new one, so that "
            "nothing is lost.",
        )
    from gan_book.runs import open_model

    model = open_model(run, device)
    made = model.recipe
    need(
        not made.points,
        f"{run} makes points in the plane, not pictures; in Python, load_run(...).sample gives "
        "them.",
    )
    need(
        n * made.channels * math.prod(shape or made.size) <= LARGEST_SAMPLE,
        f"{n:,} pictures of this size do not fit into memory; draw fewer for each of several "
        "seeds.",
    )
    pictures = model.sample(n, seed=seed, labels=label, size=shape)  # (n, C, H, W)
    from gan_book import provenance
    from gan_book.plots import grid

    facts: dict[str, Any] = {"model": Path(run).name, "n": n, "seed": seed}
    facts |= {k: v for k, v in (("size", size), ("label", label)) if v is not None}
    origin = provenance.record(model, **facts)
    if folder is not None:
        for i, picture in enumerate(pictures):
            provenance.save(picture, Path(folder) / f"{i:06d}.png", origin | {"index": i})
        say(f"{n:,} pictures in {folder}")
    if out is not None:
        provenance.save(grid(pictures, columns, scale), out, origin)
        say(f"{n:,} pictures in {out}")


@app.command()
@guarded
def evaluate(
    run: Annotated[
        str, Argument(help="A run folder, a model folder, or the name of a shipped model.")
    ],
    images: Annotated[
        str | None, Option(help="The pictures it was trained on. [default: as the run names them]")
    ] = None,
    n: Annotated[
        int | None, Option(min=1, help="Pictures in each row. [default: 1000, or what there is]")
    ] = None,
    seed: Annotated[int, Option(help="Another seed draws other pictures.")] = 0,
    extractor: Annotated[
        Literal["gan-book-1", "inception", "dinov2"],
        Option(help="gan-book-1, or inception or dinov2, which are downloaded once."),
    ] = "gan-book-1",
    device: Device = "auto",
    out: Annotated[
        str | None, Option(help="Write the numbers as JSON here. [default: into the run]")
    ] = None,
) -> None:
    """Measure RUN on held-out pictures: quality, variety, copies."""
    from gan_book.runs import open_model

    need(
        out is None or (Path(out).suffix == ".json" and not Path(out).is_dir()),
        f"The numbers are written as JSON: give --out a name that ends in .json, not {out!r}.",
    )
    model = open_model(run, device)
    complain("Drawing and measuring; the first time may take a minute or two on a CPU.")
    report = gan_book.evaluate(
        model, images, n=n or "auto", seed=seed, extractor=extractor, device=device, out=out
    )
    for line in str(report).splitlines():
        say(line)
    unfinished = getattr(model, "steps", math.inf) < model.recipe.total_steps  # a run cut short
    if unfinished and report.against_gaussian.verdict != "a":
        say("Train longer: the command that began this run, with --resume and without --steps.")


@app.command()
@guarded
def report(
    run: Annotated[
        str, Argument(help="A run folder, a model folder, or the name of a shipped model.")
    ],
    out: Annotated[
        str | None, Option(help="The page, a .html. [default: report.html in the run]")
    ] = None,
    images: Annotated[
        str | None, Option(help="The pictures it was trained on. [default: as the run names them]")
    ] = None,
    seed: Annotated[
        int, Option(min=0, max=LARGEST_SEED, help="Another seed draws other pictures.")
    ] = 0,
    device: Device = "auto",
) -> None:
    """Write RUN as one HTML page: samples, curves, numbers, card."""
    complain("Drawing and measuring; this may take a minute or two on a CPU.")
    page = gan_book.report(run, out, images, seed=seed, device=device)
    say(f"The page is {page}; open it in a browser.")


@app.command()
@guarded
def recipes() -> None:
    """List the recipes."""
    from gan_book.recipes import recipes as shipped

    rows = [("name", "makes", "loss", "images", "what for")]
    for r in shipped():
        makes = "points" if r.points else f"{r.size[1]}x{r.size[0]}"
        rows.append((r.name, makes, r.loss, f"{r.total_images:,}", r.summary))
    a, b, c, d, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, makes, loss, images, purpose in rows:
        say(f"{name:<{a}}  {makes:<{b}}  {loss:<{c}}  {images:>{d}}  {purpose}")
    say()
    say("Use one with: gan-book train SOURCE --recipe NAME --out RUN")


@app.command()
@guarded
def doctor() -> None:
    """Say what this machine can do, what it lacks, and what to do."""
    from gan_book.doctor import examine

    findings = examine()
    for status, subject, text, _ in findings:
        say(f"{status:<8} {subject:<14} {text}")
    broken = [finding.subject for finding in findings if finding.fatal]
    if broken:
        complain(f"gan-book: training cannot work here yet: {', '.join(broken)}.")
        raise typer.Exit(1)
    say("Training works on this machine.")


app.command()(translate)
app.command()(invert)
app.command()(film)
app.command()(export)


def main() -> None:
    """The entry point of ``gan-book``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="gan-book")


if __name__ == "__main__":
    main()
