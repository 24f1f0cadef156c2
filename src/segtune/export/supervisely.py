"""Supervisely: one JSON per image with bitmaps, and meta.json of the classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.supervisely import META, write_meta, write_objects
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary


class SuperviselySink:
    """Writes DATASET/ann/NAME.jpg.json as results come, and meta.json when it is closed."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; `place` is the folder `ann` of a dataset."""
        self._place, self._vocabulary, self._images = place, vocabulary, images

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the segments of an image."""
        file_name = f"{name}.jpg" if self._images is None else self._images[name].file_name
        write_objects(self._place / f"{file_name}.json", result)

    def close(self) -> list[Path]:
        """Writes the classes; returns the folder and meta.json."""
        above = self._place.parents[1] if self._place.name == "ann" else self._place.parent
        path = above / META
        write_meta(path, self._vocabulary)
        return [self._place, path]

    def abort(self) -> None:
        """Does nothing: every file is whole."""
