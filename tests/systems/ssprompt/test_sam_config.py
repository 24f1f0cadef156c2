"""Settings of the prompted SAM and SAM 3: presets, and options that have no meaning there."""

import pytest

from segtune.backbones.sam.random import random_sam, random_sam3
from segtune.errors import SegtuneError
from segtune.systems import build_system
from segtune.systems.ssprompt.sam_config import Sam3PromptConfig, SamPromptConfig, configure


@pytest.mark.parametrize("kind", [SamPromptConfig, Sam3PromptConfig])
def test_presets(kind):
    assert configure(kind, "ssprompt") == kind()
    for name in ("sam", "sam3"):
        config = configure(kind, name)
        assert (config.spatial, config.semantic) == ("default", "default")
    assert configure(kind, "spaprompt", {"classes": ["a"]}).classes == ("a",)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("semprompt", {"task": "instance"}, "use ssprompt"),
        ("ssprompt", {"semantic": "context"}, "no meaning on SAM"),
        ("ssprompt", {"retain": "exact"}, "retain=shared"),
        ("ssprompt", {"spatial_target": "both"}, "spatial_target=content"),
        ("ssprompt", {"class_tokens": 10}, "expected 1 to 9"),
        ("ssprompt", {"class_tokens": 0}, "expected 1 to 9"),
        ("ssprompt", {"width": 3}, "no option"),
        ("coop", {}, "runs on a model of kind seem"),
        ("rpn", {}, "of kind sam"),
    ],
)
def test_refused_on_sam(name, options, message):
    with pytest.raises(SegtuneError, match=message):
        build_system(name, random_sam(), {"point_grid": 3, "class_tokens": 2} | options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ssprompt", {"spatial": "points"}, "no meaning on SAM 3"),
        ("ssprompt", {"semantic": "names"}, "semantic=default or embeddings"),
        ("ssprompt", {"learn_background": True}, "learn_background=False"),
        ("ssprompt", {"pull": 0.5}, "pull=0.0"),
        ("ssprompt", {"semantic_loss": "score"}, "semantic_loss=nll"),
        ("ssprompt", {"kept_masks": 0}, "at least 1"),
        ("ssprompt", {"class_tokens": 3}, "no option"),
        ("vspl", {}, "runs on a model of kind seem or sam"),
    ],
)
def test_refused_on_sam3(name, options, message):
    with pytest.raises(SegtuneError, match=message):
        build_system(name, random_sam3(), options)
