"""From a training state to named tensors and back, so that a run goes on as if never stopped."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoints as files
from .errors import GanBookError, need
from .recipes import Recipe, from_dict
from .training import TrainingState

# two runs agree bit for bit only where these agree
MACHINE = ("cpu_capability", "threads", "torch", "device_name", "processes")


def capture(
    state: TrainingState, kept: Sequence[Any] = ()
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that decides how the run goes on: nets, Adam, average, data order, draws, p.

    ``kept`` are callbacks that remember something: each has a ``name`` and a ``state()``, which
    gives tensors by name and facts for JSON.
    """
    tensors: dict[str, Tensor] = {}
    for name, net, optimizer in _sides(state):
        tensors |= _prefixed(name, net.state_dict())
        parameters = [key for key, _ in net.named_parameters()]
        tensors |= _prefixed(f"adam_{name}", files.optimizer_tensors(optimizer, parameters))
    tensors |= _prefixed("average", state.average.state_dict())
    tensors |= _prefixed("batches", state.batches.state())
    tensors["draws.rng"] = state.rng.get_state()
    tensors["draws.p"] = state.p
    if state.controller is not None:
        tensors |= _prefixed("controller", state.controller.state())
    meta: dict[str, Any] = {"step": state.step, "images": state.images}
    for callback in kept:
        own, meta[callback.name] = callback.state()
        tensors |= _prefixed(callback.name, own)
    return tensors, meta


def restore(state: TrainingState, tensors: dict[str, Tensor], meta: dict[str, Any]) -> float:
    """Put a checkpoint into a freshly started state; returns the seconds trained before.

    Raises ``GanBookError`` when names, shapes or dtypes do not fit the recipe's networks, or when
    it comes from another kind of device.
    """
    what = "The checkpoint"
    for name, net, optimizer in _sides(state):
        files.copy_into(net.state_dict(), files.under(tensors, name), what)
        parameters = [key for key, _ in net.named_parameters()]
        files.load_optimizer(optimizer, parameters, files.under(tensors, f"adam_{name}"), what)
    files.copy_into(state.average.state_dict(), files.under(tensors, "average"), what)
    state.batches.load_state(files.under(tensors, "batches"))
    if state.controller is not None:
        state.controller.load_state(files.under(tensors, "controller"))
    before = tensors.get("draws.rng")
    if before is not None and before.numel() != state.rng.get_state().numel():
        raise GanBookError(
            "The checkpoint was trained on another kind of device (CPU or CUDA), whose random "
            "state does not fit here; go on there, or start a new run from this one (--init)."
        )
    try:
        state.rng.set_state(tensors["draws.rng"])
        state.p.copy_(tensors["draws.p"])
        state.step, state.images = int(meta["step"]), int(meta["images"])
        seconds = float(meta["seconds"])
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise GanBookError(
            "The checkpoint is damaged: its step or random state is missing."
        ) from error
    if state.step < 0 or state.images != state.step * state.recipe.images_per_step:
        raise GanBookError("The checkpoint is damaged: its step and image count disagree.")
    return seconds


def start_from(state: TrainingState, init: str | Path) -> None:
    """Start a new run from the weights of a model or run folder.

    Generator and average take its averaged generator; from a run the discriminator comes along,
    from a model without one it starts fresh. Raises ``GanBookError`` when shapes differ.
    """
    from .model import load_model

    source = load_model(init, "cpu")
    weights = source.generator.state_dict()
    files.copy_into(state.generator.state_dict(), weights, f"'{init}'")
    files.copy_into(state.average.state_dict(), weights, f"'{init}'")
    found = files.newest_checkpoint(source.folder / "checkpoints") if source.folder else None
    if found is not None:
        critic = files.under(found[0], "discriminator")
        files.copy_into(state.discriminator.state_dict(), critic, f"'{init}'")


def same_run(folder: Path, chosen: Recipe, facts: dict[str, Any]) -> None:
    """Refuse to go on with another recipe, other pictures or another seed than at the start."""
    before = from_dict(files.read_json(folder / "recipe.json"), where=str(folder / "recipe.json"))
    old, new = before.to_dict(), chosen.to_dict()
    for key in new:
        need(
            key in ("name", "summary") or old[key] == new[key],
            f"{folder} was trained with {key} = {old[key]}, the recipe given now says "
            f"{new[key]}; resume with the same recipe or start a new folder.",
        )
    known = files.read_json(folder / "data.json")
    for key, what in (
        ("fingerprint", "set of pictures or points"),
        ("seed", "seed"),
        ("held_out", "choice of held-out pictures (holdout)"),
    ):
        if not isinstance(known, dict) or known.get(key) != facts[key]:
            raise GanBookError(f"{folder} was trained with another {what}; resume needs the same.")


def recorded(folder: Path | None, key: str, default: Any, resume: bool = True) -> Any:
    """What the run to go on with began with, by ``data.json``; ``default`` for a new run."""
    if folder is None or not resume or not (folder / "data.json").exists():
        return default
    facts = files.read_json(folder / "data.json")
    return facts.get(key, default) if isinstance(facts, dict) else default


def warn_if_machine_differs(before: Any, now: dict[str, Any]) -> None:
    """Say where this machine differs from the one before: no bit-equality across such a change."""

    def look(record: Any, key: str) -> Any:
        if not isinstance(record, dict):
            return None
        packages = record.get("packages")
        return record.get(key, packages.get(key) if isinstance(packages, dict) else None)

    different = [key for key in MACHINE if look(before, key) != look(now, key)]
    if different:
        names = ", ".join(key.replace("_", " ") for key in different)
        warnings.warn(
            f"This run goes on, but not bit for bit as on the machine before: {names} differ.",
            stacklevel=3,
        )


def _sides(state: TrainingState) -> list[tuple[str, nn.Module, torch.optim.Optimizer]]:
    return [
        ("generator", state.generator, state.optimizer_g),
        ("discriminator", state.discriminator, state.optimizer_d),
    ]


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}
