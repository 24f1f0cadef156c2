"""Points and boxes as models take them, and the masks that answer: the values of `Promptable`.

Frame: pixels of the original image, (x, y), continuous: (0, 0) is its top left corner, (0.5, 0.5)
the centre of the first pixel. Shape letters: P objects, T clicks on one object, K classes, k joint
width of words and masks, h w mask grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from segtune.types import Geometry

ON, BESIDE, NO_CLICK = 1, 0, -1
"""Labels of clicks."""


@dataclass(frozen=True)
class Clicks:
    """Objects that are pointed at, each by one click or more.

    Attributes:
        points_px: per object (T, 2) float32.
        labels: per object (T,) int64: 1 on the object, 0 beside it.
    """

    points_px: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.points_px)


@dataclass(frozen=True)
class Boxes:
    """Objects that are boxed: `boxes_px` (P, 4) float32 xyxy, right and bottom exclusive."""

    boxes_px: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes_px)


Asked = Clicks | Boxes


@dataclass(frozen=True)
class ObjectMasks:
    """One mask per object, before it is resized and thresholded.

    Attributes:
        mask_logits: (P, h, w), unbounded, over the model input, padding included.
        class_logits: (P, K + 1), background last; None without words.
        qualities: (P,), 0..1, what the model thinks of its masks; None where it says nothing.
        boxes_px: (P, 4) xyxy on the original image, outside of which a mask is cut off.
        mask_resize: how masks get from the model input to the original image.
    """

    mask_logits: Tensor
    class_logits: Tensor | None = None
    qualities: Tensor | None = None
    boxes_px: np.ndarray | None = None
    mask_resize: Literal["bilinear", "bicubic"] = "bilinear"

    @classmethod
    def none(cls) -> ObjectMasks:
        """Returns the answer where nothing was asked for."""
        return cls(torch.zeros(0, 1, 1))


class Looked(Protocol):
    """What a frozen model saw of one image; it changes no more, and answers any number of times.

    Attributes:
        geometry: how the image got to the model input.
    """

    @property
    def geometry(self) -> Geometry: ...

    def points(self, clicks: Clicks, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per object that is clicked on.

        Args:
            text: (K + 1, k) class embeddings that name the masks, background last; None leaves
                them without names. Only models that read words take them.
        """
        ...

    def boxes(self, boxes: Boxes, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per box; `text` as in `points`."""
        ...


@runtime_checkable
class FindsEverything(Protocol):
    """What was seen of an image by a model that also finds masks of everything in it."""

    def everything(self) -> ObjectMasks:
        """Returns the masks of a grid of points, sure ones without near copies, best first."""
        ...
