"""Which predicted regions overlap which objects of an image, as a short list of pairs.

Greedy matching only ever asks about pairs whose overlap reaches the lowest threshold. Box and area
give an upper bound of the overlap of two masks, so that few pairs are left to compare pixel by
pixel; the overlaps of these are the exact ones, equal to those of pycocotools to the last bit.

Boxes here are xywh in pixels of the original image, as in COCO files. D predictions, G objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask

from segtune.errors import SegtuneError
from segtune.types import Instance, Segment

OverlapOf = Literal["masks", "boxes"]
Region = Segment | Instance | Mapping[str, Any]
"""A region of ours, or an entry of a COCO file: `segmentation` (RLE) and/or `bbox` (xywh)."""


@dataclass(frozen=True)
class Regions:
    """Regions of one image in the form in which they are compared.

    Attributes:
        boxes: (N, 4) float64 xywh.
        pixels: (N,) float64, area of the mask, or of the box where there are only boxes.
        rles: compressed RLE of each region, where all came that way.
        crops: (height, width) bool inside the box of each region, otherwise.
        size: (H, W) of the image, where the regions know it.
    """

    boxes: np.ndarray
    pixels: np.ndarray
    rles: Sequence[Mapping[str, Any]] | None = None
    crops: Sequence[np.ndarray] | None = None
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def cropped(self) -> Regions:
        """Returns the same regions as crops."""
        if self.rles is None:
            return self
        crops = []
        for rle, (x, y, w, h) in zip(self.rles, self.boxes.astype(int).tolist(), strict=True):
            crops.append(coco_mask.decode(rle)[y : y + h, x : x + w].astype(bool))
        return Regions(self.boxes, self.pixels, crops=crops, size=self.size)


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
        return Regions(boxes, boxes[:, 2] * boxes[:, 3])
    if any(isinstance(item, Mapping) for item in items):
        rles = [_rle_of(item) for item in items]
        sizes = {tuple(rle["size"]) for rle in rles}
        if len(sizes) > 1:
            raise SegtuneError(f"masks of one image have different sizes: {sorted(sizes)}")
        boxes = np.asarray(coco_mask.toBbox(rles), dtype=np.float64).reshape(-1, 4)
        pixels = np.asarray(coco_mask.area(rles), dtype=np.float64)
        return Regions(boxes, pixels, rles=rles, size=sizes.pop())
    size = None
    boxes, crops = np.zeros((len(items), 4)), []
    for i, item in enumerate(items):
        assert isinstance(item, Segment | Instance)
        x1, y1, x2, y2 = item.box_px
        boxes[i] = x1, y1, x2 - x1, y2 - y1
        if isinstance(item, Instance):
            if size not in (None, item.mask.shape):
                raise SegtuneError(
                    f"masks of one image have different sizes: {size}, {item.mask.shape}"
                )
            size = item.mask.shape
            crops.append(item.mask[y1:y2, x1:x2].astype(bool, copy=True))  # lets go of the rest
        else:
            crops.append(item.mask.astype(bool, copy=False))
    pixels = np.array([np.count_nonzero(crop) for crop in crops], dtype=np.float64)
    return Regions(boxes, pixels, crops=crops, size=size)


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
    if preds.rles is None and preds.crops is None:
        ious = np.asarray(coco_mask.iou(preds.boxes, truth.boxes, is_crowd.astype(int).tolist()))
        found = ious >= at_least if allowed is None else (ious >= at_least) & allowed
        pred_ids, object_ids = np.nonzero(found)
        return OverlapPairs(pred_ids, object_ids, ious[found])
    _check_sizes(preds, truth)
    possible = _bound(preds, truth, is_crowd) >= at_least
    if allowed is not None:
        possible &= allowed
    object_ids, pred_ids = np.nonzero(possible.T)
    if preds.rles is not None and truth.rles is not None:
        ious = _rle_ious(preds.rles, truth.rles, pred_ids, object_ids, is_crowd)
    else:
        ious = _crop_ious(preds.cropped(), truth.cropped(), pred_ids, object_ids, is_crowd)
    keep = ious >= at_least
    return OverlapPairs(pred_ids[keep], object_ids[keep], ious[keep])


def _bound(preds: Regions, truth: Regions, is_crowd: np.ndarray) -> np.ndarray:
    """Returns (D, G) upper bounds of the overlap.

    Rounding is monotone, so a bound below a threshold means an overlap below it in floating point,
    too.
    """
    (px, py, pw, ph), (tx, ty, tw, th) = preds.boxes.T[..., None], truth.boxes.T[:, None]
    width = np.minimum(px + pw, tx + tw) - np.maximum(px, tx)
    height = np.minimum(py + ph, ty + th) - np.maximum(py, ty)
    area, other = preds.pixels[:, None], truth.pixels
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    shared = np.minimum(np.minimum(shared, area), other)
    union = np.where(is_crowd, area, area + other - shared)
    return shared / np.maximum(union, 1)


def _rle_ious(
    preds: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    pred_ids: np.ndarray,
    object_ids: np.ndarray,
    is_crowd: np.ndarray,
) -> np.ndarray:
    """Returns (n,) overlaps; the pairs are ordered by object."""
    ious = np.zeros(len(pred_ids))
    starts = np.flatnonzero(np.diff(object_ids, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(ious)], strict=True):
        j = int(object_ids[start])
        chosen = [preds[i] for i in pred_ids[start:stop].tolist()]
        ious[start:stop] = coco_mask.iou(chosen, [truth[j]], [int(is_crowd[j])])[:, 0]
    return ious


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
    else:
        right, bottom = (preds.boxes[:, :2] + preds.boxes[:, 2:]).max(0)
        if right <= width and bottom <= height:
            return
        given = f"at least {right:.0f}x{bottom:.0f}"
    raise SegtuneError(
        f"the predictions are masks of an image of {given} pixels but the truth is {width}x{height}"
        "; bring predictions to the original size"
    )


def _rle_of(item: Region) -> Mapping[str, Any]:
    rle = item.get("segmentation") if isinstance(item, Mapping) else None
    if not isinstance(rle, Mapping) or "counts" not in rle:
        raise SegtuneError(
            "masks of one list must all be RLE (`segmentation` with `size` and `counts`) or all "
            "be segments; encode polygons first, or compare boxes"
        )
    if isinstance(rle["counts"], list):
        return coco_mask.frPyObjects(dict(rle), *rle["size"])
    return rle


def _box_of(item: Region) -> Sequence[float]:
    if not isinstance(item, Mapping):
        x1, y1, x2, y2 = item.box_px
        return x1, y1, x2 - x1, y2 - y1
    if "bbox" in item:
        return item["bbox"]
    return coco_mask.toBbox(_rle_of(item)).tolist()
