"""Runs: training that leaves a folder behind, and what can be done with one afterwards.

A run folder holds ``recipe.json``, ``environment.json``, ``data.json`` (which pictures trained,
which were held out, which files were refused, what the classes are called), ``log.jsonl``,
``samples/``, ``checkpoints/`` (everything needed to go on exactly) and ``generator.safetensors``
(the averaged generator); with ``select`` also ``best.json`` and ``best/generator.safetensors``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoints as files
from .control import Controlled
from .data.batches import Batches
from .data.imageset import ImageSet, Split
from .errors import GanBookError, need
from .journal import Every, Interrupt, Journal, Progress, StopTraining, only_one, read_log
from .model import Model, load_generator, load_model, samples
from .processes import Processes, resolve_device, start_processes
from .recipes import Recipe, recipe
from .resume import recorded, restore, same_run, start_from, warn_if_machine_differs
from .selection import BestCheckpoint
from .training import (
    Callback,
    TrainingState,
    choose_precision,
    machine_settings,
    run_steps,
    start_training,
)

HELD_OUT = ("held_out", "validation", "test")


class Run(Model):
    """A finished or interrupted training run: a model with its recipe, log and folder.

    ``log`` is a list of dicts (step, images, seconds, images_per_second, d_loss, g_loss, ...), one
    per log point; ``split`` tells which pictures trained. ``sample`` comes from ``Model``.
    """

    def __init__(
        self,
        generator: torch.nn.Module,
        recipe: Recipe,
        log: list[dict[str, Any]],
        environment: dict[str, Any],
        folder: Path | None,
        split: Split | None = None,
    ) -> None:
        super().__init__(generator, recipe, card={"environment": environment}, folder=folder)
        self.log, self.environment, self.split = log, environment, split

    @property
    def steps(self) -> int:
        return int(self.log[-1]["step"]) if self.log else 0

    @property
    def images_seen(self) -> int:
        """Real images in all steps of the discriminator so far, repeats counted."""
        return int(self.log[-1]["images"]) if self.log else 0

    @property
    def best(self) -> Model:
        """The generator chosen on validation pictures; ``GanBookError`` if none was chosen yet."""
        place = (self.folder or Path()) / "best"
        need(
            self.folder is not None and (place / "generator.safetensors").is_file(),
            "This run has no best checkpoint: train it into a folder with select=True, as far as "
            "the first evaluation (sample_every).",
        )
        return load_model(place, str(next(self.generator.parameters()).device))

    def __repr__(self) -> str:
        place = f" in {self.folder}" if self.folder else ""
        return f"Run({self.recipe.name!r}: {self.images_seen} images seen{place})"


def train(
    recipe_or_name: Recipe | str,
    images: ImageSet | Any,
    out: str | Path | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    init: str | Path | None = None,
    holdout: str | float | None = None,
    select: bool | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a recipe on pictures (or on points of ``gan_book.data.toys``) and return the run.

    ``images`` is an ``ImageSet``, a folder, a zip, a name such as ``"atelier"``, or a point set.
    ``out`` is the run folder; without one nothing is written. ``steps`` stops after that many steps
    in total; schedules follow the recipe's total, so a run in slices (``resume=True``) equals one
    run: bit for bit on one CPU with one thread count, up to the order of sums on a GPU. ``init``
    starts from the weights of a model or run; a run that is resumed ignores it.
    ``holdout`` sets pictures aside ("auto": max(64, 10 %), at most 25 %) that are never trained on.
    ``select`` keeps the generator that is best on validation pictures, as ``run.best``, and stops
    where training pictures are copied (``gan_book.selection``); the report on test pictures is
    ``gb.evaluate``'s. Left out, both are as the run began, and for a new run "auto" and no.

    A callback is called after every step and ends training by raising ``StopTraining``; with a
    ``name``, ``begin`` and ``state`` like ``BestCheckpoint``'s it travels in the checkpoints. After
    Ctrl-C the step in work is finished and saved.

    Raises ``GanBookError`` when pictures and recipe do not fit, when ``out`` holds another run or
    another training is writing into it, or when training diverges; the last good checkpoint stays.
    """
    chosen = recipe(recipe_or_name)
    folder = None if out is None else Path(out)
    need(0 <= seed < 2**31 - 1, f"The seed must lie between 0 and {2**31 - 2}, not {seed}.")
    until = chosen.total_steps if steps is None else steps
    need(until >= 1, f"steps must be at least 1, not {steps}.")
    need(folder or not select, "select needs a run folder; give out=.")
    processes = start_processes(device)
    with machine_settings(chosen), processes.watch(), ExitStack() as stack:
        begun = folder is not None and (folder / "recipe.json").exists()
        if folder and begun and resume and processes.is_main:
            stack.enter_context(only_one(folder))
        holdout = recorded(folder, "holdout", "auto", resume) if holdout is None else holdout
        select = recorded(folder, "select", False, resume) if select is None else select
        images = prepare_images(chosen, images, progress=progress and processes.is_main)
        split = images.split(holdout, seed=0) if isinstance(images, ImageSet) else None
        facts = _facts(images, split, seed) | {"holdout": str(holdout), "select": bool(select)}
        if select and not any(isinstance(callback, BestCheckpoint) for callback in callbacks):
            callbacks = [*callbacks, BestCheckpoint(images, split)]
        kept: list[Any] = [callback for callback in callbacks if hasattr(callback, "begin")]
        saved = _look(folder, chosen, facts, resume)
        if saved:
            precision = saved[1].get("precision", "fp32")
        else:
            precision = choose_precision(chosen, processes.device)
        if not processes.agree(precision == "bf16"):  # each has measured for itself
            precision = "fp32"
        batches = Batches(
            images, None if split is None else split.train, chosen.batch_size, seed=seed,
            device=processes.device, rank=processes.rank, world=processes.world, flip=chosen.flip,
        )  # fmt: skip
        state = start_training(chosen, batches, processes, seed=seed, precision=precision)
        adapting = [] if state.controller is None else [Controlled(state, images, split)]
        seconds = 0.0
        if saved:
            seconds = restore(state, *saved)
            need(
                steps is None or steps >= state.step,
                f"{folder} is at step {state.step} already; ask for more steps than {steps}.",
            )
        elif init is not None:
            start_from(state, init)
        if folder and not begun:  # nothing is written before all of this fits
            _begin(folder, chosen, facts, processes, stack)
        try:
            journal = Journal(folder if processes.is_main else None, state, precision, kept)
            journal.go_on(state, seconds)
            if saved:
                warn_if_machine_differs(saved[1].get("environment"), journal.environment)
            for callback in kept:
                tensors, meta = saved or ({}, {})
                own = files.under(tensors, callback.name), meta.get(callback.name)
                callback.begin(state, journal.folder, *own)
            watchers = _callbacks(state, journal, [*adapting, *callbacks])
            if progress and processes.is_main:
                watchers.append(stack.enter_context(closing(Progress(state, until))))
            with Interrupt(state) as interrupt:
                try:
                    run_steps(state, until, [*watchers, interrupt])
                except StopTraining as stop:
                    if str(stop):
                        warnings.warn(str(stop), stacklevel=2)
            journal.guard.flush(state)
            journal.checkpoint(state)
            save_samples(journal.folder, state)  # the last grid is of what the run delivers
            if interrupt.asked:
                raise KeyboardInterrupt
        except OSError as error:
            raise GanBookError(
                f"Training stopped at step {state.step}: {error.strerror or error}. The last "
                "checkpoint is kept; go on with --resume (resume=True) once that is mended."
            ) from error
    processes.wait()
    return Run(state.average, chosen, journal.log, journal.environment, folder, split)


