from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache of its own, so none sees what another left or the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GAN_BOOK_CACHE", str(folder))
    return folder


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    if not folder:
        pytest.skip("GAN_BOOK_REAL_DATA is not set: no real pictures to test on")
    return Path(folder)
