"""Copies are found, strangers are not accused, and the numbers beside them mean what they say."""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gan_book.errors import GanBookError
from gan_book.memorization import (
    Space,
    feature_space,
    memorization,
    nearest_features,
    nearest_pictures,
    picture_pairs,
    plant_copies,
    roc,
    search,
    support_size,
    threshold,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int, size: int, seed: int) -> torch.Tensor:
    """Random smooth color pictures, uint8 (n, 3, size, size)."""
    small = torch.rand(n, 3, 6, 6, generator=seeded(seed))
    large = functional.interpolate(small, size=(size, size), mode="bicubic").clamp(0, 1)
    return (255 * large).round().to(torch.uint8)


# --- nearest pictures ---


def test_explained_share_equals_least_squares() -> None:
    """One transform, brute force: recolor by least squares with a gain that is not negative."""
    queries, keys = blobs(4, 12, 0).float(), blobs(5, 12, 1).float()
    found = search.explained(queries, keys, 0, flips=False)
    noise = 144 * search.NOISE_LEVELS**2
    for i, query in enumerate(queries):
        for j, key in enumerate(keys):
            left, total = 0.0, 0.0
            for q, k in zip(query.flatten(1).double(), key.flatten(1).double(), strict=True):
                q, k = q - q.mean(), k - k.mean()
                gain = max(0.0, float(q @ k / (k @ k)))
                left += float((q - gain * k).square().sum()) + noise
                total += float(q @ q) + noise
            # The key's own noise term shrinks the correlation a little.
            assert float(found[i, j]) == pytest.approx(1 - left / total, abs=0.01)


def test_finds_mirrored_shifted_recolored_copies() -> None:
    keys = blobs(60, 32, 0)
    wide = functional.pad(keys.float(), (2, 2, 2, 2), mode="replicate")
    moved = wide[..., 3:35, 0:32].flip(-1)  # one row up, two columns to the right, then mirrored
    tint = torch.tensor([0.8, 1.1, 0.9])[:, None, None]
    copies = (moved * tint + 10).clamp(0, 255).round().to(torch.uint8)
    found = nearest_pictures(copies, keys)
    assert torch.equal(found.index, torch.arange(60))
    assert float(found.distance.median()) < 0.1
    assert bool(found.flip.all())
    assert (found.shift == torch.tensor([1, 2])).all(dim=1).double().mean() > 0.95
    without = nearest_pictures(copies, keys, flips=False)
    assert float(without.distance.median()) > 3 * float(found.distance.median())


def test_exact_copy_and_negative() -> None:
    keys = blobs(20, 32, 3)
    found = nearest_pictures(keys, keys)
    assert torch.equal(found.index, torch.arange(20))
    assert float(found.distance.max()) < 0.06
    assert not bool(found.flip.any())
    negative = nearest_pictures(255 - keys[:1], keys[:1], flips=False)
    assert float(negative.distance) > 0.7  # no gain below 0


def test_two_stages_agree_with_all_pairs_in_detail() -> None:
    keys, queries = blobs(60, 32, 0), blobs(30, 32, 1)
    fast = nearest_pictures(queries, keys)
    exact = nearest_pictures(queries, keys, candidates=None)
    assert (fast.index == exact.index).double().mean() >= 0.9
    assert bool((fast.distance >= exact.distance - 1e-6).all())
    assert float((fast.distance - exact.distance).max()) < 0.03
    chunked = nearest_pictures(queries, keys, chunk=7)
    assert torch.equal(chunked.index, fast.index)


def test_flat_pictures_are_no_evidence() -> None:
    flat = torch.full((3, 3, 32, 32), 90, dtype=torch.uint8)
    flat[:, :, ::2] += 1
    keys = torch.cat([flat, blobs(5, 32, 0)])
    assert float(nearest_pictures(flat, keys).distance.min()) > 0.9
    rich = nearest_pictures(blobs(4, 32, 1), flat)
    assert float(rich.distance.min()) > 0.9


def test_uint8_and_floats_agree() -> None:
    keys, queries = blobs(10, 32, 0), blobs(6, 32, 1)
    floats = nearest_pictures(queries.float() / 127.5 - 1, keys.float() / 127.5 - 1)
    bytes_ = nearest_pictures(queries, keys)
    assert torch.equal(floats.index, bytes_.index)
    assert torch.allclose(floats.distance, bytes_.distance, atol=1e-4)


def test_gray_and_oblong_pictures() -> None:
    keys = blobs(12, 64, 0)[:, :1, :40]
    found = nearest_pictures(keys.flip(-1), keys)
    assert torch.equal(found.index, torch.arange(12))


@pytest.mark.parametrize(
    ("queries", "keys", "shifts", "words"),
    [
        (blobs(2, 32, 0), blobs(2, 28, 0), 2, "one size"),
        (blobs(2, 32, 0), blobs(2, 32, 0)[:0], 2, "at least 1"),
        (blobs(2, 8, 0), blobs(2, 8, 0), 3, "too many"),
        (torch.full((1, 3, 16, 16), torch.nan), torch.zeros(1, 3, 16, 16), 1, "not finite"),
    ],
)
def test_bad_pictures_get_a_sentence(
    queries: torch.Tensor, keys: torch.Tensor, shifts: int, words: str
) -> None:
    with pytest.raises(GanBookError, match=words):
        nearest_pictures(queries, keys, shifts=shifts)


