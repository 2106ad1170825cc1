"""The parts of ``gan-book train``: early checks, the report on pictures, the dry run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gan_book
from gan_book.cli_guard import complain, duration, say, size
from gan_book.errors import GanBookError

if TYPE_CHECKING:
    from gan_book.recipes import Recipe

SHOWN_REFUSALS = 5
RUN_PARTS = {
    "checkpoints",
    "samples",
    "data.json",
    "recipe.json",
    "environment.json",
    "log.jsonl",
}


def parse_holdout(text: str) -> str | float | int:
    """``auto``, a count or a share; a sentence for anything else."""
    if text == "auto":
        return text
    try:
        value: float = int(text)
    except ValueError:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0.0 <= value < 1.0:
            value = math.nan
    if not 0 <= value <= 10**9:
        raise GanBookError(
            f"--holdout is auto, a count such as 100, or a share from 0 to below 1, not {text!r}."
        )
    return value


def check_folder(folder: Path, source: str, resume: bool) -> None:
    """Refuse, before anything is loaded, a run folder that holds something else or lies among the
    pictures."""
    if folder.exists() and not folder.is_dir():
        raise GanBookError(f"{folder} is a file; --out needs a folder.")
    place = Path(source)
    if place.is_dir() and place.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise GanBookError(
            f"{folder} lies inside {source}: the run's own grids would become training pictures; "
            "choose a folder outside."
        )
    if (folder / "recipe.json").exists():
        if not resume:
            raise GanBookError(
                f"{folder} already holds a run; add --resume to go on with it, or choose another "
                "--out."
            )
        return
    if folder.is_dir():
        strange = sorted(
            p.name
            for p in folder.iterdir()
            if p.name not in RUN_PARTS and not p.name.startswith(".")
        )
        if strange:
            raise GanBookError(
                f"{folder} is no run folder and not empty (it holds {strange[0]}); choose a new "
                "--out."
            )
    if resume:
        complain(f"note: there is no run in {folder} yet, so a new one begins.")


def choose_recipe(name: str | None, resumed: Path | None) -> Recipe:
    """The named recipe; without a name that of the run to go on with, else small-32."""
    from gan_book.recipes import from_dict, recipe

    if name is None and resumed is not None and (resumed / "recipe.json").exists():
        from gan_book.checkpoints import read_json

        path = resumed / "recipe.json"
        return from_dict(read_json(path), where=str(path))
    return recipe(name or "small-32")


def seed_of(folder: Path) -> int:
    """The seed that the run in ``folder`` began with, 0 if it says none."""
    if not (folder / "data.json").exists():
        return 0
    from gan_book.checkpoints import read_json

    data = read_json(folder / "data.json")
    value = data.get("seed", 0) if isinstance(data, dict) else 0
    return value if isinstance(value, int) else 0


def load(source: str, chosen: Recipe, download: bool) -> Any:
    """The pictures (or the points in the plane) that ``source`` names, ready for the recipe."""
    from gan_book.runs import prepare_images

    if chosen.points:
        from gan_book.data.toys import TOYS

        if source not in TOYS:
            raise GanBookError(
                f"The recipe '{chosen.name}' makes points in the plane; SOURCE is then one of "
                f"{', '.join(TOYS)}."
            )
        return TOYS[source]()
    images: Any = source
    if download:
        images = gan_book.load_images(source, chosen.size, channels=chosen.channels, download=True)
    return prepare_images(chosen, images)


def report(images: Any, folder: Path | None) -> None:
    """How many pictures were kept, and the first of those refused, with the reasons."""
    told = getattr(images, "report", None)
    if told is None:
        if hasattr(images, "images"):
            say(f"{len(images):,} pictures from {images.name}")
        return
    say(told.summary())
    for name, reason in told.refused[:SHOWN_REFUSALS]:
        say(f"  refused {name}: {reason}")
    if len(told.refused) > SHOWN_REFUSALS:
        rest = f"  and {len(told.refused) - SHOWN_REFUSALS} more"
        say(rest + (f"; the whole list will be in {folder / 'data.json'}" if folder else ""))


def forecast(chosen: Recipe, images: Any, device: str, seed: int, aside: str | float | int) -> None:
    """Print what a run would be: networks, memory, pictures, speed, time to the end."""
    from gan_book.data.batches import Batches
    from gan_book.probe import dry_run
    from gan_book.processes import resolve_device

    place = resolve_device(device)
    split = images.split(aside, seed=0) if hasattr(images, "split") else None
    train_on = None if split is None else split.train
    batches = Batches(
        images, train_on, chosen.batch_size, seed=seed, device=place, flip=chosen.flip
    )
    found = dry_run(chosen, images, place, batches)
    end = duration(found.seconds_to_end)
    rows = [("recipe", f"{chosen.name}: {chosen.summary}")]
    if split is not None:
        kept = f"{found.kept:,} kept, {found.refused:,} refused"
        held_out = len(split.validation) + len(split.test)
        rows.append(
            ("pictures", f"{kept}; {len(split.train):,} to train on, {held_out:,} held out")
        )
    rows += [
        ("parameters", f"{found.parameters_g:,} in G, {found.parameters_d:,} in D"),
        ("device", f"{found.device}, {found.precision}"),
        (
            "memory",
            f"{size(found.memory_bytes)} at most so far"
            if found.memory_bytes
            else "not measured here",
        ),
        ("speed", f"{found.images_per_second:,.0f} images/s in a short probe"),
        (
            "to the end",
            f"{found.total_images:,} images, {chosen.total_steps:,} steps, about {end}",
        ),
    ]
    for name, text in rows:
        say(f"{name:<11} {text}")
    say("Nothing was written.")
