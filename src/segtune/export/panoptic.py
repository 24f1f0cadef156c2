"""COCO panoptic: one JSON file of all segments, and an id map per image in a folder of its stem."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.coco.panoptic import add_segments
from segtune.export.coco import open_document
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary


class PanopticSink:
    """Writes id maps as results come, and the JSON file when it is closed."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Opens the lists of the JSON file."""
        self._document = open_document(place, vocabulary, images)

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the id map of an image and adds its segments."""
        add_segments(self._document, name, result)

    def close(self) -> list[Path]:
        """Writes the JSON file; returns its path and the folder of the id maps."""
        path = self._document.close()
        return [path, path.with_suffix("")]

    def abort(self) -> None:
        """Drops the JSON file; id maps that were written stay."""
        self._document.abort()
