"""Polygons and RLE from files, checked before anything decodes them.

Polygons are lists [x1, y1, x2, y2, ...] in pixels; (0, 0) is the top left corner of the image. RLE
counts run down the columns, pixels outside first; as a string they are packed as COCO packs them.
A damaged shape is a `ShapeError`, whose message goes on with a sentence that names the annotation.
pycocotools, which crashes on damaged ones, sees only polygons that passed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

Polygons = list[list[float]]

FARTHEST_PX = 1_000_000.0
"""Coordinates beyond it are damage on any image."""
FARTHEST_SIDES = 4
"""Image sides that a polygon may reach outside of its image."""


class Rle(msgspec.Struct):
    """Run lengths of a mask.

    Attributes:
        size: [height, width].
        counts: run lengths, or COCO's packed string.
    """

    size: list[int]
    counts: list[int] | str


Shape = Polygons | Rle


class ShapeError(ValueError):
    """A shape that stands for no mask; the message continues "annotation 7 ..."."""


def check_shape(shape: Shape) -> None:
    """Raises `ShapeError` where a shape is damaged whatever its image is; costs little.

    Example:
        >>> check_shape([[1.0, 1.0, 5.0, 1.0, 5.0, 4.0]])
        >>> check_shape([[1.0, 1.0, 5.0, 1.0]])
        Traceback (most recent call last):
        segtune.data.masks.shapes.ShapeError: has a polygon of 2 points; three or more are needed
    """
    if isinstance(shape, Rle):
        _check_rle(shape)
        return
    if not any(len(polygon) >= 6 for polygon in shape):
        points = max((len(polygon) // 2 for polygon in shape), default=0)
        raise ShapeError(f"has a polygon of {points} points; three or more are needed")
    for polygon in shape:
        if len(polygon) % 2:
            raise ShapeError(f"has a polygon of {len(polygon)} numbers, which are no x, y pairs")
        if polygon and not math.isfinite(sum(polygon)):
            raise ShapeError("has a polygon with NaN or infinity in it")
        if polygon and (max(polygon) > FARTHEST_PX or min(polygon) < -FARTHEST_PX):
            raise ShapeError(f"has a polygon that reaches to pixel {max(polygon, key=abs):.0f}")


def is_shapeless(shape: Shape | None) -> bool:
    """Whether an annotation has no shape at all, as where a tool drew a bounding box only."""
    return shape is None or (isinstance(shape, list) and not any(shape))


def decode_shape(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) bool mask of a shape on an image of `size`.

    Raises:
        ShapeError: it is damaged, of another size, or far outside of the image.
    """
    check_shape(shape)
    if isinstance(shape, Rle):
        if tuple(shape.size) != size:
            h, w = shape.size
            raise ShapeError(f"is a mask of {w}x{h} on an image of {size[1]}x{size[0]}")
        return decode_counts(run_lengths(shape.counts), size)
    return fill_polygons(shape, size)


def fill_polygons(polygons: Polygons, size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) bool union of polygons that passed `check_shape`, filled as COCO does."""
    from pycocotools import mask as coco_mask

    height, width = size
    polygons = [polygon for polygon in polygons if len(polygon) >= 6]
    limit = FARTHEST_SIDES * max(size)
    for polygon in polygons:
        if max(polygon) > limit + max(size) or min(polygon) < -limit:
            far = max(polygon, key=abs)
            raise ShapeError(
                f"has a polygon that reaches to pixel {far:.0f} of an image of {width}x{height}"
            )
    if all(_is_outside(polygon, size) for polygon in polygons):
        raise ShapeError(f"has no polygon inside of its image of {width}x{height}")
    parts = coco_mask.frPyObjects(polygons, height, width)
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool)


def _is_outside(polygon: list[float], size: tuple[int, int]) -> bool:
    xs, ys = polygon[0::2], polygon[1::2]
    return max(xs) < 0 or max(ys) < 0 or min(xs) > size[1] or min(ys) > size[0]


def run_lengths(counts: Sequence[int] | str) -> np.ndarray:
    """Returns run lengths as (R,) int64, unpacked where they are COCO's string.

    Raises:
        ShapeError: the string is cut off or is none of COCO's, or a length is negative.
    """
    lengths = _unpacked(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
    if len(lengths) and lengths.min() < 0:
        raise ShapeError("has negative run lengths")
    return lengths


def decode_counts(lengths: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) bool mask of (R,) run lengths down the columns, zeros first.

    Raises:
        ShapeError: the lengths do not fill the image.
    """
    height, width = size
    if lengths.sum() != height * width:
        raise ShapeError("has run lengths that do not fill the image")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, lengths).reshape(width, height).T)


def _check_rle(rle: Rle) -> None:
    if len(rle.size) != 2 or min(rle.size) < 1:
        raise ShapeError(
            f"has RLE of the size {rle.size}; two numbers, height and width, are needed"
        )
    if isinstance(rle.counts, list):
        if any(length < 0 for length in rle.counts):
            raise ShapeError("has negative run lengths")
        if sum(rle.counts) != rle.size[0] * rle.size[1]:
            raise ShapeError("has run lengths that do not fill the image")


def _unpacked(text: str) -> np.ndarray:
    """Returns the run lengths in COCO's string: 5 bits a letter, from the fourth on as differences.

    See `rleFrString` of the COCO API.
    """
    try:
        codes = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        raise ShapeError("has RLE with letters that COCO does not use") from None
    if not len(codes):
        return codes
    if codes.min() < 0 or codes.max() > 63:
        raise ShapeError("has RLE with letters that COCO does not use")
    is_last = (codes & 32) == 0
    if not is_last[-1]:
        raise ShapeError("has RLE that is cut off")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if (ends - starts).max() > 7:  # 40 bits: no image has such runs
        raise ShapeError("has RLE with impossible run lengths")
    number = np.repeat(np.arange(len(ends)), ends - starts + 1)
    shifts = 5 * (np.arange(len(codes)) - starts[number])
    values = np.zeros(len(ends), np.int64)
    np.add.at(values, number, (codes & 31) << shifts)
    is_negative = (codes[ends] & 16) != 0
    values[is_negative] -= 1 << (5 * (ends - starts + 1))[is_negative]
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values
