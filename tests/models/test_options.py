"""Recipes come from strangers: what cannot be built is refused with one sentence."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_book.errors import GanBookError
from gan_book.models import (
    DISCRIMINATORS,
    GENERATORS,
    MAX_PARAMETERS,
    build_discriminator,
    build_generator,
    count_parameters,
)
from gan_book.models.checks import start_grid

BUILDERS = (build_generator, build_discriminator)


def test_both_tables_have_the_same_kinds_but_two() -> None:
    assert list(GENERATORS)[:3] == ["mlp", "dcgan", "r3gan"]
    kinds = [kind for kind in DISCRIMINATORS if kind != "unet"]  # its generator takes pictures
    assert kinds == [kind for kind in GENERATORS if kind != "inr"]  # any D that sees pixels judges


NAN = float("nan")
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"model": "9"}, "choose one of mlp, dcgan, r3gan"),
    ({"model": 3}, "choose one of"),
    ({"model": "dcgan", "widht": 64}, "did you mean 'width'"),
    ({"model": "dcgan", "blocks": 2}, "choose one of"),
    ({"model": "dcgan", "size": None}, "'size'"),
    ({"model": "dcgan", "size": (32, 32, 32)}, "'size'"),
    ({"model": "dcgan", "size": "32"}, "'size'"),
    ({"model": "dcgan", "size": 32.0}, "'size'"),
    ({"model": "dcgan", "size": True}, "'size'"),
    ({"model": "dcgan", "size": 10**5000}, "'size'"),
    ({"model": "dcgan", "size": 4}, "8 x 8"),
    ({"model": "dcgan", "size": (50, 48)}, "48 x 48 or 56 x 48"),
    ({"model": "dcgan", "size": 30, "start": 4}, "32 x 32"),
    ({"model": "dcgan", "size": (32, 48), "start": [4, 4]}, "start grid 4 x 4"),
    ({"model": "dcgan", "start": 0}, "'start'"),
    ({"model": "dcgan", "width": -1}, "'width'"),
    ({"model": "dcgan", "width": NAN}, "'width'"),
    ({"model": "dcgan", "width": False}, "'width'"),
    ({"model": "dcgan", "max_width": 0}, "'max_width'"),
    ({"model": "dcgan", "batch_norm": 1}, "true or false"),
    ({"model": "dcgan", "channels": 0}, "'channels'"),
    ({"model": "dcgan", "num_classes": -1}, "'num_classes'"),
    ({"model": "dcgan", "num_classes": 6, "factors": 6}, "list of two or more"),
    ({"model": "dcgan", "num_classes": 6, "factors": [6]}, "list of two or more"),
    ({"model": "dcgan", "num_classes": 6, "factors": [6, 1]}, "'factors'"),
    ({"model": "dcgan", "num_classes": 6, "factors": [2, 2]}, "is 4"),
    ({"model": "dcgan", "factors": [2, 2]}, "number of classes, 0"),
    ({"model": "r3gan", "group_width": 36}, "groups of 36"),
    ({"model": "r3gan", "group_width": "sparse"}, "dense"),
    ({"model": "r3gan", "group_width": 0}, "'group_width'"),
    ({"model": "r3gan", "group_width": 4096}, "groups of 4096"),
    ({"model": "r3gan", "blocks": [2, 2]}, "4 resolutions"),
    ({"model": "r3gan", "widths": [64]}, "2 to 11"),
    ({"model": "r3gan", "widths": [64, 64, NAN, 64]}, "'widths'"),
    ({"model": "r3gan", "widths": [64] * 7}, "64 x 64"),
    ({"model": "r3gan", "widths": {"a": 1}}, "'widths'"),
    ({"model": "r3gan", "expansion": 1.5}, "'expansion'"),
    ({"model": "mlp", "layers": 0}, "'layers'"),
    ({"model": "mlp", "width": "64"}, "'width'"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_wrong_options_get_a_sentence(options: dict[str, Any], words: str) -> None:
    for build in BUILDERS:
        with pytest.raises(GanBookError, match=re.escape(words)) as caught:
            build(**({"size": 32} | options))
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"z_dim": 0},
        {"upsampling": "bicubic"},
        {"interpolation": None},
        {"embedding": -3},
        {"z_dim": 1e3},
    ],
)
def test_wrong_generator_options(options: dict[str, Any]) -> None:
    with pytest.raises(GanBookError, match=next(iter(options))):
        build_generator("dcgan", size=32, **options)
    if "z_dim" not in options and "embedding" not in options:
        with pytest.raises(GanBookError, match="no option"):
            build_discriminator("dcgan", size=32, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"model": "dcgan", "width": 65_536},
        {"model": "dcgan", "num_classes": 1_000_000, "width": 500},
        {"model": "r3gan", "widths": 8192},
        {"model": "mlp", "width": 65_536},
    ],
)
def test_absurd_sizes_are_refused_before_memory_is_taken(options: dict[str, Any]) -> None:
    for build in BUILDERS:
        # the discriminator's label vectors are as wide as its features, the generator's are chosen
        extra = {"embedding": 4000} if build is build_generator and "num_classes" in options else {}
        with pytest.raises(GanBookError, match="500,000,000 that are allowed"):
            build(**{"size": 32, **options, **extra})


def _sizes_in(text: str) -> list[tuple[int, int]]:
    return [(int(h), int(w)) for h, w in re.findall(r"(\d+) x (\d+)", text)]


@pytest.mark.parametrize("low", [1, 8, 100])
def test_every_size_has_a_start_grid_or_neighbors_that_have(low: int) -> None:
    for h in range(low, low + 60):
        for w in range(1, 150, 1 if low == 8 else 7):
            try:
                grid, k = start_grid((h, w))
            except GanBookError as error:
                message = str(error)
            else:
                assert (grid[0] << k, grid[1] << k) == (h, w)
                assert 4 <= min(grid) < 8
                assert k >= 1
                continue
            asked, *near = _sizes_in(message)
            assert asked == (h, w)
            assert all(start_grid(size) for size in near)
            assert near[0][0] <= max(h, 8) <= near[-1][0]
            assert near[0][1] <= max(w, 8) <= near[-1][1]


def test_start_grids_by_example() -> None:
    assert start_grid((32, 48)) == ((4, 6), 3)
    assert start_grid((28, 28)) == ((7, 7), 2)
    assert start_grid((24, 96)) == ((6, 24), 2)
    assert start_grid((36, 36), start=9) == ((9, 9), 2)
    assert start_grid((96, 64), doublings=5) == ((3, 2), 5)


numbers = st.one_of(
    st.integers(),
    st.integers(-2, 70),
    st.sampled_from([8, 16, 32, 64, 10**30, 2**62, 65_536]),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.sampled_from(["dense", "resize", "transposed", "bilinear", "nearest"]),
)
values = st.one_of(
    numbers, st.lists(numbers, max_size=6), st.dictionaries(st.text(), numbers, max_size=1)
)
names = st.sampled_from(
    [
        "z_dim",
        "width",
        "max_width",
        "batch_norm",
        "upsampling",
        "interpolation",
        "start",
        "embedding",
        "factors",
        "widths",
        "blocks",
        "group_width",
        "expansion",
        "layers",
        "out",
        "inputs",
        "table",
        "size",
        "channels",
        "num_classes",
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(BUILDERS),
    st.one_of(st.sampled_from(["mlp", "dcgan", "r3gan"]), values),
    st.dictionaries(names, values, max_size=3),
)
def test_hostile_options_are_built_or_refused(
    build: Any, model: Any, options: dict[str, Any]
) -> None:
    try:
        with torch.device("meta"):
            net = build(model, **({"size": 16} | options))
    except GanBookError as error:
        refusal = str(error)
    else:
        assert 0 < count_parameters(net) <= MAX_PARAMETERS
        return
    assert 20 < len(refusal) < 500
