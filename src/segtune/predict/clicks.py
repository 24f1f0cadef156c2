"""The points and boxes of a user: what they mean, and whether they fit an image.

Frame and shape letters are those of `backbones.prompting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segtune.backbones.prompting import BESIDE, NO_CLICK, ON, Asked, Boxes, Clicks
from segtune.errors import SegtuneError

PointsLike = np.ndarray | Sequence[Any]


def read_clicks(points: PointsLike, labels: PointsLike | int | None = None) -> Clicks:
    """Returns the clicks that a user means.

    Args:
        points: (P, 2), one click on each of P objects; or P lists of (T, 2) clicks; or one (x, y).
        labels: the same without the last axis: 1 on the object, 0 beside it, -1 no click; None
            means all on it.

    Raises:
        SegtuneError: shapes do not fit, or an object has no click on it.

    Example:
        >>> clicks = read_clicks([[(9, 4), (30, 4)], [(50, 7)]], [[1, 0], [1]])
        >>> len(clicks), clicks.labels[0].tolist()
        (2, [1, 0])
    """
    if len(points) == 2 and all(np.ndim(value) == 0 for value in points):
        points = [points]
    single = len(points) > 0 and all(len(point) and np.ndim(point[0]) == 0 for point in points)
    groups = [[point] for point in points] if single else list(points)
    arrays = [_numbers(group, 2, "points") for group in groups]
    if labels is None:
        marks = [np.full(len(array), ON) for array in arrays]
    else:
        is_one = np.isscalar(labels) or getattr(labels, "ndim", 1) == 0
        given: Any = [labels] if is_one else labels
        marks = [np.atleast_1d(np.asarray(mark)) for mark in given]
    if [mark.shape for mark in marks] != [(len(array),) for array in arrays]:
        raise SegtuneError(
            f"there are points for {len(arrays)} objects but other labels; give one label per "
            "point: 1 on the object, 0 beside it, -1 no click"
        )
    found = []
    for number, (array, mark) in enumerate(zip(arrays, marks, strict=True), start=1):
        if not np.isin(mark, (ON, BESIDE, NO_CLICK)).all():
            raise SegtuneError(f"labels of object {number} are {mark.tolist()}; use 1, 0 and -1")
        if not (mark == ON).any():
            raise SegtuneError(
                f"object {number} has no positive point; put all clicks of one object into one "
                "list, with at least one on the object (label 1)"
            )
        found.append((array[mark != NO_CLICK], mark[mark != NO_CLICK].astype(np.int64)))
    return Clicks(tuple(array for array, _ in found), tuple(mark for _, mark in found))


def read_boxes(boxes: PointsLike) -> Boxes:
    """Returns the boxes that a user means: (P, 4) xyxy, or one box of four numbers."""
    if len(boxes) == 4 and all(np.ndim(side) == 0 for side in boxes):
        boxes = [boxes]
    return Boxes(_numbers(boxes, 4, "boxes"))


def _numbers(rows: PointsLike, length: int, what: str) -> np.ndarray:
    """Returns (N, length) float32 finite numbers."""
    try:
        array = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError):
        array = np.full((0, 0), np.nan)
    if not array.size and len(rows) == 0:
        return np.zeros((0, length), np.float32)
    if array.ndim != 2 or array.shape[1] != length or not np.isfinite(array).all():
        expected = "(x, y) points, or P lists of them" if length == 2 else "(x1, y1, x2, y2) boxes"
        raise SegtuneError(f"{what} are not P finite {expected}; got {str(rows)[:80]}")
    return array


def check_inside(asked: Asked, size: tuple[int, int]) -> None:
    """Raises `SegtuneError` where a click or box is not inside an image of (H, W) `size`."""
    height, width = size
    image = f"of {width}x{height}"
    if isinstance(asked, Boxes):
        for x1, y1, x2, y2 in asked.boxes_px.tolist():
            if not (x1 < x2 and y1 < y2):
                raise SegtuneError(
                    f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) has no area; give left, top, right, "
                    "bottom in pixels"
                )
            if min(x1, y1) < 0 or x2 > width or y2 > height:
                raise SegtuneError(
                    f"box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) reaches outside of the image {image}"
                )
        return
    for x, y in np.concatenate(asked.points_px).tolist() if len(asked) else ():
        if not (0 <= x < width and 0 <= y < height):
            raise SegtuneError(f"point ({x:g}, {y:g}) lies outside of the image {image}")
