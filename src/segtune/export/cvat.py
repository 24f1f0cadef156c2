"""CVAT: one XML file of all images, to be uploaded to a task of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.cvat.writing import CvatDocument
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary


class CvatSink:
    """Writes annotations.xml, when it is closed."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Opens the file."""
        self._document, self._images = CvatDocument(place, vocabulary), images

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Adds the segments of an image."""
        file_name = f"{name}.jpg" if self._images is None else self._images[name].file_name
        self._document.add(file_name, result)

    def close(self) -> list[Path]:
        """Writes the file and returns its path."""
        return [self._document.close()]

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._document.abort()
