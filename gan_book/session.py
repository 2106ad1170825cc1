"""The first cell of every notebook: seed, threads, tier and figure style."""

from __future__ import annotations

import os
import random
from typing import Any, Literal

from gan_book.errors import need
from gan_book.style import use_style

Tier = Literal["cpu", "gpu", "full"]
TIERS: tuple[Tier, ...] = ("cpu", "gpu", "full")

# A data-center GPU (A100, H100, H200 and later) has at least 40 GiB; the T4 and L4 that hosted
# notebooks lend have 16 and 24.
FULL_TIER_BYTES = 39 * 2**30


def tier() -> Tier:
    """Return how large the experiments on this machine are.

    ``"cpu"``: every notebook within 90 s on one core; the stored outputs come from it.
    ``"gpu"``: about ten minutes on one Colab T4. ``"full"``: a data-center GPU.
    The environment variable ``GAN_BOOK_TIER`` decides; without it, what the machine has.

    Raises
    ------
    GanBookError
        If ``GAN_BOOK_TIER`` holds another word.
    """
    named = os.environ.get("GAN_BOOK_TIER", "").strip().lower()
    for known in TIERS:
        if named == known:
            return known
    need(
        not named,
        f"The environment variable GAN_BOOK_TIER is {named!r}; set it to one of "
        f"{', '.join(TIERS)}, or unset it to let the machine decide.",
    )
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    memory = torch.cuda.get_device_properties(0).total_memory
    return "full" if memory >= FULL_TIER_BYTES else "gpu"


def by_tier(**values: Any) -> Any:
    """Return the value for this machine's tier: ``steps = by_tier(cpu=200, gpu=5_000)``.

    A tier that is not named takes the value of the next smaller one. Tiers are for sizes, steps
    and the recipes that go with them, not for another method.

    Raises
    ------
    GanBookError
        If ``cpu`` is missing or a name is no tier.
    """
    unknown = sorted(set(values) - set(TIERS))
    need(not unknown, f"by_tier does not know {', '.join(unknown)}; it knows {', '.join(TIERS)}.")
    need("cpu" in values, "by_tier needs a value for cpu.")
    chosen = values["cpu"]
    for name in TIERS[: TIERS.index(tier()) + 1]:
        chosen = values.get(name, chosen)
    return chosen


def threads() -> int:
    """Return the number of CPU threads a notebook computes with.

    ``GAN_BOOK_THREADS`` decides; without it one in the tier ``cpu``, so that stored outputs can be
    compared, and what torch chose otherwise.

    Raises
    ------
    GanBookError
        If ``GAN_BOOK_THREADS`` is no positive integer.
    """
    text = os.environ.get("GAN_BOOK_THREADS", "").strip()
    if text:
        need(
            text.isdecimal() and int(text) >= 1,
            f"The environment variable GAN_BOOK_THREADS is {text!r}; set it to a positive number "
            "of threads, for example 2, or unset it.",
        )
        return int(text)
    if tier() == "cpu":
        return 1
    import torch

    return torch.get_num_threads()


def setup(cost: str = "", seed: int = 0) -> None:
    """Prepare a notebook: seeds, threads, figure style; in tier cpu deterministic algorithms.

    Prints one line, ``tier cpu · <cost>``, so that a reader knows what the notebook will take.

    Parameters
    ----------
    cost
        What the notebook costs in the tier ``cpu``, for example ``"about 60 s, 1 GB"``.
    seed
        Seeds Python's, NumPy's and torch's global generators. Networks that a cell
        builds take their first weights from torch's (trainings seed it themselves); other code of
        the package draws from explicit generators instead.
    """
    import numpy as np
    import torch

    current = tier()
    torch.set_num_threads(threads())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that a reader adds may draw from it
    torch.manual_seed(seed)
    if current == "cpu":
        torch.use_deterministic_algorithms(True)
        # Filling every new tensor with NaN costs time and guards only against reading it unset.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.set_printoptions(precision=3, sci_mode=False)
    use_style()
    # The stored outputs say what the tier of the stored run cost; other tiers differ.
    print(f"tier {current}" + (f" · {cost}" if cost else ""))
