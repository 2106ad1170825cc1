"""The blind test for viewers: sheets without a word, their key, and the score of the answers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from gan_book import checkpoints as files
from gan_book.data import to_float, to_uint8
from gan_book.errors import need
from gan_book.plots import grid, save_png
from tests.benchmarks.blind_pictures import MODEL, counted, finds, fresh, share
from tests.benchmarks.grids import Record

PLACE = Path(__file__).parents[2] / "runs" / "blind"
SHOWN = (MODEL, "paintings", "gaussian", "blocks", "recolored", "atelier-32")
ON_SHEET, MIXED, OF_EACH = 25, 4, 5  # pictures of a kind; mixed sheets, and of each kind on one
QUESTION = (
    "Would you take these for very small reproductions of paintings, such as hang in museums?"
)


def places() -> dict[str, list[str]]:
    """The kinds on each sheet, in reading order: a matter of a seed alone."""
    rng = torch.Generator().manual_seed(32)
    order = torch.randperm(len(SHOWN), generator=rng).tolist()
    sheets = {f"sheet-{i + 1}": [SHOWN[k]] * ON_SHEET for i, k in enumerate(order)}
    for i in range(MIXED):
        drawn = torch.randperm(len(SHOWN) * OF_EACH, generator=rng).tolist()
        sheets[f"mixed-{i + 1}"] = [SHOWN[k % len(SHOWN)] for k in drawn]
    return sheets


def write_sheets(place: Path = PLACE) -> None:
    """The sheets as PNG, four times as large, without a word; and the key beside them."""
    needed = ON_SHEET + MIXED * OF_EACH
    left = {kind: iter(fresh(kind, 0)[:needed]) for kind in SHOWN}
    place.mkdir(parents=True, exist_ok=True)
    for name, kinds in places().items():
        small = torch.stack([next(left[kind]) for kind in kinds])  # (n, 3, 32, 32)
        large = functional.interpolate(to_float(small), scale_factor=4, mode="bicubic")
        mixed = name.startswith("mixed")
        numbers = [str(i + 1) for i in range(len(kinds))] if mixed else None
        picture = grid(to_uint8(large), 6 if mixed else 5, 1, labels=numbers)
        save_png(picture, place / f"{name}.png", {})
    files.write_json(place / "key.json", places())
    print(f"{len(places())} sheets in {place}")


def votes(answers: Record) -> tuple[Record, Record]:
    """Yes or no of each viewer: by one-kind sheet (V,), by mixed sheet (V, pictures)."""
    one: Record = {name: [] for name in places() if name.startswith("sheet")}
    mixed: Record = {name: [] for name in places() if name.startswith("mixed")}
    for viewer, told in answers.items():
        for name, rows in one.items():
            need(name in told["sheets"], f"viewer {viewer} says nothing of {name}.")
            rows.append(bool(told["sheets"][name]))
        for name, rows in mixed.items():
            need(name in told["mixed"], f"viewer {viewer} says nothing of {name}.")
            n, chosen = len(places()[name]), told["mixed"][name]
            right = all(isinstance(i, int) and 1 <= i <= n for i in chosen)
            need(right, f"viewer {viewer}: the pictures of {name} have the numbers 1 to {n}.")
            rows.append([i + 1 in chosen for i in range(n)])
    return one, mixed


def scored(answers: Record) -> Record:
    """What viewers took for paintings, by kind.

    "mixed" counts a picture where more than half of the viewers took it for a painting; "each"
    counts every answer, and has no interval, because viewers look at the same pictures.
    """
    need(answers, "no viewer has answered.")
    one, mixed = votes(answers)
    keys = places()
    sheets = {keys[name][0]: counted(sum(rows), len(rows)) for name, rows in one.items()}
    by_kind: dict[str, list[Tensor]] = {kind: [] for kind in SHOWN}
    for name, rows in mixed.items():
        for kind, column in zip(keys[name], torch.tensor(rows).T, strict=True):  # (V,)
            by_kind[kind].append(column)
    each = {kind: torch.stack(columns).double() for kind, columns in by_kind.items()}  # (n, V)
    most = {kind: share(x.mean(1) > 0.5) for kind, x in each.items()}
    return {
        "viewers": len(answers),
        "sheets": sheets,
        "mixed": most,
        "each": {kind: float(x.mean()) for kind, x in each.items()},
        "by_viewer": {
            viewer: {kind: float(x[:, i].mean()) for kind, x in each.items()}
            for i, viewer in enumerate(answers)
        },
        "finds": finds(most),
    }


def viewers() -> Record:
    """The answers of those who looked at the sheets, and their score."""
    file = PLACE / "answers.json"
    need(file.exists(), "nobody has looked: write the sheets with --sheets, then ask.")
    answers = files.read_json(file)
    return {"seed": 0, "question": QUESTION, **scored(answers), "answers": answers}
