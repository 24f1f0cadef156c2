"""Masks for points and boxes by a SAM or SAM 2: image features once, asked any number of times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.prompting import Boxes, Clicks, ObjectMasks
from segtune.errors import SegtuneError
from segtune.types import Geometry


class Found(Protocol):
    """Masks of everything in one image; see `segtune.backbones.sam.model.Proposals`."""

    @property
    def mask_logits(self) -> Tensor: ...

    @property
    def scores(self) -> Tensor: ...


class AnswersTokens(Protocol):
    """What is asked of a `Sam` here; see there."""

    name: str
    input_size: int

    def to_input(self, coords_px: Tensor, geometry: Geometry) -> Tensor: ...

    def tokens_of_points(self, points_norm: Tensor, labels: Tensor | None = None) -> Tensor: ...

    def tokens_of_boxes(self, boxes_norm: Tensor) -> Tensor: ...

    def decode(
        self, features: Mapping[str, Tensor], tokens: Tensor, *, multimask: bool = False
    ) -> tuple[Tensor, Tensor]: ...

    def proposals(
        self, features: Mapping[str, Tensor], *, geometry: Geometry | None = None
    ) -> Sequence[Found]: ...


@dataclass(frozen=True, eq=False)
class LookedSam:
    """What a SAM saw of one image: a `Looked`. Its masks have no names."""

    sam: AnswersTokens
    features: Mapping[str, Tensor]
    geometry: Geometry

    @torch.inference_mode()
    def points(self, clicks: Clicks, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per object: for a single click the best of the model's three."""
        self._refuse(text)
        if not len(clicks):
            return ObjectMasks.none()
        masks: list[Tensor] = [torch.empty(0)] * len(clicks)
        qualities: list[Tensor] = [torch.empty(0)] * len(clicks)
        # Objects with equally many clicks go together: a place left empty would change the answer.
        for count in sorted({len(points) for points in clicks.points_px}):
            rows = [i for i, points in enumerate(clicks.points_px) if len(points) == count]
            points_px = torch.from_numpy(np.stack([clicks.points_px[i] for i in rows]))
            labels = torch.from_numpy(np.stack([clicks.labels[i] for i in rows]))
            # The prompt encoder counts pixels and adds the half from their corner to their centre.
            points_norm = self.sam.to_input(points_px, self.geometry) - 0.5 / self.sam.input_size
            tokens = self.sam.tokens_of_points(points_norm, labels)
            mask_logits, iou = self.sam.decode(self.features, tokens, multimask=count == 1)
            for row, planes, scores in zip(rows, mask_logits[0], iou[0], strict=True):
                best = int(scores.argmax())
                masks[row], qualities[row] = planes[best], scores[best].clamp(0, 1)
        return ObjectMasks(torch.stack(masks), qualities=torch.stack(qualities))

    @torch.inference_mode()
    def boxes(self, boxes: Boxes, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per box."""
        self._refuse(text)
        if not len(boxes):
            return ObjectMasks.none()
        boxes_norm = self.sam.to_input(torch.from_numpy(boxes.boxes_px), self.geometry)
        mask_logits, iou = self.sam.decode(self.features, self.sam.tokens_of_boxes(boxes_norm))
        return ObjectMasks(mask_logits[0, :, 0], qualities=iou[0, :, 0].clamp(0, 1))

    @torch.inference_mode()
    def everything(self) -> ObjectMasks:
        """Returns masks of everything, best first, with the official thresholds."""
        (found,) = self.sam.proposals(self.features, geometry=self.geometry)
        return ObjectMasks(found.mask_logits, qualities=found.scores)

    def _refuse(self, text: Tensor | None) -> None:
        if text is not None:
            raise SegtuneError(f"{self.sam.name} reads no words to name masks by; leave them out")
