"""Recipes: schedules against their formula, the checker against hostile tables."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gan_book as gb
from gan_book import augment, losses
from gan_book.errors import GanBookError
from gan_book.models import build_discriminator, build_generator
from gan_book.recipes import Ramp, from_dict, recipe, recipe_names, recipes, schema
from tests.tiny import TINY, tiny

EXAMPLES = int(os.environ.get("GAN_BOOK_FUZZ", "500"))


def test_ramp_is_half_a_cosine_then_constant():
    ramp = Ramp(2.0, 1.0, 100)
    assert ramp.value(0) == 2.0
    assert ramp.value(50) == pytest.approx(1.5)
    assert ramp.value(25) == pytest.approx(1.0 + 0.5 * (1 + math.cos(math.pi / 4)))
    assert ramp.value(100) == ramp.value(10**9) == 1.0
    assert Ramp(3.0, 3.0).value(7) == 3.0


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_are_whole_and_buildable(name):
    chosen = recipe(name)
    assert chosen.name == name
    assert 10 < len(chosen.summary) < 120
    assert from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    import torch

    with torch.device("meta"):
        for build, table in (
            (build_generator, chosen.generator),
            (build_discriminator, chosen.discriminator),
        ):
            options = {k: v for k, v in table.items() if k != "model"}
            shape = {} if chosen.points else {"size": chosen.size, "channels": chosen.channels}
            build(table["model"], num_classes=chosen.num_classes, **shape, **options)


def test_the_schema_knows_the_losses_and_policies_there_are():
    """The schema repeats the names, so that listing recipes does not import torch."""
    assert set(schema.LOSSES) == set(losses.LOSSES)
    assert set(schema.POLICIES) == set(augment.POLICIES)


def test_recipes_lists_every_file():
    assert {r.name for r in recipes()} == set(recipe_names()) >= {"small-16", "small-32", "ring"}


def test_overrides_change_one_setting_and_merge_networks():
    base = recipe("small-16")
    changed = recipe("small-16", r1=3, generator={"width": 16})
    assert changed.r1 == Ramp(3.0, 3.0)
    assert changed.generator == {**base.generator, "width": 16}
    assert changed.r2 == base.r2
    assert recipe(changed) == changed
    other = recipe("small-16", generator={"model": "r3gan", "widths": [8, 8]})
    assert "z_dim" not in other.generator


def test_a_table_holds_every_setting():
    base = tiny()
    changes = {
        "lr": 2e-3, "r1": 0.5, "batch_size": 4, "loss": "hinge", "d_steps": 2, "flip": True,
        "generator": {"model": "dcgan", "width": 8, "z_dim": 4},
    }  # fmt: skip
    for key, value in changes.items():
        assert tiny(**{key: value}).to_dict()[key] != base.to_dict()[key], key


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"batchsize": 3}, "did you mean 'batch_size'"),
        ({"batch_size": 0}, "between 1 and 65536"),
        ({"batch_size": 2.5}, "whole number"),
        ({"batch_size": True}, "must be a number"),
        ({"batch_size": "eight"}, "must be a number"),
        ({"lr": float("nan")}, "finite"),
        ({"lr": {"start": 1e-3, "end": 1e-4}}, "start, end and images"),
        ({"loss": "nonsaturating"}, "must be one of"),
        ({"r1": -1}, "between 0 and"),
        ({"size": [16, 16, 16]}, "[height, width]"),
        ({"channels": 4}, "must be one of: 1, 3"),
        ({"beta1": 1.0}, "between 0 and"),
        ({"flip": "yes"}, "true or false"),
        ({"policy": ["cutout"]}, "augment is 'none'"),
        ({"augment": "fixed"}, "policy is empty"),
        ({"policy": ["cutout", "cutout"], "augment": "fixed"}, "twice"),
        ({"cuda_graphs": True, "beta2": {"start": 0.9, "end": 0.99, "images": 10}}, "beta2"),
        ({"penalty_form": "finite-difference", "gp": 1}, "finite differences"),
        ({"augment": "fixed", "policy": ["cutout"]}, "augment_p is 0"),
        ({"augment": "adaptive", "policy": ["cutout"], "augment_p": 0.2}, "no effect"),
        ({"augment_p": 0.2}, "no effect"),
        ({"batch_size": 10**5000}, "thousands of digits"),
        ({"generator": {"model": "dcgan", "num_classes": 3}}, "belongs to the recipe"),
        ({"generator": {"width": 4}}, "model"),
        ({"generator": {"model": "mlp"}}, "points"),
        ({"generator": "dcgan"}, "must be a table"),
        ({"generator": {"model": ["a"]}}, "'model' must be text"),
        ({"generator": {"model": "dcgan", "width": {"a": 1}}}, "text, a number or a list"),
    ],
)
def test_bad_settings_get_one_sentence(change, needle):
    with pytest.raises(GanBookError) as error:
        from_dict(TINY | change)
    assert needle in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_setting_and_unknown_name():
    with pytest.raises(GanBookError, match="lacks the setting 'batch_size'"):
        from_dict({k: v for k, v in TINY.items() if k != "batch_size"})
    with pytest.raises(GanBookError, match="did you mean 'small-32'"):
        gb.recipe("smal-32")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = [", b"x" * 2_000_000, b"[[[[[[", b""])
def test_broken_files_get_one_sentence(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(GanBookError):
        recipe(path)
    with pytest.raises(GanBookError, match="cannot be read"):
        recipe(tmp_path / "none.toml")


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'generator = {model="dcgan"}\ndiscriminator = {model="dcgan"}\n'
        "batch_size = 4\ntotal_images = 100\nlr = {start=1e-3, end=1e-4, images=50}\n"
    )
    mine = recipe(path)
    assert (mine.name, mine.total_steps, mine.lr.value(50)) == ("mine", 25, 1e-4)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    key=st.sampled_from([*TINY, "augment", "gp", "beta2", "policy", "precision", "x"]), value=junk
)
def test_hostile_values_never_give_a_traceback(key, value):
    """A recipe with junk in one place is refused with a sentence, or is a recipe that builds."""
    try:
        made = from_dict(TINY | {key: value})
    except GanBookError:
        return
    assert from_dict(made.to_dict()) == made
