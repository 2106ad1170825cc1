"""Training curves with what is healthy marked: what to look at, and what it means, for each loss.

What the marks rest on. With the relativistic pairing loss E softplus(-(D(x) - D(G(z)))) only
differences of logits count: sigmoid(D) is no probability and a single logit near 0 says nothing.
The gap g = D(real) - D(fake) is what counts: at g = 0 D sees no difference and its loss is log 2;
D's slope on a pair is sigmoid(-g), which falls below 1 % at g = log 99 = 4.6. Between 0 and 4.6 D
is ahead and still learns. At the optimal D the mean gap is KL(p||q) + KL(q||p), because there D =
log p/q + constant (Jolicoeur-Martineau, 2018, arXiv 1807.00734, for the loss; Huang et al., 2024,
arXiv 2501.05441, for pairing with R1 and R2). A curve can only warn; whether pictures are good is
decided by looking and measuring.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gan_book.errors import GanBookError, need
from gan_book.style import COLORS, FAINT, INK, PAPER, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEARNING_GAP = math.log(99.0)  # sigmoid(-LEARNING_GAP) = 0.01
Records = Sequence[Mapping[str, Any]]


def records(run_or_log: Any) -> list[Mapping[str, Any]]:
    """The log's records: from a run, a list of dicts, a ``log.jsonl`` or a run folder."""
    if isinstance(run_or_log, (str, Path)):
        path = Path(run_or_log)
        path = path / "log.jsonl" if path.is_dir() else path
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise GanBookError(f"The log {path} cannot be read: {error.strerror}.") from error
        found = []
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                if number == len(lines):  # the line that a stopped run was writing
                    break
                raise GanBookError(f"Line {number} of {path} is not JSON: {error}.") from error
    else:
        found = list(getattr(run_or_log, "log", run_or_log))
    found = [record for record in found if isinstance(record, Mapping) and "images" in record]
    need(found, "The training log has no records with a count of images; train some steps first.")
    return found


def column(log: Records, key: str) -> np.ndarray | None:
    """One key as float64, NaN where a record lacks it; None where no record has a finite value."""
    values = np.array([number(record.get(key)) for record in log])
    return values if np.isfinite(values).any() else None


