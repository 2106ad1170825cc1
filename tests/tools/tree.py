"""The files of the repository as git would carry them: tracked, or new and not ignored."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = {
    "", ".bib", ".cff", ".cfg", ".css", ".html", ".ini", ".ipynb", ".js", ".json", ".md", ".mjs",
    ".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml",
}  # fmt: skip
VENDORED = "book/_assets/vendor/"


def files(root: Path = ROOT) -> list[Path]:
    """Return all files of the repository; without git, all that the usual folders hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(command, cwd=root, capture_output=True)
    if out.returncode == 0:
        found = [root / name for name in out.stdout.decode("utf-8").split("\0") if name]
    else:  # an unpacked archive
        skipped = (".venv", ".git", "_build", "build", "dist", "__pycache__", ".pytest_cache")
        found = [
            path
            for path in root.rglob("*")
            if not any(part.startswith(skipped) for part in path.relative_to(root).parts)
        ]
    return sorted({path for path in found if path.is_file()})


def texts(root: Path = ROOT) -> list[Path]:
    """Return the files that people write and read, without the work of others."""
    return [
        path
        for path in files(root)
        if path.suffix in TEXT and not path.relative_to(root).as_posix().startswith(VENDORED)
    ]
