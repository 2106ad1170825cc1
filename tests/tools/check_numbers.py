"""Compare the numbers of the text with the result files they come from.

A number in Markdown that a run measured is followed by its key, which no reader sees:

    The KID falls to 0.0123 <!-- ladder/r1-seed0/kid -->, in 61 % <!-- ladder/summary/share -->
    of the runs, on average to 0.012 ± 0.003 <!-- ladder/summary/kid ladder/summary/kid_sd -->

The key is experiment/cell/entry, entries of entries by further slashes. Several keys in one comment
belong to as many numbers before it, in their order. A number is right if the stored value,
rounded as the text rounds it, gives it; a percentage is compared with 100 times the value.

    python tests/tools/check_numbers.py      names each wrong number; status 1 if there is one
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.tools import notebooks

KEY = r"[A-Za-z0-9][\w.=+-]*(?:/[A-Za-z0-9_][\w.=+-]*){2,}"
COMMENT = re.compile(rf"<!--\s*({KEY}(?:\s+{KEY})*)\s*-->")
NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:\s?%)?")
# Keys inside code are examples, such as the one in CONTRIBUTING.md.
CODE = re.compile(r"(?ms)^```.*?^```|`[^`\n]*`")
BEFORE = 200  # characters of text before a comment in which its numbers stand


class Keyed(NamedTuple):
    """A number of the text and the key of its result."""

    key: str
    number: str
    where: str


def _without_keys(code: re.Match[str]) -> str:
    """Blank a piece of code that holds a comment; `a` 1 <!-- key --> `b` is two pieces."""
    return re.sub(r"[^\n]", " ", code.group()) if "<!--" in code.group() else code.group()


def keyed(text: str, where: str) -> tuple[list[Keyed], list[str]]:
    """Return the keyed numbers of a text, and a line for each key without a number."""
    found: list[Keyed] = []
    problems = []
    text = CODE.sub(_without_keys, text)
    last = 0
    for match in COMMENT.finditer(text):
        keys = match.group(1).split()
        before = text[max(last, match.start() - BEFORE) : match.start()]
        numbers = NUMBER.findall(before)[-len(keys) :]
        line = f"{where}, line {text.count(chr(10), 0, match.start()) + 1}"
        if len(numbers) < len(keys):
            problems.append(f"{line}: {len(keys)} keys for {len(numbers)} numbers before them")
        else:
            found += [Keyed(key, number, line) for key, number in zip(keys, numbers, strict=True)]
        last = match.end()
    return found, problems


def look_up(key: str, results: Path) -> Any:
    """Return the stored value of a key; raises LookupError with a sentence."""
    name, cell, *entries = key.split("/")
    file = results / name / f"{cell}.json"
    if not file.is_file():
        raise LookupError(f"there is no result file {name}/{cell}.json")
    value: Any = json.loads(file.read_text(encoding="utf-8"))
    for entry in entries:
        if isinstance(value, list) and entry.isdecimal() and int(entry) < len(value):
            value = value[int(entry)]
        elif isinstance(value, dict) and entry in value:
            value = value[entry]
        else:
            raise LookupError(f"{name}/{cell}.json has no {'/'.join(entries)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise LookupError(f"{key} is {value!r}, not a number")
    return value


def agrees(number: str, value: float) -> bool:
    """Return whether a number as the text prints it is the value, rounded as the text rounds.

    >>> agrees("0.012", 0.01249), agrees("0.013", 0.01249), agrees("61 %", 0.6138)
    (True, False, True)
    """
    plain = number.replace(",", "").replace("−", "-").rstrip("% ")
    percent = number.endswith("%")
    mantissa, _, exponent = plain.lower().partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    expected = value * 100 if percent else value
    # Half a unit of the last printed digit, and what floating point adds to it.
    return abs(float(plain) - expected) <= 0.5 * 10.0**-decimals * (1 + 1e-9)


def texts(path: Path) -> str:
    """Return the Markdown of a page or notebook."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell["source"] for cell in notebooks.cells(path, "markdown"))


def problems(paths: list[Path], results: Path) -> tuple[int, list[str]]:
    """Return how many numbers have keys, and a line for each that is wrong."""
    lines = []
    count = 0
    for path in paths:
        found, wrong = keyed(texts(path), path.name)
        count += len(found)
        lines += wrong
        for item in found:
            try:
                value = look_up(item.key, results)
            except LookupError as error:
                lines.append(f"{item.where}: {error.args[0]}")
                continue
            if not agrees(item.number, value):
                lines.append(f"{item.where}: {item.number} is printed, {item.key} is {value!r}")
    return count, lines


def main() -> int:
    """Check the whole book; return the exit status."""
    paths = notebooks.notebook_files() + notebooks.markdown_files()
    count, lines = problems(paths, notebooks.ROOT / "data" / "results")
    for line in lines:
        print(line)
    print(f"{count} numbers carry a result key; {len(lines)} are wrong")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
