"""What is read of the JSON of LabelMe, and which drawing a shape stands for."""

from __future__ import annotations

import base64
import io
import math

import msgspec
import numpy as np
from PIL import Image

from segtune.data.masks.drawing import Bitmap, Stroke
from segtune.data.masks.shapes import ShapeError

LINE_WIDTH_PX = 10.0
"""Width in which LabelMe's own converters draw lines."""
POINTS = ("point", "points")
"""Kinds of shapes that are no regions."""


class LabelmeShape(msgspec.Struct):
    """One shape; `mask` is a PNG in base64 whose corners are the two points."""

    label: str | int | float
    points: list[list[float]]
    shape_type: str | None = None
    group_id: int | str | None = None
    mask: str | None = None


class LabelmeFile(msgspec.Struct):
    """One JSON; `imageData` is the photograph in base64, or nothing."""

    shapes: list[LabelmeShape]
    imagePath: str | None = None
    imageHeight: float | None = None
    imageWidth: float | None = None


class LabelmeNames(msgspec.Struct):
    """What is read of every file to know the classes."""

    class Shape(msgspec.Struct):
        """A label and its kind."""

        label: str | int | float
        shape_type: str | None = None

    shapes: list[Shape]
    imagePath: str | None = None


class LabelmePixels(msgspec.Struct):
    """The photograph inside of a file."""

    imageData: str | None = None


def drawing_of(shape: LabelmeShape, *, line_width: float) -> Stroke | Bitmap:
    """Returns what a shape draws, by the rules of LabelMe's converters.

    Raises:
        ShapeError: its kind is unknown, or its points do not fit it.
    """
    if any(len(point) != 2 for point in shape.points):
        raise ShapeError("has a point that is no x, y pair")
    points = tuple((x, y) for x, y in shape.points)
    kind = shape.shape_type or "polygon"
    if kind == "mask":
        return _bitmap(shape)
    if kind == "circle":
        if len(points) != 2:
            raise ShapeError(f"is a circle of {len(points)} points; centre and rim are needed")
        (x, y), (px, py) = points
        r = math.hypot(x - px, y - py)
        return Stroke("ellipse", ((x - r, y - r), (x + r, y + r)))
    if kind == "rectangle":
        if len(points) < 2:
            raise ShapeError(f"is a rectangle of {len(points)} points; two corners are needed")
        return Stroke("rectangle", points)
    if kind in ("line", "linestrip"):
        return Stroke("line", points, width=line_width)
    if kind == "polygon":
        return Stroke("polygon", points)
    raise ShapeError(f"is a {kind}, which is not known; draw polygons, rectangles or masks")


def _bitmap(shape: LabelmeShape) -> Bitmap:
    if shape.mask is None or not shape.points:
        raise ShapeError("is a mask without its pixels")
    image = picture(shape.mask, what="mask")
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    mask = np.asarray(pixels.any(2) if pixels.ndim == 3 else pixels > 0)
    x, y = shape.points[0]
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ShapeError("is a mask at NaN or infinity")
    return Bitmap(mask, int(x), int(y))


def picture(text: str, *, what: str) -> Image.Image:
    """Returns a picture that is written in base64."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        image.load()
        return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise ShapeError(f"has a {what} that is no picture") from None


def encoded(mask: np.ndarray) -> str:
    """Returns a (h, w) bool mask as PNG in base64."""
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode("ascii")
