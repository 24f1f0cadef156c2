"""Suppression of masks against the public Uni-OVSeg helpers, and against the obvious loop."""

import pytest
import torch
import torch.nn.functional as F

from segtune.ops.masks.pooling import masks_at, pool_inside
from segtune.ops.masks.suppression import (
    grid_points,
    mask_suppression,
    overlaps,
    shared_areas,
    stability,
)
from tests.goldens import close, goldens

COMPONENT = "uniovseg_postprocess"


@pytest.mark.golden
def test_overlaps():
    for golden in goldens(COMPONENT):
        iou, inside = overlaps(golden["inputs.mask_logits"] > 0)
        close(iou.float(), golden["outputs.pairwise_iou"])
        close(inside.float(), golden["outputs.pairwise_containment"])


@pytest.mark.golden
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_suppression(factor):
    for golden in goldens(COMPONENT):
        logits, scores = golden["inputs.mask_logits"], golden["inputs.scores"]
        if factor != 1:
            logits = F.interpolate(logits[None], scale_factor=factor, mode="bilinear")[0]
        masks = logits >= 0
        found = mask_suppression(masks, scores, max_iou=0.75, max_inside=None)
        assert torch.equal(found, golden[f"outputs.nms_075_ds{factor}"])
        found = mask_suppression(masks, scores)
        assert torch.equal(found, golden[f"outputs.inner_nms_050_070_ds{factor}"])


@pytest.mark.golden
def test_suppression_within_classes():
    """Of two near copies the official variant may keep the worse; ours keeps the better.

    What both promise: of a class no two that stay are near copies, and who goes has one that stays.
    """
    for golden in goldens(COMPONENT):
        masks, scores = golden["inputs.mask_logits"] > 0, golden["inputs.scores"]
        classes = golden["inputs.category"]
        found = mask_suppression(masks, scores, max_iou=0.75, max_inside=None, group_ids=classes)
        copies = (golden["outputs.pairwise_iou"] >= 0.75) & (classes[:, None] == classes)
        copies.fill_diagonal_(False)
        for stays in (found, golden["outputs.batched_nms_075"]):
            assert not copies[stays][:, stays].any()
            goes = torch.ones(len(scores), dtype=torch.bool).index_fill_(0, stays, False)
            assert copies[goes][:, stays].any(1).all()
        best = (copies & (scores > scores[:, None])).any(1).logical_not()
        assert set(best.nonzero()[:, 0].tolist()) <= set(found.tolist())


@pytest.mark.golden
def test_stability():
    for golden in goldens(COMPONENT):
        logits = golden["inputs.mask_logits"]
        close(stability(logits).float(), golden["outputs.stability_logit_t0_o1"])
        found = stability(logits, threshold=0.5, offset=0.1)
        close(found.float(), golden["outputs.stability_logit_t05_o01"])


@pytest.mark.golden
def test_grids():
    for golden in goldens(COMPONENT):
        columns, rows = golden.config["grid"]
        points = grid_points(columns, rows) * torch.tensor(golden.config["scaled_wh"])
        close(torch.cat([points - 2, points + 2], 1)[None], golden["outputs.points_xyxy"])


@pytest.mark.golden
def test_pooling():
    for golden in goldens(COMPONENT):
        feature = golden["inputs.feature"]
        masks = masks_at(golden["inputs.mask_logits"][None], feature.shape[-2:])
        close(pool_inside(feature, masks), golden["outputs.mask_pool"])


def _loop(masks, scores, max_iou, max_inside):
    kept = []
    for i in sorted(range(len(masks)), key=lambda i: (-scores[i].item(), i)):
        for j in kept:
            both = (masks[i] & masks[j]).sum()
            union, own = (masks[i] | masks[j]).sum(), masks[i].sum()
            if (union and both / union >= max_iou) or (own and both / own >= max_inside):
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (9, 15)])
def test_the_result_is_that_of_the_loop(size):
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        centres = torch.rand(40, 2, 1, 1, generator=generator)
        y, x = torch.meshgrid(*(torch.linspace(0, 1, n) for n in size), indexing="ij")
        radius = 0.5 * torch.rand(40, 1, 1, generator=generator)
        masks = (y - centres[:, 0]).abs().maximum((x - centres[:, 1]).abs()) < radius
        scores = torch.rand(40, generator=generator).mul(10).round()  # with ties
        found = mask_suppression(masks, scores)
        assert found.tolist() == _loop(masks, scores, 0.5, 0.7)


def test_bits_count_what_a_product_counts():
    for shape in [(0, 3, 3), (1, 1, 1), (70, 13, 11)]:
        masks = torch.rand(shape) > 0.4
        flat = masks.flatten(1).double()
        assert torch.equal(shared_areas(masks), (flat @ flat.T).long())


def test_no_masks_and_empty_masks():
    assert mask_suppression(torch.zeros(0, 4, 4, dtype=torch.bool), torch.zeros(0)).tolist() == []
    empty = torch.zeros(2, 4, 4, dtype=torch.bool)
    assert mask_suppression(empty, torch.tensor([0.1, 0.2])).tolist() == [1, 0]
    assert stability(torch.full((1, 2, 2), -5.0)).tolist() == [0.0]
