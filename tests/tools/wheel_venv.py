"""Build the wheel and install it, alone, into a light environment that borrows everything else.

    .venv/bin/python tests/tools/wheel_venv.py

The environment .venv-wheel holds gan_book from the wheel in dist/ and nothing more; a path file
lets it see the libraries of the environment that runs this (torch is several GB). The checkout's
gan_book is not visible in it, so what the wheel forgets is missing. Needs no network.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv-wheel"


def build(dist: Path) -> Path:
    """Build the wheel of this checkout; return its path."""
    for old in dist.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist)]
    subprocess.run([*command, str(ROOT)], check=True, stdout=subprocess.DEVNULL)
    (wheel,) = dist.glob("*.whl")
    return wheel


def make(venv: Path, wheel: Path) -> Path:
    """Make the environment anew with this wheel; return its interpreter."""
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-warn-script-location"]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), *install, str(wheel)], check=True
    )
    site = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    # Path files are read in site directories only: the checkout, which stands in a path file of
    # the lender (pip install -e), does not come along.
    lenders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    Path(site, "lender.pth").write_text("\n".join(lenders) + "\n", encoding="utf-8")
    return python


def check(python: Path) -> str:
    """Return where gan_book comes from; raise when that is not the environment itself."""
    code = "import gan_book, pathlib; print(pathlib.Path(gan_book.__file__).resolve())"
    where = subprocess.run(
        [str(python), "-c", code], check=True, capture_output=True, text=True, cwd="/"
    ).stdout.strip()
    if python.parent.parent.resolve() not in Path(where).parents:
        raise SystemExit(f"gan_book comes from {where}, not from the wheel")
    return where


def main() -> int:
    """Build, install, check; return the exit status."""
    wheel = build(ROOT / "dist")
    python = make(VENV, wheel)
    check(python)
    print(f"{wheel.name} ({wheel.stat().st_size / 2**20:.1f} MB) stands alone in {VENV.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
