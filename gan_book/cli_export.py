"""``gan-book export``: a generator as an ONNX file, for web pages and other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from gan_book.cli_guard import guarded, say, size
from gan_book.errors import GanBookError, need


@guarded
def export(
    source: Annotated[str, Argument(metavar="RUN", help="A run, a model folder or its name.")],
    onnx: Annotated[str, Option(metavar="FILE", help="The file to write, such as art.onnx.")],
    part: Annotated[str, Option(help="whole, or of a style network mapping/synthesis.")] = "whole",
    half: Annotated[bool, Option("--half", help="Store weights in half precision.")] = False,
    best: Annotated[bool, Option("--best", help="The run's best checkpoint, if chosen.")] = False,
    force: Annotated[bool, Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a generator as an ONNX file, checked.

    The file appears only if ONNX Runtime paints with it what PyTorch paints.
    """
    target = Path(onnx)
    need(force or not target.exists(), f"{target} exists; choose another name, or add --force.")
    from gan_book.export import export_onnx
    from gan_book.runs import Run, open_model

    model = open_model(source, "cpu")
    if best:
        if not isinstance(model, Run):
            raise GanBookError("--best belongs to a run folder; a model is one already.")
        model = model.best
    made = export_onnx(model, target, part=part, half=half)
    say(f"{made.path}: {size(made.size)}, licence: {made.metadata['licence']}")
    for kind, ends in (("input", made.inputs), ("output", made.outputs)):
        for name, shape in ends.items():
            say(f"  {kind:<7} {name:<8} float32 ({', '.join(map(str, shape))})")
    say(f"ONNX Runtime and PyTorch differ by at most {made.error:.1g} (pictures lie in [-1, 1]).")
    if made.half_error is not None:
        say(f"With the weights rounded to half precision: {made.half_error:.1g}.")
