"""What each frozen model says it can do."""

import pytest

from segtune.backbones.base import (
    FrozenModel,
    Promptable,
    Proposes,
    ReadsWords,
    prompt_fingerprint,
)
from segtune.backbones.clip.masked import NamesRegions
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.sam.proposals import SamProposals
from segtune.backbones.sam.random import random_sam, random_sam3
from segtune.backbones.seem.model import random_seem

CAPABILITIES = {
    "reads": ReadsWords,
    "points": Promptable,
    "regions": NamesRegions,
    "proposes": Proposes,
}
EXPECTED = {
    "clip": {"reads", "regions"},
    "two-stage": {"reads", "regions"},
    "seem": {"reads", "points"},
    "sam": {"points"},
    "sam2": {"points"},
    "sam3": {"reads"},
}


@pytest.fixture
def models(tiny_clip, tiny_pair):
    return {
        "clip": tiny_clip,
        "two-stage": tiny_pair,
        "seem": random_seem(),
        "sam": random_sam("sam"),
        "sam2": random_sam("sam2"),
        "sam3": random_sam3(),
    }


def test_capabilities(models):
    for name, model in models.items():
        assert isinstance(model, FrozenModel), name
        found = {what for what, protocol in CAPABILITIES.items() if isinstance(model, protocol)}
        assert found == EXPECTED[name], name


def test_a_sam_has_no_text_side(models):
    for name in ("sam", "sam2"):
        for attribute in ("tokenize", "encode_text", "joint_width", "background_word"):
            assert not hasattr(models[name], attribute)


def test_sources_of_masks_without_names():
    for source in (SamProposals(random_sam()), random_maskformer()):
        assert isinstance(source, Proposes)


def test_asking_costs_no_fingerprint(monkeypatch, models):
    """`isinstance` looks at attributes; none of them may hash the weights of a large model."""

    def refuse(state):
        raise AssertionError("the weights were hashed")

    for module in ("seem.model", "clip.model", "sam.frozen", "two_stage.model"):
        monkeypatch.setattr(f"segtune.backbones.{module}.fingerprint_of", refuse)
    for model in models.values():
        for protocol in CAPABILITIES.values():
            isinstance(model, protocol)


def test_prompts_of_a_pair_belong_to_its_clip(tiny_clip, tiny_pair):
    assert prompt_fingerprint(tiny_pair) == tiny_clip.fingerprint != tiny_pair.fingerprint
    assert tiny_pair.region_clip is tiny_clip is tiny_clip.region_clip
