"""``gan-book evaluate``: the table of ``gan_book.evaluate`` in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gan_book.cli_guard import complain, guarded, say
from gan_book.errors import need


@guarded
def evaluate(
    run: Annotated[
        str, typer.Argument(help="A run folder, a model folder, or the name of a shipped model.")
    ],
    images: Annotated[
        str | None,
        typer.Option(
            "--images", help="The pictures it was trained on. [default: as the run names them]"
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("--n", help="Pictures in each row. [default: 1000, or as many as there are]"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed draws other pictures.")] = 0,
    extractor: Annotated[
        Literal["gan-book-1", "inception", "dinov2"],
        typer.Option(
            "--extractor", help="gan-book-1, or inception or dinov2, which are downloaded once."
        ),
    ] = "gan-book-1",
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option("--device", help="Where to compute; auto is CUDA where there is one."),
    ] = "auto",
    out: Annotated[
        str | None,
        typer.Option("--out", help="Write the numbers as JSON here. [default: into the run]"),
    ] = None,
) -> None:
    """Measure RUN against pictures that it was not trained on: quality, variety, copies."""
    from gan_book.measuring import evaluate as measure

    need(
        out is None or (Path(out).suffix == ".json" and not Path(out).is_dir()),
        f"The numbers are written as JSON: give --out a name that ends in .json, not {out!r}.",
    )
    complain("Drawing and measuring; the first time may take a minute or two on a CPU.")
    report = measure(
        run,
        images,
        n="auto" if n is None else n,
        seed=seed,
        extractor=extractor,
        device=device,
        out=out,
    )
    for line in str(report).splitlines():
        say(line)
