"""What this machine can do, what is missing, and what to do about it: ``gan-book doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gan_book.machine import cpu_name

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
    "scipy": ("p-values and intervals", "pip install scipy", False),
    "sklearn": ("the set named digits", "pip install scikit-learn", False),
    "ipywidgets": ("widgets in notebooks", "pip install ipywidgets", False),
    "onnx": ("export to ONNX", "pip install onnx onnxscript", False),
    "datasets": ("image sets from a hub", 'pip install "gan-book[hub]"', False),
}


class Finding(NamedTuple):
    """One line of the report: what was found and, unless OK, what to do."""

    status: str  # "OK", "note" or "missing"
    subject: str
    text: str
    fatal: bool = False  # training cannot work


def examine() -> list[Finding]:
    """Look at everything; a check that fails by itself is reported, never a traceback.

    Where that check is PyTorch's, training cannot work: its library does not even load.
    """
    found: list[Finding] = []
    for check in (python, pytorch, gpu, processor, bf16, compiler, packages, disk, cache, hosts):
        try:
            found.extend(check())
        except Exception as error:  # noqa: BLE001 (a doctor reports what it cannot examine)
            text = f"could not be examined ({type(error).__name__}: {error})"
            kind = ("missing", "PyTorch") if check is pytorch else ("note", check.__name__)
            found.append(Finding(*kind, text, check is pytorch))
    return found


def python() -> Iterator[Finding]:
    """Python 3.11 to 3.13 (an older one cannot install the package)."""
    name = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    new = sys.version_info >= (3, 14)
    name += "; tested with 3.11, 3.12 and 3.13" if new else ""
    yield Finding("note" if new else "OK", "Python", name)


def pytorch() -> Iterator[Finding]:
    """torch 2.11 or later, and that a double backward really runs."""
    if importlib.util.find_spec("torch") is None:
        yield Finding("missing", "PyTorch", "the networks; pip install torch torchvision", True)
        return
    import torch

    if tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2]) < (2, 11):
        text = f"{torch.__version__} is too old; pip install --upgrade torch torchvision"
        yield Finding("missing", "PyTorch", text, True)
        return
    x = torch.ones(2, requires_grad=True)
    (slope,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    slope.square().sum().backward()  # d/dx (3 x^2)^2 = 36 x^3
    works = x.grad is not None and bool((x.grad == 36).all())
    text = torch.__version__ + ("" if works else " computes a wrong gradient; reinstall it")
    yield Finding("OK" if works else "missing", "PyTorch", text, not works)


def gpu() -> Iterator[Finding]:
    """CUDA: driver, name, memory, and whether the units compute in bf16."""
    import torch

    asked = ask("nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader")
    seen = asked.splitlines()[0] if asked else ""
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(i)
            units = "bf16" if (card.major, card.minor) >= (8, 0) else "no bf16 units, so fp32"
            memory = f"{card.total_memory / 2**30:.1f} GiB"
            driver = f", driver {seen.split(',')[0]}" if seen else ""
            text = f"{card.name}, {memory}, {units}, CUDA {torch.version.cuda}{driver}"
            yield Finding("OK", "GPU", text)
        return
    if seen and torch.version.cuda is None:
        text = f"{seen} is here, but this PyTorch is built for CPUs; install a CUDA build of torch"
    elif seen:
        text = f"{seen} is here, but CUDA {torch.version.cuda} cannot use it; update the driver"
    else:
        text = "none that CUDA can use; up to 32x32 a CPU will do, for more take a Colab GPU"
    yield Finding("note", "GPU", text)


def ask(*command: str) -> str:
    """What a program prints, or nothing where it is absent, fails or takes longer than 10 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> Iterator[Finding]:
    """The vector units that torch uses, and threads."""
    import torch

    units = torch.backends.cpu.get_cpu_capability()
    text = f"{cpu_name()}, {units}, {torch.get_num_threads()} of {os.cpu_count()} threads"
    slow = units in ("DEFAULT", "NO AVX") and platform.machine().lower() in ("x86_64", "amd64")
    text += "; training will be slow" if slow else ""
    yield Finding("note" if slow else "OK", "CPU", text)


