"""A generator of 64 x 64 pictures in a browser: the bar of the live pages, 60 ms a picture."""

from __future__ import annotations

import pytest

from tests.benchmarks import live_timing
from tests.tools.make_live import NPM, RUNTIME

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (NPM / "dist" / RUNTIME[0]).is_file(), reason="no onnxruntime-web: make setup, with npm"
    ),
]


def test_a_64_generator_takes_at_most_60_ms_a_picture():
    record = {}
    for _ in range(3):  # something else may run on the machine meanwhile
        record = live_timing.cell("atelier-64-untrained")
        if record["ms_a_picture"] <= 60 and record["first_picture_seconds"] <= 2:
            break
    assert record["size"] == [64, 64]
    assert record["trained"] is False
    assert record["ms_a_picture"] <= 60
    assert record["first_picture_seconds"] <= 2
    assert record["ms_a_picture_in_a_wall"] <= 60
