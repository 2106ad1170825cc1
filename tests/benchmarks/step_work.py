"""What a training step asks of a machine, and what the machine can give: counts and ceilings.

``work`` counts the operations of a step as PyTorch dispatches them: how many, their floating-point
operations, the bytes that each must at least read and write. ``ceilings`` measures what the device
does at best. ``least_seconds`` puts both together: no operation takes less time than its arithmetic
at the best rate, nor than its bytes at the best rate (a roofline for each), and a step, run
operation by operation, takes no less than the sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from gan_book.training import TrainingState, Update, run_steps, update_average
from tests.benchmarks.lazy import make_lazy

Record = dict[str, Any]
MEGABYTES = (0.25, 1, 4, 16, 64, 256)  # of traffic, at which bandwidth is measured


class Work(TorchDispatchMode):
    """Inside ``with Work() as work`` every operation is noted: (name, flops, bytes, dtype)."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[str, int, int, str]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        alias = [r.alias_info for r in func._schema.returns]
        if not any(a is not None and not a.is_write for a in alias):  # a view moves nothing
            flops = _flops(func._overloadpacket, args, kwargs, out)
            leaves = pytree.tree_leaves((args, kwargs, out))
            tensors = [t for t in leaves if isinstance(t, Tensor)]
            moved = sum(t.numel() * t.element_size() for t in tensors)
            if tensors:
                dtype = str(tensors[0].dtype).removeprefix("torch.")
                name = str(func).removeprefix("aten.")
                self.operations.append((name, flops, moved, dtype))
        return out


def _flops(operation: Any, args: Any, kwargs: Any, out: Any) -> int:
    """By PyTorch's registry; but its weight gradient forgets the groups of a convolution."""
    if operation is torch.ops.aten.convolution_backward:
        (to_output, x, w), transposed, wanted = args[:3], args[7], args[10]
        one = 2 * w[0].numel() * (x if transposed else to_output).numel()
        return int(one * sum(wanted[:2]))  # gradients of input and weight, as much as forward each
    count = flop_registry.get(operation)
    return int(count(*args, **kwargs, out_val=out)) if count else 0


def work(job: Callable[[], Any]) -> Record:
    """Operations of one call of ``job``: the totals, and the list for ``least_seconds``."""
    with Work() as seen:
        job()
    ops = seen.operations
    heavy = sum(f > 0 for _, f, _, _ in ops)
    return {
        "operations": len(ops),
        "products": heavy,  # convolutions and matrix products
        "flops": sum(f for _, f, _, _ in ops),
        "bytes": sum(b for _, _, b, _ in ops),
        "list": ops,
    }


def least_seconds(operations: list[tuple[str, int, int, str]], ceilings: Record) -> Record:
    """The roofline's least time: in all, of the products, and of everything else."""
    total = {"products": 0.0, "rest": 0.0}
    bounded = 0.0
    for _, flops, moved, dtype in operations:
        rate = ceilings["flops_bf16" if dtype == "bfloat16" else "flops_fp32"]
        arithmetic, memory = flops / rate, moved / bandwidth(moved, ceilings)
        total["products" if flops else "rest"] += max(arithmetic, memory)
        bounded += memory if memory > arithmetic else 0.0
    return {"seconds": sum(total.values()), **total, "bound_by_memory": bounded}


def bandwidth(moved: float, ceilings: Record) -> float:
    """Bytes a second of the smallest measured traffic that is not smaller than this one."""
    table = ceilings["bandwidth"]
    sizes = sorted(float(mb) for mb in table)
    fitting = [mb for mb in sizes if mb * 1e6 >= moved]
    return float(table[f"{fitting[0] if fitting else sizes[-1]:g}"])


def best(job: Callable[[], Any], device: torch.device, seconds: float = 0.3) -> float:
    """The least seconds of one call, over as many as fit into the time."""
    found, spent, calls = float("inf"), 0.0, 0
    while calls < 5 or spent < seconds:
        _wait(device)
        start = _clock(device)
        job()
        _wait(device)
        taken = _clock(device) - start
        found, spent, calls = min(found, taken), spent + taken, calls + 1
    return found


