"""What the metrics cost: seconds at 1,000 x 192, seconds and memory at 50,000 x 2,048.

Seconds are of the processor, with one thread: what the wall clock shows on a core of one's own,
and the same on a machine that others use meanwhile.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
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
    pipe.send(before)
    start, wall = time.process_time(), time.perf_counter()
    result = LARGE[name][0](a, b)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    pipe.send((str(result), seconds, wall, peak_memory(torch.device("cpu"))))


def apart(name: str, n: int, d: int) -> dict[str, Any]:
    """Run one metric in a process of its own, so that the peak of memory is its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, name, n, d))
    process.start()
    there.close()
    try:
        before = here.recv()
        text, seconds, wall, peak = here.recv()
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


def begun(name: str, n: int, d: int, processor_seconds: float = 12.0) -> dict[str, Any]:
    """Start one metric on all rows, let it compute for some time, note its peak of memory, end it.

    The checks of all rows come first, then tiles, all of one size: what the rest of the run needs,
    the first tiles need too. Linux only: reads the process's own account.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, name, n, d))
    process.start()
    there.close()
    account = Path(f"/proc/{process.pid}")
    try:
        before, first = here.recv(), None
        while True:
            ticks = sum(map(int, (account / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
            first = ticks if first is None else first
            if (ticks - first) / os.sysconf("SC_CLK_TCK") >= processor_seconds:
                break
            time.sleep(0.5)
        lines = dict(x.split(":", 1) for x in (account / "status").read_text().splitlines())
        peak = int(lines["VmHWM"].split()[0]) * 1024
    finally:
        process.terminate()
        process.join()
    return {
        "n": n,
        "ended_after_processor_seconds": processor_seconds,
        "memory_before_bytes": before,
        "peak_memory_bytes": peak,
        "added_memory_bytes": peak - before,
    }


def large(name: str, d: int = 2048, whole: int = 50_000) -> dict[str, Any]:
    """One metric on float32 features: really run at `n` rows, and what 50,000 rows take."""
    _, n, power = LARGE[name]
    run = apart(name, n, d)
    return {
        "what": "float32 features, computed in float64, one thread, a process of its own",
        "dimensions": d,
        "seeds": [0, 1],
        "threads": 1,
        "run": run,
        "features_bytes": 2 * whole * d * 4,
        "rows_really_run": n,
        "extrapolated": n < whole,
        "how": f"seconds grow like n^{power}; memory: all rows, ended after the first tiles"
        if n < whole
        else "measured",
        "processor_seconds_at_50000": run["processor_seconds"] * (whole / n) ** power,
        "memory_run": begun(name, whole, d) if n < whole else run,
    }
