"""SA-1B: one JSON of masks without names per image, to be put beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.sa1b import write_masks
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary


class Sa1bSink:
    """Writes FOLDER/NAME.json as results come."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; folders are made with the first file."""
        self._place, self._images, self._count = place, images, 0

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the masks of an image."""
        self._count += 1
        ref = ImageRef(self._count, f"{name}.jpg") if self._images is None else self._images[name]
        write_masks(self._place / f"{name}.json", result, image_id=ref.id, image_name=ref.file_name)

    def close(self) -> list[Path]:
        """Returns the folder."""
        return [self._place]

    def abort(self) -> None:
        """Does nothing: every file is whole."""
