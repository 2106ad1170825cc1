"""What an evaluation found: numbers with their uncertainty, their meaning in words, and a table."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .data.imageset import ImageSet
from .errors import need
from .memorization import MemorizationReport, SupportSize
from .metrics import (
    DensityCoverage,
    FrechetDistance,
    KernelDifference,
    KernelDistance,
    PrecisionRecall,
    TrueCoverage,
    coverage_of_counts,
)

FLOOR, GAUSSIAN, COPIES = "real pictures (floor)", "PCA-Gaussian", "copies of training"
WIDTH = 77
LEGEND = """\
KID: distance to the real pictures; 0 is none, lower is better; +- is one standard error.
FID: another such distance; lower is better, but never 0, and larger where pictures are few.
Precision (prec.), density: do the row's pictures lie among real ones? Higher: better quality.
Recall, coverage (cover.): do the real pictures have some of the row nearby? Higher: more variety.
Read each column against its controls: the floor is what other real pictures get, and nobody can \
ask for more (precision or density above it: the pictures crowd where real ones are plain); \
PCA-Gaussian draws pixels without a network; copies show what no column can see."""


@dataclass(frozen=True)
class Row:
    """What was measured of one set of n pictures against the reference.

    Attributes:
        name: what the pictures are.
        kid, frechet: against all reference pictures; frechet is None where n or they are too few.
        neighbors, density: against at most n of the reference pictures.
    """

    name: str
    kid: KernelDistance
    frechet: FrechetDistance | None
    neighbors: PrecisionRecall
    density: DensityCoverage


@dataclass(frozen=True)
class Modes:
    """Which styles and palettes of the Atelier the extractor reads in the generated pictures.

    Attributes:
        styles, palettes: shares by name of the pictures that can be read.
        coverage: of the pairs of a style and a palette; a picture cannot be read where the reader
            gives an answer less than even odds, or sees a style or palette that nobody trained on.
    """

    styles: Mapping[str, float]
    palettes: Mapping[str, float]
    coverage: TrueCoverage


def read_modes(net: Any, made: Tensor, trained: ImageSet, equal: bool) -> Modes | None:
    """Styles and palettes that ``net.read`` finds; None where the extractor reads nothing.

    Expected shares are those of the training pictures, or the same for all where ``equal``.
    """
    if not hasattr(net, "read"):
        return None
    from .data.atelier import PALETTES, STYLES

    reading = net.read(made)
    known = (reading.style_probability >= 0.5) & (reading.palette_probability >= 0.5)  # (n,)
    cell = torch.zeros(len(made), dtype=torch.int64)
    expected = torch.ones(1, dtype=torch.float64)
    chosen = {key: trained.attribute_names[key] for key in ("style", "palette")}
    for (key, names), every in zip(chosen.items(), (STYLES, tuple(PALETTES)), strict=True):
        place = torch.tensor([names.index(name) if name in names else -1 for name in every])
        index = place[getattr(reading, key)]  # (n,)
        known &= index >= 0
        cell = cell * len(names) + index
        counts = torch.bincount(trained.attributes[key], minlength=len(names)).double()
        share = torch.full_like(counts, 1 / len(names)) if equal else counts / counts.sum()
        expected = torch.outer(expected, share).flatten()  # in the order of cell
    known &= expected[cell.clamp(min=0)] > 0
    if not known.any():
        return None
    counted = torch.bincount(cell[known], minlength=len(expected))
    table = counted.view(len(chosen["style"]), -1) / counted.sum()  # styles x palettes
    return Modes(
        dict(zip(chosen["style"], table.sum(1).tolist(), strict=True)),
        dict(zip(chosen["palette"], table.sum(0).tolist(), strict=True)),
        coverage_of_counts(counted, expected, unrecognized=int((~known).sum())),
    )


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What `gan_book.evaluate` found; shown as a table, printed or at the end of a cell.

    Attributes:
        rows: the generator, then the controls: real pictures, PCA-Gaussian, copies.
        against_gaussian, against_floor: KID of the generator minus that of the control.
        memorization: copies among the generated pictures; None where too few are held out.
        modes: for Atelier pictures and an extractor that reads them.
        facts: extractor, sha256, dim, resize, n, n_real, reference, n_train, seed, seconds.
        notes: what is missing, and why.
    """

    rows: tuple[Row, ...]
    against_gaussian: KernelDifference
    against_floor: KernelDifference
    memorization: MemorizationReport | None
    modes: Modes | None
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What the numbers mean, a sentence each."""
        gaussian, floor, copies = self.against_gaussian, self.against_floor, self.memorization
        told = [
            f"Beats {GAUSSIAN}: it has learned more than colors and blur"
            if gaussian.verdict == "a"
            else f"Does not beat {GAUSSIAN}: it has not learned pictures yet",
            "KID tells it from the floor, from real pictures that is"
            if floor.verdict == "b"
            else f"KID cannot tell it from the floor, from real pictures, at n = {self.facts['n']}",
        ]
        for i, difference in enumerate((gaussian, floor)):
            value, error = 1000 * difference.value, 1000 * difference.standard_error
            side = "above" if value > 0 else "below"
            told[i] += f" (KID x 1000 is {abs(value):.1f} +- {error:.1f} {side} it)."
        if copies is not None:
            many = copies.flagged_interval[0] > copies.false_alarms
            word = "It repeats training pictures" if many else "No sign of repeated pictures"
            told.append(
                f"{word}: {copies.flagged:.1%} look like one from the training set; of pictures "
                f"that are new, {copies.false_alarms:.0%} would."
            )
        return tuple(told)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it; a number that is not finite becomes None."""
        return {**_plain(self), "verdicts": list(self.verdicts)}

    def __repr__(self) -> str:
        f = self.facts
        about = (
            f"Extractor {f['extractor']} (sha256 {str(f['sha256'])[:8]}), pictures resized to "
            f"{f['resize']}; {f['n_train']:,} training pictures; seed {f['seed']}. Compare only "
            "numbers with the same n, reference and extractor."
        )
        below = [*self.verdicts, "", *_details(self), *self.notes, "", *LEGEND.split("\n"), about]
        wrapped = [part for line in below for part in textwrap.wrap(line, WIDTH) or [""]]
        title = f"{f['n']:,} pictures a row, measured against {f['n_real']:,} {f['reference']}"
        return "\n".join([title, "", *_table(self.rows), "", *wrapped])


