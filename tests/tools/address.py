"""The repository's address: one setting, and everything that must agree with it.

    python tests/tools/address.py            says where something disagrees; status 1 if it does
    python tests/tools/address.py --write    makes everything agree

The setting is `[project.urls] Repository` in pyproject.toml.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BRANCH = "main"
FORM = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*)/([A-Za-z0-9._-]+)")


class Place(NamedTuple):
    """A kind of file and the pattern whose first group is the address or its OWNER/NAME part."""

    files: str
    pattern: re.Pattern[str]
    required: bool  # whether each such file must hold the pattern at least once


# Other repositories may be linked; what is checked are the forms that mean this one.
PLACES = (
    Place("_config.yml", re.compile(r"(?m)^  url: https://github\.com/(\S+)$"), True),
    Place("book/*.ipynb", re.compile(r"git\+https://github\.com/([^\s\"'\\)@]+)"), True),
    Place("*.md", re.compile(r"git\+https://github\.com/([^\s\"'\\)`@]+)"), False),
    Place("book/*.md", re.compile(r"git\+https://github\.com/([^\s\"'\\)`@]+)"), False),
    Place("**/*.md", re.compile(r"colab\.research\.google\.com/github/([^/\s]+/[^/\s]+)"), False),
    Place("*.md", re.compile(r"git clone https://github\.com/([^\s`]+)"), False),
    Place("book/*.md", re.compile(r"git clone https://github\.com/([^\s`]+)"), False),
    Place("README.md", re.compile(r"img\.shields\.io/github/[\w/-]*?/([^/\s]+/[^/\s?)]+)"), False),
    Place("*.md", re.compile(r"github\.com/([^/\s]+/[^/\s]+)/actions"), False),
    Place("*.md", re.compile(r"github\.com/([^/\s]+/[^/\s]+)/issues"), False),
    Place("CITATION.cff", re.compile(r"repository-code: \"?https://github\.com/([^\s\"]+)"), True),
    Place("book/citing.md", re.compile(r"\{https://github\.com/([^}\s]+)\}"), True),
    Place("environment.yml", re.compile(r"git\+https://github\.com/([^\s\"'@]+)"), False),
)


@cache
def repository(root: Path = ROOT) -> str:
    """Return the address, without a slash at its end."""
    with open(root / "pyproject.toml", "rb") as file:
        address = tomllib.load(file)["project"]["urls"]["Repository"]
    if not FORM.fullmatch(address):
        raise SystemExit(
            f"The setting [project.urls] Repository in pyproject.toml is {address!r}; it should "
            "look like https://github.com/OWNER/NAME"
        )
    return str(address)


def slug(root: Path = ROOT) -> str:
    """Return OWNER/NAME."""
    return repository(root).removeprefix("https://github.com/")


def site(root: Path = ROOT) -> str:
    """Return the address at which the repository's pages show the book, with a slash at its end."""
    owner, name = slug(root).split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def colab(notebook: str, root: Path = ROOT) -> str:
    """Return the address that opens a notebook of the book in Colab."""
    base = "https://colab.research.google.com/github"
    return f"{base}/{slug(root)}/blob/{BRANCH}/book/{notebook}"


def files_of(place: Place, root: Path) -> list[Path]:
    """Return the files of one kind, without what was built or installed."""
    found = sorted(root.glob(place.files))
    return [
        path
        for path in found
        if not any(
            part.startswith((".venv", ".ipynb", "_build")) or part in ("node_modules", "build")
            for part in path.relative_to(root).parts
        )
    ]


def problems(root: Path = ROOT) -> list[str]:
    """Return a line for each place that disagrees with the setting."""
    want = slug(root)
    lines = []
    for place in PLACES:
        for path in files_of(place, root):
            text = path.read_text(encoding="utf-8")
            found = place.pattern.findall(text)
            where = path.relative_to(root)
            if place.required and not found:
                lines.append(f"{where}: nothing of the form {place.pattern.pattern}")
            lines += [f"{where}: {name} is not {want}" for name in found if tidy(name) != want]
    return lines


def tidy(name: str) -> str:
    """Return OWNER/NAME without an ending that git allows."""
    return name.rstrip("/.,").removesuffix(".git")


def write(root: Path = ROOT) -> list[str]:
    """Put the setting everywhere; return the files that changed."""
    want = slug(root)
    changed = []
    for place in PLACES:
        for path in files_of(place, root):
            text = path.read_text(encoding="utf-8")

            def put(match: re.Match[str]) -> str:
                whole, start = match.group(0), match.start()
                tail = match.group(1)[len(tidy(match.group(1))) :]
                a, b = match.start(1) - start, match.end(1) - start
                return whole[:a] + want + tail + whole[b:]

            new = place.pattern.sub(put, text)
            if new != text:
                path.write_text(new, encoding="utf-8")
                changed.append(str(path.relative_to(root)))
    return sorted(set(changed))


def main(arguments: list[str] | None = None) -> int:
    """Check or write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="make everything agree")
    options = parser.parse_args(arguments)
    if options.write:
        for name in write():
            print(f"{name} rewritten")
    lines = problems()
    for line in lines:
        print(line)
    print(f"{repository()}: " + ("disagreements above" if lines else "everything agrees"))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
