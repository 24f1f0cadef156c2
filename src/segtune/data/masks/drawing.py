"""Shapes of label tools as masks: boxes, ellipses, lines and bitmaps, beside polygons and RLE.

A shape is drawn on the image that the tool saw, and turned upright with it, see `frames.py`.
Lines, ellipses and outlined polygons are drawn by Pillow, whose polygons have their border pixels
too, as LabelMe draws them; `Polygons` are filled by COCO's rule, which asks for pixel centres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from segtune.data.masks.frames import Frame, turned
from segtune.data.masks.shapes import FARTHEST_PX, FARTHEST_SIDES, Rle, Shape, ShapeError

Point = tuple[float, float]
StrokeKind = Literal["polygon", "rectangle", "ellipse", "line"]

FEWEST = {"polygon": 3, "rectangle": 2, "ellipse": 2, "line": 2}


@dataclass(frozen=True)
class Stroke:
    """A shape that is drawn with its line.

    Attributes:
        kind: "polygon" is filled, with its outline of one pixel; "rectangle" and "ellipse" are
            given by two opposite corners, which are inside.
        points: (x, y) in pixels.
        width: of a line, in pixels.
        holes: of a polygon; their border pixels belong to it.
    """

    kind: StrokeKind
    points: tuple[Point, ...]
    width: float = 1.0
    holes: tuple[tuple[Point, ...], ...] = ()


@dataclass(frozen=True)
class Bitmap:
    """A small mask at a place.

    Attributes:
        mask: (h, w) bool.
        left, top: the pixel of the image at which it begins.
    """

    mask: np.ndarray
    left: int = 0
    top: int = 0


Drawing = Shape | Stroke | Bitmap
"""What a tool stores of an object."""


def draw(drawing: Drawing, frame: Frame) -> np.ndarray:
    """Returns the (H, W) bool mask on the upright image.

    Raises:
        ShapeError: it is damaged, or in no frame of this image.
    """
    if isinstance(drawing, Stroke):
        return turned(_stroked(drawing, frame), frame.orientation)
    if isinstance(drawing, Bitmap):
        if frame.scale != (1.0, 1.0):
            raise ShapeError(
                "is a bitmap, but its image was resized; give the image that was labelled"
            )
        return turned(_pasted(drawing, frame.drawn), frame.orientation)
    return frame.mask(drawing)


def check_drawing(drawing: Drawing) -> None:
    """Raises `ShapeError` where a shape is damaged whatever its image is."""
    from segtune.data.masks.shapes import check_shape

    if isinstance(drawing, Stroke):
        _check_stroke(drawing)
    elif isinstance(drawing, Rle | list):
        check_shape(drawing)


def _check_stroke(stroke: Stroke) -> None:
    if len(stroke.points) < FEWEST[stroke.kind]:
        least = FEWEST[stroke.kind]
        raise ShapeError(f"has a {stroke.kind} of {len(stroke.points)} points; {least} are needed")
    for hole in stroke.holes:
        _check_stroke(Stroke("polygon", hole))
    numbers = [value for point in stroke.points for value in point]
    if not all(map(math.isfinite, numbers)):
        raise ShapeError(f"has a {stroke.kind} with NaN or infinity in it")
    if (far := max(numbers, key=abs)) and abs(far) > FARTHEST_PX:
        raise ShapeError(f"has a {stroke.kind} that reaches to pixel {far:.0f}")


def _stroked(stroke: Stroke, frame: Frame) -> np.ndarray:
    _check_stroke(stroke)
    height, width = frame.drawn
    sx, sy = frame.scale
    points = [(x * sx, y * sy) for x, y in stroke.points]
    limit = FARTHEST_SIDES * max(frame.drawn)
    if any(abs(value) > limit + max(frame.drawn) for point in points for value in point):
        raise ShapeError(f"reaches far outside of its image of {width}x{height}")
    page = Image.new("L", (width, height))
    pen = ImageDraw.Draw(page)
    if stroke.kind == "polygon":
        pen.polygon(points, fill=1, outline=1)
        for hole in stroke.holes:
            inner = [(x * sx, y * sy) for x, y in hole]
            pen.polygon(inner, fill=0, outline=1)
    elif stroke.kind == "line":
        pen.line(points, fill=1, width=max(1, round(stroke.width * (sx + sy) / 2)))
    else:
        xs, ys = zip(*points, strict=True)
        box = (min(xs), min(ys), max(xs), max(ys))
        (pen.rectangle if stroke.kind == "rectangle" else pen.ellipse)(box, fill=1, outline=1)
    return np.asarray(page) > 0


def _pasted(bitmap: Bitmap, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    h, w = bitmap.mask.shape
    top, left = max(bitmap.top, 0), max(bitmap.left, 0)
    part = bitmap.mask[top - bitmap.top :, left - bitmap.left :]
    part = part[: max(size[0] - top, 0), : max(size[1] - left, 0)]
    if not part.size:
        raise ShapeError(
            f"has a bitmap of {w}x{h} at {bitmap.left}, {bitmap.top}, outside of its image of "
            f"{size[1]}x{size[0]}"
        )
    mask[top : top + part.shape[0], left : left + part.shape[1]] = part
    return mask


def box_polygon(left: float, top: float, right: float, bottom: float) -> list[list[float]]:
    """Returns the polygon of a box whose sides lie between pixels.

    Example:
        >>> box_polygon(0, 0, 2, 1)
        [[0, 0, 2, 0, 2, 1, 0, 1]]
    """
    return [[left, top, right, top, right, bottom, left, bottom]]


def ellipse_polygon(
    center: Point, radii: Point, *, degrees: float = 0.0, count: int = 180
) -> list[list[float]]:
    """Returns a polygon of an ellipse that is turned clockwise about its centre."""
    angles = np.arange(count) * (2 * math.pi / count)
    x, y = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    points = np.stack([x, y], axis=1)
    return [turned_points(points + np.array(center), center, degrees).ravel().tolist()]


def turned_points(points: np.ndarray, center: Sequence[float], degrees: float) -> np.ndarray:
    """Returns (P, 2) points, turned clockwise as seen on the screen about a centre."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.asarray((points - np.asarray(center)) @ turn.T + np.asarray(center))
