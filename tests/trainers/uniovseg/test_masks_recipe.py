import pytest

from segtune.backbones.clip_convnext.config import ClipConvNextConfig
from segtune.backbones.uniovseg.config import RELEASED
from segtune.errors import SegtuneError
from segtune.trainers.uniovseg.masks_recipe import make_recipe, read_recipe


def test_the_defaults_are_the_released_sizes():
    recipe = make_recipe({"data": "x"})
    assert recipe.model_config(ClipConvNextConfig()) == RELEASED
    pace = recipe.pace()
    rates = [pace.rate(step, recipe.lr) for step in (0, 50_999, 51_000, 57_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6])
    assert recipe.losses().num_points == 12544


def test_published_recipes_are_read():
    assert read_recipe("recipes/uniovseg/masks.yaml").batch == 56
    assert read_recipe("recipes/uniovseg/masks-tiny.yaml").clip == "random"


@pytest.mark.parametrize(
    "settings",
    [
        {"data": ""},
        {"grid": 0},
        {"scale": [1.2, 0.8]},
        {"min_area": 0.9},
        {"lr": 0.0},
        {"num_heads": 5},
        {"canvas": 100},
    ],
)
def test_what_cannot_be_is_refused_by_name(settings):
    with pytest.raises(SegtuneError, match=next(iter(settings))):
        make_recipe({"data": "x", **settings})