def number(value: Any) -> float:
    """``value`` as a float; anything that is none becomes NaN (a gap in the curve)."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Centered mean over ``width`` records, over fewer at the ends, NaN left out."""
    finite = np.isfinite(values)
    kernel = np.ones(width)
    total = np.convolve(np.where(finite, values, 0.0), kernel, "same")
    count = np.convolve(finite.astype(float), kernel, "same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def neutral_losses(loss: str) -> tuple[float, float]:
    """The losses of D and G where D sees no difference: log 2 and log 2 for the relativistic loss.

    All logits are then equal: 1/2 for least squares with targets 0 and 1, else 0.
    """
    import torch

    from gan_book.losses import loss as named

    halves = named(loss)
    same = torch.full((2,), 0.5 if loss == "least-squares" else 0.0)
    return float(halves.discriminator(same, same)), float(halves.generator(same, same))


def curves(
    run_or_log: Any,
    *,
    loss: str | None = None,
    title: str | None = None,
    return_figure: bool = False,
) -> Figure | None:
    """Training curves over images seen: losses, logit gap, gradient norms, augmentation; healthy
    ranges marked.

    ``run_or_log``: a run, its log (list of dicts), a run folder or a ``log.jsonl``. ``loss``
    names the loss where the log comes without its recipe; marks that hold only
    for the relativistic loss are drawn for that one and where no loss is known, as of a folder.
    With ``return_figure`` the figure is returned and not shown.
    """
    log = records(run_or_log)
    if loss is None:
        loss = getattr(getattr(run_or_log, "recipe", None), "loss", None)
    log = [{**r, "gap": number(r.get("real_logit")) - number(r.get("fake_logit"))} for r in log]
    x = np.array([number(record["images"]) for record in log])
    thousands = np.nanmax(x) >= 10_000
    x = x / 1000 if thousands else x

    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    def line(axes: Axes, key: str, label: str, color: str, dash: str = "-") -> None:
        values = column(log, key)
        if values is None:
            return
        many = len(x) >= 60
        thin = {"linewidth": 0.8, "alpha": 0.35} if many else {"label": label}
        dots = "." if len(x) < 12 else None
        axes.plot(x, values, dash, color=COLORS[color], gid=key, marker=dots, **thin)
        if many:
            mean = moving_mean(values, max(5, len(x) // 40))
            axes.plot(x, mean, dash, color=COLORS[color], label=label, gid=f"{key}-mean")

    def has(*keys: str) -> bool:
        return any(column(log, key) is not None for key in keys)

    def losses(axes: Axes) -> None:
        penalized = has("r1", "r2", "gp")
        line(axes, "d_loss", "D, with its penalties" if penalized else "D", "blue")
        line(axes, "g_loss", "G", "vermilion", "--")
        axes.margins(y=0.2)
        heading(axes, "Losses", "a low loss is no sign of good pictures")
        if loss is not None:
            at_d, at_g = neutral_losses(loss)
            if math.isclose(at_d, at_g, rel_tol=1e-6):
                name = "log 2" if math.isclose(at_d, math.log(2), rel_tol=1e-6) else f"{at_d:.2g}"
                reference(axes, at_d, f"{name}: D sees no difference")
            else:
                reference(axes, at_d, f"D's loss where D sees no difference ({at_d:.2f})")
                reference(axes, at_g, f"G's ({at_g:.2f})")

    def gap(axes: Axes) -> None:
        line(axes, "gap", "gap", "blue")
        meaning = "growing without end: D wins; below 0: D is lost"
        heading(axes, "Logit gap  D(real) − D(fake)", meaning)
        reference(axes, 0.0, "0: D sees no difference", below=True)
        low, high = axes.get_ylim()
        if loss in (None, "relativistic"):
            look: dict[str, Any] = {"color": COLORS["green"], "alpha": 0.13, "linewidth": 0}
            axes.axhspan(0.0, LEARNING_GAP, gid="healthy", **look)
            text = "healthy: D is ahead and still learns (0 to log 99)"
            note(axes, LEARNING_GAP, text, below=True)
            high = max(high, LEARNING_GAP * 1.05)
        axes.set_ylim(min(low, -0.22 * (high - low)), high)

    def gradients(axes: Axes) -> None:
        line(axes, "r1", "at real pictures (R1)", "blue")
        line(axes, "r2", "at generated pictures (R2)", "vermilion", "--")
        line(axes, "gp", "between them (WGAN-GP)", "purple", "-.")
        drawn = [v for key in ("r1", "r2", "gp") if (v := column(log, key)) is not None]
        if all(np.nanmin(v) > 0 for v in drawn):
            axes.set_yscale("log")
            low, high = axes.get_ylim()
            axes.set_ylim(low, high * (high / low) ** 0.25)  # room for the legend
            labeled = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
            axes.yaxis.set_major_locator(LogLocator(subs=labeled))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
        heading(axes, "Squared gradient norm of D", "healthy: level; rising by decades: raise γ")

    def augmentation(axes: Axes) -> None:
        line(axes, "p", "p", "purple", "-")
        axes.set_ylim(-0.05, 1.05)
        meaning = "stuck at its limit: too few pictures for this D"
        heading(axes, "Augmentation probability p", meaning)

    p = column(log, "p")
    wanted = {
        losses: has("d_loss", "g_loss"),
        gap: has("gap"),
        gradients: has("r1", "r2", "gp"),
        augmentation: p is not None and np.nanmax(p) > 0,
    }
    panels = [panel for panel, there in wanted.items() if there]
    need(panels, "The training log has neither losses, logits, gradient norms nor p to draw.")
    xlabel = "images seen (thousands)" if thousands else "images seen"
    return draw(panels, xlabel, title, return_figure)


def draw(
    panels: Sequence[Callable[[Axes], None]], xlabel: str, title: str | None, return_figure: bool
) -> Figure | None:
    """One panel below the other over one x axis; shown, or returned."""
    import matplotlib.pyplot as plt

    with plt.rc_context(cast(Any, STYLE)):
        figure, grid = plt.subplots(
            len(panels), 1, sharex=True, squeeze=False, figsize=(6.4, 0.4 + 1.75 * len(panels))
        )
        for panel, axes in zip(panels, grid[:, 0], strict=True):
            panel(axes)
            if len(axes.get_legend_handles_labels()[0]) > 1:
                place = {"loc": "upper right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.1}
                axes.legend(ncols=3, **place)
        grid[-1, 0].set_xlabel(xlabel)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if return_figure:
        plt.close(figure)
        return figure
    plt.show()
    return None


def heading(axes: Axes, what: str, meaning: str) -> None:
    """What a panel shows, bold, and beside it how to read it."""
    axes.set_title(what, fontweight="bold", fontsize=10)
    axes.set_title(meaning, loc="right", fontsize=8.5, color=FAINT)


def reference(axes: Axes, value: float, text: str, below: bool = False) -> None:
    """A dotted line across the panel with a text at it."""
    axes.axhline(value, color=INK, linestyle=":", linewidth=1.0, gid="reference")
    note(axes, value, text, below)


def note(axes: Axes, value: float, text: str, below: bool = False) -> None:
    """A small text just above, or below, the height ``value`` at the left end, with a halo."""
    from matplotlib.patheffects import withStroke

    axes.annotate(
        text, (0.01, value), xycoords=("axes fraction", "data"), textcoords="offset points",
        xytext=(0, -3 if below else 2), va="top" if below else "bottom", fontsize=8.5, color=INK,
        annotation_clip=True, zorder=5, path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
    )  # fmt: skip
