"""What a run leaves behind while it trains: log lines, sample grids, checkpoints, a bar."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from . import checkpoints as files
from .errors import GanBookError
from .machine import environment
from .resume import capture
from .training import Guard, TrainingDiverged, TrainingState, all_finite


class Journal:
    """Writes what a run leaves behind: log lines, sample grids, checkpoints, the generator."""

    def __init__(
        self,
        folder: Path | None,
        state: TrainingState,
        precision: str,
        kept: Sequence[Any] = (),  # callbacks whose state belongs into checkpoints
    ) -> None:
        self.folder, self.precision, self.kept = folder, precision, kept
        self.environment = {**environment(state.processes.device), "precision": precision}
        self.environment["processes"] = state.processes.world
        self.log: list[dict[str, Any]] = []
        self.seconds = 0.0  # training time of earlier slices
        self.start = time.perf_counter()
        self.last = (0.0, state.images)
        self.saved_step = -1
        every = state.recipe.steps_of(state.recipe.log_every)
        self.guard = Guard(every, self.record)
        if folder:
            for place in (folder, folder / "checkpoints"):
                files.remove_leftovers(place)
            files.write_json(folder / "environment.json", self.environment)

    def elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self.start

    def go_on(self, state: TrainingState, seconds: float) -> None:
        """Take over the log up to the state's step; later lines belong to lost work.

        ``seconds`` is the training time up to there; both are 0 where a run begins.
        """
        self.seconds, self.start = seconds, time.perf_counter()
        self.last = (seconds, state.images)
        if not self.folder:
            return
        self.log = [entry for entry in read_log(self.folder) if entry["step"] <= state.step]
        lines = "".join(json.dumps(entry) + "\n" for entry in self.log)
        files.write_atomically(self.folder / "log.jsonl", lines.encode())

    def record(self, state: TrainingState, averages: dict[str, float]) -> None:
        """One line of the log: averages since the last one, speed, schedules."""
        now, before = self.elapsed(), self.last
        self.last = (now, state.images)
        entry = {
            "step": state.step,
            "images": state.images,
            "seconds": round(now, 3),
            "images_per_second": round((state.images - before[1]) / max(now - before[0], 1e-9), 1),
            **{name: float(f"{value:.6g}") for name, value in averages.items()},
            "p": float(f"{state.p.item():.6g}"),
            "lr": state.recipe.lr.value(state.images),
        }
        if state.controller is not None:
            entry["r"] = float(f"{state.controller.r.item():.6g}")
        self.log.append(entry)
        if self.folder:
            with open(self.folder / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    def checkpoint(self, state: TrainingState) -> None:
        """Save everything, unless a network has stopped being finite."""
        if state.step == self.saved_step:
            return
        if not all_finite(state.generator, state.discriminator, state.average):
            raise TrainingDiverged(
                f"Training diverged by step {state.step}: a network's weights are not finite. "
                "The last checkpoint is kept; lower the learning rate or raise r1 and r2."
            )
        self.saved_step = state.step
        if not self.folder:
            return
        tensors, meta = capture(state, self.kept)
        meta |= {"seconds": self.elapsed(), "precision": self.precision}
        meta |= {"environment": self.environment, "recipe": state.recipe.to_dict()}
        path = files.checkpoint_path(self.folder / "checkpoints", state.step)
        files.save_tensors(path, tensors, meta)
        files.save_tensors(
            self.folder / "generator.safetensors",
            files.under(tensors, "average"),
            {key: meta[key] for key in ("recipe", "step", "images", "environment")},
        )
        files.retain(path.parent, state.recipe.keep_checkpoints, path)


class StopTraining(Exception):
    """Raised by a callback to end training after this step; the message says why."""


class Interrupt:
    """A callback that takes Ctrl-C between two steps, where the state of a run is whole.

    Inside ``with`` the first Ctrl-C waits for the end of the step; a second one acts at once. Other
    threads than the main one get no signals, and of several processes none may stop alone: both
    are left as they are.
    """

    def __init__(self, state: TrainingState) -> None:
        self.asked = False
        main = threading.current_thread() is threading.main_thread()
        self.active = main and state.processes.world == 1

    def __enter__(self) -> Interrupt:
        if self.active:
            self.before = signal.signal(signal.SIGINT, self.ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.active:
            signal.signal(signal.SIGINT, self.before or signal.default_int_handler)

    def ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        if self.asked:
            raise StopTraining


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; ``GanBookError`` while another process holds it.

    The system's own lock: it ends with its process, however that ends. File systems without locks
    (some network drives) go without.
    """
    try:
        file = open(folder / ".lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise GanBookError(f"{folder} cannot be written ({error.strerror}).") from error
    with file:
        try:
            if sys.platform != "win32":
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            else:
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except (BlockingIOError, PermissionError) as error:
            raise GanBookError(
                f"Another training is writing into {folder} at this moment; wait until it ends, "
                "or choose another folder."
            ) from error
        except OSError:
            pass  # no locks here
        yield


class Every:
    """Calls ``action(state)`` every so many steps."""

    def __init__(self, steps: int, action: Callable[[TrainingState], None]) -> None:
        self.steps, self.action = steps, action

    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        if state.step % self.steps == 0:
            self.action(state)


class Progress:
    """A bar with images per second and the time left."""

    def __init__(self, state: TrainingState, until: int) -> None:
        from tqdm.auto import tqdm

        per_step = state.recipe.images_per_step
        # in a log file a line every ten seconds is enough; a terminal or a notebook shows it live
        live = sys.stderr.isatty() or "ipykernel" in sys.modules
        self.bar = tqdm(
            total=until * per_step,
            initial=state.images,
            unit="img",
            unit_scale=True,
            mininterval=0.1 if live else 10.0,
        )

    def __call__(self, state: TrainingState, logs: dict[str, Tensor]) -> None:
        self.bar.update(state.recipe.images_per_step)

    def close(self) -> None:
        self.bar.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``; a last line cut by a kill is left out."""
    path = folder / "log.jsonl"
    entries: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # only a torn line can fail to parse, and its step is trained again
            counts = ("step", "images")
            if isinstance(entry, dict) and all(type(entry.get(key)) is int for key in counts):
                entries.append(entry)
    return entries
