"""What grids of results share: a name for each cell, one JSON each, and none measured twice."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from gan_book.errors import GanBookError, need
from gan_book.results import load_results, results_folder, save_result

Record = dict[str, Any]
Cell = Callable[[], Record]
Show = Callable[[Record], str]


def grid_parser(description: str) -> argparse.ArgumentParser:
    """The command line of every grid; a grid may add options of its own."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("cells", nargs="*", help="starts of names; all by default")
    parser.add_argument("--again", action="store_true", help="measure cells that have a result")
    parser.add_argument("--list", action="store_true", help="name the cells and stop")
    return parser


def run_grid(
    name: str,
    cells: Mapping[str, Cell],
    arguments: argparse.Namespace,
    *,
    show: Show = lambda _: "",
    device: str = "cpu",
) -> None:
    """Run the wanted cells in their order and save each at once under ``name``.

    One thread. A cell that cannot run says why, by ``GanBookError``, and the next one follows.
    """
    torch.set_num_threads(1)
    for label, cell in cells.items():
        there = (results_folder() / name / f"{label}.json").exists()
        if arguments.list:
            print(label, "there" if there else "missing")
            continue
        if arguments.cells and not label.startswith(tuple(arguments.cells)):
            continue
        if there and not arguments.again:
            print(f"{label:28} is there", flush=True)
            continue
        wall, processor = time.perf_counter(), time.process_time()
        try:
            record = cell()
        except GanBookError as error:
            print(f"{label:28} left out: {error}", flush=True)
            continue
        spent = {
            "seconds": time.perf_counter() - wall,
            "processor_seconds": time.process_time() - processor,
        }
        save_result(name, label, {**record, **spent}, device=device)
        print(f"{label:28} {spent['processor_seconds']:6.1f} s {show(record)}", flush=True)


def found(grid: str, cell: str) -> Record:
    """The result of a cell that another one builds on. ``GanBookError`` where there is none."""
    cells = load_results(grid)
    need(cell in cells, f"the cell '{cell}' has to be measured before this one.")
    return cells[cell]


def show_kid(record: Record) -> str:
    """Images and KID by extractor for the line of a cell; empty where it has no measurement."""
    measured = record.get("measured", {})
    kid = {e: round(measured[e]["kid"], 4) for e in measured}
    return f"{record.get('images', '')} images {kid} {record.get('ended', '')}" if kid else ""


def folded(values: list[Any]) -> Any:
    """Mean, least and most of numbers; of dicts, entry by entry; of others nothing."""
    if all(isinstance(v, dict) for v in values):
        shared = [k for k in values[0] if all(k in v for v in values)]
        found = {k: folded([v[k] for v in values]) for k in shared}
        return {k: v for k, v in found.items() if v not in (None, {})}
    if any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        return None
    return {"mean": sum(values) / len(values), "least": min(values), "most": max(values)}
