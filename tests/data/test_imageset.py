from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from gan_book.data import ImageSet, LoadReport, to_float, to_uint8
from gan_book.errors import GanBookError


def pictures(n: int, seed: int = 0, size: int = 4) -> ImageSet:
    generator = torch.Generator().manual_seed(seed)
    return ImageSet(
        torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)
    )


def test_to_uint8_inverts_to_float_on_all_values() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values)[[0, 255]].tolist() == [-1.0, 1.0]


def test_to_uint8_rounds_clamps_and_accepts_any_float() -> None:
    x = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0, float("nan"), float("inf"), -float("inf")])
    expected = [0, 0, 128, 255, 255, 128, 255, 0]  # 127.5 rounds to the even 128
    assert to_uint8(x).tolist() == expected
    assert to_uint8(x.bfloat16()).tolist() == expected
    assert to_uint8(torch.tensor([1 / 127.5 - 1 + 0.003], requires_grad=True)).tolist() == [1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": torch.zeros(5, 3, 4, 4)}, "uint8"),
        ({"images": torch.zeros(5, 4, 4, dtype=torch.uint8)}, r"\(N, C, H, W\)"),
        ({"images": torch.zeros(5, 2, 4, 4, dtype=torch.uint8)}, "channels"),
        ({"images": [1, 2]}, "list"),
        ({"labels": torch.zeros(5)}, "int64"),
        ({"labels": torch.zeros(4, dtype=torch.int64)}, r"shape \(5,\)"),
        ({"labels": torch.arange(5), "label_names": ("a", "b")}, "2 label names"),
        ({"labels": torch.arange(5) - 1, "label_names": tuple("abcde")}, "-1"),
        ({"attributes": {"style": torch.zeros(3, dtype=torch.int64)}}, "style"),
        ({"ids": ("a",)}, "1 ids"),
        ({"groups": ("a", "b")}, "2 groups"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict, sentence: str) -> None:
    with pytest.raises(GanBookError, match=sentence):
        replace(pictures(5), **change)


def test_subset_takes_everything_along() -> None:
    base = replace(
        pictures(6),
        labels=torch.tensor([0, 1, 0, 1, 0, 1]),
        label_names=("even", "odd"),
        attributes={"style": torch.arange(6)},
        ids=tuple("abcdef"),
        groups=tuple("uvwxyz"),
    )
    part = base.subset([5, 0, 5])
    assert torch.equal(part.images, base.images[[5, 0, 5]])
    assert part.labels is not None
    assert part.labels.tolist() == [1, 0, 1]
    assert part.attributes["style"].tolist() == [5, 0, 5]
    assert part.ids == ("f", "a", "f")
    assert part.groups == ("z", "u", "z")
    assert part.num_classes == 2
    assert len(base.subset(torch.zeros(0, dtype=torch.int64))) == 0
    with pytest.raises(GanBookError, match="0 to 5"):
        base.subset([6])


def test_hashes_and_fingerprint_depend_on_content_shape_order_and_labels() -> None:
    base = pictures(5)
    assert base.fingerprint() == pictures(5).fingerprint()
    assert len(set(base.content_hashes())) == 5
    assert base.subset([1, 0, 2, 3, 4]).fingerprint() != base.fingerprint()
    assert replace(base, labels=torch.zeros(5, dtype=torch.int64)).fingerprint() != (
        base.fingerprint()
    )
    flat = ImageSet(base.images.reshape(5, 3, 2, 8))  # the same bytes in another shape
    assert flat.content_hashes()[0] != base.content_hashes()[0]
    channels_last = ImageSet(base.images.contiguous(memory_format=torch.channels_last))
    assert channels_last.fingerprint() == base.fingerprint()
    changed = base.images.clone()
    changed[2, 0, 0, 0] += 1
    differ = [
        a != b
        for a, b in zip(ImageSet(changed).content_hashes(), base.content_hashes(), strict=True)
    ]
    assert differ == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("n", "holdout", "held"),
    [
        (1000, "auto", 100),
        (400, "auto", 64),
        (256, "auto", 64),
        (100, "auto", 25),
        (8, "auto", 2),
        (1000, 0, 0),
        (1000, 0.25, 250),
        (1000, 30, 30),
        (1000, "0.25", 250),
        (1000, "30", 30),
        (3, 2, 2),
    ],
)
def test_split_sizes(n: int, holdout: str | float, held: int) -> None:
    split = pictures(n).split(holdout)
    assert split.counts() == {
        "train": n - held,
        "validation": held // 2,
        "test": held - held // 2,
    }
    everything = torch.cat([split.train, split.held_out])
    assert everything.sort().values.tolist() == list(range(n))
    assert all(
        part.dtype == torch.int64 and part.tolist() == sorted(part.tolist())
        for part in (split.train, split.validation, split.test)
    )


