"""Label Studio: one JSON file of tasks with predictions, to be imported and corrected."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.labelstudio.writing import task_of
from segtune.export.sinks import ImageRef
from segtune.storage.json_array import JsonArray
from segtune.types import Segmentation, Vocabulary


class LabelStudioSink:
    """Writes one JSON list, when it is closed."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Opens the list."""
        self._tasks, self._images = JsonArray(place), images

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Adds the task of an image."""
        file_name = f"{name}.jpg" if self._images is None else self._images[name].file_name
        self._tasks.append(task_of(result, image_name=file_name))

    def close(self) -> list[Path]:
        """Writes the file and returns its path."""
        return [self._tasks.close()]

    def abort(self) -> None:
        """Drops everything; a file that was there before stays."""
        self._tasks.abort()
