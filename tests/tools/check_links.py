"""Ask every address outside of the book whether it is still there; needs the network.

    python tests/tools/check_links.py [--source book/] [--out _build/links]

Sphinx's own link checker does the asking, with the book's settings and a little patience. An
address that does not exist ends with status 1. One that refuses programs, or is slow, is named
only: publishers let browsers in that they refuse to a checker.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "linkcheck_timeout": 30,
    "linkcheck_retries": 3,
    "linkcheck_workers": 8,
    "linkcheck_rate_limit_timeout": 120.0,
    # Pages make their anchors with scripts that a checker does not run.
    "linkcheck_anchors": False,
}
# What Sphinx says of a site that is there and does not want to talk to a program.
REFUSALS = ("401", "403", "405", "406", "418", "429", "500", "502", "503", "504", "timed out")


def settings(config: Path) -> dict[str, Any]:
    """Return the book's settings with those of the link checker, its own paths made absolute."""
    content: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    sphinx = content.setdefault("sphinx", {})
    extensions = sphinx.get("local_extensions", {})
    sphinx["local_extensions"] = {
        name: str(config.parent.resolve() / place) for name, place in extensions.items()
    }
    sphinx["config"] = {**sphinx.get("config", {}), **SETTINGS}
    return content


def told(output: Path) -> Iterator[dict[str, Any]]:
    """Yield what the checker wrote: one JSON object in each line."""
    for line in output.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def sorted_out(found: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return lines for the addresses that are gone, and for those that refused or were slow."""
    gone: set[str] = set()
    refused: set[str] = set()
    for one in found:
        if one["status"] not in ("broken", "timeout"):
            continue
        line = f"{one['filename']}:{one['lineno']}: {one['uri']}: {one['info'] or one['status']}"
        reason = one["info"].replace(one["uri"], "")  # an address may hold digits like a status
        soft = one["status"] == "timeout" or any(mark in reason for mark in REFUSALS)
        (refused if soft else gone).add(line)
    return sorted(gone), sorted(refused)


def main(arguments: list[str] | None = None) -> int:
    """Check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=ROOT / "book")
    parser.add_argument("--config", type=Path, default=ROOT / "_config.yml")
    parser.add_argument("--out", type=Path, default=ROOT / "_build" / "links")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    config = out / "_config.yml"
    config.write_text(yaml.safe_dump(settings(options.config), allow_unicode=True), "utf-8")
    tool = Path(sys.executable).parent / "jupyter-book"
    command = [str(tool), "build", str(options.source), "--builder", "linkcheck"]
    command += ["--config", str(config), "--path-output", str(out)]
    # Its status is 1 for any broken link; what the links are is read from its report.
    subprocess.run(command, cwd=out)
    reports = sorted(out.rglob("output.json"))
    if not reports:
        print("The link checker wrote no report; its messages above say why.")
        return 1
    found = list(told(reports[0]))
    outside = [one for one in found if one["status"] != "local"]
    gone, refused = sorted_out(found)
    for line in refused:
        print(f"no answer for a program: {line}")
    for line in gone:
        print(f"GONE: {line}")
    print(f"{len(outside)} links to other sites, {len(refused)} without answer, {len(gone)} gone")
    return 1 if gone or not outside else 0


if __name__ == "__main__":
    sys.exit(main())
