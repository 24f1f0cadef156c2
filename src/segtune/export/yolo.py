"""YOLO segmentation: one text file per image, to be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segtune.data.formats.yolo.writing import write_data_file, write_lines
from segtune.export.sinks import ImageRef
from segtune.types import Segmentation, Vocabulary


class YoloSink:
    """Writes FOLDER/NAME.txt as results come, and data.yaml beside `labels` when it is closed."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; folders are made with the first file."""
        self._folder, self._vocabulary = place, vocabulary

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the lines of an image."""
        write_lines(self._folder / f"{name}.txt", result)

    def close(self) -> list[Path]:
        """Writes the classes; returns the folder and data.yaml."""
        above = (self._folder, *self._folder.parents)
        labels = next((f for f in above if f.name == "labels"), self._folder)
        path = labels.with_name("data.yaml")
        write_data_file(path, self._vocabulary, train="images", val="images")
        return [self._folder, path]

    def abort(self) -> None:
        """Does nothing: every file is whole."""
