"""Make the virtual environment that `make` uses, once.

    python3.12 tests/tools/set_up.py            # .venv: the package, tools of book and tests
    python3.12 tests/tools/set_up.py --oldest   # .venv-oldest with the oldest torch we support

Needs nothing but the standard library, so that it can say kindly what is missing. A stamp in the
environment records what was installed; while that has not changed, nothing is done and no network
is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from typing import Any

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = ["torch==2.11.*", "torchvision==0.26.*"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STAMP = "gan-book-set-up.json"


def too_old(version: tuple[int, ...]) -> str:
    """Return a sentence when this Python is too old for the book, otherwise an empty text."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return ""
    found = ".".join(str(part) for part in version[:2])
    return (
        f"The GAN book needs Python 3.11 or newer and this is Python {found}. Install a newer one "
        "and name it, for example: make PYTHON=python3.12 book"
    )


def constraints_for(version: tuple[int, ...], folder: str) -> str | None:
    """Return the path of the exact versions for this Python, or None when there are none."""
    path = os.path.join(folder, f"python{version[0]}.{version[1]}.txt")
    return path if os.path.exists(path) else None


def wanted(project: dict[str, Any], constraints: str | None, oldest: bool) -> dict[str, str]:
    """Return what the stamp must say: Python's version and a hash of all requirements."""
    listed = {
        "dependencies": project["dependencies"],
        "extras": project["optional-dependencies"],
        "scripts": project.get("scripts", {}),
        "oldest": OLDEST_TORCH if oldest else None,
        "constraints": None,
    }
    if constraints:
        with open(constraints, encoding="utf-8") as file:
            listed["constraints"] = file.read()
    text = json.dumps(listed, sort_keys=True)
    return {
        "python": platform.python_version(),
        "requirements": hashlib.sha256(text.encode()).hexdigest(),
        "folder": ROOT,
    }


def python_of(venv: str) -> str:
    """Return the path of a virtual environment's interpreter."""
    if os.name == "nt":
        return os.path.join(venv, "Scripts", "python.exe")
    return os.path.join(venv, "bin", "python")


def read_stamp(venv: str) -> dict[str, Any]:
    """Return the stamp of an environment, or an empty dict."""
    try:
        with open(os.path.join(venv, STAMP), encoding="utf-8") as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def version_of(venv: str) -> tuple[int, ...] | None:
    """Return (major, minor, micro) of an environment's Python, or None when it cannot start."""
    code = "import sys; print(*sys.version_info[:3])"
    try:
        out = subprocess.run([python_of(venv), "-c", code], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(int(part) for part in out.stdout.split())


def npm_packages(folder: str) -> str:
    """Install what the live figures take from npm, once; return why not, or an empty text.

    The packages and their hashes stand in ``package-lock.json``; no script of theirs is run.
    """
    with open(os.path.join(folder, "package-lock.json"), "rb") as file:
        wanted = hashlib.sha256(file.read()).hexdigest()
    stamp = os.path.join(folder, "node_modules", STAMP)
    try:
        with open(stamp, encoding="utf-8") as file:
            if file.read() == wanted:
                return ""
    except OSError:
        pass
    npm = shutil.which("npm")
    if npm is None:
        return "Node.js with npm is not installed"
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    command += ["--fetch-retries=1", "--loglevel=error"]
    if subprocess.run(command, cwd=folder).returncode != 0:
        return "npm could not install its packages; its message above says why"
    with open(stamp, "w", encoding="utf-8") as file:
        file.write(wanted)
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Set the environment up if it is not; return the exit status."""
    sentence = too_old(tuple(sys.version_info[:3]))
    if sentence:
        print(sentence, file=sys.stderr)
        return 2
    import tomllib

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", default=None, help="where (default: .venv)")
    parser.add_argument("--oldest", action="store_true", help="the oldest supported torch")
    options = parser.parse_args(arguments)
    default = ".venv-oldest" if options.oldest else ".venv"
    venv = os.path.join(ROOT, options.venv or default)
    if not options.oldest:
        reason = npm_packages(os.path.join(ROOT, "tests", "npm"))
        if reason:
            print(f"{reason}: the live generators of the built book will be still pictures.")

    if os.path.exists(venv) and version_of(venv) is None:
        print(f"{venv} holds no working Python any more: it is made again.")
        shutil.rmtree(venv)
    # An environment that stands keeps its Python; PYTHON decides for a new one.
    version = version_of(venv) or tuple(sys.version_info[:3])
    if tuple(version[:2]) < OLDEST_PYTHON:
        print(f"{venv}: {too_old(version)}", file=sys.stderr)
        return 2

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        project = tomllib.load(file)["project"]
    constraints = None
    if not options.oldest:
        constraints = constraints_for(version, os.path.join(ROOT, "tests", "constraints"))
    target = wanted(project, constraints, options.oldest)
    target["python"] = ".".join(str(part) for part in version)
    if read_stamp(venv) == target:
        return 0

    start = time.perf_counter()
    if version_of(venv) is None:
        print(f"Making {venv} with Python {target['python']}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    command = [python_of(venv), "-m", "pip", "install", "--quiet", "--editable"]
    if options.oldest:
        command += [f"{ROOT}[test]", *OLDEST_TORCH]
    else:
        command += [f"{ROOT}[book,test]"]
    if constraints:
        command += ["--constraint", constraints]
    elif not options.oldest:
        print(
            f"There is no file of exact versions for Python {version[0]}.{version[1]}: the newest "
            "versions that pyproject.toml allows are installed."
        )
    print("Installing (several GB with torch, a few minutes)", flush=True)
    result = subprocess.run(command)
    if result.returncode != 0:
        print(
            "The installation failed; pip's message above says why. Without network it can only "
            "work once everything is installed.",
            file=sys.stderr,
        )
        return result.returncode
    with open(os.path.join(venv, STAMP), "w", encoding="utf-8") as file:
        json.dump(target, file, indent=2)
    print(f"Set up in {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
