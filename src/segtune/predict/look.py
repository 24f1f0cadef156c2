"""Masks for points and boxes: a model looks at an image once, then answers for any object.

SEEM, SAM and SAM 2 answer; `Segmenter.segment_points` and `segment_boxes` are the way in.
Frame and shape letters are those of `clicks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from segtune.backbones.decoders.memory import DecoderMemory
from segtune.ops.resize import to_original
from segtune.ops.segments import crop_segment
from segtune.predict.clicks import NO_CLICK, Asked, Boxes, Clicks
from segtune.predict.pixels import resized
from segtune.types import IGNORE, Geometry, Segment, Segmentation, Vocabulary

if TYPE_CHECKING:
    from segtune.backbones.sam.model import Sam
    from segtune.backbones.seem.model import Seem

KINDS = ("seem", "sam")
"""Kinds of frozen models that answer; "sam" is SAM and SAM 2."""
UNNAMED = Vocabulary.of("object", name="unnamed")
"""What masks are called where no words are given."""
AT_ONCE = 16
"""Objects that are asked for, and masks that are resized, together."""


@dataclass(frozen=True)
class Looked:
    """What a frozen model computed of one image, and how the image got to its input."""

    features: DecoderMemory | Mapping[str, Tensor]
    geometry: Geometry


@dataclass(frozen=True)
class Masks:
    """One mask per object, before it is resized and thresholded.

    Attributes:
        mask_logits: (P, h, w), unbounded, over the model input, padding included.
        class_logits: (P, K + 1), background last; None without words.
        qualities: (P,), 0..1, what the model thinks of its masks; None where it says nothing.
        boxes_px: (P, 4) xyxy on the original image, outside of which a mask is cut off.
    """

    mask_logits: Tensor
    class_logits: Tensor | None = None
    qualities: Tensor | None = None
    boxes_px: np.ndarray | None = None


def look(backbone: Any, pixels: np.ndarray, short_side: int) -> Looked:
    """Returns what a model of one of `KINDS` sees of (H, W, 3) uint8 pixels.

    Args:
        short_side: length that the shorter side is resized to; a SAM has its own.
    """
    if backbone.kind == "sam":
        return look_sam(backbone, pixels)
    return look_seem(backbone, pixels, short_side)


def look_seem(seem: Seem, pixels: np.ndarray, short_side: int) -> Looked:
    """Returns what a SEEM sees of (H, W, 3) uint8 pixels.

    Keys and values are kept too: they are most of the work of a click.
    """
    picture = resized(pixels, short_side).to(seem.device)
    memory = seem.decoder.prepare(*seem.features(picture[None]), keep_keys=True)
    height, width = picture.shape[1:]
    stride = seem.patch_size
    input_size = (-(-height // stride) * stride, -(-width // stride) * stride)
    original_size = (pixels.shape[0], pixels.shape[1])
    return Looked(memory, Geometry(original_size, (height, width), input_size))


def look_sam(sam: Sam, pixels: np.ndarray) -> Looked:
    """Returns what a SAM or SAM 2 sees of (H, W, 3) uint8 pixels, which it resizes itself."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    return Looked(sam.features(picture), sam.geometry(*pixels.shape[:2]))


def ask_seem(seem: Seem, looked: Looked, asked: Asked, text: Tensor | None) -> Masks:
    """Returns the masks of a SEEM.

    Args:
        text: (K + 1, k) class embeddings, background last; None leaves the masks unnamed.
    """
    memory = looked.features
    assert isinstance(memory, DecoderMemory)
    device = memory.mask_features.device
    outputs = []
    for start in range(0, len(asked), AT_ONCE):
        if isinstance(asked, Boxes):
            boxes = _of_input(asked.boxes_px[start : start + AT_ONCE], looked.geometry)
            outputs.append(seem.segment_boxes(memory, boxes[None].to(device), text=text))
            continue
        points, labels = _padded(asked, start, start + AT_ONCE)
        points_norm = _of_input(points, looked.geometry)[None].to(device)
        marks = torch.from_numpy(labels)[None].to(device)
        outputs.append(seem.segment_points(memory, points_norm, marks, text=text))
    class_logits = [output.class_logits[0] for output in outputs if output.class_logits is not None]
    return Masks(
        torch.cat([output.mask_logits[0] for output in outputs]),
        torch.cat(class_logits) if class_logits else None,
        boxes_px=asked.boxes_px if isinstance(asked, Boxes) else None,
    )