def bf16() -> Iterator[Finding]:
    """Times a convolution in fp32 and in bf16; a few milliseconds each."""
    ratio = bf16_gain()
    fast = ratio >= 1.15
    advice = "the precision probe decides" if fast else "stay with fp32"
    text = f"a convolution is {ratio:.2f} times as fast as in fp32; {advice}"
    yield Finding("OK" if fast else "note", "bf16 on CPU", text)


def bf16_gain(rounds: int = 40) -> float:
    """Time in fp32 divided by time in bf16 of one 3x3 convolution, 64 to 64 channels at 32x32.

    The fastest of ``rounds`` calls in turn counts, so that short loads of others hardly matter.
    """
    import torch

    x, weight = torch.ones(8, 64, 32, 32), torch.ones(64, 64, 3, 3)  # (N, C, H, W), (O, C, 3, 3)
    inputs = [(x.to(kind), weight.to(kind)) for kind in (torch.float32, torch.bfloat16)]
    fastest = [math.inf, math.inf]
    with torch.no_grad():
        for _ in range(rounds):
            for i, (a, w) in enumerate(inputs):
                start = time.perf_counter()
                torch.nn.functional.conv2d(a, w, padding=1)
                fastest[i] = min(fastest[i], time.perf_counter() - start)
    return fastest[0] / fastest[1]


def compiler() -> Iterator[Finding]:
    """What torch.compile needs: a C++ compiler and Python's headers, on CUDA also Triton."""
    import torch

    named = os.environ.get("CXX", "g++")
    found = next(filter(None, map(shutil.which, (named, "g++", "clang++", "c++", "cl"))), None)
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    lacking = []
    if found is None:
        lacking.append("a C++ compiler (apt-get install g++, xcode-select --install)")
    if not header.exists():
        lacking.append("Python's headers (Debian, Ubuntu: apt-get install python3-dev)")
    if torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
        lacking.append("Triton (pip install triton)")
    if lacking:
        text = f"cannot work; recipes with compile = true need {' and '.join(lacking)}"
        yield Finding("note", "torch.compile", text)
    else:
        yield Finding("OK", "torch.compile", f"can work, with {Path(str(found)).name}")


def packages() -> Iterator[Finding]:
    """Which packages are missing, what each is needed for, how to install it."""
    absent = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    for name in absent:
        purpose, install, fatal = NEEDS[name]
        text = f"not installed; needed for {purpose}: {install}"
        yield Finding("missing" if fatal else "note", name, text, fatal)
    yield Finding("OK", "packages", f"{len(NEEDS) - len(absent)} of {len(NEEDS)} are installed")


def disk() -> Iterator[Finding]:
    """Free space where the command was called."""
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    enough = free >= 2.0
    advice = "" if enough else "; a run takes up to 2 GiB, make some room"
    yield Finding("OK" if enough else "note", "disk", f"{free:.1f} GiB free here{advice}")


def cache() -> Iterator[Finding]:
    """Whether decoded pictures can be kept on disk."""
    from gan_book.data.cache import cache_dir

    folder = cache_dir()
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        text = f"{folder} cannot be written ({error.strerror}); set GAN_BOOK_CACHE to a folder that"
        yield Finding("note", "cache", f"{text} can, or pictures are decoded at each start")
    else:
        shown = str(folder).replace(str(Path.home()), "~")  # reports are pasted into public places
        yield Finding("OK", "cache", f"{shown} can be written")


def hosts() -> Iterator[Finding]:
    """Colab and Kaggle: what is particular about them."""
    if "COLAB_RELEASE_TAG" in os.environ or "COLAB_GPU" in os.environ:
        text = "files vanish with the machine: mount Drive, --out /content/drive/MyDrive/run"
        yield Finding("note", "Colab", text)
    elif "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        yield Finding("note", "Kaggle", "only /kaggle/working is kept; write runs there")