@pytest.mark.parametrize("holdout", ["some", -1, 1.5, True, float("nan"), 1000, 999.5, None, 1])
def test_impossible_holdouts_are_refused(holdout: object) -> None:
    with pytest.raises(GanBookError, match="hold"):
        pictures(1000).split(holdout)  # type: ignore[arg-type]


def test_a_tiny_set_says_that_it_is_too_small() -> None:
    with pytest.raises(GanBookError, match=r"7 pictures is too small.*--holdout 0 \(holdout=0\)"):
        pictures(7).split()
    assert len(pictures(7).split(0).train) == 7


def sides(images: ImageSet, seed: int = 0) -> dict[str, str]:
    split, hashes = images.split(seed=seed), images.content_hashes()
    return {hashes[i]: side for side in split.counts() for i in getattr(split, side).tolist()}


def test_split_ignores_the_order_of_files() -> None:
    base = pictures(500)
    shuffled = base.subset(torch.randperm(500, generator=torch.Generator().manual_seed(3)))
    assert sides(base) == sides(shuffled)
    assert sides(base) != sides(base, seed=1)


def test_a_picture_keeps_its_side_when_a_few_are_added() -> None:
    base = pictures(1000)
    more = ImageSet(torch.cat([pictures(50, seed=9).images, base.images]))
    before, after = sides(base), sides(more)
    moved = sum(before[key] != after[key] for key in before)
    assert moved <= 30  # only those near the border between two sides


def test_equal_pictures_and_equal_groups_stay_together() -> None:
    base = pictures(600)
    images = base.images.clone()
    images[300:400] = images[200:300]  # a hundred pairs of duplicates
    artists = [f"artist {i // 6}" if i < 240 else "" for i in range(600)]
    for seed in range(5):
        made = ImageSet(images, groups=tuple(artists))
        split, hashes = made.split(seed=seed), made.content_hashes()
        assert split.counts() == {"train": 536, "validation": 32, "test": 32}
        place = {i: side for side in split.counts() for i in getattr(split, side).tolist()}
        for keys in (hashes, artists):
            where: dict[str, set[str]] = {}
            for i, key in enumerate(keys):
                where.setdefault(key, set()).add(place[i])
            where.pop("", None)
            assert all(len(found) == 1 for found in where.values())
        assert len({place[i] for i in range(240)}) > 1  # some artists are held out


def test_a_chain_of_duplicates_joins_groups() -> None:
    images = pictures(40).images.clone()
    images[1] = images[2]  # the same picture under two artists: both artists move together
    groups = ("a", "a", "b", "b", *[""] * 36)
    for seed in range(20):
        place = {}
        made = ImageSet(images, groups=groups)
        split = made.split(0.5, seed)
        for side in split.counts():
            place |= dict.fromkeys(getattr(split, side).tolist(), side)
        assert len({place[i] for i in range(4)}) == 1


def test_groups_too_large_to_hold_out_are_said() -> None:
    with pytest.raises(GanBookError, match="3 groups"):
        replace(pictures(600), groups=tuple("abc"[i % 3] for i in range(600))).split()
    with pytest.raises(GanBookError, match="1 groups"):
        ImageSet(torch.zeros(600, 3, 4, 4, dtype=torch.uint8)).split()


def test_report_reads_well_and_fits_json() -> None:
    report = LoadReport("folder", kept=10, refused=(("a.jpg", "it is empty"),), duplicates=2)
    assert report.summary() == "10 pictures kept, 1 refused, 2 duplicates (folder)"
    few = LoadReport("folder", kept=10, duplicates=1, ignored=1)
    assert few.summary() == "10 pictures kept, 0 refused, 1 duplicate, 1 side file ignored (folder)"
    assert replace(few, ignored=2).summary().endswith("2 side files ignored (folder)")
    assert json.loads(json.dumps(report.to_dict()))["refused"] == [["a.jpg", "it is empty"]]
