"""Index maps: one PNG of class ids per image."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from segtune.data.images import label_picture
from segtune.errors import SegtuneError
from segtune.export.behind import Finish
from segtune.export.sinks import ImageRef
from segtune.storage.images import png_bytes, write_bytes
from segtune.types import Segmentation, Vocabulary
from segtune.viz.palette import class_colors


class PngSink:
    """Writes FOLDER/NAME.png, with the colours of the classes as its palette."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; folders are made with the first file."""
        self._folder = place
        self._colors = [(r, g, b) for r, g, b in class_colors(vocabulary).tolist()]

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Writes the label map of a result.

        Raises:
            SegtuneError: it has none.
        """
        self.prepare(name, image, result)()

    def prepare(self, name: str, image: np.ndarray | None, result: Segmentation) -> Finish:
        """Encodes the label map of a result, and returns what writes it."""
        if result.semantic is None:
            raise SegtuneError(
                "an instance result has no label map; save it as .json, or with format coco"
            )
        path, colors = self._folder / f"{name}.png", self._colors
        picture = label_picture(path, result.semantic, num_classes=len(colors), colors=colors)
        return partial(write_bytes, path, png_bytes(picture))

    def close(self) -> list[Path]:
        """Returns the folder."""
        return [self._folder]

    def abort(self) -> None:
        """Does nothing: every map is whole."""
