"""What every record shares with the machine: its description, and writing files whole.

``environment()`` is the record that travels with every run and every result file: versions,
device, processor capability and thread count, because two runs agree bit for bit only where these
agree. It holds no host name, user name or path.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "matplotlib", "accelerate")


def version(package: str) -> str | None:
    """The installed version of a distribution without importing it, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The processor's model name, as far as the system tells it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else (platform.processor() or platform.machine())


def environment(device: str | torch.device | None = None) -> dict[str, Any]:
    """What a result depends on besides recipe, data and seed; JSON-ready, stored in each run
    folder.

    ``device`` is the device of the run (default: CUDA if there is one). Keys: ``python``,
    ``platform``, ``packages`` (name -> version or None), ``device``, ``device_name``,
    ``cpu_name``, ``cpu_capability`` (the vector units torch chose, for example "AVX512"),
    ``threads``, ``cuda`` (version or None), ``cudnn``, ``deterministic`` and, where set, the
    variables that change the numbers (``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA``).
    """
    import torch

    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = chosen.type == "cuda" and torch.cuda.is_available()
    variables = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "CUBLAS_WORKSPACE_CONFIG")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "gan_book": version("gan-book"),
        "packages": {package: version(package) for package in PACKAGES},
        "device": chosen.type,
        "device_name": torch.cuda.get_device_name(chosen) if on_gpu else cpu_name(),
        "cpu_name": cpu_name(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda if on_gpu else None,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "variables": {name: os.environ[name] for name in variables if name in os.environ},
    }


def write_atomically(path: str | Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path`` whole or not at all; ``OSError`` leaves the old file in place."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system can open folders (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