def test_nearest_features_by_loops() -> None:
    a = torch.randn(20, 5, generator=seeded(0), dtype=torch.float64)
    b = torch.randn(30, 5, generator=seeded(1), dtype=torch.float64)
    found = nearest_features(a, b)
    every = torch.cdist(a, b)
    assert torch.equal(found.index, every.argmin(1))
    assert torch.allclose(found.distance, every.min(1).values)


# --- support size ---


def test_support_size_of_a_known_number_of_pictures() -> None:
    pool = torch.randn(200, 8, generator=seeded(0), dtype=torch.float64)
    covered = 0
    for seed in range(100):
        draws = pool[torch.randint(0, 200, (150,), generator=seeded(seed))]
        result = support_size(draws, 1e-6, space=feature_space())
        covered += result.low <= 200 <= result.high
        assert result.pairs == 150 * 149 // 2
    assert covered >= 89
    picks = torch.randint(0, 200, (2000,), generator=seeded(1))
    large = support_size(pool[picks], 1e-6, space=feature_space())
    assert large.value == pytest.approx(200, rel=0.1)
    assert large.batch == pytest.approx(math.sqrt(2 * math.log(2) * large.value))
    # By hand: equal pairs among the picks.
    counts = torch.bincount(picks)
    assert large.collisions == int((counts * (counts - 1) // 2).sum())


def test_support_size_without_collisions_is_a_lower_bound() -> None:
    result = support_size(torch.randn(100, 4, generator=seeded(0)), 1e-9, space=feature_space())
    assert result.value == math.inf
    assert result.low == pytest.approx(4950 / 3)
    assert "low 1650" in str(result)
    with pytest.raises(GanBookError, match="two pictures"):
        support_size(torch.zeros(1, 4), 0.1, space=feature_space())


def test_picture_pairs_see_duplicates_under_disguise() -> None:
    originals = blobs(10, 32, 0)
    both = torch.cat([originals, plant_copies(originals, generator=seeded(1))])
    distance = picture_pairs(both)
    assert torch.equal(distance, distance.T)
    assert torch.equal(distance.argmin(1), (torch.arange(20) + 10) % 20)


# --- thresholds and curves ---


def test_threshold_keeps_its_promise_and_roc_is_the_rank_statistic() -> None:
    assert threshold(torch.arange(1.0, 20.0), 0.05) == 1.0
    assert threshold(torch.arange(1.0, 19.0), 0.05) == -math.inf
    alarms = []
    for seed in range(200):
        draws = torch.rand(100, generator=seeded(seed), dtype=torch.float64)
        alarms.append(threshold(draws[:50], 0.1))  # uniform: the threshold is the alarm rate
    assert np.mean(alarms) == pytest.approx(5 / 51, abs=0.01)
    copies = torch.tensor([0.1, 0.2, 0.4, 0.4])
    heldout = torch.tensor([0.3, 0.4, 0.5])
    curve = roc(copies, heldout)
    pairs = [(1.0 if c < h else 0.5 if c == h else 0.0) for c in copies for h in heldout]
    assert curve.area == pytest.approx(np.mean(pairs))
    assert curve.recall[0] == 0.5  # two copies lie below every held-out picture
    assert curve.recall[-1] == 1.0
    assert list(curve.recall) == sorted(curve.recall)


# --- the report ---


def test_report_finds_the_copies_and_no_others() -> None:
    train, heldout, fresh = blobs(120, 32, 0), blobs(80, 32, 1), blobs(90, 32, 2)
    generated = torch.cat([fresh, plant_copies(train[50:60], generator=seeded(3))])
    result = memorization(generated, train, heldout, generator=seeded(4), worst=10)
    assert {p.generated for p in result.suspicious} == set(range(90, 100))
    assert {p.train for p in result.suspicious} == set(range(50, 60))
    assert all(p.margin < 1 for p in result.suspicious)
    assert 0.1 <= result.flagged <= 0.25
    assert result.recall >= 0.95
    assert result.roc.area > 0.99
    assert result.near_collisions <= 0.05
    assert 0.08 <= result.copies <= 0.2
    assert result.thresholds.keys() == {-1}
    assert "\n" not in str(result)
    assert result == memorization(generated, train, heldout, generator=seeded(4), worst=10)


def test_strangers_are_not_accused_and_a_copier_is() -> None:
    train, heldout = blobs(120, 32, 0), blobs(60, 32, 1)
    honest = memorization(blobs(100, 32, 2), train, heldout, generator=seeded(0))
    assert honest.flagged_interval[0] < 0.06
    assert abs(honest.nearer_train - honest.nearer_expected) < 3 * honest.nearer_error
    assert honest.nearer_expected == pytest.approx(2 / 3)
    copier = memorization(train[:60].repeat(2, 1, 1, 1), train, heldout, generator=seeded(0))
    assert copier.flagged == copier.copies == copier.nearer_train == 1.0
    assert copier.nearer_train > copier.nearer_expected + 3 * copier.nearer_error
    assert copier.support.value < 120 < copier.support_train.low


def test_nearer_train_error_holds_with_hubs() -> None:
    """In high dimensions few references are the nearest of many rows; the error knows."""
    off = []
    for seed in range(60):
        rows = torch.randn(160, 40, generator=seeded(seed))
        result = memorization(
            rows[:60],
            rows[60:110],
            rows[110:],
            generator=seeded(0),
            space=feature_space(),
            copies=rows[60:80],
        )
        off.append((result.nearer_train - result.nearer_expected) / result.nearer_error)
    assert abs(np.mean(off)) < 0.5
    assert 0.7 < np.std(off) < 1.4


def test_thresholds_by_style() -> None:
    """Plain pictures have honest look-alikes; rich ones keep their own, stricter judgment."""
    grid = torch.linspace(0, 1, 32)
    slopes = torch.rand(400, generator=seeded(0)) * 0.2 + 0.9
    plain = (200 * (grid[None] ** slopes[:, None]))[:, None, None, :].expand(-1, 3, 32, -1)
    plain = plain.round().to(torch.uint8)
    train = torch.cat([plain[:150], blobs(150, 32, 0)])
    heldout = torch.cat([plain[150:250], blobs(100, 32, 1)])
    styles = torch.arange(2).repeat_interleave(150)
    copies = plant_copies(train[200:230], generator=seeded(2))
    result = memorization(copies, train, heldout, generator=seeded(3), styles=styles)
    assert result.thresholds[0] < result.thresholds[1]
    assert result.flagged > 0.95
    assert result.recall_by_style[1] > 0.95 > result.recall_by_style[0]
    with pytest.raises(GanBookError, match="Styles"):
        memorization(copies, train, heldout, generator=seeded(3), styles=styles[:5])


def test_feature_space_report() -> None:
    train = torch.randn(100, 6, generator=seeded(0))
    heldout, fresh = (
        torch.randn(50, 6, generator=seeded(1)),
        torch.randn(40, 6, generator=seeded(2)),
    )
    space: Space = feature_space()
    arguments = {"generator": seeded(3), "space": space, "copies": train + 0.01}
    result = memorization(torch.cat([fresh, train[:5] + 0.01]), train, heldout, **arguments)
    assert {p.generated for p in result.suspicious[:5]} == set(range(40, 45))
    with pytest.raises(GanBookError, match="copies="):
        memorization(fresh, train, heldout, generator=seeded(3), space=space)
    with pytest.raises(GanBookError, match="hold out"):
        memorization(fresh, train, heldout[:18], **arguments)


def test_planted_copies_keep_shape_type_and_seed() -> None:
    pictures = blobs(6, 32, 0)[..., :20]
    copies = plant_copies(pictures, generator=seeded(1))
    assert copies.shape == pictures.shape
    assert copies.dtype == torch.uint8
    assert torch.equal(copies, plant_copies(pictures, generator=seeded(1)))
    floats = plant_copies(pictures.float() / 127.5 - 1, generator=seeded(1))
    assert float((floats - (copies.float() / 127.5 - 1)).abs().max()) < 0.01
    still = plant_copies(pictures, generator=seeded(2), shift=0, recolor=0, noise=0)
    same = (still == pictures).flatten(1).all(1) | (still == pictures.flip(-1)).flatten(1).all(1)
    assert bool(same.all())


# --- real paintings ---


@pytest.fixture(scope="module")
def paintings() -> torch.Tensor:
    """1,000 paintings, uint8 (1000, 3, 64, 64)."""
    folder = os.environ.get("GAN_BOOK_REAL_DATA")
    if not folder:
        pytest.skip("GAN_BOOK_REAL_DATA is not set: real paintings are not at hand")
    from PIL import Image

    with zipfile.ZipFile(Path(folder) / "paintings-pd-128.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".jpg"))
        order = torch.randperm(len(names), generator=seeded(0))[:1000].tolist()
        pictures = [
            np.asarray(
                Image.open(io.BytesIO(archive.read(names[i])))
                .convert("RGB")
                .resize((64, 64), Image.Resampling.BOX)
            )
            for i in order
        ]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("size", [32, 64])
def test_copies_of_paintings_are_found(paintings: torch.Tensor, size: int) -> None:
    pictures = search.as_levels(paintings, size).round().to(torch.uint8)
    train, heldout, fresh = pictures[:500], pictures[500:650], pictures[650:800]
    result = memorization(fresh, train, heldout, generator=seeded(0))
    assert result.recall >= 0.95
    assert result.roc.area > 0.99
    assert result.flagged_interval[0] <= 0.05  # fresh paintings pass
    assert abs(result.nearer_train - result.nearer_expected) < 3 * result.nearer_error
    mixed = torch.cat([fresh[:40], plant_copies(train[:5], generator=seeded(9))])
    worst = memorization(mixed, train[:100], heldout[:40], generator=seeded(0)).suspicious[:5]
    assert {(p.generated - 40, p.train) for p in worst} == {(i, i) for i in range(5)}
