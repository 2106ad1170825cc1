"""Copies among generated pictures: thresholds from held-out pictures, and what they can detect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import need
from ..metrics._features import Result, wilson
from .birthday import SupportSize, support_size
from .search import Nearest, Space, as_levels, picture_space


@dataclass(frozen=True)
class Pair:
    """A generated picture and the training picture nearest to it.

    margin: distance divided by the threshold; below 1 it is flagged.
    """

    generated: int
    train: int
    distance: float
    margin: float
    flip: bool
    shift: tuple[int, int]


@dataclass(frozen=True)
class Roc:
    """Recall of planted copies against false alarms on held-out pictures.

    Attributes:
        area: probability that a copy lies nearer than a held-out picture (ties count half).
        false_alarms, recall: points of the curve, from (0, ...) to (1, 1).
        n_copies, n_heldout: pictures.
    """

    area: float
    false_alarms: tuple[float, ...]
    recall: tuple[float, ...]
    n_copies: int
    n_heldout: int


@dataclass(frozen=True)
class MemorizationReport(Result):
    """What `memorization` found.

    Attributes:
        flagged: share of generated pictures nearer to a training picture than the threshold;
            flagged_interval: 95 %. Fresh pictures are flagged at most at the rate `false_alarms`.
        thresholds: distance by style of the nearest training picture (-1: where a style has too
            few held-out pictures, or no styles were given).
        recall: share of planted copies below their threshold: what the test can detect at all.
        recall_by_style: the same for each style.
        roc: the whole trade.
        copy_distance: 95 % of planted copies lie at most that far from the training set.
        near_collisions: share of held-out pictures within the copy distance of their style:
            honest look-alikes. copies: the same share of generated pictures.
        nearer_train: share of generated pictures nearer to a training than to any held-out
            picture. nearer_expected: what it would be without memorization (the training set's
            share of all references); nearer_error: standard error of that.
        support, support_train: birthday estimates for generated and for training pictures.
        suspicious: the pairs with the smallest margins, worst first.
        n_generated, n_train, n_heldout: pictures.
    """

    flagged: float
    flagged_interval: tuple[float, float]
    false_alarms: float
    thresholds: Mapping[int, float]
    recall: float
    recall_by_style: Mapping[int, float]
    roc: Roc
    copy_distance: float
    near_collisions: float
    copies: float
    nearer_train: float
    nearer_expected: float
    nearer_error: float
    support: SupportSize
    support_train: SupportSize
    suspicious: tuple[Pair, ...]
    n_generated: int
    n_train: int
    n_heldout: int


def plant_copies(
    pictures: Tensor,
    *,
    generator: torch.Generator,
    shift: float = 0.06,
    recolor: float = 0.25,
    noise: float = 4.0,
) -> Tensor:
    """Disguised copies: mirrored (half of them), shifted, recolored by channel, with noise.

    Args:
        pictures: (N, C, H, W) uint8, or floating point in [-1, 1].
        shift: largest shift as a share of the side; edges are repeated.
        recolor: channel gains in 1 +- recolor, offsets in +- recolor / 2 of the range.
        noise: standard deviation in levels of 0 ... 255.

    Returns:
        Pictures of the same shape and dtype, clamped to the range.
    """
    levels = as_levels(pictures, max(pictures.shape[-2:]))
    n, channels, height, width = levels.shape
    flips = torch.rand(n, generator=generator) < 0.5
    levels = torch.where(flips[:, None, None, None], levels.flip(-1), levels)
    reach = (round(shift * height), round(shift * width))
    padded = functional.pad(levels, (reach[1], reach[1], reach[0], reach[0]), mode="replicate")
    tops = torch.randint(0, 2 * reach[0] + 1, (n,), generator=generator)
    lefts = torch.randint(0, 2 * reach[1] + 1, (n,), generator=generator)
    rows = (tops[:, None] + torch.arange(height))[:, None, :, None]  # (N, 1, H, 1)
    columns = (lefts[:, None] + torch.arange(width))[:, None, None, :]  # (N, 1, 1, W)
    moved = padded[
        torch.arange(n)[:, None, None, None], torch.arange(channels)[:, None, None], rows, columns
    ]
    gain, offset = (
        recolor * (2 * torch.rand(n, channels, 1, 1, generator=generator) - 1) for _ in range(2)
    )
    moved = (moved - 127.5) * (1 + gain) + 127.5 + offset * 127.5
    moved = (moved + noise * torch.randn(moved.shape, generator=generator)).clamp(0, 255)
    if pictures.dtype == torch.uint8:
        return moved.round().to(torch.uint8)
    return (moved / 127.5 - 1).to(pictures.dtype)


def roc(copies: Tensor, heldout: Tensor, points: int = 101) -> Roc:
    """Curve and area for telling copies (small distances) from held-out pictures.

    Args:
        copies: (n,), heldout: (m,) distances, or distances divided by their thresholds.
    """
    low, high = copies.double(), heldout.double().sort().values
    below = torch.searchsorted(high, low, right=False)  # held-out strictly nearer than each copy
    equal = torch.searchsorted(high, low, right=True) - below
    area = float((len(high) - below - 0.5 * equal).mean()) / len(high)
    alarms = torch.linspace(0, 1, points, dtype=torch.float64)
    allowed = (alarms * len(high) + 1e-9).floor().long()  # held-out pictures below the cut
    cuts = torch.cat([high, high.new_tensor([torch.inf])])[allowed]
    found = (low[None, :] < cuts[:, None]).double().mean(1)
    return Roc(area, tuple(alarms.tolist()), tuple(found.tolist()), len(low), len(high))


def threshold(heldout: Tensor, false_alarms: float) -> float:
    """Distance below which a fresh picture falls with probability at most `false_alarms`.

    The floor((m + 1) * false_alarms)-th smallest of m held-out distances (conformal): valid for
    any distribution when fresh and held-out pictures are exchangeable; -inf when m is too small.
    """
    rank = int((len(heldout) + 1) * false_alarms + 1e-9)
    return float(heldout.double().sort().values[rank - 1]) if rank else float("-inf")


def _by_style(
    heldout: Nearest, styles: Tensor, false_alarms: float
) -> tuple[dict[int, float], Tensor]:
    """Thresholds by style, and the threshold (K,) of every style number."""
    common = threshold(heldout.distance, false_alarms)
    found = {-1: common}
    each = torch.full((int(styles.max()) + 1,), common, dtype=torch.float64)
    matched = styles[heldout.index]
    for style in styles.unique().tolist():
        value = threshold(heldout.distance[matched == style], false_alarms)
        if value > float("-inf"):
            found[style] = value
            each[style] = value
    return found, each


def _nearer_train(to_train: Nearest, to_heldout: Nearest, counts: tuple[int, int]) -> list[float]:
    """Share of generated pictures nearer to training than to held-out pictures, what it would be
    if both were strangers to the model, and the standard error of that.

    Under this hypothesis the labels "training" and "held out" of all references can be exchanged.
    A few flat pictures are the nearest of many (hubs), so the error sums squared counts of how
    often each reference is the nearest; a binomial error would be too small.
    """
    n = len(to_train.distance)
    nearer = to_train.distance < to_heldout.distance
    winner = torch.where(nearer, to_train.index, to_heldout.index + counts[0])
    total = sum(counts)
    wins = torch.bincount(winner.cpu(), minlength=total).double()
    expected = counts[0] / total
    spread = float((wins - wins.mean()).square().sum()) / (total - 1) * total
    error = (expected * (1 - expected) * spread) ** 0.5 / n
    return [float(nearer.double().mean()), expected, error]


def _pair(made: Nearest, margin: Tensor, i: int) -> Pair:
    index, distance, shift = int(made.index[i]), float(made.distance[i]), made.shift[i]
    moved = int(shift[0]), int(shift[1])
    return Pair(i, index, distance, float(margin[i]), bool(made.flip[i]), moved)


def _duplicate_distance(train: Tensor, copies: Tensor, nearest: Tensor, space: Space) -> float:
    """Median distance, as `space.pairs` measures it, of planted copies to their originals."""
    some = copies[:250]
    pairs = space.pairs(torch.cat([some, train[nearest[: len(some)]]]))
    return float(pairs.diagonal(len(some)).median())


def memorization(
    generated: Tensor,
    train: Tensor,
    heldout: Tensor,
    *,
    generator: torch.Generator,
    styles: Tensor | None = None,
    false_alarms: float = 0.05,
    space: Space | None = None,
    copies: Tensor | None = None,
    worst: int = 16,
) -> MemorizationReport:
    """Look for copies of training pictures among generated ones.

    A distance says nothing by itself: in a plain style every picture has a look-alike. So the
    threshold comes from held-out pictures, which are no copies, and the test's power from planted
    copies, which are. A style's pictures are those whose nearest training picture has it.

    Args:
        generated, train, heldout: (n, C, H, W) pictures, uint8 or floating point in [-1, 1]; or
            (n, d) features with space=feature_space(). Held-out pictures: at least
            1 / false_alarms - 1 (19 for 5 %), drawn like the training pictures, none of them
            among these.
        generator: draws planted copies and subsets.
        styles: int64 (number of training pictures,), numbered from 0; None: one threshold.
        false_alarms: rate at which fresh pictures may be flagged.
        space: `picture_space()` when None.
        copies: planted copies of training pictures, in the same space; made by `plant_copies`
            from at most 300 training pictures when None (features: must be given).
        worst: suspicious pairs to keep.

    Raises:
        GanBookError: too few held-out pictures, styles that do not fit, or what the space raises.
    """
    need(
        0 < false_alarms < 1 and (len(heldout) + 1) * false_alarms + 1e-9 >= 1,
        f"A threshold at {false_alarms:.3g} false alarms cannot be set with {len(heldout)} "
        "held-out pictures; hold out at least 1 / rate - 1 (19 for 0.05).",
    )
    n = len(train)
    styles = torch.zeros(n, dtype=torch.int64) if styles is None else styles
    fits = styles.shape == (n,) and not styles.is_floating_point() and int(styles.min()) >= 0
    need(fits, f"Styles must be {n} integers from 0 on, one for each training picture.")
    styles = styles.long().cpu()
    given = copies is not None or train.ndim == 4
    need(given, "In feature space, pass the features of planted copies as copies=...")
    space = space or picture_space()
    if copies is None:
        chosen = torch.randperm(len(train), generator=generator)[:300]
        copies = plant_copies(train[chosen], generator=generator)
    made, fresh, planted = (space.nearest(x, train) for x in (generated, heldout, copies))
    thresholds, limits = _by_style(fresh, styles, false_alarms)
    if len(thresholds) == 2 and len(styles.unique()) == 1:
        thresholds = {-1: thresholds[-1]}
    limit_made, limit_fresh, limit_planted = (
        limits[styles[x.index.cpu()]] for x in (made, fresh, planted)
    )
    flags = made.distance <= limit_made
    hits = (planted.distance <= limit_planted).double()
    planted_styles = styles[planted.index.cpu()]
    present = planted_styles.unique().tolist()
    by_style = {style: float(hits[planted_styles == style].mean()) for style in present}
    copy_distance = float(planted.distance.quantile(0.95))
    reach = torch.full_like(limits, copy_distance)  # each style is judged by its own copies
    for style in present:
        reach[style] = planted.distance[planted_styles == style].quantile(0.95)
    nearer = _nearer_train(made, space.nearest(generated, heldout), (len(train), len(heldout)))
    least = partial(torch.clamp, min=1e-12)
    margin = made.distance / least(limit_made)
    order = margin.argsort(stable=True)[:worst].tolist()
    subset = torch.randperm(len(train), generator=generator)[: len(generated)]
    duplicate = _duplicate_distance(train, copies, planted.index, space)
    return MemorizationReport(
        flagged=float(flags.double().mean()),
        flagged_interval=wilson(float(flags.double().mean()), len(flags)),
        false_alarms=false_alarms,
        thresholds=thresholds,
        recall=float(hits.mean()),
        recall_by_style=by_style,
        roc=roc(planted.distance / least(limit_planted), fresh.distance / least(limit_fresh)),
        copy_distance=copy_distance,
        near_collisions=float((fresh.distance <= reach[styles[fresh.index.cpu()]]).double().mean()),
        copies=float((made.distance <= reach[styles[made.index.cpu()]]).double().mean()),
        nearer_train=nearer[0],
        nearer_expected=nearer[1],
        nearer_error=nearer[2],
        support=support_size(generated, duplicate, space=space),
        support_train=support_size(train[subset], duplicate, space=space),
        suspicious=tuple(_pair(made, margin, i) for i in order),
        n_generated=len(generated),
        n_train=len(train),
        n_heldout=len(heldout),
    )
