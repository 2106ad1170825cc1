"""The one error that readers meet: it says what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
import operator
import reprlib
from collections.abc import Iterable


class GanBookError(ValueError):
    """Bad input from outside the program: a folder, a recipe, a checkpoint, an option.

    Its message is a few sentences at most, for a person. The command line prints it and exits with
    status 2; in Python it is an ordinary ``ValueError``.
    """


def need(condition: object, sentence: str) -> None:
    """Raise ``GanBookError(sentence)`` unless the condition holds."""
    if not condition:
        raise GanBookError(sentence)


def brief(value: object) -> str:
    """A short ``repr`` for sentences; it survives integers too long to print."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a number of thousands of digits"


def whole(name: str, value: object, low: int, high: int) -> int:
    """``value`` as an int from ``low`` to ``high``; NumPy's integers are welcome, booleans not."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = low - 1
    fits = low <= number <= high and not isinstance(value, bool)
    need(fits, f"{name} must be a whole number from {low} to {high}, not {brief(value)}.")
    return number


def known(kind: str, name: object, names: Iterable[str]) -> None:
    """Refuse a name that is none of ``names``; the sentence suggests the nearest, or lists all."""
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1) if isinstance(name, str) else ()
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}."
        raise GanBookError(f"There is no {kind} called {brief(name)}; {hint}")
