"""Recipes: the settings of a training run, as TOML checked into a frozen dataclass.

``recipe("small-32")`` reads a shipped recipe, ``recipe("mine.toml")`` a file of yours, and keyword
arguments override single settings: ``recipe("small-32", r1=1.0, total_images=100_000)``.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import GanBookError, known, need
from .schema import Ramp, Recipe, from_dict

__all__ = ["Ramp", "Recipe", "from_dict", "recipe", "recipe_names", "recipes"]


def recipe_names() -> tuple[str, ...]:
    """Names of the shipped recipes, sorted."""
    folder = resources.files(__name__)
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def recipes() -> list[Recipe]:
    """All shipped recipes, checked."""
    return [recipe(name) for name in recipe_names()]


def recipe(source: str | Path | Recipe, /, **overrides: Any) -> Recipe:
    """Read and check a recipe.

    ``source`` is a shipped name, the path of a ``.toml`` file, or a recipe to change. Overrides are
    checked like the file's own settings; ``generator`` and ``discriminator`` are merged key by key
    unless they name another ``model``.

    Raises ``GanBookError`` for a name that does not exist, a file that is no TOML, an unknown
    setting, or a value that is impossible, each with one sentence.
    """
    if isinstance(source, Recipe):
        table, where = source.to_dict(), f"recipe '{source.name}'"
    else:
        table, where = _read(str(source))
    for key, value in overrides.items():
        old = table.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            model = old.get("model")
            value = {**old, **value} if value.get("model", model) == model else value
        table[key] = value
    return from_dict(table, where=where)


def _read(source: str) -> tuple[dict[str, Any], str]:
    path = Path(source)
    if path.suffix != ".toml":
        known("recipe", source, recipe_names())
    file = path if path.suffix == ".toml" else resources.files(__name__) / f"{source}.toml"
    try:
        with file.open("rb") as opened:
            text = opened.read(1_000_001)
    except OSError as error:
        raise GanBookError(f"The recipe file {path} cannot be read ({error.strerror}).") from error
    need(len(text) <= 1_000_000, f"{path} is larger than 1 MB, so it is no recipe.")
    try:
        table = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits
        raise GanBookError(f"{source} is not valid TOML: {error}.") from error
    table.setdefault("name", path.stem)
    return table, f"recipe '{path.stem}'"
