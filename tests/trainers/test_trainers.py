"""Which trainer a recipe goes to."""

from pathlib import Path

import pytest
import yaml

from segtune.errors import SegtuneError
from segtune.storage.registry import resolve
from segtune.systems import SYSTEMS
from segtune.trainers import PROMPTS, trainer_of, trainers

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


def test_every_recipe_of_the_project_has_a_trainer():
    assert RECIPES
    for recipe in RECIPES:
        trainer_of(yaml.safe_load(recipe.read_text())["system"])


def test_every_trainer_is_there():
    assert all(callable(resolve(trainer.run)) for trainer in trainers().values())


def test_systems_are_fitted_and_models_have_their_own():
    fitted = [name for name in SYSTEMS if name != "segprompt"]  # which is trained whole
    assert {trainer_of(name).run for name in fitted} == {PROMPTS}
    others = set(trainers()) - set(SYSTEMS)
    assert others == {
        "zoo/clip_vit",
        "zoo/maskformer",
        "zoo/seem",
        "ovseg/pairs",
        "ovseg/maskformer",
        "uniovseg/masks",
        "uniovseg/captions",
    }


def test_unknown_systems_are_told():
    with pytest.raises(SegtuneError, match=r"not a system of recipes; did you mean .*zoo/seem"):
        trainer_of("zoo/sem")
