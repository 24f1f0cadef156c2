"""Images with whatever is known about them, and collections of those.

Label maps are int32 with `IGNORE` for pixels that have no label.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from segtune.types.vocabulary import Vocabulary

IGNORE = -1
"""Value of unlabelled pixels in every label map inside segtune (files use 255 or 65535)."""


@dataclass(frozen=True)
class Instance:
    """One annotated object or region.

    Attributes:
        class_id: index into the vocabulary of the dataset, or `IGNORE` for an unnamed object.
        mask: (H, W) bool, the visible part.
        is_crowd: COCO's crowd flag: a region of many objects.
    """

    class_id: int
    mask: np.ndarray
    is_crowd: bool = False

    @property
    def box_px(self) -> tuple[int, int, int, int]:
        """xyxy of the mask in pixels, right and bottom exclusive; zeros where the mask is empty."""
        ys, xs = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        if not len(ys):
            return (0, 0, 0, 0)
        return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)


@dataclass(frozen=True)
class Sample:
    """One image with whatever is known about it.

    Attributes:
        id: name of the sample inside its dataset, unique, usable as a file stem.
        image: path, or (H, W, 3) uint8 RGB.
        semantic: (H, W) int32 class ids of the dataset's vocabulary, `IGNORE` where unlabelled.
        instances: annotated objects (and, in panoptic data, stuff regions).
        captions: sentences about the image.
        points: (N, 2) float32 (x, y) in pixels, one click per instance, where the source has them.
        absent_ids: classes that are known not to be in the image, where only these and those of
            its instances were looked for, as in LVIS; None where all classes were.
        not_exhaustive_ids: classes of which there may be further objects.
    """

    id: str
    image: Path | np.ndarray
    semantic: np.ndarray | None = None
    instances: tuple[Instance, ...] = ()
    captions: tuple[str, ...] = ()
    points: np.ndarray | None = None
    absent_ids: tuple[int, ...] | None = None
    not_exhaustive_ids: tuple[int, ...] = ()

    def pixels(self) -> np.ndarray:
        """Returns the image as (H, W, 3) uint8 RGB, upright, reading the file where needed."""
        if isinstance(self.image, np.ndarray):
            return self.image
        from segtune.storage.images import read_image  # not before a picture is read

        return read_image(self.image)


@runtime_checkable
class Dataset(Protocol):
    """A finite, indexable, deterministic collection of samples over one vocabulary."""

    name: str
    split: str
    vocabulary: Vocabulary

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def sample_id(self, index: int) -> str:
        """Returns the id of a sample without reading it."""
        ...
