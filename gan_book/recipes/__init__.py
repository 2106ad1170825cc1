"""Recipes: everything that determines a training run, as TOML checked into a frozen dataclass.

``recipe("small-32")`` reads a shipped recipe, ``recipe("mine.toml")`` a file of yours, and keyword
arguments override single settings: ``recipe("small-32", r1=1.0, total_images=100_000)``.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import GanBookError
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
        table = source.to_dict()
        where = f"recipe '{source.name}'"
    else:
        table, where = _read(str(source))
    for key, value in overrides.items():
        if key in ("generator", "discriminator") and isinstance(value, dict):
            old = table.get(key)
            same_model = isinstance(old, dict) and value.get("model", old.get("model")) == old.get(
                "model"
            )
            value = {**old, **value} if isinstance(old, dict) and same_model else value
        table[key] = value
    return from_dict(table, where=where)


def _read(source: str) -> tuple[dict[str, Any], str]:
    if source in recipe_names():
        text = resources.files(__name__).joinpath(f"{source}.toml").read_bytes()
        default_name = source
    else:
        path = Path(source)
        if path.suffix != ".toml":
            close = difflib.get_close_matches(source, recipe_names(), n=1)
            hint = (
                f"did you mean '{close[0]}'?"
                if close
                else "the recipes are: " + ", ".join(recipe_names())
            )
            raise GanBookError(f"There is no recipe '{source}'; {hint}")
        try:
            if path.stat().st_size > 1_000_000:
                raise GanBookError(
                    f"{path} is larger than 1 MB, so it is no recipe; name a small TOML file."
                )
            text = path.read_bytes()
        except OSError as error:
            raise GanBookError(
                f"The recipe file {path} cannot be read ({error.strerror})."
            ) from error
        default_name = path.stem
    try:
        table = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also for numbers of thousands of digits
        raise GanBookError(f"{source} is not valid TOML: {error}.") from error
    table.setdefault("name", default_name)
    return table, f"recipe '{default_name}'"
