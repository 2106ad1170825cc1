"""What the metrics cost: seconds at 1,000 x 192, seconds and memory at 50,000 x 2,048.

Seconds are of the processor, with one thread: what the wall clock shows on a core of one's own,
and the same on a machine that others use meanwhile.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from gan_book.metrics import (
    density_coverage,
    frechet_at_infinity,
    frechet_distance,
    kernel_distance,
    one_nearest_neighbor,
    precision_recall,
    sliced_wasserstein,
)
from gan_book.probe import peak_memory


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


METRICS: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "kernel_distance": kernel_distance,
    "frechet_distance": frechet_distance,
    "frechet_at_infinity": lambda a, b: frechet_at_infinity(a, b, generator=seeded(0)),
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
    "sliced_wasserstein": lambda a, b: sliced_wasserstein(a, b, generator=seeded(0)),
    "one_nearest_neighbor": one_nearest_neighbor,
}
BAR_SECONDS = 5.0


def all_metrics(n: int = 1000, d: int = 192, rounds: int = 5) -> dict[str, Any]:
    """Each metric on float32 features, the median of some rounds; one thread."""
    a, b = (torch.randn(n, d, generator=seeded(seed)) for seed in (0, 1))
    seconds: dict[str, float] = {}
    for name, metric in METRICS.items():
        times = []
        for _ in range(rounds):
            start = time.process_time()
            metric(a, b)
            times.append(time.process_time() - start)
        seconds[name] = sorted(times)[rounds // 2]
    total = sum(seconds.values())
    return {
        "what": "processor seconds of every metric, 1,000 against 1,000 rows, one thread",
        "n": n,
        "dimensions": d,
        "seeds": [0, 1],
        "threads": torch.get_num_threads(),
        "seconds_each": seconds,
        "seconds_all": total,
        "bar_seconds": BAR_SECONDS,
        "holds": total <= BAR_SECONDS,
    }


# Rows of the run that is really made, and the power of n that its time grows with. Rows of the
# time measurement only, where the whole run would take longer than is decent on a shared machine.
LARGE: dict[str, tuple[Callable[[Tensor, Tensor], Any], int, int]] = {
    "frechet": (frechet_distance, 50_000, 1),
    "kernel": (kernel_distance, 10_000, 2),
    "precision-recall": (precision_recall, 10_000, 2),
    "density-coverage": (density_coverage, 10_000, 2),
}


def _child(pipe: Connection, name: str, n: int, d: int) -> None:
    torch.set_num_threads(1)
    a, b = (torch.randn(n, d, generator=seeded(seed)) for seed in (0, 1))
    before = peak_memory(torch.device("cpu"))
    start, wall = time.process_time(), time.perf_counter()
    result = LARGE[name][0](a, b)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    pipe.send((str(result), seconds, wall, before, peak_memory(torch.device("cpu"))))


def apart(name: str, n: int, d: int) -> dict[str, Any]:
    """Run one metric in a process of its own, so that the peak of memory is its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, name, n, d))
    process.start()
    there.close()
    try:
        text, seconds, wall, before, peak = here.recv()
    finally:
        process.join()
    return {
        "n": n,
        "result": text,
        "processor_seconds": seconds,
        "wall_seconds": wall,
        "memory_before_bytes": before,
        "peak_memory_bytes": peak,
        "added_memory_bytes": peak - before,
    }


def large(name: str, d: int = 2048, whole: int = 50_000) -> dict[str, Any]:
    """One metric on float32 features: time and memory at two sizes, and at 50,000 rows."""
    _, n, power = LARGE[name]
    runs = [apart(name, n // 4, d), apart(name, n, d)]
    last = runs[-1]
    seconds = last["processor_seconds"] * (whole / n) ** power
    # Besides tiles of a fixed size every metric holds some vectors of n: a line through two sizes.
    slope = (last["added_memory_bytes"] - runs[0]["added_memory_bytes"]) / (n - n // 4)
    added = last["added_memory_bytes"] + max(0.0, slope) * (whole - n)
    return {
        "what": "float32 features, computed in float64, one thread, a process of its own",
        "dimensions": d,
        "seeds": [0, 1],
        "threads": 1,
        "runs": runs,
        "features_bytes": 2 * whole * d * 4,
        "rows_really_run": n,
        "extrapolated": n < whole,
        "how": f"seconds grow like n^{power}; added memory like a line through two sizes"
        if n < whole
        else "measured",
        "processor_seconds_at_50000": seconds,
        "added_memory_bytes_at_50000": added,
    }
