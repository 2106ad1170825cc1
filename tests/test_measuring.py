"""`gan_book.evaluate`: every number in the table is the metric's own, and each row and each
held-out picture is used for what it is there for."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gan_book as gb
from gan_book import measuring
from gan_book.data.atelier import PALETTES, STYLES
from gan_book.data.imageset import ImageSet, Split
from gan_book.errors import GanBookError
from gan_book.evaluation import COPIES, FLOOR, GAUSSIAN, read_modes
from gan_book.measuring import compare, evaluate
from gan_book.memorization import memorization
from gan_book.metrics import (
    density_coverage,
    frechet_distance,
    kernel_distance,
    paired_kernel_difference,
    pca_gaussian,
    precision_recall,
)
from gan_book.model import Model
from tests.tiny import pictures as noise
from tests.tiny import tiny


class StandIn:
    """A random projection of 8 x 8 thumbnails."""

    def __init__(self, dim: int = 12, name: str = "stand-in") -> None:
        self.id, self.dim, self.calls = name, dim, 0
        rng = torch.Generator().manual_seed(0)
        self.weight = torch.randn(192, dim, generator=rng) / 2000

    def facts(self) -> dict[str, Any]:
        return {"extractor": self.id, "sha256": "ab" * 32, "dim": self.dim, "resize": "8 x 8, area"}

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        x = images.float().expand(-1, 3, -1, -1)  # (N, 3, H, W)
        small = functional.adaptive_avg_pool2d(x, 8).flatten(1)  # (N, 192)
        return (small - 127.5) @ self.weight


class Reader(StandIn):
    """One that always reads the third style and the second palette, and is sure of it."""

    def read(self, images: Tensor) -> SimpleNamespace:
        n = len(images)
        style, palette = torch.full((n,), 2), torch.ones(n, dtype=torch.int64)
        sure = torch.full((n,), 0.9)
        sure[: n // 2] = 0.4
        return SimpleNamespace(
            style=style, palette=palette, style_probability=sure, palette_probability=sure
        )


def scenes(n: int, seed: int) -> Tensor:
    """Smooth pictures with two hard edges: uint8 (n, 3, 16, 16), each of its own kind."""
    rng = torch.Generator().manual_seed(seed)
    x = functional.interpolate(torch.rand(n, 3, 4, 4, generator=rng), 16, mode="bilinear")
    at = torch.randint(2, 14, (n, 2), generator=rng)
    line = torch.arange(16)
    x = x + 0.7 * (line[None, None, :, None] > at[:, 0, None, None, None])
    x = x - 0.7 * (line[None, None, None, :] > at[:, 1, None, None, None])
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_BOOK_CACHE", str(tmp_path / "cache"))
    measuring._painted.cache_clear()


@pytest.fixture
def real() -> ImageSet:
    return ImageSet(scenes(400, seed=0), name="scenes")


@pytest.fixture
def split() -> Split:
    order = torch.arange(400)
    return Split(order[:240], order[240:300], order[300:])


def order_of(split: Split, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return split.train[torch.randperm(len(split.train), generator=rng)]


def test_every_number_is_that_of_the_metric(real, split):
    net, made = StandIn(), scenes(120, seed=1) // 2
    report = evaluate(made, real, split=split, n=110, seed=3, extractor=net)
    order, n = order_of(split, 3), 110
    shuffled = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    test = net(real.images[split.test[shuffled]])
    train = real.images[order]
    rng = torch.Generator().manual_seed(3)
    by_hand = {
        "given pictures": made[:n],
        FLOOR: train[-n:],
        GAUSSIAN: pca_gaussian(train, n, generator=rng),
        COPIES: train[:n],
    }
    assert [row.name for row in report.rows] == list(by_hand)
    for row in report.rows:
        x = net(by_hand[row.name])
        assert row.kid == kernel_distance(x, test)
        assert row.frechet == frechet_distance(x, test)  # 100 > 2 * 12 pictures on both sides
        assert row.neighbors == precision_recall(test, x)
        assert row.density == density_coverage(test, x)
    mine = net(made[:n])
    against = {k: paired_kernel_difference(test, mine, net(by_hand[k])) for k in (GAUSSIAN, FLOOR)}
    assert report.against_gaussian == against[GAUSSIAN]
    assert report.against_floor == against[FLOOR]
    held_out = real.images[split.held_out]
    assert report.memorization == memorization(made[:n], train, held_out, generator=rng)
    assert not set(map(bytes, by_hand[FLOOR].numpy())) & set(map(bytes, train[:n].numpy()))
    assert report.facts["n"] == 110
    assert report.facts["n_real"] == 100
    assert report.facts["n_train"] == 240


def test_test_pictures_are_the_reference(real, split):
    """Changing one of them changes the table; changing all validation pictures does not."""

    def table(images: ImageSet) -> tuple:
        return evaluate(made, images, split=split, extractor=StandIn()).rows

    made = scenes(60, seed=1)
    before = table(real)
    for side, same in (("validation", True), ("test", False)):
        changed = real.images.clone()
        index = getattr(split, side)
        changed[index if same else index[:1]] = 255 - changed[index if same else index[:1]]
        assert (table(dataclasses.replace(real, images=changed)) == before) is same


def test_copies_are_caught_though_their_distance_is_at_the_floor(real, split):
    copies = real.images[order_of(split, 5)[:100]]
    report = evaluate(copies, real, split=split, extractor=StandIn())
    kid, floor = report.rows[0].kid, report.rows[1].kid
    assert abs(kid.value - floor.value) < 3 * (kid.standard_error + floor.standard_error)
    assert report.against_floor.verdict == "undecided"
    assert report.memorization.flagged > 0.95
    assert "It repeats training pictures" in report.verdicts[2]
    honest = evaluate(scenes(100, seed=9), real, split=split, extractor=StandIn())
    assert honest.memorization.flagged < 0.2
    assert "No sign" in honest.verdicts[2]


def test_verdicts(real, split):
    good = evaluate(scenes(120, seed=2), real, split=split, extractor=StandIn())
    assert good.verdicts[0].startswith("Beats PCA-Gaussian")
    assert good.verdicts[1].startswith(
        "KID cannot tell it from the floor, from real pictures, at n = 120"
    )
    rng = torch.Generator().manual_seed(0)
    bad = torch.randint(0, 90, (120, 3, 16, 16), generator=rng, dtype=torch.uint8)
    report = evaluate(bad, real, split=split, extractor=StandIn())
    assert report.verdicts[0].startswith("Does not beat PCA-Gaussian")
    assert report.verdicts[1].startswith("KID tells it from the floor")


def test_text_is_complete_and_narrow(real, split):
    report = evaluate(scenes(50, seed=1), real, split=split, extractor=StandIn(64))
    text = str(report)
    words = " ".join(text.split())  # lines are wrapped
    for part in (
        "50 pictures a row, measured against 100 test pictures of scenes",
        "KID x 1000",
        "stand-in (sha256 abababab)",
        "8 x 8, area",
        "240 training pictures; seed 0.",
        "FID is left out: in 64 dimensions",
        "more than 128",
        "Memorization:",
        "Support size",
        FLOOR,
        GAUSSIAN,
        COPIES,
        *report.verdicts,
    ):
        assert part in words, part
    assert max(map(len, text.splitlines())) <= 100
    assert repr(report) == text  # what a notebook shows
    assert report.rows[0].frechet is None


def test_coverage_by_few_test_pictures_is_said_to_tell_nothing(real):
    """One note where 5 neighbors are over a twentieth; there even the Gaussian covers all."""
    order = torch.arange(400)
    for m in (25, 99, 100):
        split = Split(order[:240], order[240:300], order[300 : 300 + m])
        report = evaluate(scenes(120, seed=1), real, split=split, extractor=StandIn())
        told = [note for note in report.notes if note.startswith("Coverage tells")]
        assert len(told) == (m < 100)
        if m == 25:
            assert "with 25 pictures" in told[0]
            assert "its 5 nearest, 21% of the rest" in told[0]


def test_json_round_trip(real, split, tmp_path):
    path = tmp_path / "report.json"
    report = evaluate(scenes(50, seed=1), real, split=split, extractor=StandIn(), out=path)

    def refuse(word: str) -> None:
        raise AssertionError(word)  # NaN and Infinity are no JSON

    stored = json.loads(path.read_text(), parse_constant=refuse)
    assert stored == report.to_dict()
    assert stored["rows"][0]["kid"]["value"] == report.rows[0].kid.value
    odd = dataclasses.replace(report, facts={**report.facts, "nan": float("nan")})
    assert odd.to_dict()["facts"]["nan"] is None
    assert stored["verdicts"] == list(report.verdicts)


def test_a_place_that_cannot_be_written_costs_no_report(real, split, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="cannot be written"):
        report = evaluate(
            real.images[:30], real, split=split, extractor=StandIn(),
            out=tmp_path / "file" / "numbers.json",
        )  # fmt: skip
    assert len(report.rows) == 4


def test_compare_refuses_to_mix(real, split):
    def measure(seed: int, net: StandIn, n: int = 60) -> Any:
        return evaluate(scenes(60, seed), real, split=split, n=n, extractor=net)

    first, second = measure(1, StandIn()), measure(2, StandIn())
    lines = compare(first, second).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["given", "given", "real", GAUSSIAN, "copies"]
    with pytest.raises(GanBookError, match="extractor is stand-in in one and other in the other"):
        compare(first, measure(1, StandIn(name="other")))
    with pytest.raises(GanBookError, match="n is 60 in one and 50"):
        compare(first, measure(1, StandIn(), n=50))
    other = dataclasses.replace(real, images=real.images.flip(0))
    with pytest.raises(GanBookError, match="reference_sha256"):
        compare(first, evaluate(scenes(60, 1), other, split=split, n=60, extractor=StandIn()))


@pytest.fixture
def atelier_run(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "FRESH", 150)
    recipe = tiny(size=[16, 16])
    images = gb.load_images("atelier", 16, n=90)
    return gb.train(recipe, images, tmp_path / "run", steps=3, progress=False)


def test_a_run_loads_its_pictures_and_writes_its_report(atelier_run):
    net = StandIn()
    report = evaluate(atelier_run.folder, extractor=net)
    assert report.facts["n"] == report.facts["n_train"] == len(atelier_run.split.train)
    assert report.facts["n_real"] == 150
    stored = json.loads((atelier_run.folder / "evaluation.json").read_text())
    assert stored == report.to_dict()
    reference = gb.load_images("atelier", 16, n=150, seed=measuring.FRESH_SEED).images
    made = atelier_run.sample(report.facts["n"], seed=0)
    assert report.rows[0].kid == kernel_distance(net(made), net(reference))
    floor = gb.load_images("atelier", 16, n=len(made), seed=measuring.FRESH_SEED + 1).images
    assert report.rows[1].kid == kernel_distance(net(floor), net(reference))
    assert report.facts["n_held_out"] == 150  # thresholds from fresh pictures as well
    again = evaluate(atelier_run, gb.load_images("atelier", 16, n=90), extractor=net)
    assert again.rows == report.rows


def test_the_split_is_that_of_the_run(tmp_path):
    """Read from data.json, it holds out what `train` held out."""
    run = gb.train(tiny(), noise(160), tmp_path / "run", steps=2, holdout=60, progress=False)
    opened = gb.load_run(run.folder)
    found = measuring.split_of(opened, noise(160), measuring._records(opened)[1])
    for side in ("train", "validation", "test"):
        assert getattr(found, side).tolist() == getattr(run.split, side).tolist()


def test_fresh_pictures_are_painted_once(atelier_run):
    net = StandIn()
    first = evaluate(atelier_run.folder, extractor=net)
    calls = net.calls
    measuring._painted.cache_clear()  # as in a new process: now from the disk
    assert evaluate(atelier_run.folder, extractor=net).rows == first.rows
    assert net.calls - calls == 3  # generator, PCA-Gaussian, copies
    for path in (measuring.cache_dir() / "features").glob("*"):
        path.write_bytes(b"damaged")
    measuring._painted.cache_clear()
    assert evaluate(atelier_run.folder, extractor=net).rows == first.rows


def test_which_atelier_sets_can_be_painted_on():
    plain = gb.load_images("atelier", 16, n=40, seed=7)
    assert measuring._kin(plain) == (7, STYLES, tuple(PALETTES))
    assert measuring._kin(plain.subset([3, 1, 30])) == (7, STYLES, tuple(PALETTES))
    some = gb.load_images(
        "atelier", 16, n=40, styles=("glass", "dunes"), palettes=list(PALETTES)[:3]
    )
    assert measuring._kin(some) == (0, ("glass", "dunes"), tuple(PALETTES)[:3])
    gray = gb.load_images("atelier", 16, n=40, channels=1)
    assert measuring._kin(gray) == (0, STYLES, tuple(PALETTES))
    larger = gb.load_images("atelier", 32, n=40)
    for resized in (gb.load_images(larger, 16), gb.load_images(larger, 4)):
        assert measuring._kin(resized) is None  # fresh ones would not be made in this way
    rare = gb.load_images("atelier", 16, n=40, weights={"glass": 0.01})
    assert measuring._kin(rare) is None
    assert measuring._kin(noise()) is None
    own = gb.load_images("atelier", 16, n=20, seed=measuring.FRESH_SEED)
    kin = measuring._kin(own)
    assert len({measuring._fresh_seed(kin, 0), measuring._fresh_seed(kin, 1), kin[0]}) == 3


def test_styles_and_palettes(atelier_run):
    report = evaluate(atelier_run, gb.load_images("atelier", 16, n=90), extractor=Reader())
    modes = report.modes
    assert modes.styles == {name: float(name == STYLES[2]) for name in STYLES}
    assert modes.palettes[tuple(PALETTES)[1]] == 1.0
    cover, n = modes.coverage, report.facts["n"]
    assert (cover.captured, cover.modes) == (1, 96)
    assert cover.counts[2 * 8 + 1] == n - n // 2
    assert cover.unrecognized == pytest.approx((n // 2) / n)
    words = " ".join(str(report).split())
    assert f"1 of 96 (as many real pictures show {cover.floor_captured:.0f})" in words
    assert "glass 0%" in words


def test_styles_that_nobody_trained_on_are_not_recognized():
    chosen = gb.load_images("atelier", 16, n=40, styles=(STYLES[2], STYLES[5]))
    modes = read_modes(Reader(), chosen.images, chosen, equal=True)
    assert modes.coverage.modes == 2 * 8
    assert modes.coverage.counts[1] == 20  # the first of the chosen styles, the second palette
    other = gb.load_images("atelier", 16, n=40, styles=(STYLES[0], STYLES[5]))
    assert read_modes(Reader(), other.images, other, equal=True) is None
    assert read_modes(StandIn(), other.images, other, equal=True) is None


def test_kind_errors(real, split, atelier_run, tmp_path):
    made, net = scenes(60, seed=1), StandIn()

    def refused(match: str, *args: Any, **options: Any) -> None:
        with pytest.raises(GanBookError, match=match):
            evaluate(*args, **{"extractor": net} | options)

    refused("Say what to measure against", made)
    refused("not a dict", {}, real)
    refused("uint8", made.float(), real)
    refused(r"n, the pictures in a row, must be a whole number from 20 to 60", made, real, n=61)
    refused("whole number", made, real, n="many")
    refused("seed must be", made, real, seed=-1)
    refused("a row could have 15", made, real, split=Split(*torch.arange(90).split(30)))
    few = Split(torch.arange(300), torch.arange(300, 390), torch.arange(390, 400))
    refused("Only 10 pictures were held out for testing", made, real, split=few)
    refused(r"\[3, 16, 16\] and the real ones \[3, 8, 8\]", made, noise(200))
    refused("There is no extractor called 'unknown'", made, real, extractor="unknown")
    refused("There is no device", made, real, device="abacus")
    refused("shipped", tmp_path / "nowhere")
    refused("not those of the run .*--images", atelier_run, gb.load_images("atelier", 16, n=91))
    data = json.loads((atelier_run.folder / "data.json").read_text())
    (atelier_run.folder / "data.json").write_text(json.dumps(data | {"source": "lost"}))
    refused("cannot be loaded again .*--images", atelier_run.folder)
    points = Model(nn.Linear(1, 1), gb.recipe(next(r.name for r in all_recipes() if r.points)))
    refused("points in the plane", points, real)


def all_recipes() -> list[Any]:
    from gan_book.recipes import recipes

    return list(recipes())


def test_a_set_in_which_nothing_was_held_out(tmp_path):
    run = gb.train(tiny(), noise(90), tmp_path / "run", steps=2, holdout=0, progress=False)
    with pytest.raises(GanBookError, match="Only 0 pictures were held out"):
        evaluate(run, noise(90), extractor=StandIn())


@pytest.mark.slow
def test_a_thousand_pictures_at_64_are_measured_in_time():
    """All after the features within 5 s on one core; memorization apart."""
    made = gb.load_images("atelier", 64, n=1000, seed=1).images
    real = gb.load_images("atelier", 64, n=3200, seed=2)
    real = dataclasses.replace(real, name="pictures", labels=None, label_names=())
    order = torch.arange(3200)
    split = Split(order[:2000], order[2000:2200], order[2200:])
    report = evaluate(made, real, split=split, extractor=StandIn(192))
    assert report.facts["n"] == report.facts["n_real"] == 1000
    assert report.rows[0].frechet is not None
    print(report.facts["seconds"])
    assert report.facts["seconds"]["metrics"] < 5 * 3  # three times the bar: others may be working
