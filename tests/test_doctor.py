"""The doctor: what travels with a run, and what is said about this machine."""

from __future__ import annotations

import getpass
import json
import platform
import socket
import subprocess
import sys

import pytest
import torch

from gan_book import doctor
from gan_book.doctor import Finding, bf16_gain, examine
from gan_book.machine import environment


def test_environment_is_json_and_says_what_results_depend_on():
    record = json.loads(json.dumps(environment()))
    assert record["python"] == platform.python_version()
    assert record["packages"]["torch"] == torch.__version__.split("+")[0]
    assert record["threads"] == torch.get_num_threads()
    assert record["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert record["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert environment("cpu")["device"] == environment(torch.device("cpu"))["device"] == "cpu"
    assert environment("cpu")["cuda"] is None


def test_environment_follows_threads_and_names_the_variables_that_change_numbers(monkeypatch):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        assert environment()["threads"] == before + 1
    finally:
        torch.set_num_threads(before)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert environment()["variables"] == {"ONEDNN_MAX_CPU_ISA": "AVX2"} | {
        name: value for name, value in environment()["variables"].items() if "ONEDNN" not in name
    }


def test_environment_tells_nothing_about_the_person(tmp_path):
    text = json.dumps(environment())
    for secret in (socket.gethostname(), str(tmp_path.parent)):
        assert secret not in text
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in text


def test_every_finding_says_what_was_found_and_what_to_do():
    findings = examine()
    subjects = {finding.subject for finding in findings}
    for wanted in ("Python", "PyTorch", "GPU", "CPU", "bf16 on CPU", "torch.compile", "packages"):
        assert wanted in subjects
    for finding in findings:
        assert finding.status in ("OK", "note", "missing")
        assert finding.text
        assert "could not be examined" not in finding.text
        assert not finding.fatal, finding


def test_a_missing_package_is_named_with_its_purpose_and_its_remedy(monkeypatch):
    monkeypatch.setitem(doctor.NEEDS, "no_such_package", ("nothing", "pip install nothing", True))
    monkeypatch.setitem(doctor.NEEDS, "nor_this_one", ("little", "pip install little", False))
    found = {finding.subject: finding for finding in doctor.packages()}
    assert found["no_such_package"] == Finding(
        "missing", "no_such_package", "not installed; needed for nothing: pip install nothing", True
    )
    assert found["nor_this_one"].status == "note"
    assert not found["nor_this_one"].fatal


def test_an_old_torch_is_fatal(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.10.1")
    (finding,) = doctor.pytorch()
    assert finding.fatal
    assert "2.10.1" in finding.text


def test_a_check_that_fails_becomes_a_note(monkeypatch):
    def broken():
        raise RuntimeError("no luck")

    monkeypatch.setattr(doctor, "disk", broken)
    assert any("no luck" in finding.text and finding.status == "note" for finding in examine())


def test_a_torch_that_does_not_load_is_fatal(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libcudart is missing')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch")
    fatal = [finding for finding in examine() if finding.fatal]
    assert [(finding.subject, finding.status) for finding in fatal] == [("PyTorch", "missing")]
    assert "libcudart is missing" in fatal[0].text


@pytest.mark.parametrize(
    ("variable", "subject"), [("COLAB_RELEASE_TAG", "Colab"), ("KAGGLE_KERNEL_RUN_TYPE", "Kaggle")]
)
def test_colab_and_kaggle_are_recognized(monkeypatch, variable, subject):
    monkeypatch.setenv(variable, "1")
    assert [finding.subject for finding in doctor.hosts()] == [subject]


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    (finding,) = doctor.compiler()
    assert finding.status == "note"
    assert "C++ compiler" in finding.text


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("GAN_BOOK_CACHE", str(blocked / "below"))
    (finding,) = doctor.cache()
    assert finding.status == "note"
    assert "GAN_BOOK_CACHE" in finding.text


def test_the_bf16_probe_is_a_positive_ratio():
    assert 0.001 < bf16_gain(3) < 1000


def test_the_doctor_works_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gan_book.doctor import examine\n"
        "findings = examine()\n"
        "assert any(f.fatal and f.subject == 'PyTorch' for f in findings), findings\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
