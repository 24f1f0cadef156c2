"""From the pixels of an image to a decision at their size: resize, windows, system, `ops`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.prompting import Looked
from segtune.ops import postprocess
from segtune.ops.resize import resized
from segtune.ops.windows import Window, merge_windows, windows
from segtune.systems.base import HasCanvas, ReadsLooks, System, Words
from segtune.types import (
    IGNORE,
    Geometry,
    MaskPrediction,
    Resolution,
    Segmentation,
    Task,
    Vocabulary,
)

WINDOWS_AT_ONCE = 8
"""Windows of one image that go through the model together."""
PANOPTIC_SCORE = 0.8
"""Smallest score of a panoptic segment, as in the published pipelines."""


@torch.inference_mode()
def segment_pixels(
    system: System,
    image: np.ndarray,
    words: Words,
    vocabulary: Vocabulary,
    *,
    resolution: Resolution,
    seen_ids: Sequence[int] = (),
    seen_shift: float = 0.1,
    task: Task = "semantic",
    min_score: float | None = None,
    looked: Looked | None = None,
) -> Segmentation:
    """Returns the segmentation of an (H, W, 3) uint8 image, by windows where they are needed.

    Args:
        looked: what the model saw of the whole image at this resolution already; systems that can
            begin there do.
    """
    original = (image.shape[0], image.shape[1])
    if looked is None and resolution.crop is None and isinstance(system, HasCanvas):
        looked = system.look(image, resolution.short_side)
    if looked is not None and isinstance(system, ReadsLooks):
        predictions = system.predict(system.features_of(looked), words, [looked.geometry])
        boxes = [(0, 0, *looked.geometry.resized_size)]
    else:
        predictions, boxes = _by_windows(system, image, words, resolution)
    options: dict[str, Any] = {
        "seen_ids": seen_ids,
        "seen_shift": seen_shift,
        "num_negatives": words.num_negatives,
    }
    has_masks = predictions[0].mask_logits is not None
    if has_masks and task != "semantic":
        return _masks(predictions[0], vocabulary, words, task, min_score)
    options["with_segments"] = task != "semantic"
    if len(boxes) == 1:
        result = postprocess.semantic(predictions[0], vocabulary, **options)
    else:
        result = merge_windows(predictions, boxes, vocabulary, original_size=original, **options)
    return _regions(result, task, min_score)


def _by_windows(
    system: System, image: np.ndarray, words: Words, resolution: Resolution
) -> tuple[list[MaskPrediction], list[Window]]:
    """Returns the predictions of an image, one for each of the windows."""
    original = (image.shape[0], image.shape[1])
    picture = resized(image, resolution.short_side).to(system.device)
    size = (picture.shape[1], picture.shape[2])
    crop = max(size) if resolution.crop is None else resolution.crop
    boxes = windows(size, crop, min(resolution.stride, crop))
    predictions = []
    for start in range(0, len(boxes), WINDOWS_AT_ONCE):
        part = boxes[start : start + WINDOWS_AT_ONCE]
        crops = [picture[:, y1:y2, x1:x2] for y1, x1, y2, x2 in part]
        batch = torch.stack([padded(crop, system.stride, system.padding) for crop in crops])
        input_size = (batch.shape[2], batch.shape[3])
        geometries = [
            Geometry(original, (crop.shape[1], crop.shape[2]), input_size) for crop in crops
        ]
        predictions += system.predict(system.encode(batch), words, geometries)
    return predictions, boxes


def _regions(result: Segmentation, task: Task, min_score: float | None) -> Segmentation:
    """Returns the regions of a decided label map as the answer of a task."""
    if task == "semantic":
        return result
    concepts = result.vocabulary.concepts
    kept = tuple(s for s in result.segments if s.score >= (min_score or 0.0))
    if task in ("instance", "regions"):
        things = tuple(s for s in kept if concepts[s.class_id].kind == "thing")
        return replace(result, semantic=None, segments=things)
    if len(kept) == len(result.segments):
        return result
    label_map = np.full(result.size, IGNORE, np.int32)
    for segment in kept:
        label_map[segment.full_mask(result.size)] = segment.class_id
    return replace(result, semantic=label_map, segments=kept)


def _masks(
    prediction: MaskPrediction,
    vocabulary: Vocabulary,
    words: Words,
    task: Task,
    min_score: float | None,
) -> Segmentation:
    """Returns the answer in segments of a model that predicts masks."""
    if task == "panoptic":
        return postprocess.panoptic(
            prediction,
            vocabulary,
            min_score=PANOPTIC_SCORE if min_score is None else min_score,
            num_negatives=words.num_negatives,
        )
    return postprocess.instances(
        prediction,
        vocabulary,
        min_score=min_score or 0.0,
        things_only=True,
        once_each=task == "regions",
        num_negatives=words.num_negatives,
    )


def padded(picture: Tensor, stride: int, value: Sequence[float]) -> Tensor:
    """Returns (3, H, W) with both sides rounded up to a multiple of `stride`, `value` at the end.

    Args:
        value: one number per channel.
    """
    bottom, right = (-side % stride for side in picture.shape[1:])
    if not (bottom or right):
        return picture
    height, width = picture.shape[1:]
    result = picture.new_tensor(value)[:, None, None].repeat(1, height + bottom, width + right)
    result[:, :height, :width] = picture
    return result
