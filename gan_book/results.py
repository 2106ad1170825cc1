"""Result files: what a run measured, where, with what, in one JSON for each cell of a grid."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

from gan_book.errors import GanBookError, need
from gan_book.machine import environment, write_atomically

PACKAGE = Path(__file__).resolve().parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]*")
# Written by save_result itself.
RESERVED = ("name", "cell", "environment")


def data_path(*parts: str) -> Path:
    """Return the path of something the project made: a model, a result file.

    Looks in the installed package first (the wheel carries ``data/``), then in the repository.

    Raises
    ------
    GanBookError
        If it is in neither place.
    """
    places = [PACKAGE / "_data", PACKAGE.parent / "data"]
    for place in places:
        path = place.joinpath(*parts)
        if path.exists():
            return path
    raise GanBookError(
        f"There is no {'/'.join(parts)} among the data of gan_book: neither in {places[0]} nor in "
        f"{places[1]}. Install the package again, or run from a complete checkout."
    )


def shipped(source: str | Path, file: str, what: str, *below: str) -> Path:
    """The folder ``source`` if it holds ``file``, else the shipped one of that name.

    Raises
    ------
    GanBookError
        If there is neither, listing which ones of ``what`` are shipped.
    """
    if (Path(source) / file).is_file():
        return Path(source)
    home = data_path("models", *below)
    names = sorted(path.parent.name for path in home.glob(f"*/{file}"))
    listed = ", ".join(names) or "none yet"
    need(str(source) in names, f"There is no {what} '{source}'; shipped: {listed}.")
    return home / str(source)


def results_folder() -> Path:
    """Return the folder that new results go to.

    ``GAN_BOOK_RESULTS`` if it is set; ``data/results`` in a checkout; otherwise ``results`` in the
    current folder, so that nothing is written into an installed package.
    """
    named = os.environ.get("GAN_BOOK_RESULTS")
    if named:
        return Path(named)
    if (PACKAGE.parent / "pyproject.toml").is_file():
        return PACKAGE.parent / "data" / "results"
    return Path("results")


def save_result(
    name: str,
    cell: str,
    record: dict[str, Any],
    *,
    device: str | None = None,
    folder: str | Path | None = None,
) -> Path:
    """Write one cell of a grid to ``<results folder>/<name>/<cell>.json``, atomically.

    Parameters
    ----------
    name
        The experiment, for example ``"ladder"``.
    cell
        The setting and seed, for example ``"r1-seed0"``.
    record
        What was measured: numbers, texts, lists and dicts of them; NumPy and torch scalars
        become numbers, small arrays lists. It must name its ``seed`` or ``seeds`` and its wall
        time in ``seconds``; device, threads and versions are added under ``environment``.
    device
        Where it ran, ``"cpu"`` or ``"cuda"``; by default what the machine has.
    folder
        Another results folder than `results_folder`.

    Returns
    -------
    Path
        The file written. A reader of it never sees half a file.

    Raises
    ------
    GanBookError
        If a name cannot be a file's, a required entry is missing, or an entry is no JSON.
    """
    for kind, text in (("experiment", name), ("cell", cell)):
        need(
            isinstance(text, str) and NAME.fullmatch(text),
            f"{text!r} cannot name the {kind} of a result: use letters, digits and . _ = + - "
            "without spaces or slashes.",
        )
    which = f"The result {name}/{cell}"
    for key in RESERVED:
        need(key not in record, f"{which} may not hold {key!r}: it is added here.")
    need("seed" in record or "seeds" in record, f"{which} does not say its seed or seeds.")
    need("seconds" in record, f"{which} does not say its wall time in 'seconds'.")
    where = Path(folder) if folder is not None else results_folder()
    content = {"name": name, "cell": cell, **_plain(record, f"{name}/{cell}")}
    content["environment"] = environment(device)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path = where / name / f"{cell}.json"
    write_atomically(path, text.encode())
    return path


def load_results(name: str, folder: str | Path | None = None) -> dict[str, dict[str, Any]]:
    """Return all cells of an experiment, sorted by name: ``{"r1-seed0": {...}, ...}``.

    New results (`results_folder`) hide shipped ones of the same cell.

    Raises
    ------
    GanBookError
        If there are none, or a file is no result.
    """
    if folder is not None:
        places = [Path(folder)]
    else:
        places = [PACKAGE.parent / "data" / "results", PACKAGE / "_data" / "results"]
        places.append(results_folder())
    files = {file.stem: file for place in places for file in sorted((place / name).glob("*.json"))}
    need(files, f"There are no results named {name!r} in {' or '.join(map(str, places))}.")
    return {cell: _read(files[cell]) for cell in sorted(files)}


def _read(file: Path) -> dict[str, Any]:
    """Return the content of one result file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GanBookError(f"The result file {file} cannot be read: {error}.") from error
    need(isinstance(content, dict), f"The result file {file} holds no table of values.")
    return content


def _plain(value: Any, where: str) -> Any:
    """Return a value as JSON knows it; a number that is not finite has no place in a result."""
    if value is None or isinstance(value, (bool, int, str, float)):
        finite = not isinstance(value, float) or math.isfinite(value)
        need(finite, f"The result {where} is {value}: say what went wrong in words.")
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}/{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}/{i}") for i, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where)
    if isinstance(value, os.PathLike):
        raise GanBookError(f"The result {where} is a path; a result names no place on a machine.")
    raise GanBookError(f"The result {where} is a {type(value).__name__}, which JSON cannot hold.")
