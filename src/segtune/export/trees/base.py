"""What sinks of label maps share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.errors import SegtuneError
from segtune.export.sinks import ImageRef
from segtune.storage.files import atomic_write
from segtune.types import IGNORE, Segment, Segmentation, Vocabulary


class TreeSink:
    """Writes files of their own for every image, each whole at any time."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; folders are made with the first file."""
        self._place, self._vocabulary, self._images = place, vocabulary, images

    def close(self) -> list[Path]:
        """Returns the folder."""
        return [self._place]

    def abort(self) -> None:
        """Does nothing: every file is whole."""


def label_map(result: Segmentation) -> np.ndarray:
    """Returns the (H, W) int32 class ids of a result; of objects alone, later ones lie above."""
    if result.semantic is not None:
        return result.semantic
    labels = np.full(result.size, IGNORE, np.int32)
    for segment in result.segments:
        x1, y1, x2, y2 = segment.box_px
        labels[y1:y2, x1:x2][segment.mask] = segment.class_id
    return labels


def things_of(result: Segmentation) -> list[Segment]:
    """Returns the segments of a result that are objects."""
    concepts = result.vocabulary.concepts
    return [s for s in result.segments if concepts[s.class_id].kind == "thing"]


def object_map(segments: list[Segment], size: tuple[int, int]) -> np.ndarray:
    """Returns (H, W) int32: 0 where no segment is, else its number from 1; later ones lie above."""
    numbers = np.zeros(size, np.int32)
    for number, segment in enumerate(segments, start=1):
        x1, y1, x2, y2 = segment.box_px
        numbers[y1:y2, x1:x2][segment.mask] = number
    return numbers


def write_png(path: Path, values: np.ndarray) -> None:
    """Writes (H, W) or (H, W, 3) uint8, or (H, W) uint16, as a PNG."""
    with atomic_write(path) as temporary:
        Image.fromarray(values).save(temporary, format="png")


def check_number(number: int, *, most: int, what: str) -> None:
    """Raises SegtuneError where a format has no room for so many."""
    if number > most:
        raise SegtuneError(f"{what} has room for {most}, but there are {number}; write coco")
