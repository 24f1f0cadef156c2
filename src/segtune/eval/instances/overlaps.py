"""Which predicted regions overlap which objects of an image, as a short list of pairs.

Greedy matching only ever asks about pairs whose overlap reaches the lowest threshold. Box and area
give an upper bound of the overlap of two masks, so that few pairs are left to compare pixel by
pixel; the overlaps of these are the exact ones, equal to those of pycocotools to the last bit.

Boxes here are xywh in pixels of the original image, as in COCO files. D predictions, G objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask

from segtune.errors import SegtuneError
from segtune.types import Instance, Segment

OverlapOf = Literal["masks", "boxes"]
Region = Segment | Instance | dict[str, Any]
"""A region of ours, or an entry of a COCO file: `segmentation` (RLE) and/or `bbox` (xywh)."""


@dataclass(frozen=True)
class Regions:
    """Regions of one image in the form in which they are compared.

    Attributes:
        pixels: (N,) float64, area of the mask, or of the box where there are only boxes.
        boxes: (N, 4) float64 xywh; None beside RLE.
        rles: compressed RLE of each region, where all came that way.
        crops: (height, width) bool inside the box of each region, otherwise.
        size: (H, W) of the image, where the regions know it.
    """

    pixels: np.ndarray
    boxes: np.ndarray | None = None
    rles: Sequence[dict[str, Any]] | None = None
    crops: Sequence[np.ndarray] | None = None
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def cropped(self) -> Regions:
        """Returns the same masks as crops."""
        if self.rles is None:
            return self
        boxes = np.asarray(coco_mask.toBbox(self.rles), dtype=np.float64).reshape(-1, 4)
        crops = []
        for rle, (x, y, w, h) in zip(self.rles, boxes.astype(int).tolist(), strict=True):
            crops.append(coco_mask.decode(rle)[y : y + h, x : x + w].astype(bool))
        return Regions(self.pixels, boxes=boxes, crops=crops, size=self.size)


@dataclass(frozen=True)
class OverlapPairs:
    """The pairs of one image that can match.

    Attributes:
        preds, objects: (n,) int64, indices of predictions and objects.
        ious: (n,) float64, 0..1; for a crowd, the share of the prediction that lies inside.
    """

    preds: np.ndarray
    objects: np.ndarray
    ious: np.ndarray


def regions_of(items: Sequence[Region], *, overlap_of: OverlapOf) -> Regions:
    """Returns the regions of segments, instances or COCO entries.

    Raises:
        SegtuneError: an entry lacks its mask or box, or masks are of different sizes.
    """
    if overlap_of == "boxes":
        boxes = np.array([_box_of(item) for item in items], dtype=np.float64).reshape(-1, 4)
        return Regions(boxes[:, 2] * boxes[:, 3], boxes=boxes)
    if are_entries(items):
        rles = _rles_of(items)
        size = rles[0]["size"]
        if other := {tuple(r["size"]) for r in rles if r["size"] != size} - {tuple(size)}:
            raise SegtuneError(f"masks of one image have different sizes: {size}, {other.pop()}")
        pixels = np.asarray(coco_mask.area(rles), dtype=np.float64)
        return Regions(pixels, rles=rles, size=tuple(size))
    shape = None
    boxes, crops = np.zeros((len(items), 4)), []
    for i, item in enumerate(items):
        assert isinstance(item, Segment | Instance)
        x1, y1, x2, y2 = item.box_px
        boxes[i] = x1, y1, x2 - x1, y2 - y1
        if isinstance(item, Instance):
            if shape not in (None, item.mask.shape):
                raise SegtuneError(
                    f"masks of one image have different sizes: {shape}, {item.mask.shape}"
                )
            shape = item.mask.shape
            crops.append(item.mask[y1:y2, x1:x2].astype(bool, copy=True))  # lets go of the rest
        else:
            crops.append(item.mask.astype(bool, copy=False))
    pixels = np.array([np.count_nonzero(crop) for crop in crops], dtype=np.float64)
    return Regions(pixels, boxes=boxes, crops=crops, size=shape)


def are_entries(items: Sequence[Region]) -> bool:
    """Returns whether these are entries of a COCO file; raises where only some of them are."""
    forms = {isinstance(item, dict) for item in items}
    if len(forms) == 2:
        raise SegtuneError("some regions are COCO entries and some are not; give one form")
    return forms == {True}


def overlap_pairs(
    preds: Regions,
    truth: Regions,
    *,
    is_crowd: np.ndarray,
    at_least: float,
    allowed: np.ndarray | None = None,
) -> OverlapPairs:
    """Returns the pairs that overlap by `at_least` or more.

    Args:
        is_crowd: (G,) bool.
        at_least: above 0.
        allowed: (D, G) bool, the pairs that are of interest; None means all.

    Raises:
        SegtuneError: predictions and truth are of images of different sizes.
    """
    if not len(preds) or not len(truth):
        none = np.zeros(0, dtype=np.int64)
        return OverlapPairs(none, none, np.zeros(0))
    possible = np.ones((len(preds), len(truth)), bool) if allowed is None else allowed
    if preds.rles is None and preds.crops is None:
        return _pairs_of(preds.boxes, truth.boxes, is_crowd, possible, at_least)
    _check_sizes(preds, truth)
    if preds.rles is None or truth.rles is None:
        preds, truth = preds.cropped(), truth.cropped()
    possible = possible & (_bound(preds, truth, is_crowd) >= at_least)
    if preds.rles is not None:
        return _pairs_of(preds.rles, truth.rles, is_crowd, possible, at_least)
    pred_ids, object_ids = np.nonzero(possible)
    ious = _crop_ious(preds, truth, pred_ids, object_ids, is_crowd)
    keep = ious >= at_least
    return OverlapPairs(pred_ids[keep], object_ids[keep], ious[keep])


def _bound(preds: Regions, truth: Regions, is_crowd: np.ndarray) -> np.ndarray:
    """Returns (D, G) upper bounds of the overlap, by area, and by box where it is known.

    Rounding is monotone, so a bound below a threshold means an overlap below it in floating point,
    too.
    """
    area, other = preds.pixels[:, None], truth.pixels
    shared = np.minimum(area, other)
    if preds.boxes is not None and truth.boxes is not None:
        (px, py, pw, ph), (tx, ty, tw, th) = preds.boxes.T[..., None], truth.boxes.T[:, None]
        width = np.minimum(px + pw, tx + tw) - np.maximum(px, tx)
        height = np.minimum(py + ph, ty + th) - np.maximum(py, ty)
        shared = np.minimum(shared, np.maximum(width, 0) * np.maximum(height, 0))
    union = np.where(is_crowd, area, area + other - shared)
    return shared / np.maximum(union, 1)


def _pairs_of(
    preds: Any, truth: Any, is_crowd: np.ndarray, possible: np.ndarray, at_least: float
) -> OverlapPairs:
    """Returns the pairs of RLEs or boxes, by one call for all that are in a possible pair."""
    rows, columns = np.flatnonzero(possible.any(1)), np.flatnonzero(possible.any(0))
    if not len(rows):
        return OverlapPairs(rows, rows, np.zeros(0))
    if isinstance(preds, np.ndarray):
        preds, truth = preds[rows], truth[columns]
    else:
        preds, truth = [preds[i] for i in rows.tolist()], [truth[j] for j in columns.tolist()]
    ious = np.asarray(coco_mask.iou(preds, truth, is_crowd[columns].astype(int).tolist()))
    found = possible[rows[:, None], columns] & (ious >= at_least)
    row, column = np.nonzero(found)
    return OverlapPairs(rows[row], columns[column], ious[found])


def _crop_ious(
    preds: Regions,
    truth: Regions,
    pred_ids: np.ndarray,
    object_ids: np.ndarray,
    is_crowd: np.ndarray,
) -> np.ndarray:
    """Returns (n,) overlaps, counted in the window that both boxes share."""
    assert preds.crops is not None
    assert truth.crops is not None
    assert preds.boxes is not None
    assert truth.boxes is not None
    boxes, others = preds.boxes.astype(int).tolist(), truth.boxes.astype(int).tolist()
    shared = np.zeros(len(pred_ids))
    for n, (i, j) in enumerate(zip(pred_ids.tolist(), object_ids.tolist(), strict=True)):
        (x, y, w, h), (u, v, k, m) = boxes[i], others[j]
        left, right, top, bottom = max(x, u), min(x + w, u + k), max(y, v), min(y + h, v + m)
        mine = preds.crops[i][top - y : bottom - y, left - x : right - x]
        other = truth.crops[j][top - v : bottom - v, left - u : right - u]
        shared[n] = np.count_nonzero(mine & other)
    area = preds.pixels[pred_ids]
    union = np.where(is_crowd[object_ids], area, area + truth.pixels[object_ids] - shared)
    return shared / np.maximum(union, 1)


def _check_sizes(preds: Regions, truth: Regions) -> None:
    if truth.size is None:
        return
    height, width = truth.size
    if preds.size is not None and preds.size != truth.size:
        given = f"{preds.size[1]}x{preds.size[0]}"
    elif preds.boxes is not None:
        right, bottom = (preds.boxes[:, :2] + preds.boxes[:, 2:]).max(0)
        if right <= width and bottom <= height:
            return
        given = f"at least {right:.0f}x{bottom:.0f}"
    else:
        return
    raise SegtuneError(
        f"the predictions are masks of an image of {given} pixels but the truth is {width}x{height}"
        "; bring predictions to the original size"
    )


def _rles_of(items: Sequence[Any]) -> list[dict[str, Any]]:
    """Returns the compressed RLE of every entry."""
    rles = [item.get("segmentation") for item in items]
    for i, rle in enumerate(rles):
        if type(rle) is not dict or "counts" not in rle:
            raise SegtuneError(
                "a region has no RLE mask (`segmentation` with `size` and `counts`); encode "
                "polygons first, or compare boxes"
            )
        if type(rle["counts"]) is list:
            rles[i] = coco_mask.frPyObjects(rle, *rle["size"])
    return rles


def _box_of(item: Region) -> Sequence[float]:
    if not isinstance(item, dict):
        x1, y1, x2, y2 = item.box_px
        return x1, y1, x2 - x1, y2 - y1
    if "bbox" in item:
        return item["bbox"]
    return coco_mask.toBbox(_rles_of([item]))[0].tolist()
