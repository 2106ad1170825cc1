"""How good, how varied, how original: one table for a run, a model or generated pictures.

A distance means nothing alone. So each table has four rows, all with the same number of pictures
and against the same reference, which nobody trained on: the generator; real pictures, the floor
that no generator can be asked to beat; a Gaussian fitted to the training pixels; and copies of
training pictures, which score as well as real ones, so that copying needs a measure of its own.
"""

from __future__ import annotations

import hashlib
import re
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checkpoints as files
from .data.cache import cache_dir, cache_key
from .data.imageset import ImageSet, Split
from .data.load import ATELIER, NAMES, load_images
from .errors import GanBookError, need, whole
from .evaluation import COPIES, FLOOR, GAUSSIAN, Evaluation, Modes, Row, compare, read_modes
from .features import DEFAULT, Extractor, check_pictures
from .features import extractor as open_extractor
from .memorization import memorization
from .metrics import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    paired_kernel_difference,
    pca_gaussian,
    precision_recall,
)
from .model import Model
from .processes import resolve_device
from .runs import Run, open_model

__all__ = ["Evaluation", "Modes", "Row", "compare", "compared_pictures", "evaluate"]

FRESH = 5_000  # Atelier pictures to measure against: with 100, KID would be good to 0.01 only
FRESH_SEED = 5_318_008  # of those; every model is measured against the same ones
MOST, FEWEST = 1_000, 20  # pictures in a row: by default, and at least
FITTED = 1_000  # training pictures that the Gaussian is fitted to, at most
SEARCHED = 5_000  # training pictures among which copies are looked for, at most
Kin = tuple[int, tuple[str, ...], tuple[str, ...]]  # seed, styles and palettes of the Atelier


def evaluate(
    source: Model | Tensor | str | Path,
    images: ImageSet | str | Path | None = None,
    *,
    split: Split | None = None,
    n: int | str = "auto",
    seed: int = 0,
    extractor: str | Extractor = DEFAULT,
    device: str = "auto",
    out: str | Path | None = None,
) -> Evaluation:
    """Measure a generator against pictures that it was not trained on.

    The reference are the held-out test pictures, never those for validation, by which checkpoints
    are chosen; where the subject is the Atelier, 5,000 freshly painted ones. KID and FID use all
    of them, the other columns at most as many as a row has pictures.

    Args:
        source: a run or model, its folder or name, or generated pictures uint8 (N, C, H, W).
        images: the pictures it was trained on; None: those of the run, loaded again.
        split: which of them trained and which were held out; None: as in the run, or
            `images.split()`.
        n: pictures in each row, at most half as many as trained (all of them where the subject is
            the Atelier); "auto": 1,000 or as many as that allows.
        seed: of the latents, of PCA-Gaussian, and of the choice of training pictures.
        extractor: "gan-book-1", "inception", "dinov2", or an `Extractor`.
        device: where the networks run.
        out: a JSON file to write; None: `evaluation.json` in the folder of a run.

    Raises:
        GanBookError: points instead of pictures, pictures that are not those of the run, too few
            of them, nothing held out, or what the extractor raises.
    """
    whole("seed", seed, 0, 2**31 - 2)
    place = resolve_device(device)
    net: Any = open_extractor(extractor, place) if isinstance(extractor, str) else extractor
    model = _opened(source, device)
    folder, data = _records(model)
    pictures = _pictures(model, images, data, checked=split is None)
    split = split or split_of(model, pictures, data)
    kin = _kin(pictures)
    order, testing = _shuffled(split.train, seed), _shuffled(split.test, 0)  # (T,), (M,)
    # without fresh real pictures the floor and the copies are two halves of the training pictures
    most = len(order) if kin else len(order) // 2
    most = min(most, len(model)) if isinstance(model, Tensor) else most
    need(
        most >= FEWEST,
        f"With {len(order)} training pictures a row could have {most}, and fewer than {FEWEST} "
        "say nothing; give more pictures.",
    )
    n = min(MOST, most) if n == "auto" else whole("n, the pictures in a row,", n, FEWEST, most)
    need(
        kin or len(testing) >= FEWEST,
        f"Only {len(testing)} pictures were held out for testing and {FEWEST} are needed; train "
        "with --holdout auto, or give split=Split(train, validation, test).",
    )

    made = model[:n] if isinstance(model, Tensor) else model.sample(n, seed=seed)
    need(
        made.shape[1:] == pictures.images.shape[1:],
        f"The generated pictures are {list(made.shape[1:])} and the real ones "
        f"{list(pictures.images.shape[1:])} (C, H, W); load them with the same size and channels.",
    )
    searched = order[:SEARCHED]
    train, copied = pictures.images[searched], pictures.images[order[:n]]
    rng = torch.Generator().manual_seed(seed)
    gaussian = pca_gaussian(train[:FITTED], n, generator=rng)
    clock = [time.perf_counter()]
    if kin:
        test, real = _painted(net, pictures.size, pictures.channels, kin, FRESH, 0)
        floor = _painted(net, pictures.size, pictures.channels, kin, n, 1)[1]
        words = f"painted afresh by the Atelier (seed {_fresh_seed(kin, 0)})"
    else:
        test = pictures.images[testing]
        real, floor = net(test), net(pictures.images[order[-n:]])
        words = f"test pictures of {pictures.name}"
    name = "given pictures" if isinstance(model, Tensor) else model.recipe.name
    found = {name: net(made), FLOOR: floor, GAUSSIAN: net(gaussian), COPIES: net(copied)}
    clock.append(time.perf_counter())
    enough = min(n, len(real)) > 2 * net.dim
    rows = tuple(
        Row(
            row,
            kernel_distance(x, real),
            frechet_distance(x, real) if enough else None,
            precision_recall(real[:n], x),
            density_coverage(real[:n], x),
        )
        for row, x in found.items()
    )
    pairs = [paired_kernel_difference(real, found[name], found[x]) for x in (GAUSSIAN, FLOOR)]
    clock.append(time.perf_counter())
    unseen = test if kin else pictures.images[split.held_out]
    copies = None if len(unseen) < 19 else memorization(
        made,
        train,
        unseen,
        generator=rng,
        styles=None if pictures.labels is None else pictures.labels[searched],
    )  # fmt: skip
    clock.append(time.perf_counter())
    modes = None
    if _is_atelier(pictures):
        modes = read_modes(net, made, pictures.subset(searched), equal=kin is not None)
    notes = []
    if not enough:
        notes.append(
            f"FID is left out: in {net.dim} dimensions it means something only with more than "
            f"{2 * net.dim} pictures on both sides; here are {n:,} and {len(real):,}."
        )
    # on paintings even PCA-Gaussian covers all of 50 test pictures, but not all of 100
    if (m := min(n, len(real))) < 20 * (k := rows[0].density.k):
        notes.append(
            f"Coverage tells next to nothing with {m} pictures to measure against: one counts as "
            f"covered if any drawn comes as near as its {k} nearest, {k / (m - 1):.0%} of the rest."
        )
    if copies is None:
        notes.append("Memorization is left out: it needs 19 held-out pictures.")
    if len(order) > SEARCHED:
        notes.append(f"Copies were looked for among {SEARCHED:,} training pictures.")
    spans = ("features", "metrics", "memorization")
    facts = {
        "subject": name,
        **net.facts(),
        "n": n,
        "n_real": len(real),
        "reference": words,
        "reference_sha256": hashlib.sha256(test.numpy().tobytes()).hexdigest(),
        "n_train": len(order),
        "n_held_out": len(unseen),
        "seed": seed,
        "seconds": {k: round(b - a, 3) for k, a, b in zip(spans, clock, clock[1:], strict=False)},
    }
    report = Evaluation(rows, pairs[0], pairs[1], copies, modes, facts, tuple(notes))
    path = Path(out) if out is not None else folder and folder / "evaluation.json"
    if path:
        try:
            files.write_json(path, report.to_dict())
        except OSError as error:  # minutes of measuring are not thrown away for it
            warnings.warn(f"{path} cannot be written ({error.strerror}).", stacklevel=2)
    return report


