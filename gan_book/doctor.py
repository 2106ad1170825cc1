"""What this machine can do, what is missing, and what to do about it: ``gan-book doctor``.

``environment()`` is the record that travels with every run and every result file: versions,
device, processor capability and thread count, because two runs agree bit for bit only where these
agree. It holds no host name, user name or path.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "matplotlib", "accelerate")

# package to import -> (needed for, how to install it, training cannot work without it)
NEEDS: Mapping[str, tuple[str, str, bool]] = {
    "numpy": ("arrays", "pip install numpy", True),
    "PIL": ("reading and writing pictures", "pip install pillow", True),
    "safetensors": ("checkpoints", "pip install safetensors", True),
    "tqdm": ("progress bars", "pip install tqdm", True),
    "typer": ("the command line", "pip install typer", True),
    "matplotlib": ("figures and films", "pip install matplotlib", False),
    "torchvision": ("named image sets", "pip install torchvision", False),
    "accelerate": ("training in several processes", "pip install accelerate", False),
    "scipy": ("FID", "pip install scipy", False),
    "sklearn": (
        "the set named digits, and chapters that classify",
        "pip install scikit-learn",
        False,
    ),
    "ipywidgets": ("widgets in notebooks", "pip install ipywidgets", False),
    "onnx": ("export to ONNX", "pip install onnx onnxscript", False),
    "datasets": ("image sets from a hub", 'pip install "gan-book[hub]"', False),
}


class Finding(NamedTuple):
    """One line of the report."""

    status: str  # "OK", "note" or "missing"
    subject: str
    text: str  # what was found and, unless OK, what to do
    fatal: bool = False  # training cannot work


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


def environment(device: str | torch.device | None = None) -> dict[str, object]:
    """What a result depends on besides recipe, data and seed; JSON-ready, stored in each run
    folder.

    ``device`` is the device of the run (default: CUDA if there is one). Keys: ``python``,
    ``platform``, ``packages`` (name -> version or None), ``device``, ``device_name``,
    ``cpu_name``, ``cpu_capability`` (the vector units torch chose, for example "AVX512"),
    ``threads``, ``cuda`` (version or None), ``cudnn``, ``deterministic`` and, where set, the
    variables that change the numbers (``ATEN_CPU_CAPABILITY``, ``ONEDNN_MAX_CPU_ISA``).
    """
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
