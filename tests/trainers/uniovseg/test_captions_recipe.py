import pytest

from segtune.errors import SegtuneError
from segtune.trainers.uniovseg.captions_recipe import make_recipe, read_recipe

NEEDED = {"model": "m", "data": "d"}


def test_published_recipes_are_read():
    assert read_recipe("recipes/uniovseg/captions.yaml").sizes == (896, 1024)
    tiny = read_recipe("recipes/uniovseg/captions-tiny.yaml")
    assert tiny.system_options() == {"grid": 6, "min_iou": 0.4}


@pytest.mark.parametrize(
    "settings", [{"model": ""}, {"data": ""}, {"sizes": []}, {"max_masks": 0}, {"lr": 0.0}]
)
def test_what_cannot_be_is_refused_by_name(settings):
    with pytest.raises(SegtuneError, match=next(iter(settings))):
        make_recipe({**NEEDED, **settings})


def test_there_is_something_to_learn():
    with pytest.raises(SegtuneError, match="learns must be adapter"):
        make_recipe({**NEEDED, "settings": {"learns": "nothing"}}).system_options()
