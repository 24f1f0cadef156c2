"""The presets of the prompted SEEM, and which choices exclude each other."""

import json
from dataclasses import asdict

import pytest

from segtune.errors import SegtuneError
from segtune.systems import systems_for
from segtune.systems.ssprompt.config import PRESETS, SSPROMPT, configure


def test_every_preset_is_a_registered_system():
    assert set(PRESETS) - {"seem"} == set(systems_for("seem"))


@pytest.mark.parametrize(
    ("name", "spatial", "semantic"),
    [
        ("seem", "default", "default"),
        ("ssprompt", "embeddings", "embeddings"),
        ("spaprompt", "embeddings", "default"),
        ("semprompt", "default", "embeddings"),
        ("coop", "default", "context"),
        ("locn", "default", "names"),
        ("vspl", "points", "default"),
    ],
)
def test_presets_differ_in_where_prompts_come_from_only(name, spatial, semantic):
    config = configure(name)
    assert (config.spatial, config.semantic) == (spatial, semantic)
    assert configure("ssprompt", {"spatial": spatial, "semantic": semantic}) == config


def test_defaults_are_those_of_the_specification():
    assert (SSPROMPT.fusion, SSPROMPT.weight_shape, SSPROMPT.weight_param) == (
        "convex",
        "scalar",
        "raw",
    )
    assert (SSPROMPT.weight_init, SSPROMPT.embed_init) == (0.5, "copy")
    assert (SSPROMPT.spatial_target, SSPROMPT.retain) == ("content", "shared")
    assert not any((SSPROMPT.renormalize_text, SSPROMPT.learn_background, SSPROMPT.dice))
    assert (SSPROMPT.semantic_loss, SSPROMPT.context_tokens) == ("nll", 16)
    assert SSPROMPT.point_grid**2 == 100


@pytest.mark.parametrize("name", PRESETS)
def test_options_survive_the_header_of_a_prompt_file(name):
    config = configure(name, {"classes": ("a", "b"), "weight_init": 1, "dice": True})
    assert configure(name, json.loads(json.dumps(asdict(config)))) == config


def test_objects_move_queries_more_slowly_unless_told_otherwise():
    assert configure("ssprompt").spatial_lr_factor == 3
    assert configure("ssprompt", {"task": "panoptic"}).spatial_lr_factor == 1
    asked = {"task": "instance", "spatial_lr_factor": 2}
    assert configure("ssprompt", asked).spatial_lr_factor == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ssprompt", {"fusion": "mean"}, "fusion='mean'; expected convex or additive"),
        ("ssprompt", {"tokens": 3}, "no option tokens"),
        ("ssprompt", {"classes": "road"}, "classes"),
        ("vspl", {"point_grid": 0}, "point_grid=0"),
        ("coop", {"context_tokens": 0}, "context_tokens=0"),
        ("vspl", {"retain": "exact"}, "retain=shared"),
        ("locn", {"name_templates": ["a photo"]}, "name_templates"),
        ("locn", {"name_templates": []}, "name_templates"),
    ],
)
def test_wrong_choices_are_named(name, options, message):
    with pytest.raises(SegtuneError, match=message):
        configure(name, options)
