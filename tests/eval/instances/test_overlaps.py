"""Pairs of overlapping regions against the full table of pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segtune.errors import SegtuneError
from segtune.eval.instances.overlaps import are_entries, overlap_pairs, regions_of
from segtune.ops.segments import crop_segment
from segtune.types import Instance

SIZE = (60, 80)


def encode(mask: np.ndarray) -> dict:
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def random_mask(rng, near: np.ndarray | None = None) -> np.ndarray:
    """A noisy rectangle, or a shifted copy of another mask."""
    if near is not None:
        return np.roll(near, tuple(rng.integers(-2, 3, 2)), (0, 1))
    mask = np.zeros(SIZE, dtype=bool)
    x, y = rng.integers(0, 70), rng.integers(0, 50)
    w, h = rng.integers(2, 60, 2)
    mask[y : y + h, x : x + w] = True
    return mask & (rng.random(SIZE) < 0.9)


@pytest.mark.parametrize("at_least", [1e-9, 0.5, 0.9])
def test_pairs_are_all_pairs_above_the_threshold(at_least) -> None:
    rng = np.random.default_rng(3)
    objects = [random_mask(rng) for _ in range(8)] + [np.zeros(SIZE, bool)]
    preds = [random_mask(rng, objects[i]) for i in rng.integers(0, 9, 30)]
    is_crowd = rng.random(9) < 0.3
    rles = [[encode(mask) for mask in masks] for masks in (preds, objects)]
    expected = coco_mask.iou(*rles, is_crowd.tolist())
    for make in (
        lambda masks: [{"segmentation": encode(mask)} for mask in masks],
        lambda masks: [Instance(0, mask) for mask in masks],
        lambda masks: [crop_segment(mask, 0, 1.0) for mask in masks],
    ):
        regions = (regions_of(make(masks), overlap_of="masks") for masks in (preds, objects))
        pairs = overlap_pairs(*regions, is_crowd=is_crowd, at_least=at_least)
        table = np.zeros_like(expected)
        table[pairs.preds, pairs.objects] = pairs.ious
        np.testing.assert_array_equal(table, np.where(expected >= at_least, expected, 0))


def test_forms_are_not_mixed() -> None:
    entry, instance = {"segmentation": {}}, Instance(0, np.ones((2, 2), bool))
    assert not are_entries([])
    assert are_entries([entry])
    assert not are_entries([instance])
    with pytest.raises(SegtuneError, match="give one form"):
        are_entries([entry, instance])


def test_polygons_are_refused_for_masks_and_boxes_may_come_from_rle() -> None:
    with pytest.raises(SegtuneError, match="encode polygons first"):
        regions_of([{"segmentation": [[0, 0, 1, 1, 1, 0]]}], overlap_of="masks")
    mask = np.zeros(SIZE, dtype=bool)
    mask[2:5, 3:9] = True
    for item in ({"segmentation": encode(mask)}, Instance(0, mask), {"bbox": [3, 2, 6, 3]}):
        assert regions_of([item], overlap_of="boxes").boxes.tolist() == [[3, 2, 6, 3]]
