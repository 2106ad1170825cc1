"""The notebook gate: run copies of notebooks in an empty folder and compare with what is stored.

    python tests/tools/run_notebooks.py --wheel            all of them, with the built wheel
    python tests/tools/run_notebooks.py --changed          those that differ from the main branch
    python tests/tools/run_notebooks.py --portable         as a CPU without AVX-512 computes
    python tests/tools/run_notebooks.py --threads 2 book/thousand-pictures.ipynb

Every cell runs (`pytest --nbval`, strict, with tests/nbval_sanitize.cfg); the status is pytest's.
A notebook that takes more than 1.5 times the budget of 90 s fails, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import notebooks

ROOT = notebooks.ROOT
WHEEL_PYTHON = ROOT / ".venv-wheel" / "bin" / "python"
BUDGET_SECONDS = 90.0
TOLERANCE = 1.5
PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def changed() -> list[Path]:
    """Return the notebooks that differ from the main branch or were never committed."""

    def git(*words: str) -> list[str]:
        out = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return out.stdout.split("\0") if out.returncode == 0 else []

    # A fresh clone of a branch knows the main one under the name of its origin only.
    mains = [git("merge-base", "HEAD", name) for name in ("main", "origin/main")]
    base = next((found for found in mains if found), ["HEAD"])
    names = git("diff", "--name-only", "-z", base[0].strip(), "--", "book/*.ipynb")
    names += git("ls-files", "--others", "--exclude-standard", "-z", "--", "book/*.ipynb")
    return sorted({ROOT / name for name in names if name and (ROOT / name).exists()})


def seconds_of(report: Path) -> dict[str, float]:
    """Return how long the cells of each notebook took, from pytest's XML report."""
    total: dict[str, float] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        # nbval names a case "book/x::ipynb.Cell 3" or the like, depending on its version.
        name = (case.get("file") or case.get("classname") or "?").partition(".ipynb")[0]
        name = name.partition("::")[0].removesuffix(".ipynb")
        total[name] = total.get(name, 0.0) + float(case.get("time") or 0.0)
    return total


def run(
    paths: list[Path], python: str, jobs: int, environment: dict[str, str], budget: float
) -> int:
    """Run the notebooks; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="gan-book-notebooks-") as name:
        folder = Path(name)
        for path in paths:
            shutil.copy(path, folder / path.name)
        settings = folder / "pytest.ini"
        settings.write_text("[pytest]\n", encoding="utf-8")
        report = folder / "report.xml"
        command = [python, "-m", "pytest", "--nbval", "--nbval-current-env", "-ra"]
        command += [f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}"]
        command += ["--nbval-cell-timeout=600", "--timeout=900", f"--junit-xml={report}"]
        command += ["-p", "no:cacheprovider", "-c", str(settings), "--rootdir", str(folder)]
        if jobs > 1 and len(paths) > 1:
            command += ["-n", str(jobs), "--dist", "loadfile"]
        command += [path.name for path in paths]
        status = subprocess.run(command, cwd=folder, env=os.environ | environment).returncode
        slow = False
        if report.exists():
            for notebook, seconds in sorted(seconds_of(report).items()):
                late = seconds > budget * TOLERANCE
                slow = slow or late
                print(f"{notebook}: {seconds:.0f} s" + (f", budget {budget:.0f} s" * late))
        if slow and status == 0:
            print("A notebook takes more than 1.5 times its budget.")
            return 1
        return status


def main(arguments: list[str] | None = None) -> int:
    """Choose notebooks and environment, run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all of the book)")
    parser.add_argument("--wheel", action="store_true", help="with the wheel in .venv-wheel")
    parser.add_argument("--changed", action="store_true", help="only those that changed")
    parser.add_argument("--portable", action="store_true", help="AVX2 only")
    parser.add_argument("--threads", type=int, default=None, help="threads of each kernel")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, help="seconds a notebook")
    options = parser.parse_args(arguments)

    paths = [path.resolve() for path in options.paths] or notebooks.notebook_files()
    if options.changed:
        paths = changed()
        if not paths:
            print("No notebook changed.")
            return 0
    if not paths:
        print("The book has no notebook to run.")
        return 1
    python = str(WHEEL_PYTHON) if options.wheel else sys.executable
    if options.wheel and not WHEEL_PYTHON.exists():
        print("There is no .venv-wheel: run `make wheel` first.")
        return 1
    environment = {"GAN_BOOK_TIER": "cpu", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["OMP_NUM_THREADS"] = str(options.threads or 1)
    if options.threads:
        environment["GAN_BOOK_THREADS"] = str(options.threads)
    if options.portable:
        environment |= PORTABLE
    return run(paths, python, options.jobs, environment, options.budget)


if __name__ == "__main__":
    sys.exit(main())