def compared_pictures(
    model: Model, images: Any, report: Evaluation
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures that a report speaks of, uint8: held out, generated, and training pictures.

    The last two in the order that the report's suspicious pairs count in.
    """
    data = _records(model)[1]
    pictures = _pictures(model, images, data, checked=True)
    split, facts = split_of(model, pictures, data), report.facts
    searched = _shuffled(split.train, facts["seed"])[:SEARCHED]  # (S,)
    made = model.sample(facts["n"], seed=facts["seed"])  # (n, C, H, W)
    return pictures.images[split.held_out], made, pictures.images[searched]


def _shuffled(indices: Tensor, seed: int) -> Tensor:
    return indices[torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))]


def _opened(source: Any, device: str) -> Model | Tensor:
    """The model of a folder or name; generated pictures and models as they are."""
    if isinstance(source, Tensor):
        check_pictures(source)
        return source
    if isinstance(source, str | Path):
        source = open_model(source, device)
    need(
        isinstance(source, Model),
        "evaluate takes a run, a model, the folder or name of one, or generated pictures as uint8 "
        f"(N, C, H, W), not a {type(source).__name__}.",
    )
    need(
        not source.recipe.points,
        f"The recipe '{source.recipe.name}' makes points in the plane, not pictures; count the "
        "modes they hit with gan_book.data.toys.ring().count_modes(run.sample(2500)).",
    )
    model: Model = source
    return model


def _records(model: Model | Tensor) -> tuple[Path | None, dict[str, Any]]:
    """The folder of a run (or of its best generator) and what its data.json says; or nothing."""
    folder = None if isinstance(model, Tensor) else model.folder
    if folder is not None:
        for place in (folder, folder.parent):
            if (place / "data.json").is_file() and (place / "recipe.json").is_file():
                data = files.read_json(place / "data.json")
                need(isinstance(data, dict), f"{place / 'data.json'} is damaged.")
                return folder, data
    return None, {}


def _pictures(
    model: Model | Tensor, images: Any, data: Mapping[str, Any], checked: bool
) -> ImageSet:
    """The set that the model was trained on: as given, or loaded again as data.json tells."""
    give = "give the pictures it was trained on: gb.evaluate(run, images), or --images PATH"
    need(images is not None or data, f"Say what to measure against; {give}.")
    shape = model.shape[1:] if isinstance(model, Tensor) else None
    channels, *size = shape or (model.recipe.channels, *model.recipe.size)  # type: ignore[union-attr]
    report = data.get("report") or {}
    options: dict[str, Any] = {"size": tuple(size), "channels": channels}
    where: Any = images if images is not None else report.get("source", data.get("source"))
    total = (data.get("train") or 0) + len(data.get("held_out") or ())
    if where in NAMES and total:
        options["n"] = total
    if images is None:
        known = report.get("settings") or {}
        options |= {key: known[key] for key in ("crop", "background") if key in known}
    try:
        found = where if isinstance(where, ImageSet) else load_images(where, **options)
    except GanBookError as error:
        if images is not None:
            raise
        raise GanBookError(
            f"The run's pictures cannot be loaded again ({error}); {give}."
        ) from None
    need(
        not (checked and data) or found.fingerprint() == data.get("fingerprint"),
        f"The pictures of '{where if images is None else found.name}' are not those of the run "
        f"(other pictures, order or labels); {give}.",
    )
    return found


def split_of(model: Model | Tensor, pictures: ImageSet, data: Mapping[str, Any]) -> Split:
    """Which pictures trained and which were held out, as the run says; else a new split."""
    if isinstance(model, Run) and model.split is not None:
        return model.split
    if "held_out" not in data:
        return pictures.split()
    mask = torch.ones(len(pictures), dtype=torch.bool)
    held = [torch.tensor(data.get(key) or [], dtype=torch.int64) for key in ("validation", "test")]
    mask[torch.cat(held)] = False
    return Split(mask.nonzero()[:, 0], held[0], held[1])


def _is_atelier(pictures: ImageSet) -> bool:
    return pictures.name == ATELIER and {"style", "palette"} <= set(pictures.attributes)


def _kin(pictures: ImageSet) -> Kin | None:
    """Seed, styles and palettes of Atelier pictures with equal shares, which can be painted on."""
    from .data.atelier import ATELIER_VERSION, painting
    from .data.atelier.dice import keys_for
    from .data.atelier.studio import assign

    pattern = rf"(atelier-v{ATELIER_VERSION}-seed(-?\d+))-(\d+)"
    told = [one for one in (re.fullmatch(pattern, i) for i in pictures.ids) if one]
    alike = len(told) == len(pictures) and len({one[1] for one in told}) == 1
    if not _is_atelier(pictures) or not alike or min(pictures.size) < 8:
        return None
    seed, index = int(told[0][2]), [int(one[3]) for one in told]
    styles, palettes = (pictures.attribute_names[key] for key in ("style", "palette"))
    keys = keys_for(ATELIER_VERSION, seed, np.array(index))
    drawn = assign(keys, [1] * len(styles), len(palettes))  # styles (N,), palettes (N,)
    for key, found in zip(("style", "palette"), drawn, strict=True):
        if not np.array_equal(found, pictures.attributes[key].numpy()):
            return None
    # painted at another size and then resized, or changed, they are no longer of its kind
    first = styles[drawn[0][0]], palettes[drawn[1][0]]
    again = ImageSet(painting(*first, seed=seed, size=pictures.size, index=index[0])[None])
    again = load_images(again, pictures.size, channels=pictures.channels)
    same = torch.equal(again.images[0], pictures.images[0])
    return (seed, tuple(styles), tuple(palettes)) if same else None


def _fresh_seed(kin: Kin, which: int) -> int:
    """The seed of the reference (0) or of the floor (1): never that of the training pictures."""
    return [seed for seed in range(FRESH_SEED, FRESH_SEED + 3) if seed != kin[0]][which]


@lru_cache(maxsize=2)
def _painted(
    net: Extractor, size: tuple[int, int], channels: int, kin: Kin, n: int, which: int
) -> tuple[Tensor, Tensor]:
    """The first 1,000 of n fresh Atelier pictures, and the features of all, painted only once."""
    seed, styles, palettes = _fresh_seed(kin, which), kin[1], kin[2]
    from .data.atelier import ATELIER_VERSION

    how: dict[str, Any] = {"n": n, "seed": seed, "styles": styles, "palettes": palettes}
    how["version"] = ATELIER_VERSION
    key = cache_key({**net.facts(), **how, "size": size, "channels": channels}, [])
    with suppress(OSError, GanBookError):  # not there yet, damaged, or there is no cache
        kept = files.load_tensors(cache_dir() / "features" / f"{key}.safetensors")[0]
        return kept["images"], kept["features"]
    made = load_images(ATELIER, size, channels=channels, **how).images
    kept = {"images": made[:MOST], "features": net(made)}
    with suppress(OSError, GanBookError):  # a disk that cannot keep them costs time only
        files.save_tensors(cache_dir() / "features" / f"{key}.safetensors", kept, {})
    return kept["images"], kept["features"]
