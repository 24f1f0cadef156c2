"""Scored regions cut out of masks and label maps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from segtune.errors import SegtuneError
from segtune.types import IGNORE, Segment, Vocabulary


def crop_segment(
    mask: np.ndarray,
    class_id: int,
    score: float,
    *,
    alternatives: tuple[tuple[int, float], ...] = (),
) -> Segment:
    """Returns the segment of a (H, W) bool mask, cropped to its box.

    Example:
        >>> segment = crop_segment(np.array([[False, True], [False, True]]), 3, 0.5)
        >>> segment.box_px, segment.mask.shape
        ((1, 0, 2, 2), (2, 1))
    """
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return Segment(class_id, score, (0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
    y1, y2, x1, x2 = int(ys[0]), int(ys[-1]) + 1, int(xs[0]), int(xs[-1]) + 1
    crop = mask[y1:y2, x1:x2].copy()
    return Segment(class_id, score, (x1, y1, x2, y2), crop, alternatives)


def segments_from_semantic(
    label_map: np.ndarray,
    vocabulary: Vocabulary,
    *,
    probs: np.ndarray | None = None,
    min_pixels: int = 1,
) -> tuple[Segment, ...]:
    """Returns one segment per connected region of a thing and one per stuff class.

    Regions that touch at a corner are one. The score is the mean of `probs` inside the region, 1
    without them. Order: by class id, then from top to bottom.

    Args:
        label_map: (H, W) class ids, `IGNORE` where no class won.
        probs: (H, W) probability of the class of each pixel, 0..1.
        min_pixels: smaller segments are left out.
    """
    if probs is not None and probs.shape != label_map.shape:
        raise SegtuneError(f"probs are {probs.shape} but the label map is {label_map.shape}")
    segments = []
    for class_id in np.unique(label_map[label_map != IGNORE]).tolist():
        mask = label_map == class_id
        if vocabulary.concepts[class_id].kind == "thing":
            regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        else:
            regions = mask.astype(np.int32)
        for region_id, (rows, cols) in enumerate(ndimage.find_objects(regions), start=1):
            crop = regions[rows, cols] == region_id
            if crop.sum() < min_pixels:
                continue
            score = 1.0 if probs is None else float(probs[rows, cols][crop].mean())
            box = (cols.start, rows.start, cols.stop, rows.stop)
            segments.append(Segment(class_id, score, box, crop))
    return tuple(segments)


def distinct_regions(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Returns a region that was given several names once, as its best score has it; best first.

    A region that was given twice under one name stays twice, as an error of its model.

    Example:
        >>> mask = np.ones((2, 2), dtype=bool)
        >>> found = [Segment(0, 0.3, (0, 0, 2, 2), mask), Segment(1, 0.6, (0, 0, 2, 2), mask)]
        >>> [(segment.class_id, segment.score) for segment in distinct_regions(found)]
        [(1, 0.6)]
    """
    kept: list[Segment] = []
    times: dict[tuple[object, ...], int] = {}
    for segment in sorted(segments, key=lambda segment: -segment.score):
        region = (segment.box_px, np.packbits(segment.mask).tobytes())
        named = (*region, segment.class_id)
        times[named] = times.get(named, 0) + 1
        if times[named] > times.get(region, 0):
            times[region] = times[named]
            kept.append(segment)
    return tuple(kept)
