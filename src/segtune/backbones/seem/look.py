"""Masks for points and boxes by a SEEM: it sees an image once and is asked any number of times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.prompting import NO_CLICK, Boxes, Clicks, ObjectMasks
from segtune.types import Geometry

AT_ONCE = 16
"""Objects that are asked for together."""


class AnswersPoints(Protocol):
    """What is asked of a `Seem` here."""

    @property
    def mask_resize(self) -> Literal["bilinear", "bicubic"]: ...

    @property
    def device(self) -> torch.device: ...

    def segment_points(
        self,
        memory: DecoderMemory,
        points_norm: Tensor,
        labels: Tensor | None = None,
        *,
        text: Tensor | None = None,
    ) -> DecoderOutput:
        """Returns one answer per point prompt."""
        ...

    def segment_boxes(
        self, memory: DecoderMemory, boxes_norm: Tensor, *, text: Tensor | None = None
    ) -> DecoderOutput:
        """Returns one answer per box."""
        ...


@dataclass(frozen=True, eq=False)
class LookedSeem:
    """What a SEEM saw of one image: a `Looked`.

    Attributes:
        memory: of the one image; keys and values are kept too: they are most of the work of a
            click.
    """

    seem: AnswersPoints
    memory: DecoderMemory
    geometry: Geometry

    @torch.inference_mode()
    def points(self, clicks: Clicks, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per object; (K + 1, k) class embeddings `text` name them."""
        outputs = []
        for start in range(0, len(clicks), AT_ONCE):
            points_px, labels = padded_clicks(clicks, start, start + AT_ONCE)
            points_norm = self._of_input(points_px)[None].to(self.seem.device)
            marks = torch.from_numpy(labels)[None].to(self.seem.device)
            outputs.append(self.seem.segment_points(self.memory, points_norm, marks, text=text))
        return self._together(outputs)

    @torch.inference_mode()
    def boxes(self, boxes: Boxes, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per box, cut off outside of it; `text` as in `points`."""
        outputs = []
        for start in range(0, len(boxes), AT_ONCE):
            boxes_norm = self._of_input(boxes.boxes_px[start : start + AT_ONCE])[None]
            boxes_norm = boxes_norm.to(self.seem.device)
            outputs.append(self.seem.segment_boxes(self.memory, boxes_norm, text=text))
        return self._together(outputs, boxes.boxes_px)

    def _together(
        self, outputs: list[DecoderOutput], boxes_px: np.ndarray | None = None
    ) -> ObjectMasks:
        if not outputs:
            return ObjectMasks.none()
        classes = [output.class_logits[0] for output in outputs if output.class_logits is not None]
        return ObjectMasks(
            torch.cat([output.mask_logits[0] for output in outputs]),
            torch.cat(classes) if classes else None,
            boxes_px=boxes_px,
            mask_resize=self.seem.mask_resize,
        )

    def _of_input(self, coords_px: np.ndarray) -> Tensor:
        """Returns points (..., 2) or boxes (..., 4) as SEEM takes them, (x, y) 0..1 of the input.

        That is column / width and row / height; the column of a pixel is half a pixel left of its
        centre.
        """
        coords = torch.from_numpy(np.ascontiguousarray(coords_px)).double()
        pairs = coords.shape[-1] // 2
        sizes = (
            self.geometry.original_size,
            self.geometry.resized_size,
            self.geometry.input_size,
        )
        original, inner, given = (coords.new_tensor(size[::-1] * pairs) for size in sizes)
        return ((coords * inner / original - 0.5).clamp(min=0) / given).float()


def padded_clicks(clicks: Clicks, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points (P, T, 2) and labels (P, T) of some objects, `NO_CLICK` at the end of rows."""
    parts, marks = clicks.points_px[start:stop], clicks.labels[start:stop]
    longest = max(len(part) for part in parts)
    points = np.zeros((len(parts), longest, 2), np.float32)
    labels = np.full((len(parts), longest), NO_CLICK, np.int64)
    for row, (part, mark) in enumerate(zip(parts, marks, strict=True)):
        points[row, : len(part)], labels[row, : len(part)] = part, mark
    return points, labels
