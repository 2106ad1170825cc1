"""The first code cell of every notebook: install the package only where it is missing.

    python tests/tools/install_cell.py "about 60 s, 1 GB"     prints the cell

The cell never touches torch: pip keeps any torch that satisfies the lower bound. It is the same in
every notebook except for the cost, which `gb.setup` prints.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools.address import repository

TEMPLATE = """\
# Installs the book's package where it is missing (Colab, Kaggle); torch stays as it is.
import importlib
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("gan_book") is None:
    source = os.environ.get("GAN_BOOK_SOURCE", "git+{address}")
    subprocess.check_call([sys.executable, "-m", "pip", "install", "--quiet", source])
    importlib.invalidate_caches()

import gan_book as gb

gb.setup("{cost}")"""

COST = re.compile(r'gb\.setup\("([^"\n]*)"\)\s*$')


def install_cell(cost: str, address: str | None = None) -> str:
    """Return the cell's text for a notebook of this cost."""
    return TEMPLATE.format(address=address or repository(), cost=cost)


def matches(source: str) -> bool:
    """Return whether a cell's text is the template with some cost filled in."""
    cost = COST.search(source)
    return cost is not None and source.rstrip() == install_cell(cost.group(1))


if __name__ == "__main__":
    print(install_cell(sys.argv[1] if len(sys.argv) > 1 else "about 60 s, 1 GB"))
