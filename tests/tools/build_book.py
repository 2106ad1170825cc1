"""Build the book from nothing, with warnings as errors and a limit on the time.

python tests/tools/build_book.py [--seconds 60] [--source book/] [--out .]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Build; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="the limit")
    parser.add_argument("--source", type=Path, default=ROOT / "book")
    parser.add_argument("--out", type=Path, default=ROOT, help="the folder that gets _build/")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    built = out / "_build"
    for part in ("html", ".doctrees"):
        shutil.rmtree(built / part, ignore_errors=True)
    # The command that stands beside Python in its environment, in a fresh process: what it costs
    # a reader.
    tool = Path(sys.executable).parent / "jupyter-book"
    command = [str(tool), "build", str(options.source), "-W", "--keep-going", "-n"]
    command += ["--path-output", str(out)]
    start = time.perf_counter()
    status = subprocess.run(command, cwd=out).returncode
    seconds = time.perf_counter() - start
    if status != 0:
        print(f"The book does not build cleanly (status {status}).")
        return status
    # Jupyter Book 2 ends with status 0 and builds nothing.
    if not (built / "html" / "index.html").is_file():
        print("The build ended well and made no index.html.")
        return 1
    print(f"Built in {seconds:.1f} s (limit {options.seconds:.0f} s)")
    return 1 if seconds > options.seconds else 0


if __name__ == "__main__":
    sys.exit(main())
