"""Run the notebooks as Colab would: the package into this Python, whose torch stays as it is.

    image=us-docker.pkg.dev/colab-images/public/runtime
    docker run --rm -v "$PWD":/book -w /book "$image" make colab

Meant for a machine that is thrown away afterwards: it installs into the Python that runs it. The
image above is the public one of Colab's local runtimes; it takes tens of GB. A first installation
does what the first cell of each notebook does, a second brings pytest and nbval. Should either
change torch, NumPy or Pillow, the status is 1, because a reader's notebook would be changed, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What Colab comes with and a notebook must leave alone.
KEPT = ("torch", "torchvision", "numpy", "pillow")
TOOLS = ("nbval", "pytest", "pytest-timeout", "pytest-xdist", "pyyaml")


def versions() -> dict[str, str]:
    """Return {package: version} of what is to stay, "" for what is not there."""
    found = {}
    for name in KEPT:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return a line for each package that is there in another version than before."""
    return [
        f"{name} was {old} and is now {after.get(name) or 'gone'}"
        for name, old in before.items()
        if old and after.get(name) != old
    ]


def commands(python: str, jobs: int, root: Path = ROOT) -> list[list[str]]:
    """Return the commands: the package, as the first cell installs it; tools; notebooks."""
    pip = [python, "-m", "pip", "install", "--quiet"]
    notebooks = [python, str(root / "tests" / "tools" / "run_notebooks.py"), "--jobs", str(jobs)]
    return [[*pip, str(root)], [*pip, *TOOLS], notebooks]


def main(arguments: list[str] | None = None) -> int:
    """Install, compare, run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time")
    options = parser.parse_args(arguments)
    if any((dist.metadata["Name"] or "").lower() == "gan-book" for dist in distributions()):
        print("gan-book is installed here already; this is for a fresh machine, such as the image.")
        return 1
    before = versions()
    print(", ".join(f"{name} {found or 'missing'}" for name, found in before.items()), flush=True)
    *installations, notebooks = commands(sys.executable, options.jobs)
    for command in installations:
        status = subprocess.run(command).returncode
        if status != 0:
            return status
    # In a fresh process: this one may have read the list of packages already.
    code = "from tests.tools import colab; import json; print(json.dumps(colab.versions()))"
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = changes(before, json.loads(out.stdout))
    for line in lines:
        print(f"The installation changed what Colab comes with: {line}.")
    if lines:
        return 1
    # The installed package, as a reader has it; the checkout's lies beside the notebooks' copies.
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(notebooks, env=clean).returncode


if __name__ == "__main__":
    sys.exit(main())
