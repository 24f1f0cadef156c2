from dataclasses import replace

import pytest

from segtune.errors import SegtuneError
from segtune.systems import (
    SYSTEMS,
    build_system,
    default_system,
    systems_for,
    zero_shot_system,
)
from segtune.systems.ovseg.config import OVSEG, PRESETS, SIMBASELINE, ZEGFORMER, configure


def test_presets_are_the_papers(tiny_pair):
    assert (
        build_system("ovseg", tiny_pair).config == configure("ovseg") == OVSEG == PRESETS["ovseg"]
    )
    assert (OVSEG.threshold, OVSEG.weight, OVSEG.prompt_depth) == (0.4, 0.7, 3)
    assert (SIMBASELINE.threshold, SIMBASELINE.weight, SIMBASELINE.prefix_tokens) == (0.5, 0.8, 16)
    assert (ZEGFORMER.threshold, ZEGFORMER.weight, ZEGFORMER.gamma) == (0.5, 2 / 3, 0.1)
    assert ZEGFORMER.clip_templates == "zegformer_clip_branch_32"


@pytest.mark.parametrize("recipe", PRESETS)
def test_the_pair_as_it_comes_has_the_settings_of_its_recipe_and_learns_nothing(tiny_pair, recipe):
    tiny_pair.recipe = recipe
    system = build_system("two-stage", tiny_pair)
    assert system.config == replace(PRESETS[recipe], learns="nothing")
    assert system.num_learned() == 0


def test_settings_of_the_weights_come_between_preset_and_options(tiny_pair):
    tiny_pair.settings = {"threshold": 0.5, "weight": 0.6}
    assert build_system("ovseg", tiny_pair).config.threshold == 0.5
    asked = build_system("two-stage", tiny_pair, {"weight": 0.2}).config
    assert (asked.weight, asked.threshold) == (0.2, 0.5)
    # They say nothing about other recipes.
    assert build_system("zegformer", tiny_pair).config == ZEGFORMER


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 1.5}, "weight=1.5; expected 0 to 1"),
        ({"prompt_depth": 0}, "prompt_depth=0"),
        ({"prefix_tokens": -1}, "cannot be negative"),
        ({"regions": "sam"}, "expected ovseg or simbaseline or zegformer"),
        ({"wieght": 0.5}, "ovseg has no option wieght; options are"),
    ],
)
def test_bad_options_are_told(options, message):
    with pytest.raises(SegtuneError, match=message):
        configure("ovseg", options)


def test_learning_no_words_is_refused():
    with pytest.raises(SegtuneError, match="nothing to learn with prefix_tokens=0"):
        configure("simbaseline", {"prefix_tokens": 0})


def test_the_registry_knows_them():
    assert systems_for("two-stage") == ["ovseg", "simbaseline"]
    assert default_system("two-stage") == "ovseg"
    assert zero_shot_system("two-stage") == "two-stage"
    assert not SYSTEMS["zegformer"].learns
