"""Runs the live figures' modules in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def play(tmp_path):
    """A function from cases to what `play.mjs` makes of them."""
    node = shutil.which("node")
    assert node, "GAN_BOOK_REQUIRE_BROWSER=1 and no Node on this machine"

    def run(cases: list[dict[str, Any]]) -> list[Any]:
        path = tmp_path / "cases.json"
        path.write_text(json.dumps(cases))
        command = [node, str(HERE / "play.mjs"), str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
