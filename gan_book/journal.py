"""What a run leaves behind while it trains: log lines, sample grids, checkpoints, a bar."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from . import checkpoints as files
from .machine import environment
from .resume import capture
from .training import Guard, TrainingDiverged, TrainingState, all_finite


class Journal:
    """Writes what a run leaves behind: log lines, sample grids, checkpoints, the generator."""

    def __init__(self, folder: Path | None, state: TrainingState, precision: str) -> None:
        self.folder, self.precision = folder, precision
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
        tensors, meta = capture(state)
        meta |= {
            "seconds": self.elapsed(),
            "precision": self.precision,
            "environment": self.environment,
        }
        meta["recipe"] = state.recipe.to_dict()
        path = files.checkpoint_path(self.folder / "checkpoints", state.step)
        files.save_tensors(path, tensors, meta)
        files.save_tensors(
            self.folder / "generator.safetensors",
            files.under(tensors, "average"),
            {key: meta[key] for key in ("recipe", "step", "images", "environment")},
        )
        files.retain(path.parent, state.recipe.keep_checkpoints, path)


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
            if isinstance(entry, dict) and all(
                type(entry.get(k)) is int for k in ("step", "images")
            ):
                entries.append(entry)
    return entries
