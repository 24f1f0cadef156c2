"""Masks of everything against a whole run of the public code."""

import pytest
import torch

from segtune.backbones.uniovseg.canvas import geometry_on, off_canvas
from segtune.backbones.uniovseg.everything import (
    MIN_IOU,
    EverythingConfig,
    find_everything,
    grid_on,
)
from segtune.backbones.uniovseg.random import random_uniovseg
from segtune.errors import SegtuneError
from tests.goldens import close, goldens

from .test_files import official


@pytest.mark.golden
def test_a_whole_run():
    for golden in goldens("uniovseg_stage1"):
        model, out = official(golden), golden.part("outputs")
        size = tuple(golden["inputs.orig_hw"].tolist())
        seen = model.see(golden["inputs.image_0_255"][None])
        config = EverythingConfig(grid=tuple(golden.config["grid"]))
        points = grid_on([size], seen.size, config.grid)[0]
        close(torch.cat([points - 2, points + 2], 1), out["points_xyxy"])
        (found,) = find_everything(model, seen, [size], config)
        order = out["nms_keep_order"]
        assert torch.equal(found.ids, out["kept_by_score_index"][order])
        close(found.ious.sigmoid(), out["kept_scores_double_sigmoid"][order])
        masks = off_canvas(found.mask_logits, geometry_on(size, golden.config["crop"]))
        close(masks[0], out["proposal_logits_first"])
        wrong = (masks > 0) != out["proposal_masks"].bool()
        assert wrong.float().mean((1, 2)).max() <= 1e-3


@pytest.fixture(scope="module")
def scene():
    model = random_uniovseg(seed=4)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255
    return model, model.see(pixels), [(64, 64), (40, 64)]


def test_chunks_change_nothing(scene):
    config = EverythingConfig(grid=(5, 4), min_iou=0.3)
    whole = find_everything(*scene, config)
    parts = find_everything(*scene, config, chunk=3)
    for one, other in zip(whole, parts, strict=True):
        assert torch.equal(one.ids, other.ids)
        torch.testing.assert_close(one.mask_logits, other.mask_logits)
        assert torch.equal(one.ious, one.ious.sort(descending=True).values)


def test_stricter_settings_find_less(scene):
    every = EverythingConfig(grid=(4, 4), min_iou=0.0, max_iou=1.1, max_inside=None)
    count = [len(found.ious) for found in find_everything(*scene, every)]
    assert count == [64, 64]
    stable = EverythingConfig(
        grid=(4, 4), min_iou=0.0, max_iou=1.1, max_inside=None, min_stability=0.9
    )
    assert sum(len(found.ious) for found in find_everything(*scene, stable)) < 128
    suppressed = find_everything(*scene, EverythingConfig(grid=(4, 4), min_iou=0.0, shrink=4))
    assert all(0 < len(found.ious) < 64 for found in suppressed)


def test_nothing_found(scene):
    found = find_everything(*scene, EverythingConfig(grid=(2, 2), min_iou=1.0))
    assert [tuple(each.mask_logits.shape) for each in found] == [(0, 16, 16)] * 2
    geometry = geometry_on((40, 64), 64)
    assert off_canvas(found[1].mask_logits, geometry).shape == (0, 40, 64)


def test_the_threshold_is_the_official_one():
    assert torch.tensor(MIN_IOU).sigmoid().item() == pytest.approx(0.65, abs=1e-7)


def test_grids_that_are_none():
    with pytest.raises(SegtuneError, match="at least one point per side"):
        EverythingConfig(grid=(0, 3))
    with pytest.raises(SegtuneError, match="2 or 4"):
        EverythingConfig(shrink=3)
