"""The training scrubber reads what a run leaves behind, and shows recorded runs as they were."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from PIL import Image

import gan_book as gb
from tests.live.test_answers import answers
from tests.live.test_explorer import js
from tests.tiny import pictures, tiny
from tests.tools.make_replays import LIVE, LOGGED, MEASURED, SHOWN, SIDE

pytestmark = pytest.mark.node
HERE = Path(__file__).parent
LARGEST = 400_000  # bytes of a recorded run


@pytest.fixture(scope="module")
def runs():
    """The recorded runs by name."""
    return {facts["name"]: facts for facts in js("runs-data.js", "RUNS", "RUNS")}


def test_a_run_folder_is_read_as_the_package_writes_it(tmp_path):
    """Each log, each measurement and each sample grid, by the names that the page uses."""
    made = gb.train(
        tiny(sample_every=160, log_every=80), pictures(120), tmp_path / "mine", steps=60,
        select=True, progress=False,
    )  # fmt: skip
    names = [str(path.relative_to(tmp_path)) for path in (tmp_path / "mine").rglob("*.*")]
    folder = json.dumps(str(tmp_path))
    code = (
        f"fromFolder({json.dumps(names)}.map(name => ({{ name, text: async () => "
        f'(await import("node:fs")).readFileSync({folder} + "/" + name, "utf8") }})))'
    )
    run = js("replay.js", "fromFolder", code)
    assert (run["title"], run["loss"]) == ("your run mine", "relativistic")
    for key in LOGGED:
        assert run["log"][key] == [entry[key] for entry in made.log], key
    best = json.loads((tmp_path / "mine" / "best.json").read_text())
    for key in MEASURED:
        assert run["measured"][key] == pytest.approx([e[key] for e in best["history"]]), key
    assert run["best"] == best["images"]
    assert run["frames"] == [160, 320, 480]
    assert [grid["name"] for grid in run["grids"]] == [
        f"mine/samples/{images:010d}.png" for images in run["frames"]
    ]


def test_recorded_runs_are_whole_and_small(runs):
    assert set(runs) == {"penalties", "no-penalties", "few"}
    for name, facts in runs.items():
        path = LIVE / f"run-{name}.webp"
        assert path.stat().st_size + len(json.dumps(facts)) <= LARGEST, name
        with Image.open(path) as sheet:
            assert sheet.size == (SHOWN * SIDE, len(facts["frames"]) * SIDE)
        # a grid for each measurement, and at the end
        assert facts["measured"]["images"] == facts["frames"]
        assert facts["log"]["images"][-1] == facts["frames"][-1]
        for table, keys in (("log", LOGGED), ("measured", MEASURED)):
            assert set(facts[table]) == set(keys)
            assert len({len(column) for column in facts[table].values()}) == 1
            assert all(math.isfinite(x) for column in facts[table].values() for x in column)
        assert facts["best"] in facts["measured"]["images"]
        assert facts["title"].startswith(f"{facts['trained']:,} pictures")


def value(facts, table, key, images):
    """The last value up to so many images."""
    entries = zip(facts[table]["images"], facts[table][key], strict=True)
    return [x for at, x in entries if at <= images][-1]


def test_the_answers_on_the_page_stand_in_the_runs(runs):
    one, two, three = answers("live-training")
    first, bare, few = runs["penalties"], runs["no-penalties"], runs["few"]
    end = first["frames"][-1]
    assert end == bare["frames"][-1] == 160_000
    found = [value(run, "measured", "held_out_logit", end) for run in (first, bare)]
    found += [value(bare, "log", "g_loss", end)]
    found += [value(run, "measured", "kid", end) for run in (first, bare)]
    assert one == [f"{x:.3g}" for x in found]
    kid = few["measured"]["kid"]
    best = few["measured"]["images"][kid.index(min(kid))]
    late = 243_200
    found = [value(few, "measured", "held_out_logit", late), value(few, "log", "fake_logit", late)]
    assert two == [f"{best:,}", f"{min(kid):.3g}", f"{kid[-1]:.3g}", *(f"{x:.3g}" for x in found)]
    assert found[0] < found[1]
    at = {t: value(first, "log", "g_loss", t) for t in (32_000, 121_600)}
    quality = {t: value(first, "measured", "kid", t) for t in (32_000, 121_600)}
    assert three == [f"{x:.3g}" for x in (*at.values(), *quality.values())]