def prepare_images(chosen: Recipe, images: Any, progress: bool = True) -> Any:
    """The set a recipe can train on, loaded from a path or name; ``GanBookError`` if it cannot."""
    if chosen.points:
        need(
            hasattr(images, "sample"),
            f"The recipe '{chosen.name}' makes points; give it a set of gan_book.data.toys.",
        )
        return images
    if isinstance(images, str | Path):
        from .data import load_images

        images = load_images(images, chosen.size, channels=chosen.channels, progress=progress)
    if not isinstance(images, ImageSet):
        raise GanBookError(
            f"The recipe '{chosen.name}' makes pictures; give it an ImageSet, a folder or a name."
        )
    need(
        images.size == chosen.size and images.channels == chosen.channels,
        f"The pictures are {images.channels} x {images.size[0]} x {images.size[1]}, the recipe "
        f"'{chosen.name}' wants {chosen.channels} x {chosen.size[0]} x {chosen.size[1]}; "
        f"load them with size={chosen.size} or change the recipe's size.",
    )
    need(
        chosen.num_classes in (0, images.num_classes),
        f"The recipe '{chosen.name}' is conditional with {chosen.num_classes} classes, but the "
        f"pictures have {images.num_classes}; set num_classes = {images.num_classes}.",
    )
    return images


