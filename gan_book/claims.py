"""Claims that run: one stable line for each, or an error."""

from __future__ import annotations

import re
from typing import Any

from gan_book.errors import GanBookError, need

# Chapter, dash, number: 2.3-07, or 4-01 for a part's opening page, A-01 for an appendix.
CLAIM_ID = re.compile(r"(?:\d+(?:\.\d+)*|[A-Z])-\d{2}")


def check(id: str, condition: Any, claim: str) -> None:
    """Print ``2.3-07 holds: what is claimed`` if the condition is true, otherwise raise.

    The printed line holds no number that depends on the machine, so that the stored output of a
    notebook can be compared and collected on the page of claims.

    Parameters
    ----------
    id
        Chapter, dash and a number of two digits: ``"2.3-07"``. Unique in the book.
    condition
        A bool, or a NumPy or torch scalar of boolean type.
    claim
        What holds, in one line, readable without the notebook.

    Raises
    ------
    AssertionError
        If the condition is false; the message names the id and the claim.
    GanBookError
        If the id or the claim is malformed, or the condition is no single truth value (a text, a
        number, a whole tensor of booleans): ``all(...)`` or ``any(...)`` is part of a claim.
    """
    is_id = isinstance(id, str) and CLAIM_ID.fullmatch(id)
    need(is_id, f"The id of a claim looks like 2.3-07; {id!r} does not.")
    is_line = isinstance(claim, str) and claim.strip() and "\n" not in claim
    need(is_line, f"Claim {id} needs its statement in one line of text.")
    if not _truth(id, condition):
        raise AssertionError(f"{id} does not hold: {claim}")
    print(f"{id} holds: {claim}")


def _truth(id: str, condition: Any) -> bool:
    """Return the one truth value of a condition; refuse everything that is none."""
    if isinstance(condition, bool):
        return condition
    dtype = str(getattr(condition, "dtype", ""))
    if dtype in ("bool", "torch.bool") and getattr(condition, "ndim", None) == 0:
        return bool(condition)
    shape = tuple(getattr(condition, "shape", ()))
    kind = type(condition).__name__ + (f" of shape {shape}" if shape else "")
    raise GanBookError(
        f"The condition of claim {id} is a {kind}, not one truth value: compare something, and "
        "use .all() or .any() on an array."
    )