def ceilings(device: torch.device, channels: int = 64, size: int = 16) -> Record:
    """Best rates of this device now: products in fp32 and bf16, and copies of several sizes.

    Products are a square matrix product and a 3 x 3 convolution; the faster one counts.
    """
    big = device.type == "cuda"
    n = 8192 if big else 768
    batch = 1024 if big else 32
    found: Record = {"products": {}, "bandwidth": {}}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a = torch.randn(n, n, device=device).to(dtype)
        x = torch.randn(batch, channels, size, size, device=device).to(dtype)
        w = torch.randn(channels, channels, 3, 3, device=device).to(dtype)
        rates = {
            "matrix": 2 * n**3 / best(lambda a=a: a @ a, device),
            "convolution": 2 * 9 * channels**2 * size**2 * batch
            / best(lambda x=x, w=w: torch.conv2d(x, w, padding=1), device),
        }  # fmt: skip
        found["products"][name] = rates
        found[f"flops_{name}"] = max(rates.values())
    for mb in MEGABYTES:
        source = torch.ones(int(mb * 1e6) // 8, device=device)  # read once, written once
        target = torch.empty_like(source)
        rate = mb * 1e6 / best(lambda s=source, t=target: t.copy_(s), device, 0.1)
        found["bandwidth"][f"{mb:g}"] = rate
    return found


def parts(state: TrainingState, rounds: int = 15) -> Record:
    """Median seconds of the parts of a step, in turns: data, D, penalties, G, Adam, average.

    "penalties" is the difference of D's loss with and without them, forward and backward.
    """
    recipe, update_d, update_g = state.recipe, state.update_d, state.update_g
    assert isinstance(update_d, Update)
    assert isinstance(update_g, Update)
    bare = make_lazy(state, 2).update_d.bare  # type: ignore[attr-defined]
    state.update_d = update_d
    batch, draws = state.batches.next(), state.draw()
    device = state.processes.device

    def losses(update: Update) -> Callable[[], None]:
        def run() -> None:
            loss, _ = update.objective(batch, draws, state.weights)
            update.optimizer.zero_grad(set_to_none=True)
            loss.backward()

        return run

    def data() -> None:
        for _ in range(recipe.d_steps + 1):
            state.batches.next(), state.draw()

    jobs: dict[str, Callable[[], Any]] = {
        "data": data,
        "d_bare": losses(bare),
        "d_full": losses(update_d),
        "d_adam": update_d.optimizer.step,
        "g": losses(update_g),
        "g_adam": update_g.optimizer.step,
        "average": lambda: update_average(state.average, state.generator, state.ema_decay()),
        "step": lambda: run_steps(state, state.step + 1),
    }
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for i in range(rounds + 2):
        for name, job in jobs.items():
            _wait(device)
            start = _clock(device)
            job()
            _wait(device)
            if i >= 2:
                spent[name].append(_clock(device) - start)
    found = {name: sorted(times)[rounds // 2] for name, times in spent.items()}
    return {
        "data": found["data"],
        "d": found["d_bare"],
        "penalties": found["d_full"] - found["d_bare"],
        "g": found["g"],
        "adam": found["d_adam"] + found["g_adam"],
        "average": found["average"],
        "step": found["step"],
    }


def saved_bytes(state: TrainingState) -> int:
    """Bytes that D's loss keeps for its backward pass, beside parameters: each tensor once."""
    objective = state.update_d
    while not isinstance(objective, torch.nn.Module):  # an update, or one around an update
        objective = getattr(objective, "full", None) or objective.objective
    own = {p.untyped_storage().data_ptr() for p in objective.parameters()}
    kept: dict[int, Tensor] = {}  # holding them keeps their places from being used again

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x
        return x

    batch, draws = state.batches.next(), state.draw()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        objective(batch, draws, state.weights)
    return sum(x.untyped_storage().nbytes() for place, x in kept.items() if place not in own)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _clock(device: torch.device) -> float:
    """Time of this process where one thread works, else of the clock."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()
