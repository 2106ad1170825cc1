"""Checkpoints: one safetensors file each, written whole or not at all, checked when read.

A file holds named tensors and, in its header, JSON: the step, the recipe, versions, and a sha256 of
the tensors. Nothing in it is code, so reading one never runs anything. Writing goes to a temporary
file in the same folder, is flushed to the disk, and then takes the place of the old file in one
operation: a kill or a full disk at any moment leaves the last good file untouched.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import GanBookError, need
from .machine import write_atomically

FORMAT = "gan-book-1"
LARGEST_HEADER = 50_000_000


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically, keys in the order given."""
    write_atomically(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Read JSON; ``GanBookError`` with a sentence when it is missing, damaged or absurdly large."""
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_HEADER + 1)
    except OSError as error:
        raise GanBookError(f"{path} cannot be read ({error.strerror}).") from error
    need(len(text) <= LARGEST_HEADER, f"{path} is too large to be a file of this project.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GanBookError(f"{path} is damaged: it is not valid JSON.") from error


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, shapes, dtypes and bytes, in the order of names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        sha.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        if tensor.numel():
            sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> None:
    """Save named tensors and a JSON-able ``meta`` as one safetensors file, atomically.

    Raises ``GanBookError`` when the disk is full or the folder cannot be written; whatever was
    saved there before is kept.
    """
    from safetensors.torch import save

    # safetensors stores dense row-major memory only; loading copies into the layout in use
    ready = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "sha256": digest(ready), "meta": json.dumps(meta, allow_nan=False)}
    try:
        write_atomically(path, save(ready, metadata=header))
    except OSError as error:
        raise GanBookError(
            f"{path} could not be written ({error.strerror}); what was saved before is still there."
        ) from error


def load_tensors(
    path: str | Path, *, verify: bool = True
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of ``save_tensors``: the tensors, on the CPU, and its ``meta``.

    Raises ``GanBookError`` when the file is missing, cut short, altered (the sha256 differs) or of
    another kind. Nothing in the file is executed.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    need(path.is_file(), f"{path} does not exist.")
    try:
        with open(path, "rb") as raw:
            start = int.from_bytes(raw.read(8), "little")
        if not 0 < start <= LARGEST_HEADER:
            raise ValueError("no header, or an absurd one")
        with safe_open(str(path), framework="pt", device="cpu") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        meta = json.loads(header.get("meta", "{}"))
    except OSError as error:
        raise GanBookError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise GanBookError(f"{path} is damaged: it cannot be read as safetensors.") from error
    need(header.get("format") == FORMAT, f"{path} is no checkpoint of this project.")
    need(isinstance(meta, dict), f"{path} is damaged: its header holds no table.")
    whole = digest(tensors) == header.get("sha256")
    need(whole, f"{path} is damaged: its contents do not match its checksum.")
    return tensors, meta


def copy_into(targets: Mapping[str, Tensor], source: Mapping[str, Tensor], what: str) -> None:
    """Copy ``source`` into existing tensors in place; names, shapes and dtypes must agree.

    In place, so that memory format, device and every reference to the tensors stay as they are.
    """
    wrong = f"{what} does not fit these networks:"
    for name in (*targets, *source):
        need(name in source, f"{wrong} it lacks '{name}'.")
        need(name in targets, f"{wrong} it has an unexpected '{name}'.")
    for name, target in targets.items():
        other = source[name]
        need(
            other.shape == target.shape and other.dtype == target.dtype,
            f"{wrong} '{name}' is {list(other.shape)} {other.dtype}, expected "
            f"{list(target.shape)} {target.dtype}.",
        )
    with torch.no_grad():
        for name, target in targets.items():
            target.copy_(source[name])


def under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with ``prefix.``, without it."""
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(prefix + ".")}


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Adam's state as named tensors, ``<parameter>:exp_avg`` and so on; empty before a step."""
    state = optimizer.state_dict()["state"]
    return {
        f"{names[index]}:{key}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def load_optimizer(
    optimizer: torch.optim.Optimizer, names: list[str], tensors: Mapping[str, Tensor], what: str
) -> None:
    """Put back what ``optimizer_tensors`` took, in each parameter's own layout and device."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    index_of = {name: i for i, name in enumerate(names)}
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, _, key = full_name.rpartition(":")
        expected = name in index_of and key in ("step", "exp_avg", "exp_avg_sq")
        need(expected, f"{what} does not fit: its optimizer has an unexpected '{full_name}'.")
        parameter = parameters[index_of[name]]
        if key == "step":
            value = tensor.to(torch.float32).reshape(())
        else:
            fits = tensor.shape == parameter.shape and tensor.dtype == parameter.dtype
            need(fits, f"{what} does not fit: the optimizer's '{full_name}' has another shape.")
            value = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
        state.setdefault(index_of[name], {})[key] = value
    complete = all(len(entries) == 3 for entries in state.values())
    complete = complete and len(state) in (0, len(names))
    need(complete, f"{what} is damaged: the state of an optimizer is incomplete.")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def checkpoint_path(folder: str | Path, step: int) -> Path:
    """The file of one step; nine digits, so that names sort by step."""
    return Path(folder) / f"step-{step:09d}.safetensors"


def checkpoint_files(folder: str | Path) -> list[Path]:
    """Checkpoints in a folder, oldest first."""
    return sorted(Path(folder).glob("step-" + "[0-9]" * 9 + ".safetensors"))


def newest_checkpoint(folder: str | Path) -> tuple[dict[str, Tensor], dict[str, Any], Path] | None:
    """The newest checkpoint that can be read; damaged newer ones are named in a warning.

    Returns ``None`` when there is none at all; raises ``GanBookError`` when there are some but all
    are damaged.
    """
    problems: list[str] = []
    for path in reversed(checkpoint_files(folder)):
        try:
            tensors, meta = load_tensors(path)
        except GanBookError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warnings.warn(f"{problem} Going back to {path.name}.", stacklevel=2)
        return tensors, meta, path
    need(not problems, f"No checkpoint in {folder} can be read: {' '.join(problems[:1])}")
    return None


def retain(folder: str | Path, keep: int, newest: Path) -> None:
    """Delete all but ``keep`` checkpoints, counted back from ``newest``, the one just written.

    A file of a later step could not be read when this run went on; it is left where it is, and
    must not push out a good one.
    """
    good = [path for path in checkpoint_files(folder) if path.name <= newest.name]
    for old in good[:-keep]:
        old.unlink(missing_ok=True)


def remove_leftovers(folder: str | Path) -> None:
    """Delete what kills left half-written in ``folder``."""
    for leftover in Path(folder).glob(".*.[0-9]*.tmp"):
        leftover.unlink(missing_ok=True)
