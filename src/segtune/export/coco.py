"""COCO annotations of all images in one file, which labelling tools take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segtune.data.formats.coco.document import CocoDocument
from segtune.data.formats.coco.instances import add_segments
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary


class CocoSink:
    """Writes one JSON file of all segments, when it is closed.

    Attributes:
        as_polygons: masks are polygons along the corners of pixels, with cuts to holes.
        category_ids: number of each class; 1, 2, 3, ... where None.
    """

    as_polygons = False
    category_ids: Sequence[int] | None = None

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Opens the lists of the file."""
        self._document = open_document(place, vocabulary, images, category_ids=self.category_ids)

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Adds the segments of an image."""
        add_segments(self._document, name, result, as_polygons=self.as_polygons)

    def close(self) -> list[Path]:
        """Writes the file and returns its path."""
        return [self._document.close()]

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._document.abort()


class CocoPolygonsSink(CocoSink):
    """The same with polygons, for tools that edit them."""

    as_polygons = True


def open_document(
    place: Path,
    vocabulary: Vocabulary,
    images: Mapping[str, ImageRef] | None,
    *,
    category_ids: Sequence[int] | None = None,
) -> CocoDocument:
    """Returns a COCO file to fill that refers to images as asked."""
    if images is None:
        return CocoDocument(place, vocabulary=vocabulary, category_ids=category_ids)
    return CocoDocument(
        place,
        vocabulary=vocabulary,
        category_ids=category_ids,
        image_ids={name: image.id for name, image in images.items()},
        image_names={name: image.file_name for name, image in images.items()},
    )