def ask_sam(sam: Sam, looked: Looked, asked: Asked) -> Masks:
    """Returns the masks of a SAM or SAM 2: for a single click the best of its three."""
    assert not isinstance(looked.features, DecoderMemory)
    if isinstance(asked, Boxes):
        boxes = sam.to_input(torch.from_numpy(asked.boxes_px), looked.geometry)
        mask_logits, iou = sam.decode(looked.features, sam.tokens_of_boxes(boxes))
        return Masks(mask_logits[0, :, 0], qualities=iou[0, :, 0].clamp(0, 1))
    masks: list[Tensor] = [torch.empty(0)] * len(asked)
    qualities: list[Tensor] = [torch.empty(0)] * len(asked)
    # Objects with equally many clicks go together: a place left empty would change the answer.
    for count in sorted({len(points) for points in asked.points_px}):
        rows = [i for i, points in enumerate(asked.points_px) if len(points) == count]
        points_px = torch.from_numpy(np.stack([asked.points_px[i] for i in rows]))
        labels = torch.from_numpy(np.stack([asked.labels[i] for i in rows]))
        # The prompt encoder counts pixels and adds the half from their corner to their centre.
        points_norm = sam.to_input(points_px, looked.geometry) - 0.5 / sam.input_size
        tokens = sam.tokens_of_points(points_norm, labels)
        mask_logits, iou = sam.decode(looked.features, tokens, multimask=count == 1)
        for row, planes, scores in zip(rows, mask_logits[0], iou[0], strict=True):
            best = int(scores.argmax())
            masks[row], qualities[row] = planes[best], scores[best].clamp(0, 1)
    return Masks(torch.stack(masks), qualities=torch.stack(qualities))


def _padded(clicks: Clicks, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points (P, T, 2) and labels (P, T) of some objects, `NO_CLICK` at the end of rows."""
    parts, marks = clicks.points_px[start:stop], clicks.labels[start:stop]
    longest = max(len(part) for part in parts)
    points = np.zeros((len(parts), longest, 2), np.float32)
    labels = np.full((len(parts), longest), NO_CLICK, np.int64)
    for row, (part, mark) in enumerate(zip(parts, marks, strict=True)):
        points[row, : len(part)], labels[row, : len(part)] = part, mark
    return points, labels


def _of_input(coords_px: np.ndarray, geometry: Geometry) -> Tensor:
    """Returns points (..., 2) or boxes (..., 4) as SEEM takes them: column / width, row / height.

    The column of a pixel is half a pixel left of its centre.
    """
    coords = torch.from_numpy(np.ascontiguousarray(coords_px)).double()
    pairs = coords.shape[-1] // 2
    original, resized, given = (
        coords.new_tensor(size[::-1] * pairs)
        for size in (geometry.original_size, geometry.resized_size, geometry.input_size)
    )
    return ((coords * resized / original - 0.5).clamp(min=0) / given).float()


# -- the answer -------------------------------------------------------------------------------


def to_segmentation(
    masks: Masks | None,
    vocabulary: Vocabulary,
    geometry: Geometry,
    *,
    mask_resize: Literal["bilinear", "bicubic"] = "bilinear",
) -> Segmentation:
    """Returns one segment per object, in order, and the label map that they paint.

    A segment is named by its likeliest word. Its score is the quality of the mask (for SEEM the
    mean probability inside it) times, with words, the probability of the word among all words and
    negatives; the background is left out, because something was pointed at. Where masks overlap,
    the label map shows the better score. A mask without pixels has an empty box and the score 0.

    Args:
        masks: None where nothing was asked for.
    """
    size = geometry.original_size
    segments: list[Segment] = []
    for start in range(0, 0 if masks is None else len(masks.mask_logits), AT_ONCE):
        assert masks is not None
        part = slice(start, start + AT_ONCE)
        logits = to_original(masks.mask_logits[part], geometry, last_step=mask_resize)
        inside = logits > 0
        if masks.boxes_px is not None:
            inside &= _within(masks.boxes_px[part], size).to(inside.device)
        scores = (logits.sigmoid() * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        if masks.qualities is not None:
            scores = masks.qualities[part].float() * inside.flatten(1).any(1)
        class_ids = torch.zeros(len(logits), dtype=torch.int64)
        if masks.class_logits is not None:
            probs = masks.class_logits[part, :-1].float().softmax(-1)
            best = probs[:, : len(vocabulary)].max(1)
            scores, class_ids = scores * best.values, best.indices
        rows = zip(inside.cpu().numpy(), class_ids.tolist(), scores.tolist(), strict=True)
        segments += [crop_segment(mask, class_id, score) for mask, class_id, score in rows]
    return Segmentation(size, vocabulary, painted(segments, size), tuple(segments))


def _within(boxes_px: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Returns (P, H, W) bool: the pixels that a box touches."""
    x1, y1, x2, y2 = torch.from_numpy(boxes_px).unbind(1)
    rows, columns = torch.arange(size[0]), torch.arange(size[1])
    in_rows = (rows + 1 > y1[:, None]) & (rows < y2[:, None])
    in_columns = (columns + 1 > x1[:, None]) & (columns < x2[:, None])
    return in_rows[:, :, None] & in_columns[:, None]


def painted(segments: Sequence[Segment], size: tuple[int, int]) -> np.ndarray:
    """Returns the (H, W) int32 label map of segments, better scores on top, `IGNORE` elsewhere."""
    label_map = np.full(size, IGNORE, np.int32)
    for segment in sorted(segments, key=lambda segment: segment.score):
        x1, y1, x2, y2 = segment.box_px
        label_map[y1:y2, x1:x2][segment.mask] = segment.class_id
    return label_map
