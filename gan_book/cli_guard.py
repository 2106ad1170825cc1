"""What the command line does on errors: a sentence or a few, an exit status, nothing lost.

Exit statuses: 0 done, 2 bad input or a full disk (a sentence on stderr), 130 interrupted. An
exception that is none of these is a fault of the program, and its traceback stays.
"""

from __future__ import annotations

import errno
import functools
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import typer

from gan_book.errors import GanBookError

Result = TypeVar("Result")
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
NAMES = "EACCES EPERM EROFS ENOENT ENOTDIR EISDIR EEXIST ENAMETOOLONG ELOOP EINVAL EILSEQ"
PLACE = {getattr(errno, name) for name in NAMES.split()}


def plain(text: object) -> str:
    """``text`` on one line and safe for any terminal: control characters of a file name are
    shown, not obeyed."""
    escaped = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode()
        for c in str(text)
    )
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def say(text: str = "") -> None:
    """A line on stdout, from the main process only."""
    if os.environ.get("RANK", "0") == "0":
        print(plain(text), flush=True)


def complain(text: str) -> None:
    """A line on stderr."""
    print(plain(text), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds for a person: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 days 4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"


def size(count: float) -> str:
    """Bytes for a person, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def how_to_go_on(folder: Path | None) -> str:
    """What is saved in the run folder, and the command that goes on with it."""
    if folder is None:
        return ""
    if not (folder / "recipe.json").exists():
        return " Nothing was written."
    from gan_book.checkpoints import checkpoint_files

    found = checkpoint_files(folder / "checkpoints")
    if not found:
        return f" No checkpoint has been saved in {folder} yet; with --resume it begins again."
    step = int(found[-1].stem.removeprefix("step-"))
    words = ["gan-book", *sys.argv[1:]]
    words += [] if "--resume" in words else ["--resume"]
    return f" Everything up to step {step} is saved in {folder}; go on with: {shlex.join(words)}"


def guarded(command: Callable[..., Result]) -> Callable[..., Result]:
    """The command with its errors turned into sentences; the argument ``out`` of ``train`` is
    its run folder."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Result:
        out = kwargs.get("out")
        folder = Path(out) if out is not None and command.__name__ == "train" else None
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: complain(f"note: {message}")
            try:
                return command(*args, **kwargs)
            except GanBookError as error:
                complain(f"gan-book: {error}")
                raise typer.Exit(2) from None
            except KeyboardInterrupt:
                more = " Nothing was written." if kwargs.get("dry_run") else how_to_go_on(folder)
                complain(f"gan-book: stopped.{more}")
                raise typer.Exit(130) from None
            except BrokenPipeError:  # our reader has gone, as in `gan-book recipes | head -1`
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(0) from None
            except MemoryError:
                complain("gan-book: memory is full; use fewer pictures or a smaller batch_size.")
                raise typer.Exit(2) from None
            except OSError as error:
                sentence = about_files(error)
                if sentence is None:
                    raise
                complain(f"gan-book: {sentence}{how_to_go_on(folder)}")
                raise typer.Exit(2) from None

    return run


def about_files(error: OSError) -> str | None:
    """A sentence for a full disk or a place that cannot be used; None for any other error."""
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return f"the disk is full{where}; free some space. What was saved before is still there."
    if error.errno in PLACE and error.filename:
        return f"{error.filename} cannot be used ({error.strerror}); choose another place."
    return None
