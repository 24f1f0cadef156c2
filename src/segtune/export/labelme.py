"""LabelMe: one JSON per image, to be put beside it and edited."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.labelme.writing import write_labelme
from segtune.export.sinks import ImageRef
from segtune.storage.files import atomic_write
from segtune.types import Segmentation, Vocabulary


class LabelmeSink:
    """Writes FOLDER/NAME.json as results come, and the list of classes when it is closed."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; folders are made with the first file."""
        self._folder, self._images, self._names = place, images, vocabulary.names

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the segments of an image."""
        file_name = f"{name}.jpg" if self._images is None else self._images[name].file_name
        write_labelme(self._folder / f"{name}.json", result, image_name=Path(file_name).name)

    def close(self) -> list[Path]:
        """Writes the classes in their order; returns the folder."""
        with atomic_write(self._folder / "labels.txt") as temporary:
            temporary.write_text("\n".join(self._names) + "\n", encoding="utf-8")
        return [self._folder]

    def abort(self) -> None:
        """Does nothing: every file is whole."""
