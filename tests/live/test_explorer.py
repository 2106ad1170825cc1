"""The explorer and "Real or generated?" compute what `gan_book` computes."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import gan_book as gb
from gan_book import latents, model, provenance
from gan_book.metrics.two_sample import right_answers

pytestmark = pytest.mark.node
HERE = Path(__file__).parent
LIVE = HERE.parents[1] / "book" / "_assets" / "live"


def js(module, names, expression):
    """Return the value of an expression in Node, with names imported from a live module."""
    node = shutil.which("node")
    assert node, "GAN_BOOK_REQUIRE_BROWSER=1 and no Node on this machine"
    # The numbers of typed arrays go out as lists.
    code = (
        f'import {{ {names} }} from "{(LIVE / module).as_uri()}";\n'
        "const lists = (_, x) => (ArrayBuffer.isView(x) ? Array.from(x) : x);\n"
        f"console.log(JSON.stringify(await ({expression}), lists));\n"
    )
    command = [node, "--input-type=module", "--eval", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("figure", "tests"), [("explorer", 7), ("replay", 7)])
def test_the_modules_by_themselves(figure, tests):
    node = shutil.which("node")
    assert node, "GAN_BOOK_REQUIRE_BROWSER=1 and no Node on this machine"
    command = [node, "--test", str(HERE / f"{figure}.test.mjs")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert f"# pass {tests}" in done.stdout


@pytest.mark.parametrize(
    ("n", "dim", "seed"), [(3, 64, 0), (70, 32, 12_345), (5, 720, 2**32 - 1), (2, 1, 7)]
)
def test_a_seed_is_the_same_seed(n, dim, seed):
    found = torch.tensor(js("random.js", "latents", f"latents({n}, {dim}, {seed})"))
    assert found.shape == (n, dim)
    torch.testing.assert_close(found, model.latents(n, dim, seed), rtol=0, atol=5e-6)


def test_walks_truncation_and_moves():
    a, b, mean = model.latents(3, 16, 5)
    units = torch.linalg.qr(model.latents(16, 16, 6)).Q[:2]
    given = json.dumps({"a": a.tolist(), "b": b.tolist(), "mean": mean.tolist()})
    for t in (0.0, 0.3, 1.0):
        found = js("latents.js", "slerp", f"(({{a, b}}) => slerp(a, b, {t}))({given})")
        torch.testing.assert_close(torch.tensor(found), latents.slerp(a, b, t))
    found = js("latents.js", "truncate", f"(({{a, mean}}) => truncate(a, 0.7, mean))({given})")
    torch.testing.assert_close(torch.tensor(found), latents.truncate(a, 0.7, mean))
    parts = f"{json.dumps(a.tolist())}, {json.dumps(units.tolist())}, [2, 1], [0.5, -3]"
    found = js("latents.js", "move", f"move({parts})")
    torch.testing.assert_close(torch.tensor(found), a + units[0] - 3 * units[1])


@pytest.mark.parametrize("n", [10, 40])
def test_the_interval_is_the_books(n):
    found = js("binomial.js", "interval", f"[...Array({n + 1}).keys()].map(k => interval(k, {n}))")
    for right, (low, high) in enumerate(found):
        expected = right_answers(right, n)
        assert math.isclose(low, expected.low, abs_tol=1e-9)
        assert math.isclose(high, expected.high, abs_tol=1e-9)


def test_a_saved_picture_carries_its_record(tmp_path):
    """`gan_book.provenance` reads the file, knows the model, and notices another one's."""
    opened = gb.load_model("atelier-32", device="cpu")
    picture = opened.sample(1, seed=3)[0]  # (3, 32, 32)
    rgb = picture.permute(1, 2, 0).flatten().tolist()
    facts = '{"seed": 3, "model": "Müller", "directions": [0.5]}'
    code = (
        f"(() => {{ const rgb = Uint8Array.from({rgb});"
        f"const record = {json.dumps(provenance.record(opened))};"
        f"return encode(32, 32, rgb, provenance(record, {facts}, 32, 32, rgb)); }})()"
    )
    path = tmp_path / "picture.png"
    path.write_bytes(bytes(js("png.js", "encode, provenance", code)))
    assert provenance.verify(path, opened) == []
    record = provenance.read(path)
    assert (record["seed"], record["model"], record["directions"]) == (3, "Müller", [0.5])
    assert record["digital_source_type"] == provenance.TRAINED
    assert provenance.verify(path, gb.load_model("landscapes-16", device="cpu"))


def test_rounds_are_fair_and_no_picture_comes_twice():
    games = js("quiz.js", "rounds", "Array.from({length: 400}, (_, i) => rounds(i, 48))")
    kinds = [one["kind"] for game in games for one in game]
    assert abs(kinds.count("real") / len(kinds) - 0.5) < 0.03  # four standard deviations
    assert all(len({(one["kind"], one["number"]) for one in game}) == 10 for game in games)
    numbers = {one["number"] for game in games for one in game}
    assert numbers == set(range(48))


@pytest.mark.parametrize(
    ("right", "n", "words"),
    [
        (8, 10, "proves nothing yet"),
        (9, 10, "you can tell them apart"),
        (1, 10, "the wrong way round"),
        (70, 100, "you can tell them apart"),
    ],
)
def test_the_meaning_of_a_score(right, n, words):
    assert words in js("quiz.js", "meaning", f"meaning({right}, {n})")


def test_the_sheets_of_the_quiz_are_of_the_shipped_models():
    """Generated pictures are the model's, real ones the Atelier's; each has its nearest."""
    from PIL import Image

    from gan_book.memorization import nearest_pictures
    from tests.tools.make_quiz import COUNT, SEED

    (facts,) = [s for s in js("quiz-data.js", "SETS", "SETS") if s["name"] == "landscapes-16"]
    sheet = torch.frombuffer(
        bytearray(Image.open(LIVE / "quiz-landscapes-16.png").convert("RGB").tobytes()),
        dtype=torch.uint8,
    ).view(4, 16, COUNT, 16, 3)  # (rows, y, number, x, color)
    rows = sheet.permute(0, 2, 4, 1, 3)  # (4, COUNT, 3, 16, 16)
    made = gb.load_model("landscapes-16", device="cpu").sample(COUNT, seed=SEED)
    assert (rows[2].int() - made.int()).abs().max() <= 1  # rounding differs by processor
    for row, kind in ((0, "real"), (2, "generated")):
        near = nearest_pictures(rows[row], rows[row + 1], candidates=None)
        assert all(near.distance <= torch.tensor(facts[kind]) + 0.0051)