def compare(*reports: Evaluation) -> str:
    """The generators of several evaluations in one table, with the controls of the first.

    Raises `GanBookError` where extractor, reference or n differ: such numbers say nothing about
    each other.
    """
    need(reports, "compare needs at least one evaluation.")
    first = reports[0].facts
    for facts in (report.facts for report in reports[1:]):
        for key in ("extractor", "sha256", "resize", "n", "n_real", "reference_sha256"):
            need(
                facts[key] == first[key],
                f"These evaluations cannot be compared: {key} is {first[key]} in one and "
                f"{facts[key]} in the other; evaluate both in the same way.",
            )
    return "\n".join(_table((*(report.rows[0] for report in reports), *reports[0].rows[1:])))


def _table(rows: tuple[Row, ...]) -> list[str]:
    width = max(len(row.name) for row in rows)
    lines = [f"{'':{width}}      KID x 1000     FID  prec.  recall  density  cover."]
    for row in rows:
        kid = f"{1000 * row.kid.value:.1f} +- {1000 * row.kid.standard_error:.1f}"
        fid = "-" if row.frechet is None else f"{row.frechet.value:.2f}"
        lines.append(
            f"{row.name:{width}}  {kid:>14}  {fid:>6}  {row.neighbors.precision:>5.2f}  "
            f"{row.neighbors.recall:>6.2f}  {row.density.density:>7.2f}  "
            f"{row.density.coverage:>6.2f}"
        )
    return lines


def _details(report: Evaluation) -> list[str]:
    """Memorization, styles and palettes, as far as they were measured, a paragraph each."""
    told = []
    if (copies := report.memorization) is not None:
        low, high = copies.flagged_interval
        told.append(
            f"Memorization: {copies.flagged:.1%} flagged [{low:.1%}, {high:.1%}] at "
            f"{copies.false_alarms:.0%} false alarms; disguised copies of training pictures are "
            f"flagged in {copies.recall:.0%}. Nearer to a training than to a held-out picture: "
            f"{copies.nearer_train:.1%} (by chance {copies.nearer_expected:.1%} +- "
            f"{copies.nearer_error:.1%})."
        )
        told.append(
            f"Support size (how many different pictures there are, by look-alikes among "
            f"{copies.support.n:,}): {_size(copies.support)}; of the training pictures, by the "
            f"same count: {_size(copies.support_train)}."
        )
    if (modes := report.modes) is not None:
        cover = modes.coverage
        for what, shares in (("Styles", modes.styles), ("Palettes", modes.palettes)):
            listed = (f"{name} {share:.0%}" for name, share in shares.items())
            told.append(
                f"{what} of the {1 - cover.unrecognized:.0%} that can be read: {', '.join(listed)}."
            )
        told.append(
            f"Pairs of style and palette among these: {cover.captured} of {cover.modes} (as many "
            f"real pictures show {cover.floor_captured:.0f}), KL of their shares "
            f"{cover.divergence:.3f} (real pictures: {cover.floor:.3f})."
        )
    return told


def _size(support: SupportSize) -> str:
    if not support.collisions:
        return f"more than {support.low:,.0f}"
    return f"{support.value:,.0f} [{support.low:,.0f}, {support.high:,.0f}]"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
