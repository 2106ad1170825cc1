"""The blind test: what pictures keep and lose, how judges are frozen, how answers are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gan_book import checkpoints as files
from gan_book.data import load_images, to_float
from gan_book.errors import GanBookError
from tests.benchmarks import blind, blind_pictures, blind_viewers
from tests.benchmarks.blind_viewers import places, scored


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def some() -> torch.Tensor:
    return load_images("atelier", size=32, n=24, seed=5).images


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """Atelier pictures in the place of the paintings."""
    uses = {"train": 40, "validation": 30, "test": 50}
    parts = {
        use: load_images("atelier", size=32, n=n, seed=60 + i).images
        for i, (use, n) in enumerate(uses.items())
    }
    monkeypatch.setattr(blind_pictures, "paintings", lambda: parts)
    monkeypatch.setattr(blind, "paintings", lambda: parts)
    return parts


def test_shuffled_pictures_have_the_same_squares_in_another_order(some: torch.Tensor) -> None:
    for side in (1, 8):
        mixed = blind_pictures.shuffled(some, side, rng())
        assert mixed.dtype == torch.uint8
        assert (mixed != some).float().mean() > 0.3
        both = [
            torch.nn.functional.unfold(x.float(), side, stride=side).mT for x in (some, mixed)
        ]  # (n, B, 3 side^2) each
        for before, after in zip(*both, strict=True):
            assert sorted(before.tolist()) == sorted(after.tolist())


def test_new_phases_keep_the_mean_and_the_amplitudes() -> None:
    x = (120 + 6 * torch.randn(4, 3, 32, 32, generator=rng())).round().to(torch.uint8)  # unclipped
    turned = blind_pictures.phases(x, rng())
    before, after = (torch.fft.rfft2(to_float(y)).abs() for y in (x, turned))
    # rounding to 256 levels adds to each amplitude about 32 * sqrt(1 / 12) levels
    assert (before - after).abs().mean() < 32 * (1 / 127.5)
    assert (before - after)[..., 0, 0].abs().max() < 1024 * 0.5 / 127.5
    assert (x.float() - turned.float()).abs().mean() > 3


def test_recolored_pictures_have_the_others_colors(some: torch.Tensor) -> None:
    like = (110 + 20 * torch.randn(24, 3, 32, 32, generator=rng())).clamp(0, 255)
    moved = blind_pictures.recolored(some, like.to(torch.uint8)).float().flatten(2)
    assert (moved.mean(2) - like.flatten(2).mean(2)).abs().mean() < 2
    spread = moved.std(2)
    assert 15 < spread.median() < 22


def test_two_colors_are_those_of_the_painting(some: torch.Tensor) -> None:
    ends = torch.zeros(24, 1, 8, 8)
    ends[:, :, 4:] = 255
    made = blind_pictures.two_colors(ends, some, rng())  # (24, 3, 8, 8)
    for picture, painting in zip(made, some, strict=True):
        known = {tuple(c) for c in painting.flatten(1).T.tolist()}
        assert {tuple(c) for c in picture.flatten(1).T.tolist()} <= known


@pytest.mark.usefixtures("pictures")
def test_kinds_are_pictures_and_nobody_is_tested_on_what_was_learned() -> None:
    kinds = {*blind.SEEN, *blind.UNSEEN, *blind.LATER, *blind.LAST} - {"fashion"}  # needs its files
    for kind in kinds:
        learned, met = (blind.not_painting(kind, 4, use, 0) for use in ("train", "test"))
        assert met.shape == (4, 3, 32, 32), kind
        assert met.dtype == torch.uint8, kind
        assert (met.flatten(1)[:, None] != learned.flatten(1)).any(2).all(), kind
        assert torch.equal(met, blind.not_painting(kind, 4, "test", 0)), kind


def test_a_judge_calls_as_many_validation_paintings_as_it_says() -> None:
    yes, held = (torch.randn(n, 6, generator=rng()) + 3 for n in (300, 200))
    no = torch.randn(300, 6, generator=rng()) - 3
    first = blind.Judge(yes, no, held, second=False)
    assert first.says(held).double().mean() == pytest.approx(blind.CALLED, abs=0.006)
    assert not first.says(no).any()
    second = blind.Judge(yes, no, held, second=True)
    assert 0.88 <= second.says(held).double().mean() <= 0.96


def test_only_the_second_judge_has_to_know_a_picture() -> None:
    yes, held = (torch.randn(n, 6, generator=rng()) + 3 for n in (300, 200))
    no = torch.randn(300, 6, generator=rng()) - 3
    never_met = 200 * torch.ones(5, 6)  # far out on the paintings' side
    assert blind.Judge(yes, no, held, second=False).says(never_met).all()
    assert not blind.Judge(yes, no, held, second=True).says(never_met).any()


def test_paintings_are_found_only_above_every_other_kind() -> None:
    called = {blind.MODEL: blind.counted(90, 100), "paintings": blind.counted(80, 85)}
    assert blind.finds(called | {"noise": blind.counted(60, 100)})
    assert not blind.finds(
        called | {"noise": blind.counted(0, 100), "dots": blind.counted(80, 100)}
    )


def test_seeds_are_pooled_and_the_same_paintings_are_counted_once() -> None:
    rows = [
        {
            kind: blind.counted(k + i, 10)
            for kind, k in zip(("paintings", blind.MODEL, "a", "b"), ks, strict=True)
        }
        for i, ks in enumerate([(8, 9, 1, 3), (6, 8, 2, 2)])
    ]
    found = blind.pooled(rows)
    assert {k: (x["called"], x["n"]) for k, x in found["called"].items()} == {
        "paintings": (8, 10), blind.MODEL: (18, 20), "a": (4, 20), "b": (6, 20),
    }  # fmt: skip
    assert found["worst"] == "b"
    assert (found["called"]["b"]["least"], found["called"]["b"]["most"]) == (0.3, 0.3)


@pytest.mark.usefixtures("pictures")
def test_sheets_tell_nothing_and_the_key_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = blind_viewers.ON_SHEET + blind_viewers.MIXED * blind_viewers.OF_EACH
    for count in ("MADE", "CONTROLS"):
        monkeypatch.setattr(blind_pictures, count, needed)
    blind.write_sheets(tmp_path)
    key = files.read_json(tmp_path / "key.json")
    assert key == places()
    assert {f.name for f in tmp_path.glob("*.png")} == {f"{name}.png" for name in key}
    sizes = set()
    for name, kinds in key.items():
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert not picture.info
            sizes.add((name[:5], picture.size))
        few = 1 if name.startswith("sheet") else len(blind_viewers.SHOWN)
        assert len(set(kinds)) == few
    assert len(sizes) == 2  # nor does a size
    assert {kinds[0] for name, kinds in key.items() if "sheet" in name} == set(blind_viewers.SHOWN)


def knowing(kinds: set[str]) -> dict[str, Any]:
    """The answers of a viewer who takes exactly these kinds for paintings."""
    told: dict[str, Any] = {"sheets": {}, "mixed": {}}
    for name, row in places().items():
        if name.startswith("sheet"):
            told["sheets"][name] = row[0] in kinds
        else:
            told["mixed"][name] = [i + 1 for i, kind in enumerate(row) if kind in kinds]
    return told


def test_answers_are_scored_by_kind_and_by_majority() -> None:
    both = {blind.MODEL, "paintings"}
    found = scored({"A": knowing(both), "B": knowing(both), "C": knowing({"paintings", "blocks"})})
    assert found["viewers"] == 3
    assert found["sheets"][blind.MODEL]["called"] == 2
    assert found["mixed"][blind.MODEL]["called"] == 20  # two of three said so
    assert found["mixed"]["blocks"]["called"] == found["mixed"]["gaussian"]["called"] == 0
    assert found["each"][blind.MODEL] == pytest.approx(2 / 3)
    assert found["by_viewer"]["C"]["blocks"] == 1
    assert found["finds"]
    assert not scored({"C": knowing({"paintings", "blocks"})})["finds"]


def test_answers_that_miss_a_sheet_or_a_picture_are_told() -> None:
    short, wild = knowing(set()), knowing(set())
    del short["sheets"]["sheet-2"]
    wild["mixed"]["mixed-1"] = [31]
    with pytest.raises(GanBookError, match="says nothing of sheet-2"):
        scored({"A": short})
    with pytest.raises(GanBookError, match="numbers 1 to 30"):
        scored({"A": wild})
    with pytest.raises(GanBookError, match="no viewer"):
        scored({})
