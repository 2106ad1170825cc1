"""The book's one matplotlib style.

Figures carry their own light background (``PAPER``), so that they read alike on light and dark
pages; the colors are from the palette of Okabe and Ito (2008), told apart by color-blind readers,
and lines differ in their dashes as well.
"""

from __future__ import annotations

from typing import Any, cast

PAPER, INK, FAINT = "#f4f4f2", "#1c1c1c", "#5f5f5f"  # contrast with PAPER: 15.5 and 5.8
COLORS = {"blue": "#0072B2", "vermilion": "#D55E00", "green": "#009E73", "purple": "#AA4499"}

STYLE: dict[str, Any] = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dcdcd8",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
    "image.cmap": "cividis",
    "font.size": 10,
    "figure.figsize": (6.4, 4.0),
    "figure.dpi": 96,
    "savefig.dpi": 96,
    "figure.constrained_layout.use": True,
}


def use_style() -> None:
    """Set the book's matplotlib style for every later figure (``gb.setup`` calls it)."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(cast(Any, STYLE))
    mpl.rcParams["axes.prop_cycle"] = cycler(color=list(COLORS.values())) + cycler(
        linestyle=["-", "--", "-.", ":"]
    )
