import logging

import pytest

from segtune.fewshot.run import Recipe
from segtune.train.names import RENAMED, current, renamed
from segtune.trainers.bundled.clip.recipe import KIND as CLIP
from segtune.trainers.bundled.scenes.seem_recipe import KIND as SEEM
from segtune.trainers.maskformer.recipe import KIND as PROPOSALS


@pytest.mark.parametrize(
    ("kind", "old", "expected"),
    [
        (CLIP, {"num_steps": 9, "num_warmup_steps": 2, "max_grad_norm": 3.0}, (9, 2, 3.0)),
        (SEEM, {"num_steps": 9, "num_warmup_steps": 2}, (9, 2, None)),
        (PROPOSALS, {"clip_grad": 3.0, "steps": 9, "warmup": 2, "data": "d"}, (9, 2, 3.0)),
    ],
)
def test_old_names_are_read_with_a_note_each(kind, old, expected, caplog):
    caplog.set_level(logging.INFO, logger="segtune")
    recipe = kind.make(old, source="old.yaml")
    found = (recipe.steps, recipe.warmup, getattr(recipe, "clip_norm", None))
    assert found == expected
    notes = [
        f"old.yaml: `{name}` is now called `{RENAMED[name]}`" for name in old if name in RENAMED
    ]
    assert caplog.messages == notes


def test_names_inside_of_others_and_values(caplog):
    caplog.set_level(logging.INFO, logger="segtune")
    old = {"precision": "no", "fit": {"loop": {"warmup_steps": 3}}, "options": {"num_steps": 1}}
    new = {"precision": "fp32", "fit": {"loop": {"warmup": 3}}, "options": {"num_steps": 1}}
    assert renamed(Recipe, old, source="r.yaml") == new
    assert caplog.messages == [
        "r.yaml: precision=no is now written fp32",
        "r.yaml: `warmup_steps` is now called `warmup`",
    ]


def test_of_two_names_the_later_one_counts():
    recipe = CLIP.make({"steps": 5, "num_steps": 9})
    assert recipe.steps == 9


def test_settings_of_checkpoints_are_renamed_at_any_depth():
    old = {"fit": [{"num_steps": 1, "precision": "no"}], "precision": "bf16", "name": "no"}
    new = {"fit": [{"steps": 1, "precision": "fp32"}], "precision": "bf16", "name": "no"}
    assert current(old) == new