def save_samples(folder: Path | None, state: TrainingState) -> None:
    """A grid of 64 pictures from fixed latents, ``samples/<images seen>.png``; none for points."""
    if folder and not state.recipe.points:
        from .plots import save_grid

        pictures = samples(state.average, state.recipe, 64, seed=0)
        save_grid(pictures, folder / "samples" / f"{state.images:010d}.png")


def _callbacks(state: TrainingState, journal: Journal, extra: Sequence[Callback]) -> list[Any]:
    """What happens after each step, in order; the checkpoint last, so that it holds all of it."""
    chosen = state.recipe
    grids = Every(chosen.steps_of(chosen.sample_every), partial(save_samples, journal.folder))
    saves = Every(chosen.steps_of(chosen.checkpoint_every), journal.checkpoint)
    return [journal.guard, *extra, grids, saves]


def _facts(images: Any, split: Split | None, seed: int) -> dict[str, Any]:
    """What ``data.json`` says about the pictures of a run."""
    name = getattr(images, "name", "points")
    return {
        "seed": seed,
        "source": name,
        "fingerprint": images.fingerprint() if isinstance(images, ImageSet) else name,
        "licence": getattr(images, "licence", ""),
        "classes": list(getattr(images, "label_names", ())),
        **{key: getattr(split, key).tolist() if split else [] for key in HELD_OUT},
        "train": len(split.train) if split else None,
        "report": images.report.to_dict() if getattr(images, "report", None) else None,
    }


def _look(
    folder: Path | None, chosen: Recipe, facts: dict[str, Any], resume: bool
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint to go on from, if any; a sentence where the folder cannot be used."""
    if folder is None:
        need(not resume, "resume needs a run folder; give out=.")
        return None
    need(not folder.exists() or folder.is_dir(), f"{folder} is a file; the run needs a folder.")
    if not (folder / "recipe.json").exists():
        return None
    need(
        resume,
        f"{folder} already holds a run; go on with it by --resume (resume=True), "
        "or choose another folder.",
    )
    same_run(folder, chosen, facts)
    found = files.newest_checkpoint(folder / "checkpoints")
    return None if found is None else (found[0], found[1])


def _begin(
    folder: Path, chosen: Recipe, facts: dict[str, Any], processes: Processes, stack: ExitStack
) -> None:
    """Start the folder of a new run, by the main process, after all have looked into it."""
    processes.wait()
    if processes.is_main:
        try:
            for part in ("checkpoints", "samples"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_one(folder))
            need(not (folder / "recipe.json").exists(), f"Another run has begun in {folder}.")
            files.write_json(folder / "data.json", facts)
            files.write_json(folder / "recipe.json", chosen.to_dict())
        except OSError as error:
            raise GanBookError(f"{folder} cannot be written ({error.strerror}).") from error
    processes.wait()


def open_model(source: str | Path, device: str = "auto") -> Model:
    """The run of a run folder, or the model of a folder or name; ``GanBookError`` if neither."""
    is_run = (Path(source) / "recipe.json").exists()
    return (load_run if is_run else load_model)(source, device)


def load_run(folder: str | Path, device: str = "auto") -> Run:
    """Open a run folder: its averaged generator, recipe and log; its ``best`` is the chosen one.

    Raises ``GanBookError`` when the folder holds no run or no generator yet.
    """
    folder = Path(folder)
    is_run = (folder / "recipe.json").is_file()
    need(is_run, f"{folder} holds no run: there is no recipe.json in it.")
    path = folder / "generator.safetensors"
    need(path.is_file(), f"{path} is not there yet; train further with --resume.")
    generator, chosen, _ = load_generator(path, resolve_device(device))
    if not isinstance(chosen, Recipe):
        raise GanBookError(f"{path} is of no run: one loss trained it, not a game.")
    environment = files.read_json(folder / "environment.json")
    return Run(generator, chosen, read_log(folder), environment, folder)
