"""What is read of COCO's JSON; every other key is left alone.

Ids are whole numbers or text; floats without a fraction, as tables write them, are whole numbers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from segtune.data.masks.shapes import Rle

Id = int | float | str


class CocoImage(msgspec.Struct, gc=False):
    """An entry of "images".

    LVIS gives a URL in place of a file name, and the categories that are known to be absent, and
    those of which not every object is annotated.
    """

    id: Id
    file_name: str | None = None
    coco_url: str | None = None
    width: float | None = None
    height: float | None = None
    neg_category_ids: list[Id] | None = None
    not_exhaustive_category_ids: list[Id] = []


class Category(msgspec.Struct, gc=False):
    """An entry of "categories"; LVIS says how frequent it is, "r", "c" or "f"."""

    id: Id
    name: str | int | float
    supercategory: str | None = None
    isthing: int | bool | None = None
    color: Any = None
    frequency: str | None = None


class Annotation(msgspec.Struct):
    """An object: an entry of "annotations" of instances."""

    image_id: Id
    category_id: Id
    id: Id | None = None
    segmentation: list[list[float]] | Rle | None = None
    iscrowd: int | bool | None = None


class Segment(msgspec.Struct, gc=False):
    """A region of a panoptic image."""

    id: int
    category_id: Id
    iscrowd: int | bool | None = None


class PanopticAnnotation(msgspec.Struct):
    """The segments of one image, and the PNG of their ids."""

    image_id: Id
    file_name: str
    segments_info: list[Segment]


class Caption(msgspec.Struct, gc=False):
    """A sentence about an image."""

    image_id: Id
    caption: str
    id: Id | None = None


class Instances(msgspec.Struct):
    """A file of objects."""

    images: list[CocoImage]
    annotations: list[Annotation]
    categories: list[Category]


class Panoptic(msgspec.Struct):
    """A file of panoptic segments."""

    images: list[CocoImage]
    annotations: list[PanopticAnnotation]
    categories: list[Category]


class Captions(msgspec.Struct):
    """A file of captions."""

    images: list[CocoImage]
    annotations: list[Caption]


def plain_id(number: Id) -> int | str:
    """Returns an id without the fraction that tables give it.

    Example:
        >>> plain_id(7.0), plain_id("a")
        (7, 'a')
    """
    if isinstance(number, float):
        return int(number) if number.is_integer() else str(number)
    return number
