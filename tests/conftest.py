"""What all tests share: one thread, the tier cpu, markers that skip with a reason."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

# Before anything imports torch: several processes with spinning threads are ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GAN_BOOK_TIER", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# HYPOTHESIS_PROFILE=thorough runs 10,000 examples of everything that does not ask for a number.
settings.register_profile(
    "book", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "thorough", parent=settings.get_profile("book"), max_examples=10_000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "book"))


def real_data_folder() -> Path | None:
    """Return the folder of real pictures, or None."""
    named = os.environ.get("GAN_BOOK_REAL_DATA")
    return Path(named) if named and Path(named).is_dir() else None


def chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    named = os.environ.get("GAN_BOOK_BROWSER")
    return named or next((path for path in map(shutil.which, CHROMIUM) if path), None)


def missing(marker: str) -> str:
    """Return why tests with a marker cannot run here, or an empty text."""
    if marker == "cuda":
        import torch

        return "" if torch.cuda.is_available() else "no CUDA device"
    if marker == "real_data":
        return "" if real_data_folder() else "GAN_BOOK_REAL_DATA names no folder of real pictures"
    if marker == "browser":
        try:
            import playwright  # noqa: F401
        except ImportError:
            return "playwright is not installed"
        return "" if chromium() else "no Chromium on this machine"
    if marker == "node":
        return "" if shutil.which("node") else "no Node on this machine"
    if marker == "book":
        return "" if (BUILT / "index.html").is_file() else "the book is not built: make book"
    if marker == "network":
        return "" if os.environ.get("GAN_BOOK_NETWORK") == "1" else "GAN_BOOK_NETWORK is not 1"
    return ""


# Where a person has promised that something is there, its absence is a failure.
REQUIRED = {
    "cuda": "GAN_BOOK_REQUIRE_CUDA",
    "real_data": "GAN_BOOK_REQUIRE_REAL_DATA",
    "browser": "GAN_BOOK_REQUIRE_BROWSER",
    "book": "GAN_BOOK_REQUIRE_BROWSER",
    "node": "GAN_BOOK_REQUIRE_BROWSER",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, saying why."""
    reasons = {}
    for item in items:
        for marker in ("cuda", "real_data", "browser", "book", "node", "network"):
            if item.get_closest_marker(marker) is None:
                continue
            if marker not in reasons:
                reasons[marker] = missing(marker)
            required = REQUIRED.get(marker)
            if reasons[marker] and not (required and os.environ.get(required) == "1"):
                item.add_marker(pytest.mark.skip(reason=reasons[marker]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for which reason."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real pictures; use it in tests marked `real_data`."""
    folder = real_data_folder()
    assert folder is not None, "GAN_BOOK_REAL_DATA names no folder"
    return folder


@pytest.fixture(scope="session")
def paintings(real_data: Path) -> Path:
    """Return the zip of public-domain paintings."""
    return real_data / "paintings-pd-128.zip"


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """Return the root of the checkout."""
    return ROOT
