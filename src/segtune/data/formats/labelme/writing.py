"""Objects as the JSON of LabelMe, to be opened and edited there.

A part without holes is a polygon through the centres of its border pixels: LabelMe, which draws the
line of a polygon too, makes exactly the part of it. A part with a hole is a mask of LabelMe 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from segtune.data.formats.coco.files import save_json
from segtune.data.formats.labelme.schemas import encoded
from segtune.data.masks.outlines import rings, traced
from segtune.types import Segment, Segmentation

VERSION = "5.4.1"
SMALLEST = 3
"""Points of a polygon; smaller parts are masks."""


def write_labelme(path: Path, result: Segmentation, *, image_name: str) -> Path:
    """Writes the segments of an image as one JSON and returns its path.

    Args:
        path: the JSON, to be put beside the photograph.
        result: later segments lie above earlier ones.
        image_name: file name of the photograph.
    """
    height, width = result.size
    shapes = [
        shape
        for number, segment in enumerate(result.segments, start=1)
        for shape in _shapes(segment, number, result.vocabulary.names[segment.class_id])
    ]
    content: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image_name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return save_json(path, content)


def _shapes(segment: Segment, number: int, label: str) -> Iterator[dict[str, Any]]:
    """Yields one shape per part, or one mask of a segment with holes."""
    if not segment.mask.any():
        return
    left, top = segment.box_px[:2]
    found = rings(segment.mask)
    parts = [traced(ring) for ring in found if not ring.is_hole]
    group = number if len(parts) > 1 else None
    if any(ring.is_hole for ring in found) or min(map(len, parts)) < SMALLEST:
        h, w = segment.mask.shape
        corners = [[left, top], [left + w - 1, top + h - 1]]
        yield _shape(label, "mask", corners, mask=encoded(segment.mask))
        return
    for part in parts:
        points = (part + np.array([left, top])).astype(float).tolist()
        yield _shape(label, "polygon", points, group=group)


def _shape(
    label: str, kind: str, points: list[Any], *, group: int | None = None, mask: str | None = None
) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": {},
        "mask": mask,
    }
