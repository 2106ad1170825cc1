"""The recipes for contributors work as they stand: this follows each in a copy of the repository.

Blocks of `book/contributing.md` with a language and a caption are files or, with the language
`diff`, edits; blocks of the language `console` hold commands. A recipe is a section.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tools import tree

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "contributing.md"
BLOCK = re.compile(
    r"(?ms)^(?P<fence>`{3,})\{code-block\} (?P<language>\w+)\n"
    r"(?::caption: \"`(?P<caption>[^`]+)`\"\n)?(?P<body>.*?)^(?P=fence)$"
)
RECIPES = ("Add a chapter", "Add a network", "Add a live figure")


class Step(NamedTuple):
    """One block of a recipe."""

    language: str
    path: str
    body: str


def steps(page: str, title: str) -> list[Step]:
    """Return the blocks of a section, in its order."""
    _, found, rest = page.partition(f"\n## {title}\n")
    assert found, f"{PAGE.name} has no section {title}"
    section = re.split(r"(?m)^## ", rest)[0]
    return [
        Step(block["language"], block["caption"] or "", block["body"].lstrip("\n"))
        for block in BLOCK.finditer(section)
    ]


def edited(text: str, change: str) -> str:
    """Return a text with one edit: lines that stay begin with a space, new ones with a plus.

    Raises ValueError unless the lines that stay, and those that go, stand in it exactly once.
    """
    lines = [line for line in change.splitlines() if line]
    assert all(line[0] in " +-" for line in lines), change
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    if text.count(old) != 1:
        raise ValueError(f"stands there {text.count(old)} times, not once:\n{old}")
    return text.replace(old, new)


def follow(root: Path, recipe: list[Step]) -> None:
    """Carry out a recipe's blocks in a checkout."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["PYTHONPATH"] = str(root)  # its package, not the installed one
    for step in recipe:
        path = root / step.path
        if step.language == "console":
            for line in step.body.splitlines():
                assert line.startswith("$ "), line
                command = ["bash", "-euo", "pipefail", "-c", line.removeprefix("$ ")]
                done = subprocess.run(
                    command, cwd=root, env=environment, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        elif step.language == "diff":
            path.write_text(edited(path.read_text("utf-8"), step.body), encoding="utf-8")
        else:
            assert not path.exists(), f"{step.path} is there already"
            path.write_text(step.body, encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """A checkout without git, with every file that git would carry."""
    root = tmp_path / "book of mine"
    for path in tree.files():
        target = root / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return root


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_chapter_is_added(copy, page):
    follow(copy, steps(page, "Add a chapter"))
    assert (copy / "book" / "a-new-chapter.ipynb").is_file()
    assert "| 9.1-01 |" in (copy / "book" / "claims.md").read_text(encoding="utf-8")
    assert "A new chapter" in (copy / "book" / "_assets" / "routes.svg").read_text("utf-8")


@pytest.mark.slow
def test_a_network_is_added(copy, page):
    follow(copy, steps(page, "Add a network"))
    assert (copy / "runs" / "plain" / "generator.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.node
def test_a_live_figure_is_added(copy, page):
    follow(copy, steps(page, "Add a live figure"))
    # The book's own extension can join it, and the page asks for what comes out.
    code = (
        "import sys; sys.path.insert(0, 'book/_ext')\n"
        "from pathlib import Path\n"
        "import book_live\n"
        "print(book_live.joined(Path('book/_assets/live/coin-page.js')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    script = copy / "coin.js"
    script.write_text(done.stdout, encoding="utf-8")
    node = shutil.which("node")
    assert node
    subprocess.run([node, "--check", str(script)], check=True)
    assert 'src="_static/live/bundle/coin-page.js"' in (copy / "book/coin.md").read_text("utf-8")


def test_each_recipe_has_files_edits_and_commands(page):
    for title in RECIPES:
        kinds = {step.language for step in steps(page, title)}
        assert {"diff", "console"} < kinds, title
    every = re.findall(r"(?m)^`{3,}\{code-block\}", page)
    found = [step for title in RECIPES for step in steps(page, title)]
    assert len(every) == len(found), "a block in no recipe"
    assert all(bool(step.path) != (step.language == "console") for step in found)


@pytest.mark.slow
def test_a_recipe_that_does_not_work_is_noticed(copy):
    with pytest.raises(AssertionError, match="no-such-tool"):
        follow(copy, [Step("console", "", "$ python tests/tools/no-such-tool.py\n")])
    with pytest.raises(AssertionError, match="already"):
        follow(copy, [Step("python", "gan_book/losses.py", "x = 1\n")])
    with pytest.raises(ValueError, match="0 times"):
        follow(copy, [Step("diff", "gan_book/losses.py", " never\n+more\n")])


def test_edits():
    assert edited("a\nb\nc\n", " b\n+x\n") == "a\nb\nx\nc\n"
    assert edited("a\nb\nc\n", " a\n-b\n+x\n c\n") == "a\nx\nc\n"
    with pytest.raises(ValueError, match="2 times"):
        edited("a\na\n", " a\n+b\n")


def test_blocks_are_read_with_their_captions():
    text = '\n## One\n```{code-block} python\n:caption: "`a/b.py`"\n\nx = 1\n```\n## Two\n'
    assert steps(text, "One") == [Step("python", "a/b.py", "x = 1\n")]
    nested = (
        '\n## One\n````{code-block} markdown\n:caption: "`a.md`"\n\n```{raw} html\n<p>\n```\n````\n'
    )
    assert steps(nested, "One") == [Step("markdown", "a.md", "```{raw} html\n<p>\n```\n")]
