"""The answer for one image, in the pixels of the original image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segtune.storage.registry import resolve
from segtune.types.samples import IGNORE
from segtune.types.vocabulary import Vocabulary

Task = Literal["semantic", "instance", "panoptic", "regions"]
"""What an image is answered with: a label map, scored things, segments that do not overlap, or
scored regions that find a thing whatever it is called, each of them once."""


@dataclass(frozen=True)
class Segment:
    """One scored region of a result.

    Attributes:
        class_id: index into the vocabulary of the result.
        score: 0..1.
        box_px: xyxy in pixels of the original image, right and bottom exclusive.
        mask: (y2 - y1, x2 - x1) bool, the crop of the region inside its box.
        alternatives: the next likely classes with their scores, best first, where somebody asked.
    """

    class_id: int
    score: float
    box_px: tuple[int, int, int, int]
    mask: np.ndarray
    alternatives: tuple[tuple[int, float], ...] = ()

    def full_mask(self, size: tuple[int, int]) -> np.ndarray:
        """Returns the (H, W) bool mask on an image of `size`."""
        mask = np.zeros(size, dtype=bool)
        x1, y1, x2, y2 = self.box_px
        mask[y1:y2, x1:x2] = self.mask
        return mask


@dataclass(frozen=True)
class Segmentation:
    """The answer for one image, with where it came from.

    Attributes:
        size: (H, W) of the original image.
        vocabulary: what class ids mean.
        semantic: (H, W) int32 class ids, `IGNORE` where no class won; None for instance results.
        segments: scored regions; empty for a plain semantic result.
        source: model, prompt file, protocol and settings, as plain values for file headers.
    """

    size: tuple[int, int]
    vocabulary: Vocabulary
    semantic: np.ndarray | None = None
    segments: tuple[Segment, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def classes_found(self) -> dict[str, float]:
        """Returns class name -> share of the image, largest first, for the classes that occur."""
        if self.semantic is None:
            pixels: dict[int, int] = {}
            for segment in self.segments:
                count = pixels.get(segment.class_id, 0) + int(segment.mask.sum())
                pixels[segment.class_id] = count
        else:
            ids, counts = np.unique(self.semantic[self.semantic != IGNORE], return_counts=True)
            pixels = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        area = self.size[0] * self.size[1]
        ranked = sorted(pixels.items(), key=lambda item: -item[1])
        return {self.vocabulary.names[i]: count / area for i, count in ranked}

    def save(
        self, path: Path | str, *, format: str | None = None, image: np.ndarray | None = None
    ) -> Path:
        """Writes the result and returns the path.

        Args:
            path: `.png` is an index map, `.json` COCO annotations.
            format: another one of `segtune.export.sinks.SINKS`, such as "overlay" or "panoptic".
            image: (H, W, 3) uint8 RGB, which an overlay is drawn over.
        """
        save = resolve("segtune.export.save:save")
        written: Path = save(self, Path(path), format=format, image=image)
        return written

    def to_supervision(self) -> Any:
        """Returns `supervision.Detections` of the segments, or of the classes of a label map."""
        return resolve("segtune.export.supervision:to_supervision")(self)
