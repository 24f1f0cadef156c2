"""Masks for points and boxes by a Uni-OVSeg: an image is seen once and asked many times."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.prompting import ON, Boxes, Clicks, ObjectMasks
from segtune.backbones.uniovseg.everything import EverythingConfig, find_everything
from segtune.backbones.uniovseg.mask_decoder import MaskAnswers
from segtune.backbones.uniovseg.seen import AnswersPrompts, Seen
from segtune.types import Geometry


@dataclass(frozen=True, eq=False)
class LookedUniOvseg:
    """What a Uni-OVSeg saw of one image on its canvas: a `Looked`."""

    model: AnswersPrompts
    seen: Seen
    geometry: Geometry
    rules: EverythingConfig = field(default_factory=EverythingConfig)

    @torch.inference_mode()
    def points(self, clicks: Clicks, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per object: for a single click the best of all granularities.

        Args:
            text: (K + 1, k) class embeddings, unit length, background last; by them the frozen CLIP
                names the regions.
        """
        masks: list[Tensor] = [torch.empty(0)] * len(clicks)
        ious: list[Tensor] = [torch.empty(0)] * len(clicks)
        labels = clicks.labels
        # Objects with equally many clicks go together: a place left empty would change the answer.
        # A single click on its object is a point, with all granularities.
        counts = [0 if marks.tolist() == [ON] else len(marks) for marks in labels]
        for count in sorted(set(counts)):
            rows = [i for i, own in enumerate(counts) if own == count]
            points_px = self._on_canvas(np.stack([clicks.points_px[i] for i in rows]))[None]
            if count:
                is_on = torch.from_numpy(np.stack([labels[i] for i in rows]) == ON)[None]
                prompts = self.model.clicks(points_px, is_on.to(points_px.device), self.seen)
            else:
                prompts = self.model.points(points_px[:, :, 0], self.seen)
            answers = self.model.answer(prompts, self.seen)
            best = answers.ious[0].argmax(-1)
            places = torch.arange(len(rows), device=best.device) * answers.ious.shape[-1] + best
            found = answers.chosen(self.seen.mask_features, 0, places)
            for row, mask, iou in zip(rows, found, answers.ious[0].amax(-1), strict=True):
                masks[row], ious[row] = mask, iou
        return (
            self._named(torch.stack(masks), torch.stack(ious), text)
            if masks
            else ObjectMasks.none()
        )

    @torch.inference_mode()
    def granularities(self, point_px: tuple[float, float]) -> ObjectMasks:
        """Returns every mask of one click, best first: parts and wholes that hold the point."""
        points = self._on_canvas(np.array([[point_px]], np.float32))
        answers: MaskAnswers = self.model.answer(self.model.points(points, self.seen), self.seen)
        ious = answers.ious[0, 0]
        order = ious.argsort(descending=True, stable=True)
        masks = answers.chosen(self.seen.mask_features, 0, order)
        return ObjectMasks(masks, qualities=ious[order])

    @torch.inference_mode()
    def boxes(self, boxes: Boxes, text: Tensor | None = None) -> ObjectMasks:
        """Returns one mask per box; `text` as in `points`."""
        if not len(boxes):
            return ObjectMasks.none()
        corners = self._on_canvas(boxes.boxes_px.reshape(-1, 2, 2)).flatten(1)[None]
        answers = self.model.answer(self.model.boxes(corners, self.seen), self.seen)
        masks = answers.logits(self.seen.mask_features)[0, :, 0]
        return self._named(masks, answers.ious[0, :, 0], text)

    def everything(self) -> ObjectMasks:
        """Returns masks of everything, best first, as the model's `everything` says."""
        pictures = [self.geometry.original_size]
        (found,) = find_everything(self.model, self.seen, pictures, self.rules)
        return ObjectMasks(found.mask_logits, qualities=found.ious)

    def _named(self, masks: Tensor, ious: Tensor, text: Tensor | None) -> ObjectMasks:
        names = None
        if text is not None:
            names = self.model.name_logits(self.seen, masks[None], text)[0]
        return ObjectMasks(masks, names, qualities=ious)

    def _on_canvas(self, points_px: np.ndarray) -> Tensor:
        """Returns points (..., 2) of the original image in pixels of the canvas."""
        points = torch.from_numpy(np.ascontiguousarray(points_px)).float()
        original, inner = self.geometry.original_size, self.geometry.resized_size
        scale = points.new_tensor([inner[1] / original[1], inner[0] / original[0]])
        return (points * scale).to(self.model.device)
