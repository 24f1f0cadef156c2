"""Sliding-window inference: where the windows lie, and how their scores become one answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.pixel_labels import PixelLabels, log_sum_exp, running_best
from segtune.ops.postprocess import labels_to_segmentation
from segtune.ops.resize import bilinear
from segtune.types import MaskPrediction, Segmentation, Vocabulary

Window = tuple[int, int, int, int]
"""(y1, x1, y2, x2) in pixels of the resized image, bottom and right exclusive."""


def windows(
    size: tuple[int, int], crop: int | tuple[int, int], stride: int | tuple[int, int]
) -> list[Window]:
    """Returns windows that cover an image, row by row.

    The last window of a row or column is moved back so that it ends at the border (mmsegmentation's
    rule); on a side shorter than the crop there is one window of the whole side.

    Example:
        >>> windows((512, 683), 512, 426)
        [(0, 0, 512, 512), (0, 171, 512, 683)]
    """
    crop_hw = (crop, crop) if isinstance(crop, int) else crop
    stride_hw = (stride, stride) if isinstance(stride, int) else stride
    if min(*crop_hw, *stride_hw) < 1 or any(s > c for s, c in zip(stride_hw, crop_hw, strict=True)):
        raise SegtuneError(
            f"crop {crop} with stride {stride} leaves gaps or is empty; "
            "the stride must be between 1 and the crop"
        )
    rows, columns = (_starts(*side) for side in zip(size, crop_hw, stride_hw, strict=True))
    return [
        (y, x, min(y + crop_hw[0], size[0]), min(x + crop_hw[1], size[1]))
        for y in rows
        for x in columns
    ]


def merge_windows(
    predictions: Sequence[MaskPrediction],
    boxes: Sequence[Window],
    vocabulary: Vocabulary,
    *,
    original_size: tuple[int, int],
    seen_ids: Sequence[int] = (),
    seen_shift: float = 0.1,
    num_negatives: int = 0,
    chunk: int = 16,
    with_segments: bool = False,
) -> Segmentation:
    """Returns the best class per pixel by the mean probability over the windows that see it.

    Per window: logits, bilinear to the crop, probabilities; then the mean over windows, minus
    `seen_shift` for seen classes, bilinear to the original size, arg-max. (ZegCLIP and RPN shift
    inside each window: the same number.) Classes go through in chunks, as in `ops.postprocess`.

    Args:
        predictions: dense ones, one per window; `geometry.input_size` is the crop, padding at its
            right and bottom included where the window is smaller.
        boxes: as `windows` gave them, for the resized image.
        num_negatives: trailing classes that compete, but whose pixels become `IGNORE`.
    """
    if not predictions or len(predictions) != len(boxes):
        raise SegtuneError(f"got {len(predictions)} predictions for {len(boxes)} windows")
    num_classes = len(vocabulary) + num_negatives
    logits = [_dense_logits(prediction, num_classes) for prediction in predictions]
    crops = [prediction.geometry.input_size for prediction in predictions]
    normalisers = [
        log_sum_exp(bilinear(part, crop) for part in scores.split(chunk))
        if prediction.pixel_rule.scores == "softmax"
        else None
        for prediction, scores, crop in zip(predictions, logits, crops, strict=True)
    ]
    size = (max(box[2] for box in boxes), max(box[3] for box in boxes))
    device = logits[0].device
    visits = torch.zeros(size, device=device)
    for y1, x1, y2, x2 in boxes:
        visits[y1:y2, x1:x2] += 1
    shift = torch.zeros(num_classes, 1, 1, device=device)
    shift[[i for i in seen_ids if i < num_classes]] = seen_shift

    def mean_probs() -> Iterator[tuple[Tensor, Tensor]]:
        for part in torch.arange(num_classes, device=device).split(chunk):
            total = torch.zeros(len(part), *size, device=device)
            for scores, crop, normaliser, box in zip(
                logits, crops, normalisers, boxes, strict=True
            ):
                y1, x1, y2, x2 = box
                planes = bilinear(scores[part], crop)
                probs = planes.sigmoid() if normaliser is None else (planes - normaliser).exp()
                total[:, y1:y2, x1:x2] += probs[:, : y2 - y1, : x2 - x1]
            yield part, bilinear(total / visits - shift[part], original_size)

    best, winner = running_best(mean_probs())
    probs = best + shift[winner, 0, 0]
    return labels_to_segmentation(
        PixelLabels(winner, probs), vocabulary, with_segments=with_segments
    )


def _starts(side: int, crop: int, stride: int) -> list[int]:
    """Returns where windows begin along one side."""
    count = max(side - crop + stride - 1, 0) // stride + 1
    return [max(min(i * stride, side - crop), 0) for i in range(count)]


def _dense_logits(prediction: MaskPrediction, num_classes: int) -> Tensor:
    """Returns (K, h, w) float32 logits after checking what they are over."""
    if prediction.pixel_logits is None:
        raise SegtuneError("sliding windows need scores per pixel; this model gives masks")
    if len(prediction.pixel_logits) != num_classes:
        raise SegtuneError(
            f"a window scored {len(prediction.pixel_logits)} classes but the vocabulary, "
            f"negatives included, has {num_classes}"
        )
    return prediction.pixel_logits.float()
