"""Objects as lines of YOLO segmentation.

An object is one polygon along the corners of its pixels. Holes and parts of an object are joined
to it by cuts of no width, as a line has room for one polygon only.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from segtune.data.masks.outlines import single_polygon
from segtune.storage.files import atomic_write
from segtune.types import Segmentation, Vocabulary

DIGITS = 8
"""Decimals of a share, enough for a thousandth of a pixel of any image."""


def write_lines(path: Path, result: Segmentation) -> Path:
    """Writes the text file of an image, one line per segment, and returns its path."""
    height, width = result.size
    lines = []
    for segment in result.segments:
        polygon = single_polygon(segment.mask)
        if not len(polygon):
            continue
        points = (polygon + np.array(segment.box_px[:2])) / np.array([width, height])
        numbers = " ".join(f"{value:.{DIGITS}f}".rstrip("0").rstrip(".") for value in points.flat)
        lines.append(f"{segment.class_id} {numbers}\n")
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return path


def write_data_file(path: Path, vocabulary: Vocabulary, *, train: str, val: str) -> Path:
    """Writes data.yaml and returns its path.

    Args:
        path: the YAML file.
        vocabulary: its order is that of the class numbers.
        train: folder of the photographs, below that of the file.
        val: the same of those to validate on.
    """
    names = "".join(f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(vocabulary.names))
    with atomic_write(path) as temporary:
        temporary.write_text(
            f"path: .\ntrain: {train}\nval: {val}\nnames:\n{names}", encoding="utf-8"
        )
    return path
