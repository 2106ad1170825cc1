"""Run notebooks, store their outputs, and stamp them with the date and versions that made them.

    python tests/tools/stamp.py book/dcgan.ipynb ...      default: every notebook of the book

A notebook runs in the tier cpu, with one thread, in an empty folder, without real data. What a
stamp says stands in its metadata, which `pytest --nbval` does not compare and the page's card
shows:

    "gan_book": {"verified": "2026-11-22", "python": "3.11", "torch": "2.14.1", "seconds": 41}

`seconds` is the processor time of the kernel. Times of execution in the cells' metadata go: they
would differ on each run and say nothing. A notebook that fails stays as it was; the status is 1.
Text that was edited during the run is kept; if code was edited, the run is thrown away.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import lint_notebooks, notebooks

SETTINGS = {"GAN_BOOK_TIER": "cpu", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
UNSET = ("GAN_BOOK_REAL_DATA", "GAN_BOOK_THREADS", "GAN_BOOK_SOURCE")
VOLATILE = ("execution", "ExecuteTime", "collapsed", "scrolled")
TIMEOUT = 600


def environment() -> dict[str, str]:
    """Return the environment of a notebook's kernel."""
    return {name: text for name, text in os.environ.items() if name not in UNSET} | SETTINGS


def strip(notebook: dict[str, Any]) -> None:
    """Take out what differs on each run and says nothing.

    The state of widgets, too: a page that holds it would load their scripts from another host.
    """
    notebook["metadata"].pop("widgets", None)
    for cell in notebook["cells"]:
        for name in VOLATILE:
            cell["metadata"].pop(name, None)


def stamp(notebook: dict[str, Any], seconds: float, today: datetime.date) -> None:
    """Write down when, with what and how fast a notebook ran."""
    notebook["metadata"]["gan_book"] = {
        "verified": today.isoformat(),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "torch": version("torch").partition("+")[0],
        "seconds": round(seconds),
    }


def outputs_into(now: dict[str, Any], ran: dict[str, Any]) -> bool:
    """Move the outputs of a run into the notebook as it stands now; False if its code changed."""
    made, code = ([c for c in n["cells"] if c["cell_type"] == "code"] for n in (ran, now))
    if ["".join(c["source"]) for c in made] != ["".join(c["source"]) for c in code]:
        return False
    for old, new in zip(code, made, strict=True):
        old["outputs"], old["execution_count"] = new["outputs"], new["execution_count"]
    now["metadata"] |= ran["metadata"]
    return True


def run(path: Path) -> tuple[dict[str, Any], float]:
    """Run a copy of a notebook in an empty folder; return it and the processor seconds it took.

    Raises nbclient's CellExecutionError when a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="gan-book-stamp-") as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        client.execute(env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(nbformat.writes(notebook)), seconds


def main(arguments: list[str] | None = None) -> int:
    """Run and stamp; return the exit status."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all of the book)")
    options = parser.parse_args(arguments)
    status = 0
    for path in options.paths or notebooks.notebook_files():
        try:
            notebook, seconds = run(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{path.name}: NOT stamped, a cell failed\n{str(error)[-2000:]}")
            status = 1
            continue
        now = json.loads(path.read_text(encoding="utf-8"))
        if not outputs_into(now, notebook):
            print(f"{path.name}: NOT stamped, its code was edited while it ran; run it again")
            status = 1
            continue
        strip(now)
        stamp(now, seconds, datetime.date.today())
        path.write_text(lint_notebooks.as_text(now), encoding="utf-8")
        print(f"{path.name}: stamped, {seconds:.0f} s of processor time")
    return status


if __name__ == "__main__":
    sys.exit(main())
