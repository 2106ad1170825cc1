"""set_up, constraints, offline, Makefile: what a bare machine meets first."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.tools import constraints, set_up

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FILES = sorted((ROOT / "tests" / "constraints").glob("python3.*.txt"))


def lower_bound(requirement: str) -> tuple[str, str]:
    name, _, rest = re.sub(r"\[.*?\]", "", requirement).partition(">=")
    return constraints.normal(name.strip()), rest.partition(",")[0]


def number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def test_old_python_gets_a_sentence():
    sentence = set_up.too_old((3, 9, 18))
    assert "3.11 or newer" in sentence
    assert "this is Python 3.9" in sentence
    assert set_up.too_old((3, 11, 0)) == ""
    assert set_up.too_old((3, 14, 0)) == ""


def test_set_up_is_not_repeated(tmp_path, monkeypatch, capsys):
    """A stamp that says what is wanted ends it at once: no pip, no network."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    here = set_up.constraints_for(sys.version_info, str(ROOT / "tests" / "constraints"))
    stamp = set_up.wanted(PROJECT, here, oldest=False)
    (venv / set_up.STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    real = subprocess.run

    def no_pip(command, *args, **kwargs):
        assert "pip" not in command, "installed again"
        return real(command, *args, **kwargs)

    monkeypatch.setattr(set_up.subprocess, "run", no_pip)
    assert set_up.main(["--venv", str(venv)]) == 0
    assert "Installing" not in capsys.readouterr().out


def test_set_up_installs_when_requirements_changed(tmp_path, monkeypatch):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (venv / set_up.STAMP).write_text('{"python": "3.0.0"}', encoding="utf-8")
    asked = []
    real = subprocess.run

    def spy(command, *args, **kwargs):
        if "pip" in command:
            asked.append(command)
            return subprocess.CompletedProcess(command, 7)
        return real(command, *args, **kwargs)

    monkeypatch.setattr(set_up.subprocess, "run", spy)
    assert set_up.main(["--venv", str(venv)]) == 7, "the status of pip is lost"
    assert len(asked) == 1
    assert asked[0][-1].endswith(f"python3.{sys.version_info[1]}.txt")
    assert set_up.read_stamp(str(venv)) == {"python": "3.0.0"}, "stamped although it failed"


def test_without_constraints_lower_bounds_serve(tmp_path):
    assert set_up.constraints_for((3, 99, 0), str(tmp_path)) is None


def test_there_are_constraints_for_each_python():
    assert [file.stem for file in FILES] == ["python3.11", "python3.12", "python3.13"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_constraints_are_exact_and_name_no_place(file):
    text = file.read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.]+", line), line


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_constraints_satisfy_the_lower_bounds(file):
    pins = constraints.read(file)
    extras = PROJECT["optional-dependencies"]
    for requirement in PROJECT["dependencies"] + extras["book"] + extras["test"]:
        name, bound = lower_bound(requirement)
        assert name in pins, f"{name} has no exact version"
        assert number(pins[name]) >= number(bound), f"{name} {pins[name]} is below {bound}"


def test_constraints_agree_where_results_depend_on_them():
    pins = [constraints.read(file) for file in FILES]
    for name in constraints.SAME_EVERYWHERE:
        assert len({each[name] for each in pins}) == 1, name


def test_dependencies_are_lower_bounds():
    """Hosted notebooks keep their torch: nothing in the core may pin or cap."""
    for requirement in PROJECT["dependencies"]:
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+", requirement), requirement


def test_jupyter_book_is_version_1():
    assert constraints.read(FILES[0])["jupyter-book"].startswith("1.")
    book = PROJECT["optional-dependencies"]["book"]
    assert any(r.startswith("jupyter-book") and r.endswith(",<2") for r in book)


def test_report_becomes_pins():
    report = {
        "install": [
            {"metadata": {"name": "Torch_Fidelity", "version": "0.4.0"}},
            {"metadata": {"name": "torch", "version": "2.14.1+cpu"}},
            {"metadata": {"name": "gan-book", "version": "0.1.0"}},
        ]
    }
    assert constraints.pins_of(report) == {"torch-fidelity": "0.4.0", "torch": "2.14.1"}


def offline(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tests/tools/offline.py"), "--required", "--"]
    return subprocess.run([*command, sys.executable, "-c", code], capture_output=True, text=True)


def can_cut() -> bool:
    return offline("pass").returncode == 0


def test_offline_cuts_the_network_and_keeps_loopback():
    if not can_cut():
        pytest.skip("network namespaces are not allowed here")
    code = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), timeout=5)\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error:\n"
        "    print('unreachable', error.errno)\n"
    )
    done = offline(code)
    assert done.returncode == 0, done.stderr
    assert "unreachable 101" in done.stdout  # ENETUNREACH at once, not a timeout


def test_offline_keeps_the_status():
    if not can_cut():
        pytest.skip("network namespaces are not allowed here")
    assert offline("raise SystemExit(41)").returncode == 41


def test_make_fails_when_a_command_fails(tmp_path):
    """The shell settings of our Makefile: a failing pipe or first command is a failure."""
    head = (ROOT / "Makefile").read_text(encoding="utf-8")
    settings = [line for line in head.splitlines() if line.startswith(("SHELL", ".SHELLFLAGS"))]
    assert len(settings) == 2
    for recipe in ("false | cat", "false; true", 'echo "$$unset_variable"'):
        makefile = tmp_path / "Makefile"
        makefile.write_text("\n".join([*settings, f"all:\n\t@{recipe}"]), encoding="utf-8")
        done = subprocess.run(["make", "-f", str(makefile)], capture_output=True)
        assert done.returncode != 0, recipe


def test_makefile_ignores_no_failure():
    for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines():
        if line.startswith("\t"):
            command = line.strip().lstrip("@")
            assert not command.startswith("-"), line
            assert "|| true" not in command, line


def test_ci_run_hides_no_status():
    for name in ("run", "system"):
        path = ROOT / ".ci" / name
        text = path.read_text(encoding="utf-8")
        assert "set -euo pipefail" in text
        assert "|| true" not in text
        assert os.access(path, os.X_OK)
        done = subprocess.run(["bash", "-n", str(path)], capture_output=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("target", "status"), [("nothing", 0), ("setup", 2), ("book", 2), ("test", 2)]
)
def test_ci_run_ends_with_the_status_of_what_failed(tmp_path, target, status):
    """The real script with a stand-in for make, which fails at one target."""
    for name in (".ci/run", ".ci/system", "tests/tools/offline.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    tools = tmp_path / "tools"
    tools.mkdir()
    fake = (
        "#!/bin/bash\necho make $1\n"
        "[ $1 != test ] || echo '===== 3 passed, 1 skipped in 2.00s ====='\n"
        f"[ $1 != {target} ] || exit 2\n"
    )
    for name, text in (("make", fake), ("chromium", "#!/bin/bash\n")):
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHON": sys.executable,
    }
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == status, done.stdout + done.stderr
    if target in ("nothing", "test"):
        assert done.stdout.rstrip().endswith("3 passed, 1 skipped in 2.00s =====")
    else:
        assert "make test" not in done.stdout
