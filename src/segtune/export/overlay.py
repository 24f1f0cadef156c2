"""Overlays: one picture per image with the photograph, colours, names and a legend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.errors import SegtuneError
from segtune.export.behind import Finish
from segtune.export.sinks import ImageRef
from segtune.storage.images import png_bytes, write_bytes
from segtune.types import Segmentation, Vocabulary
from segtune.viz.overlay import draw_overlay

SMALL_SIDE = 600
"""Images whose longer side is at most half of this are drawn larger."""


class OverlaySink:
    """Writes FOLDER/NAME.png."""

    def open(
        self,
        place: Path,
        vocabulary: Vocabulary,
        *,
        images: Mapping[str, ImageRef] | None = None,
    ) -> None:
        """Notes where to; folders are made with the first file."""
        self._folder = place

    def add(self, name: str, image: np.ndarray | None, result: Segmentation) -> None:
        """Draws a result over its image.

        Raises:
            SegtuneError: there is no image.
        """
        self.prepare(name, image, result)()

    def prepare(self, name: str, image: np.ndarray | None, result: Segmentation) -> Finish:
        """Draws a result over its image, and returns what writes the picture."""
        if image is None:
            raise SegtuneError("an overlay is drawn over the image; give image=")
        picture = draw_overlay(*enlarged(image, result), names=True)
        content = png_bytes(Image.fromarray(picture))
        return partial(write_bytes, self._folder / f"{name}.png", content)

    def close(self) -> list[Path]:
        """Returns the folder."""
        return [self._folder]

    def abort(self) -> None:
        """Does nothing: every picture is whole."""


def enlarged(image: np.ndarray, result: Segmentation) -> tuple[np.ndarray, Segmentation]:
    """Returns a small image and its result some times larger, so that names have room.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    height, width = result.size
    times = SMALL_SIDE // max(height, width)
    if times < 2:
        return image, result
    size = (height * times, width * times)
    picture = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)

    def repeated(labels: np.ndarray) -> np.ndarray:
        return labels.repeat(times, axis=0).repeat(times, axis=1)

    segments = []
    for segment in result.segments:
        x1, y1, x2, y2 = (times * side for side in segment.box_px)
        segments.append(replace(segment, box_px=(x1, y1, x2, y2), mask=repeated(segment.mask)))
    semantic = None if result.semantic is None else repeated(result.semantic)
    large = replace(result, size=size, semantic=semantic, segments=tuple(segments))
    return np.asarray(picture), large
