"""Elements of CVAT's XML as drawings, and its run lengths.

Polygons, boxes and ellipses are filled where pixel centres are inside, as CVAT's own exports of
masks do. A `mask` has run lengths along the rows of its box, pixels outside first. `polyline`,
`points` and `skeleton` are no regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

import numpy as np

from segtune.data.masks.drawing import (
    Bitmap,
    Drawing,
    box_polygon,
    ellipse_polygon,
    turned_points,
)
from segtune.data.masks.shapes import ShapeError

REGIONS = ("polygon", "box", "mask", "ellipse")
NO_REGIONS = ("polyline", "points", "cuboid", "skeleton", "tag")
LARGEST = 100_000
"""Longest side of a mask, in pixels."""


def drawing_of(element: Element) -> Drawing:
    """Returns what an element draws.

    Raises:
        ShapeError: an attribute lacks, or is no number.
    """
    values = element.attrib
    if element.tag == "polygon":
        return [points_of(values.get("points", ""))]
    if element.tag == "box":
        left, top, right, bottom = (number(values, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        polygon = box_polygon(left, top, right, bottom)
        if degrees := number(values, "rotation", "0"):
            corners = np.array(polygon[0]).reshape(-1, 2)
            center = ((left + right) / 2, (top + bottom) / 2)
            polygon = [turned_points(corners, center, degrees).ravel().tolist()]
        return polygon
    if element.tag == "ellipse":
        center = (number(values, "cx"), number(values, "cy"))
        radii = (number(values, "rx"), number(values, "ry"))
        return ellipse_polygon(center, radii, degrees=number(values, "rotation", "0"))
    left, top, width, height = (
        round(number(values, key)) for key in ("left", "top", "width", "height")
    )
    return Bitmap(unpacked(values.get("rle", ""), (height, width)), left, top)


def points_of(text: str) -> list[float]:
    """Returns [x1, y1, x2, y2, ...] of "x1,y1;x2,y2".

    Example:
        >>> points_of("1.5,2;3,4")
        [1.5, 2.0, 3.0, 4.0]
    """
    try:
        pairs = [list(map(float, point.split(","))) for point in text.split(";") if point.strip()]
    except ValueError:
        raise ShapeError(f"has the points {text[:30]!r}, which are no numbers") from None
    if any(len(pair) != 2 for pair in pairs):
        raise ShapeError("has a point that is no x, y pair")
    return [value for pair in pairs for value in pair]


def number(values: Mapping[str, str], key: str, default: str | None = None) -> float:
    """Returns a finite number of an element."""
    text = values.get(key, default)
    if text is None:
        raise ShapeError(f"has no {key!r}")
    try:
        value = float(text)
    except ValueError:
        raise ShapeError(f"has {key}={text!r}; expected a number") from None
    if not np.isfinite(value):
        raise ShapeError(f"has {key}={text}")
    return value


def unpacked(text: str, size: tuple[int, int]) -> np.ndarray:
    """Returns the (h, w) bool mask of run lengths along the rows, outside first.

    Example:
        >>> unpacked("1, 2, 1", (2, 2)).tolist()
        [[False, True], [True, False]]
    """
    height, width = size
    if not (0 < height <= LARGEST and 0 < width <= LARGEST):
        raise ShapeError(f"has a mask of {width}x{height}")
    try:
        runs = np.array([int(part) for part in text.split(",")], np.int64)
    except (ValueError, OverflowError):
        raise ShapeError("has run lengths that are no numbers") from None
    if runs.min() < 0 or runs.sum() != height * width:
        raise ShapeError("has run lengths that do not fill its box")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def run_lengths(mask: np.ndarray) -> str:
    """Returns the run lengths of a (h, w) bool mask, as `unpacked` reads them."""
    flat = np.concatenate(([False], mask.ravel(), [not mask.ravel()[-1]]))
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate(([0], changes)))
    return ", ".join(map(str, runs.tolist()))
