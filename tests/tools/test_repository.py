"""Budgets of the repository, and text that must not appear in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools import tree

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 2**20
REPOSITORY_BUDGET = 36 * MEGABYTE
FILE_BUDGET = 5 * MEGABYTE
VENDOR_BUDGET = 2 * MEGABYTE


def split(*parts: str) -> str:
    """Join the parts of a forbidden word, which so does not stand in this file."""
    return "".join(parts)


# Pattern, which files, why.
FORBIDDEN = {
    "unsafe serialization": (split("pick", "le"), (".py", ".ipynb")),
    "work that is left": (split(r"\b(TO", r"DO|FIX", r"ME|XX", r"X|HA", r"CK)\b"), None),
    "a stub": (split(r"raise Not", "Implemented", "Error"), (".py",)),
    "a bare except": (split(r"(?m)^\s*exc", r"ept\s*:"), (".py", ".ipynb")),
    "a host of the workplace": (
        split(
            r"(?i)artif", r"actory|\bdevpi|pypi[-.]mirror",
            r"|(?:in", r"ternal|corp)\.[a-z]+\.(?:com|net)",
        ),
        None,
    ),
    "a path of one machine": (
        split(
            r"(?<![\w.$}])/(?:wo", r"rk|ro", r"ot|ho", r"me/\w+|Us", r"ers/\w+",
            r"|opt/(?:whe", "els|py", "pi))/",
        ),
        None,
    ),
    "the result of eval of text": (split(r"(?<![\w.])ev", r"al\("), (".py",)),
}  # fmt: skip
# Where a word is the subject: the checkpoints' tests try hostile files.
ALLOWED = {
    "unsafe serialization": (
        "tests/test_checkpoints.py",
        "tests/test_hostile.py",
        "book/safety.ipynb",
        "tests/tools/test_repository.py",
        "pyproject.toml",
    ),
}


def problems(root: Path, paths: list[Path]) -> list[str]:
    """Return a line for each forbidden text."""
    lines = []
    for path in paths:
        where = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        for why, (pattern, endings) in FORBIDDEN.items():
            if endings and path.suffix not in endings:
                continue
            if any(where.startswith(allowed) for allowed in ALLOWED.get(why, ())):
                continue
            for match in re.finditer(pattern, text):
                number = text.count("\n", 0, match.start()) + 1
                lines.append(f"{where}:{number}: {why}: {match.group().strip()!r}")
        if where in ALLOWED["unsafe serialization"]:
            continue
        lines += [f"{where}:{n}: torch.load without weights_only=True" for n in loads(path, text)]
    return lines


def loads(path: Path, text: str) -> list[int]:
    """Return the lines of calls of torch.load that would run code from a file."""
    if path.suffix not in (".py", ".ipynb"):
        return []
    call = re.compile(
        split(r"\btorch\.lo", r"ad\((?![^()]*(?:\([^()]*\)[^()]*)*weights_only=True)")
    )
    return [text.count("\n", 0, match.start()) + 1 for match in call.finditer(text)]


def test_no_forbidden_text():
    assert problems(ROOT, tree.texts()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", split("import pick", "le\n")),
        ("a.md", split("TO", "DO: write this\n")),
        ("a.py", split("try:\n    x\nexc", "ept:\n    pass\n")),
        ("a.py", split("x = torch.lo", "ad(path, map_location='cpu')\n")),
        ("a.py", split("x = torch.lo", "ad(path, weights_only=False)\n")),
        ("a.json", split('{"folder": "/wo', 'rk/main"}\n')),
        ("a.md", split("see /ho", "me/ada/pictures\n")),
        ("a.py", split("def f():\n    raise Not", "Implemented", "Error\n")),
    ],
)
def test_planted_text_is_found(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert problems(tmp_path, [tmp_path / name])


@pytest.mark.parametrize(
    "text",
    [
        split("x = torch.lo", "ad(open(path), weights_only=True)\n"),
        "except ValueError:\n    pass\n",
        "See https://example.com/home/page and `~/pictures`.\n",
        "model.eval()\n",
    ],
)
def test_harmless_text_passes(tmp_path, text):
    (tmp_path / "a.py").write_text(text, encoding="utf-8")
    assert problems(tmp_path, [tmp_path / "a.py"]) == []


def test_size_of_the_repository():
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in tree.files()}
    large = {name: size for name, size in sizes.items() if size > FILE_BUDGET}
    assert not large, f"files above 5 MB: {large}"
    total = sum(sizes.values())
    assert total <= REPOSITORY_BUDGET, f"{total / MEGABYTE:.1f} MB of 36 MB"


def test_size_of_vendored_scripts():
    folder = ROOT / "book" / "_assets" / "vendor"
    for part in folder.iterdir():
        size = sum(path.stat().st_size for path in part.rglob("*") if path.is_file())
        assert size < VENDOR_BUDGET, f"{part.name}: {size / MEGABYTE:.1f} MB"
        assert (part / "LICENSE").is_file(), f"{part.name} stands here without its license"


def test_ignored_files_hide_no_source():
    """A pattern such as `data/` would keep gan_book/data out of git and out of the wheel."""
    kept = set(tree.files())
    for path in [*ROOT.glob("gan_book/**/*.py"), *ROOT.glob("gan_book/**/*.toml")]:
        assert path in kept, f"{path.relative_to(ROOT)} is ignored"


def test_texts_are_utf8_with_unix_line_ends():
    for path in tree.texts():
        content = path.read_bytes()
        content.decode("utf-8")
        assert b"\r" not in content, path
