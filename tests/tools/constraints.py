"""Write the file of exact versions for one Python, without installing anything.

    python tests/tools/constraints.py --python python3.13

Resolves the extras `book` and `test` with pip's dry run for that interpreter (it needs pip 23 or
newer and the network), keeping the versions named by --keep in another constraints file.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "constraints"
# These agree on every Python, so that results and pages do.
SAME_EVERYWHERE = (
    "torch", "torchvision", "jupyter-book", "sphinx", "sphinx-book-theme", "sphinx-exercise",
    "myst-nb", "matplotlib", "pillow", "pytest", "nbval", "ruff", "mypy", "hypothesis",
)  # fmt: skip


def normal(name: str) -> str:
    """Return a distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> dict[str, str]:
    """Return {normalized name: version} of a constraints file."""
    pins = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            name, _, version = text.partition("==")
            pins[normal(name)] = version
    return pins


def text_of(pins: dict[str, str], version: str) -> str:
    """Return the content of a constraints file."""
    head = f"# Exact versions for Python {version}; written by tests/tools/constraints.py\n"
    return head + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


def resolve(python: str, keep: dict[str, str]) -> dict[str, str]:
    """Return what pip would install for an interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder, "keep.txt")
        pins.write_text("".join(f"{n}=={v}\n" for n, v in keep.items()), encoding="utf-8")
        report = Path(folder, "report.json")
        command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--constraint", str(pins), f"{ROOT}[book,test]"]
        subprocess.run(command, check=True)
        return pins_of(json.loads(report.read_text(encoding="utf-8")))


def pins_of(report: dict) -> dict[str, str]:  # type: ignore[type-arg]
    """Return {name: version} of pip's installation report, without our own package."""
    pins = {}
    for item in report["install"]:
        name = normal(item["metadata"]["name"])
        if name != "gan-book":
            # A local part (+cpu) says where a wheel came from; any build of the version serves.
            pins[name] = item["metadata"]["version"].partition("+")[0]
    return pins


def main(arguments: list[str] | None = None) -> int:
    """Resolve and write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="the interpreter to resolve for")
    parser.add_argument("--keep", default=str(FOLDER / "python3.11.txt"))
    options = parser.parse_args(arguments)
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    out = subprocess.run([options.python, "-c", code], capture_output=True, text=True, check=True)
    version = out.stdout.strip()
    known = read(Path(options.keep)) if Path(options.keep).exists() else {}
    keep = {name: known[name] for name in SAME_EVERYWHERE if name in known}
    path = FOLDER / f"python{version}.txt"
    path.write_text(text_of(resolve(options.python, keep), version), encoding="utf-8")
    print(f"{path.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
