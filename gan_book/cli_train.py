"""The parts of ``gan-book train``: early checks, the report on pictures, the dry run."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gan_book
from gan_book.cli_guard import complain, duration, say, size
from gan_book.errors import GanBookError, need

if TYPE_CHECKING:
    from gan_book.recipes import Recipe

SHOWN_REFUSALS = 5
FEW = 500  # pictures: with fewer a note is due
RUN_PARTS = {
    "checkpoints", "samples", "best", "data.json", "recipe.json", "environment.json", "log.jsonl",
    "best.json",
}  # fmt: skip


def check_folder(folder: Path, source: str, resume: bool) -> None:
    """Refuse, before anything is loaded, a run folder that holds something else or lies among the
    pictures."""
    need(not folder.exists() or folder.is_dir(), f"{folder} is a file; --out needs a folder.")
    place = Path(source)
    need(
        not place.is_dir() or place.resolve() not in (folder.resolve(), *folder.resolve().parents),
        f"{folder} lies inside {source}: the run's own grids would become training pictures; "
        "choose a folder outside.",
    )
    if (folder / "recipe.json").exists():
        need(
            resume,
            f"{folder} already holds a run; add --resume to go on, or choose another --out.",
        )
        return
    there = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    strange = sorted(name for name in there - RUN_PARTS if name[0] != ".")
    need(
        not strange,
        f"{folder} is no run folder and not empty (it holds {''.join(strange[:1])}); choose a new "
        "--out.",
    )
    if resume:
        complain(f"note: there is no run in {folder} yet, so a new one begins.")


def choose_recipe(name: str | None, resumed: Path | None, settings: Sequence[str] = ()) -> Recipe:
    """The named recipe; without a name that of the run to go on with, else small-32.

    ``settings`` such as ``batch_size=32`` or ``generator.width=64`` change it.
    """
    from gan_book.recipes import from_dict, recipe

    lines = []
    for setting in settings:
        key, sign, value = (part.strip() for part in setting.partition("="))
        need(key and sign, f"--set takes KEY=VALUE such as batch_size=32, not {setting!r}.")
        try:
            tomllib.loads(f"{key} = {value}")
        except (ValueError, RecursionError):  # text without its quotes
            value = json.dumps(value)
        lines.append(f"{key} = {value}")
    try:
        changes = tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise GanBookError(f"--set {settings[-1]} is not understood: {error}.") from error
    if name is None and resumed is not None and (resumed / "recipe.json").exists():
        from gan_book.checkpoints import read_json

        path = resumed / "recipe.json"
        return recipe(from_dict(read_json(path), where=str(path)), **changes)
    return recipe(name or "small-32", **changes)


def seed_of(folder: Path | None) -> int:
    """The seed that the run in ``folder`` began with, 0 if it says none."""
    from gan_book.resume import recorded

    value = recorded(folder, "seed", 0)
    return value if isinstance(value, int) else 0


def can_select(images: Any, aside: str) -> bool:
    """Whether enough pictures would be held out to choose the best checkpoint on them."""
    from gan_book.selection import LEAST

    return hasattr(images, "split") and len(images.split(aside, seed=0).validation) >= LEAST


def tell(run: Any, folder: Path) -> None:
    """What was trained, how fast, where it is, and what can be done next."""
    total = run.recipe.total_steps
    say(f"Trained to step {run.steps:,} of {total:,} ({run.images_seen:,} images seen).")
    if run.log:
        speed, spent = (run.log[-1][key] for key in ("images_per_second", "seconds"))
        say(f"{speed:,.0f} images/s; {duration(spent)} of training in all.")
    grids = "" if run.recipe.points else f", grids are in {folder / 'samples'}"
    say(f"The generator is in {folder / 'generator.safetensors'}{grids}.")
    if (folder / "best" / "generator.safetensors").exists():
        say(f"The best on held-out pictures is in {folder / 'best'}, its history in best.json.")
    say(f"Draw from it: gan-book sample {folder} --n 64 --out grid.png")
    if run.steps < total:
        say("Go on to the recipe's end: the same command with --resume and without --steps.")


def load(source: str, chosen: Recipe, download: bool) -> Any:
    """The pictures (or the points in the plane) that ``source`` names, ready for the recipe."""
    from gan_book.runs import prepare_images

    if chosen.points:
        from gan_book.data.toys import TOYS

        need(
            source in TOYS,
            f"The recipe '{chosen.name}' makes points in the plane; SOURCE is then one of "
            f"{', '.join(TOYS)}.",
        )
        return TOYS[source]()
    images: Any = source
    if download:
        images = gan_book.load_images(source, chosen.size, channels=chosen.channels, download=True)
    return prepare_images(chosen, images)


def report(images: Any, folder: Path | None, conditional: bool = False) -> None:
    """How many pictures were kept, whether they are few, the first of those refused and why, and
    for a ``conditional`` recipe which number stands for which class."""
    told = getattr(images, "report", None)
    if told is not None:
        say(told.summary())
        for name, reason in told.refused[:SHOWN_REFUSALS]:
            say(f"  refused {name}: {reason}")
        if len(told.refused) > SHOWN_REFUSALS:
            whole = f"; the whole list will be in {folder / 'data.json'}" if folder else ""
            say(f"  and {len(told.refused) - SHOWN_REFUSALS} more{whole}")
        if len(images) < FEW:
            complain(f"note: {len(images)} pictures are few, soon learned by heart; aim at 1,000.")
    elif hasattr(images, "images"):
        say(f"{len(images):,} pictures from {images.name}")
    if conditional:
        say("classes: " + ", ".join(f"{i} {name}" for i, name in enumerate(images.label_names)))


def forecast(chosen: Recipe, images: Any, device: str, seed: int, aside: str) -> None:
    """Print what a run would be: networks, memory, pictures, speed, time to the end."""
    from gan_book.data.batches import Batches
    from gan_book.probe import dry_run
    from gan_book.processes import resolve_device

    place = resolve_device(device)
    split = images.split(aside, seed=0) if hasattr(images, "split") else None
    train = None if split is None else split.train
    batches = Batches(images, train, chosen.batch_size, seed=seed, device=place, flip=chosen.flip)
    complain("Measuring the speed; large recipes take a minute or two on a CPU.")
    found = dry_run(chosen, batches)
    rows = {"recipe": f"{chosen.name}: {chosen.summary}"}
    if split is not None:
        refused = len(images.report.refused) if images.report else 0
        used = f"{len(split.train):,} to train on, {len(split.held_out):,} held out"
        rows["pictures"] = f"{len(images):,} kept, {refused:,} refused; {used}"
    memory = f"{size(found.memory_bytes)} at most in the probe, a few steps"
    rows |= {
        "parameters": f"{found.parameters_g:,} in G, {found.parameters_d:,} in D",
        "device": f"{place}, {found.precision}",
        "memory": memory if found.memory_bytes else "not measured here",
        "speed": f"{found.images_per_second:,.0f} images/s here, as busy as the machine is now",
        "to the end": f"{chosen.total_images:,} images, {chosen.total_steps:,} steps, about "
        f"{duration(found.seconds_to_end)}",
    }
    for name, text in rows.items():
        say(f"{name:<11} {text}")
    say("No run folder was written.")
