"""From the pixels that a label tool saw to the upright image: resized and turned photographs.

Label files state the width and height on which polygons were drawn; the image file may have been
resized since, and photographs may be stored sideways with an EXIF orientation that turns them.
The stated size says which frame the labels are in:

| stated size | labels are taken |
|---|---|
| none, or that of the upright image | as they are |
| that of the stored pixels, sideways | turned upright as EXIF says |
| of equal proportions, within a pixel | scaled, and turned where those are the stored ones |
| any other | not: refused with both sizes |

Tools that show photographs upright (CVAT, Label Studio, LabelMe, VIA, all in a browser) state the
upright size; those that read stored pixels (converters on PIL or OpenCV arrays, COCO Annotator)
state the stored one. Where labels reach outside of a stated sideways frame, file and tool
disagree, and they are refused. A size cannot tell a photograph turned by half a turn or mirrored
(EXIF 2 to 4) from an upright one: labels are taken as upright, as those tools show it. Masks (RLE)
are never scaled, as that would change their pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segtune.data.masks.shapes import Rle, Shape, ShapeError, check_shape, decode_shape
from segtune.errors import DataError
from segtune.storage.images import Header


@dataclass(frozen=True)
class Frame:
    """How labels of a stated size become masks on the upright image.

    Attributes:
        header: of the image file.
        drawn: (H, W) at which polygons are filled.
        scale: (x, y) by which their coordinates are multiplied before.
        orientation: EXIF 1 to 8, by which the mask is turned after.
    """

    header: Header
    drawn: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    orientation: int = 1

    def mask(self, shape: Shape) -> np.ndarray:
        """Returns the (H, W) bool mask of a shape on the upright image.

        Raises:
            ShapeError: the shape is damaged or in no frame of this image.
        """
        if isinstance(shape, Rle):
            header = self.header
            if header.is_sideways and tuple(shape.size) == header.stored != header.upright:
                return turned(decode_shape(shape, header.stored), header.orientation)
            return decode_shape(shape, header.upright)
        check_shape(shape)
        sx, sy = self.scale
        if self.orientation != 1:
            self._check_inside(shape)
        if self.scale != (1.0, 1.0):
            factors = (sx, sy)
            shape = [[v * factors[i % 2] for i, v in enumerate(polygon)] for polygon in shape]
        return turned(decode_shape(shape, self.drawn), self.orientation)

    def _check_inside(self, polygons: list[list[float]]) -> None:
        """Raises where labels in a sideways frame reach outside of it."""
        height, width = (side / s for side, s in zip(self.drawn, self.scale[::-1], strict=True))
        for polygon in polygons:
            if polygon and (max(polygon[0::2]) > width + 1 or max(polygon[1::2]) > height + 1):
                raise ShapeError(
                    f"reaches outside of the stated {width:.0f}x{height:.0f}, which are the sides "
                    "of the stored photograph before EXIF turns it; correct width and height"
                )


def frame_of(header: Header, stated: tuple[float | None, float | None], *, what: str) -> Frame:
    """Returns the frame of labels that were made on an image of a stated (height, width).

    Args:
        header: of the image file.
        stated: None or 0 where the label file does not say.
        what: the image and the label file, for the message.

    Raises:
        DataError: the sizes have other proportions.
    """
    height, width = stated
    if not height or not width or (height, width) == header.upright:
        return Frame(header, header.upright)
    if header.is_sideways and (height, width) == header.stored:
        return Frame(header, header.stored, orientation=header.orientation)
    for size, orientation in ((header.upright, 1), (header.stored, header.orientation)):
        if _is_proportional((height, width), size):
            scale = (size[1] / width, size[0] / height)
            return Frame(header, size, scale, orientation)
        if not header.is_sideways:
            break
    h, w = header.upright
    hint = (
        "which has other proportions; give the image that was labelled, or correct width and height"
    )
    if (width, height) == header.upright:
        hint = "with both exchanged; exchange width and height in the label file"
    raise DataError(
        f"{what}: the labels were made on {width:g}x{height:g}, but the image is {w}x{h}, {hint}"
    )


def turned(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Returns stored pixels (H, W, ...) as EXIF orientation 1 to 8 turns them upright."""
    if orientation in (2, 5, 7, 4):  # mirrored ones: undo the mirror, then turn
        mask = mask[:, ::-1]
    quarter_turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(mask, quarter_turns))


def _is_proportional(stated: tuple[float, float], size: tuple[int, int]) -> bool:
    """Whether both sides changed by one factor, sides being rounded to whole pixels."""
    (h, w), (height, width) = stated, size
    if h == height or w == width:
        return False
    return abs(width * h / (height * w) - 1) <= 1 / min(h, w, height, width)
