"""One setting for the repository's address."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tools import address, install_cell, notebooks

ROOT = Path(__file__).resolve().parents[2]


def test_everything_agrees_with_the_setting():
    assert address.problems() == []


def test_the_setting_appears_nowhere_the_tool_does_not_know():
    """A place that `--write` would forget: any mention of OWNER/NAME outside PLACES."""
    known = {path for place in address.PLACES for path in address.files_of(place, ROOT)}
    known |= {ROOT / "pyproject.toml"}
    code = [*ROOT.glob("gan_book/**/*.py"), *ROOT.glob("*.toml"), *ROOT.glob("*.yml")]
    for path in [*code, *ROOT.glob("book/*.md"), *ROOT.glob("*.cff"), *ROOT.glob("*.md")]:
        if path not in known:
            assert address.slug() not in path.read_text(encoding="utf-8"), path


@pytest.fixture
def copy(tmp_path):
    """A small checkout with the real files that hold the address."""
    for name in ("pyproject.toml", "_config.yml", "README.md", "CITATION.cff", "environment.yml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "book" / "citing.md", tmp_path / "book")
    cell = install_cell.install_cell("about 60 s").replace('"', '\\"').replace("\n", "\\n")
    text = '{"cells": [{"cell_type": "code", "source": "' + cell + '"}]}'
    (tmp_path / "book" / "one.ipynb").write_text(text, encoding="utf-8")
    address.repository.cache_clear()
    yield tmp_path
    address.repository.cache_clear()


def test_a_new_address_is_noticed_and_carried_everywhere(copy):
    assert address.problems(copy) == []
    setting = copy / "pyproject.toml"
    text = setting.read_text(encoding="utf-8").replace(address.slug(), "someone-else/art.book")
    setting.write_text(text, encoding="utf-8")
    address.repository.cache_clear()

    lines = address.problems(copy)
    for name in ("_config.yml", "README.md", "CITATION.cff", "book/citing.md", "book/one.ipynb"):
        assert any(line.startswith(name) for line in lines), (name, lines)
    changed = address.write(copy)
    assert "book/one.ipynb" in changed
    assert address.problems(copy) == []
    assert '\\"git+https://github.com/someone-else/art.book\\"' in (
        copy / "book" / "one.ipynb"
    ).read_text(encoding="utf-8")
    assert "someone-else/art.book/blob/main/book/" in (copy / "README.md").read_text(
        encoding="utf-8"
    )


def test_an_impossible_address_gets_a_sentence(copy):
    setting = copy / "pyproject.toml"
    text = setting.read_text(encoding="utf-8").replace("https://github.com/", "https://x.org/")
    setting.write_text(text, encoding="utf-8")
    address.repository.cache_clear()
    with pytest.raises(SystemExit, match="should look like"):
        address.problems(copy)


def test_install_cell():
    cell = install_cell.install_cell("about 60 s, 1 GB")
    compile(cell, "cell", "exec")
    assert install_cell.matches(cell)
    assert install_cell.matches(install_cell.install_cell("2 min"))
    assert not install_cell.matches(cell.replace("find_spec", "spec"))
    assert not install_cell.matches(cell + "\nprint(1)")
    assert "torch" not in cell.partition("import gan_book")[0].replace("; torch stays as it is", "")


def test_install_cell_leaves_an_installed_package_alone(tmp_path):
    """Run the cell beside a package named gan_book: pip is not called."""
    import subprocess
    import sys

    (tmp_path / "gan_book.py").write_text("def setup(cost): print('tier', cost)\n")
    code = "import subprocess\nsubprocess.check_call = lambda *a: 1 / 0\n"
    code += install_cell.install_cell("a minute")
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "tier a minute"


def test_install_cell_installs_a_missing_package_from_the_named_source(tmp_path):
    import subprocess
    import sys

    code = (
        "import importlib.util, os, subprocess, sys\n"
        "os.environ['GAN_BOOK_SOURCE'] = 'a/wheel.whl'\n"
        "importlib.util.find_spec = lambda name: None\n"
        "subprocess.check_call = lambda command: sys.exit(' '.join(command[1:]))\n"
    )
    code += install_cell.install_cell("a minute")
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert out.stderr.strip() == "-m pip install --quiet a/wheel.whl"


@pytest.mark.parametrize("path", notebooks.notebook_files(), ids=lambda p: p.stem)
def test_install_cell_of_each_notebook(path):
    first = notebooks.cells(path, "code")[0]
    assert install_cell.matches(first["source"]), (
        "the first code cell is not the one that tests/tools/install_cell.py prints"
    )
