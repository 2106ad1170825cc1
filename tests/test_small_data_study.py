"""The study of few pictures: who trains and who judges, the leak test, what a run keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gan_book import augment
from gan_book.augment import AugmentDraws
from gan_book.checkpoints import load_tensors
from gan_book.data import to_float
from gan_book.errors import GanBookError
from tests.benchmarks import small_data


def test_nobody_who_judges_has_trained_and_larger_sets_contain_the_smaller() -> None:
    images, split = small_data.pictures_of(0, 2_000)
    parts = [part.tolist() for part in (split.train, split.validation, split.test)]
    assert [len(part) for part in parts] == [2_000, 100, 400]
    assert sorted(i for part in parts for i in part) == list(range(2_500))
    few = small_data.pictures_of(0, 100)[1]
    assert few.train.tolist() == parts[0][:100]
    assert few.test.tolist() == parts[2]
    held_out = {images.images[i].numpy().tobytes() for i in parts[1] + parts[2]}
    assert not held_out & {images.images[i].numpy().tobytes() for i in parts[0]}


def test_a_run_is_measured_densely_at_first_and_at_its_end() -> None:
    for total in (256_000, 320_000, 512_000, 1_024_000, 5_120_000):
        marks = small_data.moments(total)
        assert marks[0] == 0
        assert marks[-1] == total
        assert marks == sorted(set(marks))


def test_each_trait_sees_the_operation_that_it_is_for() -> None:
    x = to_float(small_data.pictures_of(0, 100)[0].images[:200])
    draws = {
        "light": AugmentDraws(
            *(torch.full((200,), v) for v in (0.4, 1.0, 1.0)), torch.ones(200) > 0
        ),
        "contrast": AugmentDraws(
            *(torch.full((200,), v) for v in (0.0, 1.0, 0.5)), torch.ones(200) > 0
        ),
        "color": AugmentDraws(
            *(torch.full((200,), v) for v in (0.0, 0.2, 1.0)), torch.ones(200) > 0
        ),
        "gray": augment.draw(200, (16, 16), ["cutout"], 1.0, torch.Generator().manual_seed(0)),
    }
    clean = small_data.traits(x)
    for name, drawn in draws.items():
        moved = small_data.traits(augment.apply(x, drawn))[name]
        assert abs(moved.mean() - clean[name].mean()) > clean[name].std()


def test_a_run_keeps_both_networks_and_measures_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_data, "RUNS", tmp_path)
    monkeypatch.setattr(small_data, "FRESH", 100)
    monkeypatch.setattr(small_data, "DRAWN", 20)
    monkeypatch.setattr(small_data, "LAST", 20)
    small_data.fresh.cache_clear()
    record = small_data.cell(100, "augmented", 0, 128)
    small_data.fresh.cache_clear()
    assert [point["images"] for point in record["curve"]] == [64]
    point = record["curve"][0]
    assert {"kid", "validation_kid", "train", "held_out", "generated_augmented"} <= set(point)
    folder = tmp_path / "n100-augmented-seed0"
    tensors, about = load_tensors(folder / "final.safetensors")
    assert about["images"] == 128
    assert {name.split(".")[0] for name in tensors} == {"generator", "discriminator"}
    generator, recipe = small_data.open_generator(folder / "final.safetensors")
    assert generator(torch.randn(2, 64)).shape == (2, *recipe.sample_shape)
    with pytest.raises(GanBookError, match="measure the cells"):
        small_data.open_generator(tmp_path / "none.safetensors")
