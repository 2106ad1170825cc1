"""One process or several: who this one is, and how an objective is wrapped.

Nothing distributed is written here: with several processes (``accelerate launch`` or ``torchrun``
set ``WORLD_SIZE``) Hugging Face Accelerate makes the process group and wraps the objective in
DistributedDataParallel; with one process nothing is imported and nothing is wrapped.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .errors import GanBookError, need

GONE = (
    "Another process of this training has ended, so this one ends, too ({}). What the last "
    "checkpoint holds is kept: see above which process ended first and why, then start all of them "
    "again with --resume (resume=True)."
)


@dataclass(frozen=True)
class Processes:
    """This process among ``world`` equal ones; ``accelerator`` is ``None`` when it is alone."""

    rank: int
    world: int
    device: torch.device
    accelerator: Any = None

    @property
    def is_main(self) -> bool:
        """Only the main process writes files and prints."""
        return self.rank == 0

    def wrap(self, objective: nn.Module) -> nn.Module:
        """The objective, averaging its gradients over all processes when there are several."""
        return objective if self.accelerator is None else self.accelerator.prepare(objective)

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """Mean over processes of a small tensor (log points only: it waits for all of them)."""
        return values if self.accelerator is None else self.accelerator.reduce(values, "mean")

    def agree(self, answer: bool) -> bool:
        """Whether the answer is yes on every process."""
        return bool(self.mean(torch.tensor(float(answer), device=self.device)) == 1)

    def wait(self) -> None:
        """Return when all processes are here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Inside, the end of another process becomes a ``GanBookError``, in all that are left.

        They learn of it by a broken connection, or because the launcher ends them with SIGTERM.
        """

        def ended(*_: object) -> None:
            raise GanBookError(GONE.format("SIGTERM"))

        if self.accelerator is None:
            yield
            return
        caught = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, ended) if caught else None
        try:
            yield
        except RuntimeError as error:
            lost = isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
            if not lost:
                raise
            raise GanBookError(GONE.format("the connection to it is closed")) from error
        finally:
            if caught:
                signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def resolve_device(device: str | torch.device) -> torch.device:
    """``auto``: CUDA where there is one, else the CPU; ``GanBookError`` if asked in vain."""
    name = str(device)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
    except RuntimeError as error:
        raise GanBookError(f"There is no device '{name}'; use auto, cpu or cuda.") from error
    need(chosen.type in ("cpu", "cuda"), f"Training runs on cpu or cuda, not on '{name}'.")
    there = chosen.type == "cpu" or torch.cuda.is_available()
    need(there, "PyTorch finds no CUDA device here; use --device cpu, or see `gan-book doctor`.")
    return chosen


def start_processes(device: str | torch.device = "auto") -> Processes:
    """Find out whether this process was launched with others, and join them if so.

    Raises ``GanBookError`` for a device that is not there, or if Accelerate is missing.
    """
    chosen = resolve_device(device)
    if os.environ.get("WORLD_SIZE", "1") in ("", "0", "1"):
        return Processes(0, 1, chosen)
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise GanBookError(
            "Training in several processes needs Accelerate; run: pip install accelerate"
        ) from error

    accelerator = Accelerator(cpu=chosen.type == "cpu")
    return Processes(
        accelerator.process_index, accelerator.num_processes, accelerator.device, accelerator
    )
