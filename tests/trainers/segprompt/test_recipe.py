from dataclasses import replace
from pathlib import Path

import pytest

from segtune.backbones.cards import CARDS
from segtune.backbones.mask2former.files import load_mask2former
from segtune.errors import SegtuneError
from segtune.systems.segprompt.files import load_prompts
from segtune.trainers.segprompt.recipe import SegPromptRecipe, make_recipe, read_recipe
from segtune.trainers.segprompt.run import described
from tests.goldens import ROOT
from tests.trainers.segprompt.conftest import TINY

RECIPES = [
    *sorted((ROOT / "recipes" / "segprompt").glob("*.yaml")),
    *(ROOT / "recipes" / "zoo" / f"{name}.yaml" for name in ("segprompt", "mask2former")),
]


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_recipes_are_read(path: Path):
    recipe = read_recipe(path)
    recipe.model_config()
    assert recipe.with_prompts is (path.stem not in ("longtail-baseline", "mask2former"))


@pytest.mark.parametrize(
    "names",
    [("segprompt/longtail", "segprompt/longtail-baseline"), ("zoo/segprompt", "zoo/mask2former")],
)
def test_the_baseline_differs_in_prompts_and_name_alone(names):
    taught, plain = (read_recipe(ROOT / "recipes" / f"{name}.yaml") for name in names)
    assert replace(taught, prompts=plain.prompts, name=plain.name) == plain


def test_the_rate_falls_to_a_tenth_twice():
    pace = make_recipe({**TINY, "steps": 90, "warmup": 10}).pace()
    rates = [pace.rate(step, 1.0) for step in (0, 9, 59, 60, 79, 80)]
    assert rates == pytest.approx([0.1, 1, 1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": ""}, "names no data"),
        ({"encoder": "r1000"}, "r1000"),
        ({"steps": 0}, "steps=0"),
        ({"hidden": 36}, "hidden=36"),
        ({"crop": 50}, "crop=50"),
        ({"scale": [2.0, 1.0]}, "scale"),
        ({"lr": 0.0}, "lr"),
        ({"lr_steps": [1.5]}, "lr_steps"),
        ({"num_queries": 1}, "num_queries=1"),
        ({"dense_size": 0}, "dense_size=0"),
    ],
)
def test_settings_that_make_no_sense(changes, said):
    with pytest.raises(SegtuneError, match=said):
        make_recipe({**TINY, **changes})


def test_the_defaults_are_the_published_second_stage():
    recipe = SegPromptRecipe(data="lvis")
    assert (recipe.steps, recipe.batch, recipe.lr, recipe.clip_norm) == (90_000, 16, 1e-4, 0.01)
    pace = recipe.pace()
    assert pace.rate(59_999, 1.0) > pace.rate(60_000, 1.0) > pace.rate(80_000, 1.0)


@pytest.mark.parametrize("name", ["segprompt", "mask2former"])
def test_bundled_models_are_those_of_their_recipes(name: str):
    recipe, card = read_recipe(ROOT / "recipes" / "zoo" / f"{name}.yaml"), CARDS[f"{name}-tiny"]
    model = load_mask2former(card.path())
    assert (model.name, model.dense_size) == (card.name, card.dense_size) == (recipe.name, 128)
    assert model.config == recipe.model_config()
    assert model.training_notes == described(recipe)
    assert sum(file.stat().st_size for file in card.path().iterdir()) < 4e6
    prompts = load_prompts(card.path())
    assert (prompts is not None) == recipe.with_prompts
    assert prompts is None or len(prompts.known()) == 72


def test_the_street_scenes_start_from_the_bundled_model():
    recipe = read_recipe(ROOT / "recipes" / "segprompt" / "camvid-things.yaml")
    bundled = load_mask2former(CARDS[str(recipe.init)].path())
    assert replace(bundled.config, num_queries=recipe.num_queries) == recipe.model_config()
