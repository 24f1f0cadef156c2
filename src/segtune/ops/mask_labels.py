"""The best class of every pixel from masks with class scores: what masks vote for, summed.

MaskFormer's semantic inference (Cheng et al., NeurIPS 2021, section 3.3): the score of a class at a
pixel is the sum over queries of class score times mask probability. There are two lines of models:
SEEM and X-Decoder sum at the original image; MaskFormer and the two-stage models that build on it
sum at the resized image, and resize the sums.

All K sums at once do not fit for a large vocabulary (847 classes at 640 x 853 are 1.8 GB), so a few
pixels or a few classes are summed at a time; neither changes the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.pixel_labels import PixelLabels, running_best
from segtune.ops.resize import bilinear, to_original
from segtune.types import MaskPrediction, SumAtOriginal, SumAtResized

PIXELS_AT_A_TIME = 1 << 15
"""Pixels whose class scores are formed at once where sums are made at the original image; bounds
memory at K * 128 KiB."""
MASKS_AT_A_TIME = 16
"""Masks that are brought to the resized image at once."""


def label_from_masks(
    prediction: MaskPrediction,
    *,
    seen_ids: Sequence[int] = (),
    seen_shift: float = 0.1,
    chunk: int = 16,
) -> PixelLabels:
    """Returns the winning class of every pixel by class score times mask probability, summed.

    The probabilities are the sums before the shift, cut at 1. A pixel that no mask votes for has
    the class id K, which is none.

    Args:
        prediction: with `mask_logits` and one of `class_logits` and `class_scores`.
        seen_ids: classes whose sum is lowered by `seen_shift` at the original image, on top of
            what the prediction itself takes off.
        chunk: classes that are summed at a time by `SumAtResized`.
    """
    scores, rule = class_probs(prediction)[:, :-1], prediction.mask_rule
    shift = torch.zeros(scores.shape[1], device=scores.device)
    shift[[i for i in seen_ids if i < len(shift)]] = seen_shift
    if isinstance(rule, SumAtResized):
        shift = shift if rule.class_shift is None else shift + rule.class_shift
        ids, probs = _at_resized(prediction, scores, shift, chunk)
    else:
        ids, probs = _at_original(prediction, scores, shift)
    return PixelLabels(ids.masked_fill(probs == 0, len(shift)), probs.clamp(max=1))


def _at_original(
    prediction: MaskPrediction, scores: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns class ids and their sums (H, W), by mask logits at the original image."""
    mask_probs = masks_at_original(prediction, slice(None)).sigmoid()
    ids, probs = [], []
    for pixels in mask_probs.flatten(1).split(PIXELS_AT_A_TIME, dim=1):
        sums = scores.T @ pixels  # (K, P)
        best = (sums - shift[:, None]).argmax(0)
        ids.append(best)
        probs.append(sums.gather(0, best[None])[0])
    size = mask_probs.shape[1:]
    return torch.cat(ids).view(size), torch.cat(probs).view(size)


def _at_resized(
    prediction: MaskPrediction, scores: Tensor, shift: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """Returns class ids and their sums (H, W), summed at the resized image, then resized."""
    votes = scores.any(1)  # masks that were dropped have no score at all
    mask_probs = masks_at_resized(prediction, votes)
    size = mask_probs.shape[1:]
    pixels, scores = mask_probs.flatten(1), scores[votes]

    def sums() -> Iterator[tuple[Tensor, Tensor]]:
        for part in torch.arange(len(shift), device=shift.device).split(chunk):
            planes = (scores[:, part].T @ pixels).view(-1, *size)
            planes = bilinear(planes, prediction.geometry.original_size)
            yield part, planes.sub_(shift[part, None, None])

    best, winner = running_best(sums())
    return winner, best + shift[winner]


def masks_at_resized(prediction: MaskPrediction, queries: Tensor) -> Tensor:
    """Returns mask probabilities (q, h, w), 0..1, of some queries at the resized image.

    Bilinear to the model input, padding cut off, sigmoid, and cut to 0 and 1 where the rule has a
    threshold.

    Args:
        queries: (Q,) bool.
    """
    assert prediction.mask_logits is not None
    logits = prediction.mask_logits[queries]
    height, width = prediction.geometry.resized_size
    probs = logits.new_empty(len(logits), height, width, dtype=torch.float32)
    for start in range(0, len(logits), MASKS_AT_A_TIME):
        part = slice(start, start + MASKS_AT_A_TIME)
        planes = bilinear(logits[part].float(), prediction.geometry.input_size)
        torch.sigmoid(planes[:, :height, :width], out=probs[part])
    rule = prediction.mask_rule
    threshold = rule.threshold if isinstance(rule, SumAtResized) else None
    return probs if threshold is None else (probs > threshold).float()


def masks_at_original(prediction: MaskPrediction, queries: slice | list[int] | Tensor) -> Tensor:
    """Returns mask logits (q, H, W) of some queries on the original image."""
    assert prediction.mask_logits is not None
    rule = prediction.mask_rule
    last_step = rule.resize if isinstance(rule, SumAtOriginal) else "bilinear"
    return to_original(prediction.mask_logits[queries], prediction.geometry, last_step=last_step)


def class_probs(prediction: MaskPrediction) -> Tensor:
    """Returns (Q, K + 1) float32 class probabilities, "no object" last.

    What a query may not answer counts as no object. Given `class_scores` are taken as they are;
    they leave nothing for "no object", whose column is zero.

    Raises:
        SegtuneError: the prediction scores pixels, not masks.
    """
    rule = prediction.mask_rule
    answers = rule.answers if isinstance(rule, SumAtOriginal) else None
    if prediction.class_scores is not None:
        scores = prediction.class_scores.float()
        if answers is not None:
            scores = scores * answers
        return torch.cat([scores, scores.new_zeros(len(scores), 1)], 1)
    if prediction.class_logits is None:
        raise SegtuneError(
            "this model scores pixels, not masks; use semantic(..., with_segments=True)"
        )
    probs = prediction.class_logits.float().softmax(-1)
    if answers is None:
        return probs
    allowed = probs[:, :-1] * answers
    return torch.cat([allowed, 1 - allowed.sum(1, keepdim=True)], 1)
